#include "common/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void text_out_init(struct text_out *out, char *buf, size_t size)
{
    *out = (struct text_out){ .buf = buf, .size = size };
    if (size)
        buf[0] = 0;
}

void text_out_bytes(struct text_out *out, const void *data, size_t size)
{
    size_t room = out->size > out->length ? out->size - out->length - 1 : 0;
    if (size > room) {
        size = room;
        out->cut = true;
    }
    if (!size)
        return;
    memcpy(out->buf + out->length, data, size);
    out->length += size;
    out->buf[out->length] = 0;
}

void text_out_printf(struct text_out *out, const char *format, ...)
{
    size_t room = out->size > out->length ? out->size - out->length : 0;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(room ? out->buf + out->length : NULL, room, format, args);
    va_end(args);
    if (n < 0)
        return;
    if ((size_t)n >= room) {
        out->cut = true;
        n = room ? (int)room - 1 : 0;
    }
    out->length += (size_t)n;
}

/* Length of the valid, printable UTF-8 sequence at p (RFC 3629), or 0. C1 controls and bidirectional overrides are not
 * printable: they can rearrange what a person reads. */
static size_t printable_utf8(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7f;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
        return 0;
    uint32_t c = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    bool control = c < 0xa0 || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
                   c == 0xfeff;
    return control ? 0 : n;
}

static size_t plain_length(const uint8_t *p, size_t size)
{
    size_t n = 0;
    while (n < size && p[n] >= 0x20 && p[n] < 0x7f && p[n] != '\\')
        n++;
    return n;
}

bool text_is_plain(const void *data, size_t size)
{
    return plain_length(data, size) == size;
}

static void escape(struct text_out *out, const uint8_t *p, size_t size, const char *backslash)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size && !out->cut;) {
        size_t n = plain_length(p + i, size - i);
        size_t unit = n ? 1 : p[i] == '\\' ? strlen(backslash) : 4; /* of bytes that only make sense together */
        if (!n && p[i] >= 0x80 && (n = printable_utf8(p + i, size - i)))
            unit = n;
        if (out->size - out->length <= unit) {
            out->cut = true;
            return;
        }
        if (n) {
            text_out_bytes(out, p + i, n);
            i += n;
        } else if (p[i] == '\\') {
            text_out_bytes(out, backslash, strlen(backslash));
            i++;
        } else {
            const char hex[4] = { '\\', 'x', digits[p[i] >> 4], digits[p[i] & 15] };
            text_out_bytes(out, hex, 4);
            i++;
        }
    }
}

void text_escape(struct text_out *out, const void *data, size_t size)
{
    escape(out, data, size, "\\\\");
}

void text_clean(struct text_out *out, const void *data, size_t size)
{
    escape(out, data, size, "\\");
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int text_unescape(const char *text, size_t length, void *out, size_t size)
{
    uint8_t *to = out;
    size_t n = 0;
    for (size_t i = 0; i < length; n++) {
        if (n == size)
            return -ENOSPC;
        if (text[i] != '\\') {
            to[n] = (uint8_t)text[i++];
        } else if (i + 1 < length && text[i + 1] == '\\') {
            to[n] = '\\';
            i += 2;
        } else if (i + 3 < length && text[i + 1] == 'x' && hex_digit(text[i + 2]) >= 0 && hex_digit(text[i + 3]) >= 0) {
            to[n] = (uint8_t)(hex_digit(text[i + 2]) << 4 | hex_digit(text[i + 3]));
            i += 4;
        } else {
            return -EINVAL;
        }
    }
    return (int)n;
}

static bool argument_is_plain(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strchr(" \t\n'\"\\$&|;<>()*?#`", p[i]))
            return false;
    return n > 0;
}

void text_argv(struct text_out *out, const void *data, size_t size)
{
    const char *p = data, *end = p + size;
    while (p < end) {
        size_t n = strnlen(p, (size_t)(end - p));
        if (p != data)
            text_out_bytes(out, " ", 1);
        if (argument_is_plain(p, n)) {
            text_out_bytes(out, p, n);
        } else {
            text_out_bytes(out, "'", 1);
            for (size_t i = 0; i < n; i++)
                text_out_bytes(out, p[i] == '\'' ? "'\\''" : p + i, p[i] == '\'' ? 4 : 1);
            text_out_bytes(out, "'", 1);
        }
        p += n + 1;
    }
}

int text_to_u64(const char *text, size_t length, uint64_t *value)
{
    uint64_t v = 0;
    if (!length)
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return -EINVAL;
        v = v * 10 + digit;
    }
    *value = v;
    return 0;
}

static size_t text_time_seconds(char out[32], uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / 1000000000ull);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm))
        memset(&tm, 0, sizeof tm);
    return strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
}

void text_time(char out[32], uint64_t wall_ns)
{
    size_t n = text_time_seconds(out, wall_ns);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(wall_ns / 1000000ull % 1000));
}

void text_time_ns(char out[32], uint64_t wall_ns)
{
    size_t n = text_time_seconds(out, wall_ns);
    snprintf(out + n, 32 - n, ".%09uZ", (unsigned)(wall_ns % 1000000000ull));
}

int text_to_time(const char *text, uint64_t *wall_ns)
{
    struct tm tm = { 0 };
    const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    uint64_t fraction = 0;
    if (!p)
        return -EINVAL;
    if (*p == '.') {
        uint64_t unit = 100000000;
        for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
            fraction += (uint64_t)(*p - '0') * unit;
    }
    time_t seconds = timegm(&tm);
    if (strcmp(p, "Z") || seconds < 0 || (uint64_t)seconds >= UINT64_MAX / 1000000000ull)
        return -EINVAL;
    *wall_ns = (uint64_t)seconds * 1000000000ull + fraction;
    return 0;
}

bool text_copy(char *dst, size_t size, const char *src, size_t length)
{
    size_t n = strnlen(src, length);
    bool fits = n < size;
    if (!fits)
        n = size - 1;
    memcpy(dst, src, n);
    dst[n] = 0;
    return fits;
}

const char *text_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool text_has_prefix(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

bool text_has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && !strcmp(text + n - m, suffix);
}
