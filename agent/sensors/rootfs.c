#include "agent/sensors/rootfs.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/text.h"

#define FIELDS_MAX 64 /* 6 fixed fields, optional ones, separator, 3 more */

struct word {
    const char *at;
    size_t size;
};

static bool word_is(struct word w, const char *text)
{
    return w.size == strlen(text) && !memcmp(w.at, text, w.size);
}

static int split(const char *line, size_t size, struct word *words)
{
    int n = 0;
    for (size_t at = 0; at <= size && n < FIELDS_MAX;) {
        const char *blank = memchr(line + at, ' ', size - at);
        size_t end = blank ? (size_t)(blank - line) : size;
        words[n++] = (struct word){ line + at, end - at };
        at = end + 1;
    }
    return n;
}

/* Undoes the kernel's \ooo (seq_escape(): blank, tab, newline, backslash, comma). False if it does not fit. */
static bool unescape(struct word w, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < w.size; i++) {
        unsigned char c = (unsigned char)w.at[i];
        if (c == '\\' && w.size - i >= 4 && w.at[i + 1] >= '0' && w.at[i + 1] <= '3' && w.at[i + 2] >= '0' && w.at[i + 2] <= '7' &&
            w.at[i + 3] >= '0' && w.at[i + 3] <= '7') {
            c = (unsigned char)((w.at[i + 1] - '0') << 6 | (w.at[i + 2] - '0') << 3 | (w.at[i + 3] - '0'));
            i += 3;
        }
        if (!c || n + 1 >= room)
            return false;
        out[n++] = (char)c;
    }
    out[n] = 0;
    return true;
}

static int parse_dev(struct word w, uint64_t *dev)
{
    uint64_t major, minor;
    const char *colon = memchr(w.at, ':', w.size);
    if (!colon || text_to_u64(w.at, (size_t)(colon - w.at), &major) ||
        text_to_u64(colon + 1, w.size - (size_t)(colon + 1 - w.at), &minor) || major > UINT32_MAX || minor > UINT32_MAX)
        return -EINVAL;
    *dev = makedev((unsigned)major, (unsigned)minor);
    return 0;
}

static void find_upperdir(struct word options, char *out, size_t room)
{
    static const char key[] = "upperdir=";
    for (size_t at = 0; at < options.size;) {
        const char *comma = memchr(options.at + at, ',', options.size - at);
        size_t end = comma ? (size_t)(comma - options.at) : options.size;
        struct word value = { options.at + at + sizeof key - 1, end - at - (sizeof key - 1) };
        /* Docker mounts with relative paths when the layers' names are too long for one page: of no use outside its own directory */
        if (end - at > sizeof key && !memcmp(options.at + at, key, sizeof key - 1) && value.at[0] == '/') {
            if (!unescape(value, out, room))
                out[0] = 0;
            return;
        }
        at = end + 1;
    }
}

/* 1: mounted on "/", 0: elsewhere, -EINVAL */
static int parse_line(const char *line, size_t size, struct rootfs *out)
{
    struct word words[FIELDS_MAX];
    int n = split(line, size, words), dash = 6;
    while (dash < n && !word_is(words[dash], "-"))
        dash++;
    if (dash + 2 >= n)
        return -EINVAL;
    if (!word_is(words[4], "/"))
        return 0;
    out->upperdir[0] = 0;
    if (parse_dev(words[2], &out->dev))
        return -EINVAL;
    if (word_is(words[dash + 1], "overlay") && dash + 3 < n)
        find_upperdir(words[dash + 3], out->upperdir, sizeof out->upperdir);
    return 1;
}

int rootfs_parse(const char *bytes, size_t size, struct rootfs *out)
{
    bool found = false;
    memset(out, 0, sizeof *out);
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(bytes + at, '\n', size - at);
        if (!newline)
            break;
        int r = parse_line(bytes + at, (size_t)(newline - bytes) - at, out);
        if (r < 0)
            return r;
        found |= r;
        at = (size_t)(newline - bytes) + 1;
    }
    return found ? 0 : -ENOENT;
}
