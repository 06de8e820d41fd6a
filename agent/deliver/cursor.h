/* What the receiver has acknowledged, in a file of our own: one line "ecsguard-cursor 1 <database> <revision> <check>". It is replaced
 * whole (rename(2)) and synced, so that after a crash it is the old or the new one. */
#ifndef ECSGUARD_CURSOR_H
#define ECSGUARD_CURSOR_H

#include <stddef.h>
#include <stdint.h>

#define CURSOR_FILE "cursor"
#define CURSOR_BYTES 256

enum cursor_condition {
    CURSOR_OK = 0,
    CURSOR_NONE = 1,    /* no such file */
    CURSOR_DAMAGED = 2, /* torn, corrupted, or not ours */
    CURSOR_OTHER = 3,   /* of another database */
};

/* Pure. The length of the line, or -EINVAL for an identity that is not 32 hex digits. */
int cursor_format(char line[CURSOR_BYTES], const char *database, int64_t revision);
/* Pure. CURSOR_OK, CURSOR_DAMAGED or CURSOR_OTHER. */
int cursor_parse(const char *line, size_t length, const char *database, int64_t *revision);

/* Reads DIR/cursor. A condition, or -errno. What is damaged or of another database is renamed to DIR/cursor.refused. */
int cursor_load(const char *dir, const char *database, int64_t *revision);

/* 0 or -errno; then the file is as it was. */
int cursor_store(const char *dir, const char *database, int64_t revision);

/* Replaces DIR/NAME by `size` bytes, mode `mode`, through a temporary file; synced to disk when `durable`. 0 or -errno. */
int cursor_replace_file(const char *dir, const char *name, const void *data, size_t size, unsigned mode, int durable);

#endif
