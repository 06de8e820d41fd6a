/* Reading the database, beside the agent that writes it: read-only, also without write permission to its directory. */
#ifndef ECSGUARD_QUERY_H
#define ECSGUARD_QUERY_H

#include "common/record.h"

struct query; /* one connection, for one thread */

/* 0; -ENOENT when there is no database, -EACCES, -EPROTO for another program's or a newer schema, or another -errno, with a sentence
 * in `why`. */
int query_open(struct query **query, const char *path, char *why, size_t size);
void query_close(struct query *q);

const char *query_error(const struct query *q); /* the last error, in SQLite's words */

/* One row of an answer; valid during the callback. Times in views are texts. */
struct query_row {
    struct sqlite3_stmt *stmt;
    int n_columns;
};

const char *query_name(const struct query_row *row, int column);
bool query_is_null(const struct query_row *row, int column);
bool query_is_number(const struct query_row *row, int column);
const char *query_text(const struct query_row *row, int column); /* "" for NULL */
int64_t query_number(const struct query_row *row, int column);   /* 0 for NULL */
/* By name: the column's index, or -1. */
int query_column(const struct query_row *row, const char *name);

/* A parameter: the text, or the number when text is NULL. */
struct query_value {
    const char *text;
    int64_t number;
};

/* Called for each row; anything but 0 stops the query, which then returns it. */
typedef int query_row_fn(void *arg, const struct query_row *row);
typedef int query_event_fn(void *arg, const struct stamp *stamp, const struct event *ev);

/* Runs one SELECT with its parameters ?1, ?2, ... 0 or -errno. It may call in_network(address, '10.0.0.0/8'). */
int query_rows(struct query *q, const char *sql, const struct query_value *values, int n_values, query_row_fn *row, void *arg);

/* Rows of the view `findings` that are not suppressed with a revision above `revision`, in order of revision, at most `limit`. */
int query_findings_since(struct query *q, int64_t revision, int limit, query_row_fn *row, void *arg);

/* Rows of the views `health` and `containers`. */
int query_health(struct query *q, query_row_fn *row, void *arg);
int query_containers(struct query *q, query_row_fn *row, void *arg);

struct query_events_filter {
    uint32_t kinds;            /* bit per event_kind; 0 = all */
    uint64_t since_ns;         /* wall time, included; 0 = no bound */
    uint64_t until_ns;         /* wall time, not included; 0 = no bound */
    int64_t after_id;          /* only events with a greater id: to follow */
    const char *container;     /* name, runtime's name, start of the id (8 digits or more), or ECS task id; NULL = all */
    int32_t pid;               /* 0 = all */
    int64_t limit;             /* 0 = no bound */
    bool newest;               /* with limit: the newest ones instead of the first */
};

/* Events as they were stored, in order of their ids. Their times come back as wall times, with a wall_offset_ns of 0. 0, -errno, or what
 * the callback returned. */
int query_events(struct query *q, const struct query_events_filter *filter, query_event_fn *event, void *arg);

#endif
