/* What the kernel's tracing writes: its descriptions of events (events/SYSTEM/EVENT/format), of its pages (events/header_page), and the pages
 * themselves (per_cpu/cpuN/trace_pipe_raw), see Documentation/trace/ring-buffer-design.rst and include/linux/ring_buffer.h. Pure. */
#ifndef ECSGUARD_TRACE_FORMAT_H
#define ECSGUARD_TRACE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

#define TRACE_NAME_BYTES 32
#define TRACE_ARGS 6 /* a system call has no more */

struct trace_field {
    uint16_t offset;
    uint8_t bytes;      /* 1, 2, 4 or 8 */
    bool is_int;        /* the kernel uses only the low 32 bits, with their sign: the rest is whatever the caller left in the register */
    bool is_unsigned;   /* ... without a sign */
    char name[TRACE_NAME_BYTES];
};

/* One event; for the begin of a system call its arguments. */
struct trace_format {
    char name[TRACE_NAME_BYTES]; /* "sys_enter_mount" */
    uint16_t id;
    struct trace_field type, pid; /* common_type: the id; common_pid: the thread, as the host numbers it */
    int n_args;
    struct trace_field args[TRACE_ARGS];
};

/* Reads a format file. 0 or -EINVAL. */
int trace_format_parse(struct trace_format *format, const char *text, size_t size);

/* Writes a filter for this event: "$0" to "$5" in `pattern` become names of arguments. 0, -EINVAL for an argument that the event does not have,
 * -ENOSPC. */
int trace_filter_write(const struct trace_format *format, const char *pattern, char *out, size_t size);

/* Where things are on a page. */
struct trace_layout {
    uint16_t time, commit, data; /* offsets */
    uint8_t commit_bytes;        /* 4 or 8 */
    uint32_t page_bytes;         /* whole page: what one read(2) needs room for */
};

/* Reads a header_page file. 0 or -EINVAL. */
int trace_layout_parse(struct trace_layout *layout, const char *text, size_t size);

/* A page being read. */
struct trace_page {
    const uint8_t *at, *end;
    uint64_t time_ns;
    bool missed;       /* events before this page were overwritten */
    uint64_t n_missed; /* how many, 0 = the kernel does not say */
};

struct trace_record {
    uint64_t time_ns; /* by the buffer's clock */
    const uint8_t *data;
    size_t size;
};

/* Begins with the bytes of one read(2). 0 or -EINVAL. The bytes must stay. */
int trace_page_begin(struct trace_page *page, const struct trace_layout *layout, const void *bytes, size_t size);
/* The next event. 1, 0 at the end, -EINVAL: the rest of the page makes no sense. */
int trace_page_next(struct trace_page *page, struct trace_record *record);

/* The event number of a record, by any format (all events have it at the same place); -1 if it is too short. */
int trace_record_id(const struct trace_format *format, const struct trace_record *record);

struct trace_call {
    int32_t tid;
    int n_args;
    uint64_t args[TRACE_ARGS];
};

/* A record of this format. 0, or -EINVAL if it is too short. */
int trace_call_decode(struct trace_call *call, const struct trace_format *format, const struct trace_record *record);

/* Events that a buffer lost since it exists, from its file per_cpu/cpuN/stats; false if that does not say. */
bool trace_stats_lost(const char *text, size_t size, uint64_t *lost);

#endif
