#include "common/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/hash.h"
#include "common/text.h"

void finding_init(struct finding *f)
{
    memset(f, 0, offsetof(struct finding, text));
    f->size = offsetof(struct finding, text);
}

void finding_set(struct finding *f, enum finding_text which, const char *data, size_t size)
{
    size_t room = sizeof f->text - f->text_len;
    if (room < 1)
        return;
    if (size > room - 1)
        size = room - 1;
    memcpy(f->text + f->text_len, data, size);
    f->text[f->text_len + size] = 0;
    f->texts[which].off = f->text_len;
    f->texts[which].len = (uint32_t)size;
    f->text_len += (uint32_t)size + 1;
    f->size = (uint32_t)((offsetof(struct finding, text) + f->text_len + 7) & ~(size_t)7);
}

void finding_printf(struct finding *f, enum finding_text which, const char *format, ...)
{
    char line[8192];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n > 0)
        finding_set(f, which, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void finding_identify(struct finding *f, const char *container_id, const char *key)
{
    char line[8192];
    struct text_out out;
    text_out_init(&out, line, sizeof line);
    text_out_printf(&out, "%s\n%s\n%s\n%s", finding_get(f, FT_TYPE), finding_get(f, FT_RULE), container_id, key);
    hash_hex(line, out.length, f->id);
}

const char *severity_name(enum severity severity)
{
    static const char *const names[] = { "info", "low", "medium", "high", "critical" };
    return (unsigned)severity < sizeof names / sizeof names[0] ? names[severity] : "?";
}
