/* What to send next and when, given the answers. Pure.
 *
 * The cursor (`acknowledged`) moves only over findings that were accepted, or that are proven to be the trouble: a finding that is
 * refused alone, again and again, is held and the next ones are tried alone; when one of them is accepted the held ones are tried once
 * more, and what is refused then is skipped. So one poisonous finding cannot stop delivery, and a receiver that refuses everything
 * (a wrong path, a bad deployment) loses nothing. */
#ifndef ECSGUARD_SCHEDULE_H
#define ECSGUARD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

enum answer {
    ANSWER_ACCEPTED,  /* 2xx */
    ANSWER_LATER,     /* no answer, 408, 429, 5xx, and what is not about this content (401, 403, 404, redirects) */
    ANSWER_TOO_LARGE, /* 413 */
    ANSWER_REFUSED,   /* 400, 422: this content is refused */
};

struct schedule_policy {
    uint64_t interval_ns, backoff_min_ns, backoff_max_ns;
    unsigned batch_max;
};

struct schedule {
    struct schedule_policy policy;
    int64_t acknowledged;
    int64_t position;  /* the next batch begins after it; ahead of `acknowledged` while findings are held */
    unsigned n_max;    /* of the next batch */
    bool slim;         /* the next batch is one finding without lineage and evidence */
    bool proven;       /* another finding was just accepted: what is refused alone now is skipped */
    unsigned failures; /* in a row: the exponent of the pause */
    unsigned refusals; /* of the single finding after `position` */
    unsigned held;
    uint64_t skipped;
    uint64_t next_ns;
};

struct schedule_sent {
    unsigned n;
    int64_t last_revision;
};

void schedule_init(struct schedule *schedule, const struct schedule_policy *policy, int64_t acknowledged, uint64_t now_ns);

enum answer schedule_answer_of(long http_status);

/* After an answer. `retry_after_ns` is the receiver's wish or 0; it is honoured up to backoff_max. `random` spreads the hosts. Returns
 * true when this answer made the schedule skip the finding. */
bool schedule_answer(struct schedule *schedule, enum answer answer, const struct schedule_sent *sent, uint64_t retry_after_ns,
                     uint64_t random, uint64_t now_ns);

/* There was nothing after `position`. */
void schedule_nothing(struct schedule *schedule, uint64_t random, uint64_t now_ns);

/* Capped exponential back-off with jitter: evenly between min and min(max, min * 2^failures). */
uint64_t schedule_backoff(const struct schedule_policy *policy, unsigned failures, uint64_t random);

#endif
