/* Writing the database: events, findings, containers, health. One thread at a time uses a store; others read through query.h.
 * See schema.h for the layout. Nothing here is announced or retried: that is the writer's (agent/writer.h). */
#ifndef ECSGUARD_STORE_H
#define ECSGUARD_STORE_H

#include "common/record.h"

struct store;

struct store_options {
    uint64_t max_bytes;        /* of the database file; 0 = LIMIT_DB_BYTES */
    unsigned max_event_days;   /* 0 = LIMIT_EVENT_DAYS */
    unsigned max_finding_days; /* 0 = LIMIT_FINDING_DAYS */
    int busy_ms;               /* how long to wait for another writer; 0 = 2000 */
    const char *host;          /* for findings; NULL = "" */
};

struct store_limits {
    int64_t next_event_id;
    int32_t next_container_id;
    int64_t revision; /* of the latest change of a finding; it also grows from one database file to the next */
};

/* Opens or creates the database (mode 0640, group ecsguard where there is one). A damaged one is moved aside and a new one begun. 0, or a
 * negative errno which was logged: -EPROTO for another program's or a newer schema. */
int store_open(struct store **store, const char *path, const struct store_options *options);
void store_close(struct store *s);

/* Renames a damaged database to PATH.corrupt-TIME, with its log, and says so. 0 or -errno. Not while it is open here. */
int store_set_aside(const char *path, const char *why);

void store_limits(const struct store *s, struct store_limits *limits);

/* One transaction. Each returns 0 or a negative errno of schema_errno(); after an error of a row, store_usable() says whether the
 * transaction goes on without that row (its own fault) or must be rolled back and tried again later. */
int store_begin(struct store *s);
int store_commit(struct store *s); /* atomic, and safe from the death of this process; from that of the machine after store_sync() */
int store_sync(struct store *s);
void store_rollback(struct store *s);
bool store_usable(const struct store *s, int error);

int store_event(struct store *s, const struct stamp *stamp, const struct event *ev);
/* A repeat of a known id adds to its count; `*count` is the number of occurrences, this one included. */
int store_finding(struct store *s, const struct finding *f, uint64_t *count);
int store_container(struct store *s, const struct container_facts *facts);
int store_health(struct store *s, const struct health *health);
/* The rows of earlier loads are removed with the first of a later one. */
int store_rule(struct store *s, const struct rule_status *rule);

/* "TASK/CONTAINER" for people, escaped; "host" for 0. */
void store_container_label(struct store *s, int32_t container, char *label, size_t size);

/* Removes at most LIMIT_PRUNE_ROWS of what the bounds don't allow, in a transaction of its own: 1 if there may be more, 0, -errno. */
int store_prune(struct store *s, uint64_t now_wall_ns);

/* Writes the log back into the database, so that the log file can be used from its start again: after -ENOSPC. 0 or -errno. */
int store_checkpoint(struct store *s);

/* Bytes of the file in use by rows, and of the log. */
uint64_t store_used_bytes(const struct store *s);
uint64_t store_log_bytes(const struct store *s);

const char *store_error(const struct store *s); /* the last error, in SQLite's words */

#endif
