/* Which flows get rows of their own, and what stands for the others: a scan or flood must not fill the database with a row per packet. Pure.
 *
 * Per container, direction and protocol, new flows get rows at a low rate (limits.h). Those beyond it are folded: their begin is not stored.
 * When one is answered (TCP: the handshake is complete; else: a packet came back) it is unfolded: that event is stored and so is its end, up
 * to a much higher rate, so that ordinary servers and clients keep all their rows. What stays folded is added up in rows of phase FLOW_BURST:
 * how many flows, to how many ports and addresses, and what they have in common; and the bytes and packets that the ends of
 * folded flows tell, in that row or (flows = 0) a later one. Detectors see every event anyway.
 *
 * A flow of which only the end is told is taken as one that begins then. All tables are bounded. What is pushed out is counted. */
#ifndef ECSGUARD_FLOW_BURSTS_H
#define ECSGUARD_FLOW_BURSTS_H

#include "agent/enrich/burst_set.h"
#include "common/event.h"

struct flow_kind;
struct flow_folded;
struct burst_row;

struct flow_bursts {
    struct flow_kind *kinds;
    uint32_t *marks;               /* of folded flows */
    struct flow_folded *undecided; /* folded lately, a circle in order of time */
    struct burst_set open;
    struct burst_row *rows;        /* complete, a circle */
    uint64_t first_undecided, next_undecided, first_row, next_row;
    uint64_t n_folded;    /* flows that got no rows */
    uint64_t n_bursts;    /* rows made for them */
    uint64_t n_forgotten; /* marks pushed out */
    uint64_t n_unsummed;  /* folded flows that are in no row: too many different bursts at once */
};

int flow_bursts_init(struct flow_bursts *b); /* 0 or -ENOMEM */
void flow_bursts_fini(struct flow_bursts *b);

struct flow_kind_key {
    int32_t container;
    uint8_t direction, proto;
};

/* One event of a flow: true when it is to be stored. `wanted`: a detector has something to do with it. */
bool flow_bursts_take(struct flow_bursts *b, const struct event *ev, const struct flow_kind_key *key, bool wanted);

bool flow_bursts_is_folded(const struct flow_bursts *b, uint64_t flow_id);

/* Whose are the folded flows of a kind? A few are asked about, not each. */
bool flow_bursts_asks(struct flow_bursts *b, const struct flow_kind_key *key, uint64_t now_ns);
void flow_bursts_set_owner(struct flow_bursts *b, const struct flow_kind_key *key, int32_t pid, uint64_t start_ns, uint64_t now_ns);

/* A row that is due: fills `row` (an event_init()ed EVENT_FLOW of SOURCE_PIPELINE) and says whose it is; false when none is.
 * `*start_ns`: of the process row->pid, when that is known. */
bool flow_bursts_next(struct flow_bursts *b, uint64_t now_ns, struct event *row, struct flow_kind_key *key, uint64_t *start_ns);
/* When the next may be due; UINT64_MAX = nothing is folded. */
uint64_t flow_bursts_due(const struct flow_bursts *b);

#endif
