/* Bounded text building and showing texts that others control. */
#ifndef ECSGUARD_TEXT_H
#define ECSGUARD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Builds text in a caller's buffer; always NUL-terminated; `cut` says that something did not fit. */
struct text_out {
    char *buf;
    size_t size;
    size_t length;
    bool cut;
};

void text_out_init(struct text_out *out, char *buf, size_t size);
__attribute__((format(printf, 2, 3))) void text_out_printf(struct text_out *out, const char *format, ...);
void text_out_bytes(struct text_out *out, const void *data, size_t size);

/* Appends `data` so that a terminal, a log or JSON shows it harmlessly and nothing is lost: valid UTF-8 without control
 * characters stays as it is; a backslash becomes two; every other byte becomes \xHH. The only escape form we use, also
 * in recorded events (ecsguard-events(5)). */
void text_escape(struct text_out *out, const void *data, size_t size);

/* True if text_escape() would change nothing, judged fast: printable ASCII without backslash. */
bool text_is_plain(const void *data, size_t size);

/* For text that is escaped already, as far as its author thought of it: like text_escape(), but backslashes stay as they are, so
 * that doing it twice changes nothing. */
void text_clean(struct text_out *out, const void *data, size_t size);

/* The inverse of text_escape(). Returns the number of bytes written to `out` (at most `size`), or -EINVAL for a
 * malformed escape, -ENOSPC. In-place use is allowed. */
int text_unescape(const char *text, size_t length, void *out, size_t size);

/* A NUL-separated argument vector as one line, arguments with blanks or quotes in single quotes as a shell would take
 * them; a trailing NUL is not an argument. Not escaped: pass the result through text_escape() to show it. */
void text_argv(struct text_out *out, const void *data, size_t size);

/* Decimal digits to a number: 0, or -EINVAL (empty, other characters, overflow). */
int text_to_u64(const char *text, size_t length, uint64_t *value);

/* ISO-8601 UTC with milliseconds, "2026-11-22T23:59:42.123Z" (24 characters and NUL), of nanoseconds since 1970. */
void text_time(char out[32], uint64_t wall_ns);
/* The same with all nine digits of the fraction (30 characters): recorded events lose nothing. */
void text_time_ns(char out[32], uint64_t wall_ns);
/* The inverse, with 0 to 9 digits of fraction. 0 or -EINVAL. */
int text_to_time(const char *text, uint64_t *wall_ns);

/* Copies at most size-1 bytes up to the first NUL and terminates: for fixed char arrays. True if all of it fitted. */
bool text_copy(char *dst, size_t size, const char *src, size_t length);

/* The part after the last '/'. */
const char *text_basename(const char *path);

bool text_has_prefix(const char *text, const char *prefix);
bool text_has_suffix(const char *text, const char *suffix);

#endif
