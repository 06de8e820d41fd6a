/* Where findings come from: the database, read-only, through storage/query.h. The agent may replace the file at any time. */
#ifndef ECSGUARD_SOURCE_H
#define ECSGUARD_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/config.h"

struct delivery_evidence {
    const char *time, *exe, *cmdline, *user;
    const char *facts; /* JSON object */
    int64_t pid;
};

/* One revision of a finding, as texts of the database. */
struct delivery_finding {
    int64_t revision, count, pid, evidence_total;
    const char *id, *type, *rule, *severity, *title, *description, *advice, *status, *first_seen, *last_seen;
    const char *mitre; /* ids separated by blanks */
    const char *host, *cluster, *task_arn, *task_family, *container_name, *container_id, *image;
    const char *exe, *cmdline, *user;
    const char *lineage; /* JSON array */
    int n_evidence;      /* latest first */
    struct delivery_evidence evidence[LIMIT_DELIVERY_EVIDENCE];
};

struct query;

struct source {
    struct query *query; /* NULL = closed */
    char path[LIMIT_CONFIG_TEXT_BYTES];
    dev_t dev;
    ino_t ino;
    char identity[33]; /* tells a replaced database from this one */
    char *texts;       /* of the evidence of one finding */
    size_t texts_used;
};

/* 0, or -errno with a sentence in `why` (-ENOENT: no database yet). */
int source_open(struct source *source, const char *path, char *why, size_t size);
void source_close(struct source *source);

/* The path is another file now, or none. */
bool source_is_replaced(const struct source *source);

/* Calls `each` for the findings that no filter suppresses after `revision` in order of revision, until it returns something but 0, which is then returned.
 * The finding is valid during the call. 0 or -errno. */
typedef int source_finding_fn(void *arg, const struct delivery_finding *finding);
int source_findings(struct source *source, int64_t revision, unsigned limit, source_finding_fn *each, void *arg);

/* The greatest revision (0 = no findings) and the number of findings after `revision`. 0 or -errno. */
int source_pending(struct source *source, int64_t revision, int64_t *newest, int64_t *pending);

#endif
