/* Which DNS messages get rows of their own, and what stands for the others: a flood must not push older evidence out of the database. Pure.
 *
 * Per container, questions and answers each get rows up to a rate that ordinary services stay below (limits.h). Those beyond it are folded: rows of
 * their own only for a few that findings refer to, and for all others one row each two seconds that says how many messages there were, about how
 * many names, and what they have in common: "*.example.com" when all names end so. Detectors see every message anyway. */
#ifndef ECSGUARD_DNS_BURSTS_H
#define ECSGUARD_DNS_BURSTS_H

#include "agent/enrich/burst_set.h"
#include "common/event.h"

struct dns_voice;
struct dns_burst_row;

struct dns_bursts {
    struct dns_voice *voices; /* by slot of the container table and kind of message; the last two are of messages of no container */
    struct burst_set open;
    struct dns_burst_row *rows; /* complete, a circle */
    uint64_t first_row, next_row;
    uint32_t n_slots;
    uint64_t n_folded;   /* messages that got no rows */
    uint64_t n_bursts;   /* rows made for them */
    uint64_t n_unsummed; /* folded messages that are in no row: too many containers flood at once */
};

/* Whose messages: the container's slot in its table (n_slots = none) and its id. */
struct dns_speaker {
    uint32_t slot;
    int32_t container;
};

int dns_bursts_init(struct dns_bursts *b, uint32_t n_slots); /* as many as the container table has; 0 or -ENOMEM */
void dns_bursts_fini(struct dns_bursts *b);

/* True when the message is to be stored. `wanted`: a finding refers to it. */
bool dns_bursts_take(struct dns_bursts *b, const struct event *ev, struct dns_speaker who, bool wanted);

/* A row that is due: fills `row` (an event_init()ed EVENT_DNS of SOURCE_PIPELINE with room for a name), gives its container (0 = none); false when
 * none is. */
bool dns_bursts_next(struct dns_bursts *b, uint64_t now_ns, struct event *row, int32_t *container);
/* When the next may be due; UINT64_MAX = nothing is folded. */
uint64_t dns_bursts_due(const struct dns_bursts *b);

#endif
