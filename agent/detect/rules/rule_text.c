#include "agent/detect/rules/rule_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"

void rule_text_begin(struct rule_text *text, bool tracked)
{
    if (tracked != text->tracked)
        rule_text_fini(text);
    text->tracked = tracked;
    text->length = 0;
}

void rule_text_fini(struct rule_text *text)
{
    free(text->bytes);
    free(text->origin);
    *text = (struct rule_text){ 0 };
}

static int reserve(struct rule_text *text, size_t n)
{
    size_t max = text->tracked ? LIMIT_RULE_TRACKED_BYTES : LIMIT_RULE_TEXT_BYTES;
    if (n > max - text->length)
        return -E2BIG;
    if (text->length + n < text->size)
        return 0;
    size_t size = text->size ? text->size : 1024;
    while (size <= text->length + n)
        size *= 2;
    char *bytes = realloc(text->bytes, size);
    if (!bytes)
        return -ENOMEM;
    text->bytes = bytes;
    if (text->tracked) {
        uint32_t *origin = realloc(text->origin, size * sizeof *origin);
        if (!origin)
            return -ENOMEM;
        text->origin = origin;
    }
    text->size = size;
    return 0;
}

int rule_text_add(struct rule_text *text, const char *bytes, size_t n, uint32_t origin)
{
    int e = reserve(text, n);
    if (e)
        return e;
    memcpy(text->bytes + text->length, bytes, n);
    for (size_t i = 0; text->tracked && i < n; i++)
        text->origin[text->length + i] = origin | ORIGIN_INSERTED;
    text->length += n;
    text->bytes[text->length] = 0;
    return 0;
}

int rule_text_copy(struct rule_text *text, const struct rule_text *from, size_t start, size_t end)
{
    int e = reserve(text, end - start);
    if (e)
        return e;
    if (end > start)
        memcpy(text->bytes + text->length, from->bytes + start, end - start);
    for (size_t i = start; text->tracked && i < end; i++)
        text->origin[text->length + i - start] = from->tracked ? from->origin[i] : (uint32_t)i;
    text->length += end - start;
    text->bytes[text->length] = 0;
    return 0;
}

int rule_text_start(struct rule_text *text, const struct rule_text *from, bool tracked)
{
    rule_text_begin(text, tracked);
    return rule_text_copy(text, from, 0, from->length);
}
