#include "agent/sensors/conntrack_guard.h"

#include "common/clock.h"
#include "common/limits.h"

/* Idle looks of all namespaces fall together, so that they wake the thread once. */
static uint64_t next_second(uint64_t now_ns)
{
    return (now_ns / LIMIT_GUARD_IDLE_NS + 1) * LIMIT_GUARD_IDLE_NS;
}

/* Soon enough to be there before the table can reach the threshold, however fast flows are made. */
static uint64_t next_look(uint32_t count, uint64_t threshold, uint64_t now_ns)
{
    uint64_t room = count < threshold ? threshold - count : 0;
    uint64_t wait_ns = room * (NS_PER_SECOND / LIMIT_GUARD_FLOWS_PER_SECOND);
    if (wait_ns >= LIMIT_GUARD_IDLE_NS)
        return next_second(now_ns);
    return now_ns + (wait_ns < LIMIT_GUARD_SHORTEST_NS ? LIMIT_GUARD_SHORTEST_NS : wait_ns);
}

void conntrack_guard_init(struct conntrack_guard *g, uint64_t now_ns)
{
    *g = (struct conntrack_guard){ .next_ns = now_ns, .changed_ns = now_ns };
}

static enum guard_advice withdraw(struct conntrack_guard *g, uint64_t now_ns)
{
    bool again = g->pause_ns && now_ns - g->changed_ns < LIMIT_GUARD_CALM_NS;
    uint64_t longer_ns = g->pause_ns < LIMIT_GUARD_PAUSE_MAX_NS / 2 ? g->pause_ns * 2 : LIMIT_GUARD_PAUSE_MAX_NS;
    g->pause_ns = again ? longer_ns : LIMIT_GUARD_PAUSE_NS;
    g->withdrawn = true;
    g->changed_ns = g->flushed_ns = now_ns;
    g->next_ns = next_second(now_ns);
    return GUARD_WITHDRAW;
}

enum guard_advice conntrack_guard_look(struct conntrack_guard *g, const struct guard_policy *policy, uint32_t count, uint32_t max,
                                       uint64_t now_ns)
{
    uint64_t high = (uint64_t)max * policy->withdraw_percent / 100, low = (uint64_t)max * policy->return_percent / 100;
    g->count = count;
    g->max = max;
    if (!g->withdrawn) {
        g->next_ns = next_look(count, high, now_ns);
        return count >= high ? withdraw(g, now_ns) : GUARD_STAY;
    }
    g->next_ns = next_second(now_ns);
    if (count < low && now_ns - g->changed_ns >= g->pause_ns) {
        g->withdrawn = false;
        g->changed_ns = g->next_ns = now_ns;
        return GUARD_RETURN;
    }
    if (count >= low && now_ns - g->flushed_ns >= LIMIT_GUARD_FLUSH_NS) {
        g->flushed_ns = now_ns;
        return GUARD_FLUSH;
    }
    return GUARD_STAY;
}
