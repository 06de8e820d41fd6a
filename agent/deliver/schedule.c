#include "agent/deliver/schedule.h"

#include "common/limits.h"

void schedule_init(struct schedule *s, const struct schedule_policy *policy, int64_t acknowledged, uint64_t now_ns)
{
    *s = (struct schedule){
        .policy = *policy, .acknowledged = acknowledged, .position = acknowledged, .n_max = policy->batch_max, .next_ns = now_ns
    };
}

enum answer schedule_answer_of(long status)
{
    if (status >= 200 && status < 300)
        return ANSWER_ACCEPTED;
    if (status == 413)
        return ANSWER_TOO_LARGE;
    return status == 400 || status == 422 ? ANSWER_REFUSED : ANSWER_LATER;
}

uint64_t schedule_backoff(const struct schedule_policy *policy, unsigned failures, uint64_t random)
{
    uint64_t cap = policy->backoff_min_ns;
    for (unsigned i = 0; i < failures && cap < policy->backoff_max_ns; i++)
        cap *= 2;
    if (cap > policy->backoff_max_ns)
        cap = policy->backoff_max_ns;
    return policy->backoff_min_ns + random % (cap - policy->backoff_min_ns + 1);
}

static void fail(struct schedule *s, uint64_t retry_after_ns, uint64_t random, uint64_t now_ns)
{
    if (s->failures < 63)
        s->failures++;
    uint64_t delay = schedule_backoff(&s->policy, s->failures, random);
    if (retry_after_ns > s->policy.backoff_max_ns)
        retry_after_ns = s->policy.backoff_max_ns;
    if (retry_after_ns && delay < retry_after_ns) {
        delay = retry_after_ns + random % s->policy.backoff_min_ns; /* hosts that were told the same come back spread */
        if (delay > s->policy.backoff_max_ns)
            delay = s->policy.backoff_max_ns;
    }
    s->next_ns = now_ns + delay;
}

static void accept(struct schedule *s, int64_t last_revision, uint64_t now_ns)
{
    s->failures = s->refusals = 0;
    s->slim = false;
    s->next_ns = now_ns;
    if (s->held) { /* the receiver takes findings: look at the held ones again */
        s->held = 0;
        s->proven = true;
        s->position = s->acknowledged;
        s->n_max = 1;
        return;
    }
    s->proven = false;
    s->acknowledged = s->position = last_revision;
    s->n_max = s->n_max > s->policy.batch_max / 2 ? s->policy.batch_max : s->n_max * 2;
}

/* Back to what was held. It has been refused often enough: once more is enough to hold it again. */
static void release(struct schedule *s)
{
    s->held = 0;
    s->position = s->acknowledged;
    s->refusals = LIMIT_DELIVERY_REFUSALS - 1;
}

static bool refuse_one(struct schedule *s, int64_t revision, uint64_t random, uint64_t now_ns)
{
    if (s->proven) {
        s->acknowledged = s->position = revision;
        s->refusals = 0;
        s->slim = false;
        s->skipped++;
        s->next_ns = now_ns + s->policy.backoff_min_ns;
        return true;
    }
    fail(s, 0, random, now_ns);
    if (++s->refusals < LIMIT_DELIVERY_REFUSALS)
        return false;
    s->refusals = 0;
    s->slim = false;
    s->position = revision;
    if (++s->held > LIMIT_DELIVERY_HELD)
        release(s);
    return false;
}

bool schedule_answer(struct schedule *s, enum answer answer, const struct schedule_sent *sent, uint64_t retry_after_ns, uint64_t random,
                     uint64_t now_ns)
{
    switch (answer) {
    case ANSWER_ACCEPTED:
        accept(s, sent->last_revision, now_ns);
        return false;
    case ANSWER_LATER:
        s->proven = false;
        fail(s, retry_after_ns, random, now_ns);
        return false;
    case ANSWER_TOO_LARGE:
    case ANSWER_REFUSED:
        break;
    }
    if (sent->n > 1) {
        s->n_max = sent->n / 2;
        s->next_ns = now_ns + s->policy.backoff_min_ns;
    } else if (answer == ANSWER_TOO_LARGE && !s->slim) {
        s->slim = true;
        s->n_max = 1;
        s->next_ns = now_ns + s->policy.backoff_min_ns;
    } else {
        s->n_max = 1;
        return refuse_one(s, sent->last_revision, random, now_ns);
    }
    return false;
}

void schedule_nothing(struct schedule *s, uint64_t random, uint64_t now_ns)
{
    s->next_ns = now_ns + s->policy.interval_ns;
    if (!s->held)
        return;
    release(s);
    fail(s, 0, random, now_ns);
}
