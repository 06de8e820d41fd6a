#include "agent/ctl/terminal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "common/clock.h"
#include "common/text.h"

#define NAME_COLUMNS 14 /* of terminal_pair() */

void terminal_init(struct terminal *t, FILE *out)
{
    const char *columns = getenv("COLUMNS"), *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    struct winsize size;
    bool tty = isatty(fileno(out));
    uint64_t width = 0;
    if (columns && !text_to_u64(columns, strlen(columns), &width) && width > 10000)
        width = 0;
    if (!width && tty && !ioctl(fileno(out), TIOCGWINSZ, &size))
        width = size.ws_col;
    *t = (struct terminal){ .out = out, .width = (int)width };
    if (t->width && t->width < 72)
        t->width = 72; /* the columns need as much */
    t->colour = tty && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
}

void terminal_safe(char *to, size_t size, const char *text)
{
    struct text_out out;
    text_out_init(&out, to, size);
    while (*text) {
        size_t n = strcspn(text, "\\");
        text_escape(&out, text, n);
        text += n;
        if (*text)
            text_out_bytes(&out, text++, 1);
    }
}

static void style_begin(const struct terminal *t, enum style style)
{
    static const char *const codes[] = { [STYLE_PLAIN] = "",      [STYLE_BOLD] = "1",   [STYLE_DIM] = "2",  [STYLE_RED] = "31",
                                         [STYLE_YELLOW] = "33",   [STYLE_GREEN] = "32", [STYLE_CYAN] = "36", [STYLE_ALARM] = "1;37;41" };
    if (t->colour && style != STYLE_PLAIN)
        fprintf(t->out, "\033[%sm", codes[style]);
}

static void style_end(const struct terminal *t, enum style style)
{
    if (t->colour && style != STYLE_PLAIN)
        fputs("\033[0m", t->out);
}

/* Bytes of `text` (UTF-8) that fill at most `columns`; *used says how many they fill. */
static size_t fitting(const char *text, int columns, int *used)
{
    mbstate_t state = { 0 };
    size_t at = 0;
    *used = 0;
    while (text[at]) {
        wchar_t c;
        size_t n = mbrtowc(&c, text + at, strlen(text + at), &state);
        int w = n > 4 ? 1 : wcwidth(c);
        if (n > 4) {
            n = 1;
            memset(&state, 0, sizeof state);
        }
        if (w < 0)
            w = 1;
        if (*used + w > columns)
            break;
        *used += w;
        at += n;
    }
    return at;
}

static char *safe_copy(const char *text)
{
    size_t size = 4 * strlen(text) + 1;
    char *copy = malloc(size);
    if (copy)
        terminal_safe(copy, size, text);
    return copy;
}

static void put_cut(const struct terminal *t, enum style style, int columns, bool left, bool pad, const char *text)
{
    char *copy = safe_copy(text);
    int used;
    if (!copy)
        return;
    size_t n = fitting(copy, columns, &used);
    bool cut = copy[n] != 0;
    if (cut)
        n = fitting(copy, columns - 1, &used);
    used += cut;
    if (left)
        fprintf(t->out, "%*s", columns - used, "");
    style_begin(t, style);
    fprintf(t->out, "%.*s%s", (int)n, copy, cut ? "…" : "");
    style_end(t, style);
    if (!left && pad)
        fprintf(t->out, "%*s", columns - used, "");
    free(copy);
}

void terminal_cell(const struct terminal *t, enum style style, int width, const char *text)
{
    put_cut(t, style, width ? abs(width) : 1 << 30, width < 0, width > 0, text);
}

void terminal_last(const struct terminal *t, enum style style, int used, const char *text)
{
    int columns = t->width ? t->width - used : 1 << 30;
    put_cut(t, style, columns > 4 ? columns : 4, false, false, text);
    fputc('\n', t->out);
}

/* Bytes of the next line of a paragraph: up to the last blank that fits, or as much as fits of a long word. */
static size_t line_length(const char *text, int columns)
{
    int used;
    size_t n = fitting(text, columns, &used), blank = n;
    size_t newline = strcspn(text, "\n");
    if (newline <= n)
        return newline;
    if (!text[n] || text[n] == ' ')
        return n;
    while (blank > 0 && text[blank - 1] != ' ')
        blank--;
    return blank > 1 ? blank - 1 : n;
}

/* `lines`: at most, 0 = all. */
static void wrap(const struct terminal *t, int first_indent, int indent, const char *text, int lines)
{
    int columns = t->width ? t->width - indent : 1 << 30;
    for (int line = 1; *text || line == 1; line++) {
        size_t n = line_length(text, columns > 20 ? columns : 20), next = n + (text[n] == ' ' || text[n] == '\n');
        bool cut = line == lines && text[next];
        if (cut)
            n = line_length(text, columns > 22 ? columns - 2 : 20);
        char *part = strndup(text, n), *safe = part ? safe_copy(part) : NULL;
        fprintf(t->out, "%*s%s%s\n", line == 1 ? first_indent : indent, "", safe ? safe : "", cut ? " …" : "");
        free(part);
        free(safe);
        text += next;
        if (cut)
            return;
    }
}

void terminal_wrap(const struct terminal *t, int indent, const char *text)
{
    wrap(t, indent, indent, text, 0);
}

void terminal_wrap_some(const struct terminal *t, int indent, const char *text, int lines)
{
    wrap(t, indent, indent, text, lines);
}

void terminal_heading(const struct terminal *t, const char *text)
{
    fputc('\n', t->out);
    terminal_cell(t, STYLE_BOLD, 0, text);
    fputc('\n', t->out);
}

void terminal_pair(const struct terminal *t, const char *name, const char *text)
{
    if (!*text)
        return;
    fputs("  ", t->out);
    terminal_cell(t, STYLE_DIM, NAME_COLUMNS, name);
    wrap(t, 0, 2 + NAME_COLUMNS, text, 0);
}

void terminal_ago(char out[16], uint64_t wall_ns, uint64_t now_wall_ns)
{
    uint64_t s = now_wall_ns > wall_ns ? (now_wall_ns - wall_ns) / NS_PER_SECOND : 0;
    if (s < 2)
        snprintf(out, 16, "just now");
    else if (s < 120)
        snprintf(out, 16, "%" PRIu64 "s ago", s);
    else if (s < 7200)
        snprintf(out, 16, "%" PRIu64 "m ago", s / 60);
    else if (s < 172800)
        snprintf(out, 16, "%" PRIu64 "h ago", s / 3600);
    else
        snprintf(out, 16, "%" PRIu64 "d ago", s / 86400);
}

void terminal_bytes(char out[16], uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 6) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 16, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

enum style terminal_severity_style(const char *severity)
{
    static const struct {
        const char *name;
        enum style style;
    } styles[] = { { "critical", STYLE_ALARM }, { "high", STYLE_RED }, { "medium", STYLE_YELLOW }, { "low", STYLE_CYAN } };
    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++)
        if (!strcmp(severity, styles[i].name))
            return styles[i].style;
    return STYLE_PLAIN;
}
