/* Findings to the body of one request, schema "ecsguard.findings/1". Pure. One JSON object:
 *
 *   schema    "ecsguard.findings/1"
 *   host      the sending host
 *   batch_id  32 hex digits: the same findings in the same revisions give the same id
 *   findings  array, in order of revision:
 *     delivery_id  "<id>-<revision>": the key for deduplication. A batch may come more than once (delivery is at least once)
 *     id, revision a finding keeps its id; each repeat of it is sent again with a greater revision and a higher count
 *     type, rule, severity, title, description, advice, status, count, first_seen, last_seen
 *     mitre        array of technique and tactic ids
 *     host, cluster, task_arn, task_family, container_name, container_id, image
 *     process      {pid, exe, cmdline, user}
 *     lineage      array, the acting process' ancestors, nearest first
 *     evidence     array, latest occurrence first, at most LIMIT_DELIVERY_EVIDENCE: {time, process: {...}, facts: {...}}
 *     evidence_total  occurrences kept in the database
 *     truncated    true when lineage and evidence were left out because of their size
 *
 * What is not known is null. Bytes that are no text stand as \xHH, a backslash before them as two. */
#ifndef ECSGUARD_BATCH_H
#define ECSGUARD_BATCH_H

#include "agent/deliver/source.h"

#define BATCH_SCHEMA "ecsguard.findings/1"

enum { BATCH_FULL = 1 };

struct batch {
    char *body; /* NUL-terminated JSON after batch_end() */
    size_t length, size;
    size_t bytes_max;
    unsigned n, n_max;
    bool slim; /* leave out lineage and evidence */
    char id[33];
    int64_t last_revision;
};

/* 0 or -ENOMEM. */
int batch_init(struct batch *batch, size_t bytes_max);
void batch_fini(struct batch *batch);

/* An empty batch of at most `n_max` findings. */
void batch_begin(struct batch *batch, const char *host, unsigned n_max, bool slim);

/* 0, BATCH_FULL if the finding must wait for the next batch (never for the first one), or -ENOMEM. */
int batch_add(struct batch *batch, const struct delivery_finding *finding);

void batch_end(struct batch *batch);

#endif
