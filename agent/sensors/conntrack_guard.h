/* When to give connection tracking of a network namespace back: a full table makes the kernel drop packets of the application, and it is we
 * who made the kernel keep it. The limit is one for all namespaces, each is counted alone. Pure: numbers and times in, advice out. */
#ifndef ECSGUARD_CONNTRACK_GUARD_H
#define ECSGUARD_CONNTRACK_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct guard_policy {
    unsigned withdraw_percent, return_percent; /* of the limit; return < withdraw */
};

enum guard_advice {
    GUARD_STAY,
    GUARD_WITHDRAW, /* it fills up: stop tracking */
    GUARD_RETURN,   /* there is room again, and it was left alone long enough */
    GUARD_FLUSH,    /* flows that nobody follows any more keep it full: forget them, if nobody else tracks */
};

struct conntrack_guard {
    bool withdrawn;
    uint32_t count, max;    /* at the last look */
    uint64_t next_ns;       /* when to look again */
    uint64_t changed_ns;    /* when it was last withdrawn or returned */
    uint64_t pause_ns;      /* tracking stays withdrawn at least this long: longer each time it had to be withdrawn again soon */
    uint64_t flushed_ns;
};

/* Tracking begins at `now_ns`. */
void conntrack_guard_init(struct conntrack_guard *g, uint64_t now_ns);

/* A look. The advice is taken as followed. */
enum guard_advice conntrack_guard_look(struct conntrack_guard *g, const struct guard_policy *policy, uint32_t count, uint32_t max,
                                       uint64_t now_ns);

#endif
