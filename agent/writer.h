/* The writer thread: takes what the loop puts in its ring and commits it in groups, so that the loop never waits for a disk. A group that
 * holds findings is committed at once and synced, and only then are they announced in the log. A record leaves the ring when it is
 * committed: a full, read-only or failing disk is waited for, and what does not fit meanwhile is refused and counted. */
#ifndef ECSGUARD_WRITER_H
#define ECSGUARD_WRITER_H

#include "common/record.h"
#include "common/waker.h"
#include "storage/store.h"

struct writer;

struct writer_stats {
    uint64_t rows;        /* committed */
    uint64_t findings;    /* committed, repeats included */
    uint64_t dropped;     /* plain events refused because the ring was full or the log too long */
    uint64_t skipped;     /* records that the database refused for their own fault */
    uint64_t retries;     /* groups that had to be tried again */
    uint64_t replaced;    /* damaged databases that were moved aside */
    uint64_t queue_bytes;
    uint64_t commit_ns;   /* how long the last group took */
    uint64_t db_bytes, log_bytes;
    bool degraded;
    char reason[192];     /* "" unless degraded */
};

/* Opens the database and starts the thread. `loop` (may be NULL) is woken when there is room again after a finding was refused. 0 or a
 * negative errno of store_open(). */
int writer_open(struct writer **writer, const char *path, const struct store_options *options, struct waker *loop);

/* Commits everything that is pending, for at most LIMIT_CLOSE_MS while the disk refuses, and ends the thread. */
void writer_close(struct writer *w);

/* The state of the database when it was opened: where ids go on. */
const struct store_limits *writer_limits(const struct writer *w);

/* For the loop's thread only. 0, or -EAGAIN: a plain event is dropped then and counted; a finding, container or health record is the
 * caller's to keep and offer again. */
int writer_put_event(struct writer *w, const struct stamp *stamp, const struct event *ev);
int writer_put_finding(struct writer *w, const struct finding *f);
int writer_put_container(struct writer *w, const struct container_facts *facts);
int writer_put_health(struct writer *w, const struct health *health);
int writer_put_rule(struct writer *w, const struct rule_status *rule);

/* Any thread. */
void writer_stats(struct writer *w, struct writer_stats *stats);

#endif
