#include "agent/enrich/flow_bursts.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "agent/enrich/rate.h"

#define STREAM_PACKETS 100 /* of a flow that nobody answers */
#define WAYS 8
#define KIND_SETS (LIMIT_FLOW_KINDS / WAYS)
#define MARK_SETS (LIMIT_FLOW_FOLDED / WAYS)
#define SKETCH_BITS 65536

/* Flows of one container, direction and protocol. */
struct flow_kind {
    struct flow_kind_key key;
    uint64_t seen_ns; /* 0 = free */
    struct rate unanswered, answered, kept, asks;
    int32_t pid; /* the owner of a folded flow that was found last, 0 = none */
    uint64_t start_ns, owner_ns;
    bool many_owners; /* others were found lately */
};

/* A flow folded lately, with what a burst counts of it. */
struct flow_folded {
    uint64_t flow_id, time_ns;
    struct flow_kind_key key;
    int32_t nsid;
    struct address src, dst;
    uint16_t dport;
};

struct burst_row {
    struct flow_kind_key key;
    uint64_t first_ns;
    uint64_t flow_id, flows, bytes_out, bytes_in, packets_out, packets_in;
    bool has_counters, one_dst, one_dport;
    int32_t nsid, pid;
    uint64_t start_ns;
    struct address src, dst;
    uint16_t dport;
    uint32_t ports, addresses;
};

struct flow_burst {
    struct burst_head head;
    struct burst_row row;
    uint64_t ports[SKETCH_BITS / 64], addresses[SKETCH_BITS / 64]; /* a bit per port; a bit per hash of an address */
};

/* A mark: a part of the flow's id above, how it stands below. 0 = free. */
enum {
    MARK_UNDECIDED = 1, /* in no burst yet */
    MARK_ENDED = 2,
    MARK_ANSWERED = 4,  /* while undecided: it has rows of its own after all */
    MARK_BITS = 7,
};

int flow_bursts_init(struct flow_bursts *b)
{
    memset(b, 0, sizeof *b);
    b->kinds = calloc(LIMIT_FLOW_KINDS, sizeof *b->kinds);
    b->marks = calloc(LIMIT_FLOW_FOLDED, sizeof *b->marks);
    b->undecided = calloc(LIMIT_FLOW_UNDECIDED, sizeof *b->undecided);
    b->rows = calloc(LIMIT_FLOW_BURST_ROWS, sizeof *b->rows);
    if (b->kinds && b->marks && b->undecided && b->rows && !burst_set_init(&b->open, LIMIT_FLOW_BURSTS, sizeof(struct flow_burst)))
        return 0;
    flow_bursts_fini(b);
    return -ENOMEM;
}

void flow_bursts_fini(struct flow_bursts *b)
{
    free(b->kinds);
    free(b->marks);
    free(b->undecided);
    burst_set_fini(&b->open);
    free(b->rows);
    memset(b, 0, sizeof *b);
}

/* ---- kinds ---- */

static bool key_equal(const struct flow_kind_key *a, const struct flow_kind_key *b)
{
    return a->container == b->container && a->direction == b->direction && a->proto == b->proto;
}

static struct flow_kind *kind_set(const struct flow_bursts *b, const struct flow_kind_key *key)
{
    uint32_t h = ((uint32_t)key->container << 10 ^ (uint32_t)key->direction << 8 ^ key->proto) * 0x9e3779b1u;
    return b->kinds + (h >> 16) % KIND_SETS * WAYS;
}

static struct flow_kind *kind_find(const struct flow_bursts *b, const struct flow_kind_key *key)
{
    struct flow_kind *set = kind_set(b, key);
    for (int i = 0; i < WAYS; i++)
        if (set[i].seen_ns && key_equal(&set[i].key, key))
            return &set[i];
    return NULL;
}

static struct flow_kind *kind_of(struct flow_bursts *b, const struct flow_kind_key *key, uint64_t now_ns)
{
    struct flow_kind *at = kind_find(b, key), *set = kind_set(b, key);
    if (at) {
        at->seen_ns = now_ns;
        return at;
    }
    at = set;
    for (int i = 1; i < WAYS; i++)
        if (set[i].seen_ns < at->seen_ns)
            at = &set[i];
    *at = (struct flow_kind){ .key = *key, .seen_ns = now_ns ? now_ns : 1 };
    return at;
}

/* ---- marks ---- */

static uint32_t *mark_set(const struct flow_bursts *b, uint64_t flow_id)
{
    return b->marks + flow_id % MARK_SETS * WAYS;
}

static uint32_t mark_tag(uint64_t flow_id)
{
    uint32_t tag = (uint32_t)(flow_id >> 32) & ~(uint32_t)MARK_BITS;
    return tag ? tag : MARK_BITS + 1;
}

static uint32_t *mark_find(const struct flow_bursts *b, uint64_t flow_id)
{
    uint32_t *set = mark_set(b, flow_id), tag = mark_tag(flow_id);
    for (int i = 0; i < WAYS; i++)
        if ((set[i] & ~(uint32_t)MARK_BITS) == tag)
            return &set[i];
    return NULL;
}

static void mark_add(struct flow_bursts *b, uint64_t flow_id)
{
    uint32_t *set = mark_set(b, flow_id), *at = mark_find(b, flow_id);
    for (int i = 0; i < WAYS && !at; i++)
        if (!set[i])
            at = &set[i];
    if (!at) {
        at = &set[b->n_folded % WAYS];
        b->n_forgotten++;
    }
    *at = mark_tag(flow_id) | MARK_UNDECIDED;
}

bool flow_bursts_is_folded(const struct flow_bursts *b, uint64_t flow_id)
{
    const uint32_t *mark = mark_find(b, flow_id);
    return mark && !(*mark & MARK_ANSWERED);
}

/* ---- bursts ---- */

static uint32_t bits_count(const uint64_t *bits)
{
    uint32_t n = 0;
    for (int i = 0; i < SKETCH_BITS / 64; i++)
        n += (uint32_t)__builtin_popcountll(bits[i]);
    return n;
}

/* The one process that was found behind flows of this kind meanwhile. */
static void row_set_owner(const struct flow_bursts *b, struct burst_row *row)
{
    const struct flow_kind *kind = kind_find(b, &row->key);
    if (!kind || !kind->pid || kind->many_owners || !row->flows || kind->owner_ns < row->first_ns)
        return;
    row->pid = kind->pid;
    row->start_ns = kind->start_ns;
}

static struct flow_burst *burst_of(struct burst_head *head)
{
    return (struct flow_burst *)(void *)head;
}

/* Complete: its row waits for the next tick. */
static void burst_finish(struct flow_bursts *b, struct burst_head *head)
{
    struct flow_burst *burst = burst_of(head);
    struct burst_row *row = &burst->row;
    burst_set_close(&b->open, head);
    if (b->next_row - b->first_row == LIMIT_FLOW_BURST_ROWS) {
        b->n_unsummed += row->flows;
        return;
    }
    row_set_owner(b, row);
    row->ports = bits_count(burst->ports);
    row->addresses = bits_count(burst->addresses);
    b->rows[b->next_row++ % LIMIT_FLOW_BURST_ROWS] = *row;
}

static struct flow_burst *burst_find(const struct flow_bursts *b, const struct flow_kind_key *key)
{
    for (uint32_t i = 0; b->open.n_open && i < b->open.n; i++) {
        struct flow_burst *burst = burst_of(burst_set_at(&b->open, i));
        if (burst->head.used && key_equal(&burst->row.key, key))
            return burst;
    }
    return NULL;
}

static struct flow_burst *burst_for(struct flow_bursts *b, const struct flow_kind_key *key, uint64_t time_ns)
{
    struct flow_burst *burst = burst_find(b, key);
    if (burst)
        return burst;
    struct burst_head *head = burst_set_open(&b->open, time_ns + LIMIT_FLOW_LATE_NS);
    if (!head) {
        burst_finish(b, burst_set_first(&b->open));
        head = burst_set_open(&b->open, time_ns + LIMIT_FLOW_LATE_NS);
    }
    burst = burst_of(head);
    burst->row = (struct burst_row){ .key = *key, .first_ns = time_ns };
    return burst;
}

static void sketch_address(struct flow_burst *burst, const struct address *a)
{
    uint64_t parts[2];
    memcpy(parts, a->bytes, sizeof parts);
    uint64_t h = (parts[0] * 0x9e3779b97f4a7c15u ^ parts[1]) * 0xbf58476d1ce4e5b9u;
    uint32_t bit = (uint32_t)(h >> 48);
    burst->addresses[bit / 64] |= 1ull << bit % 64;
}

static void burst_add_flow(struct flow_bursts *b, const struct flow_folded *f)
{
    struct flow_burst *burst = burst_for(b, &f->key, f->time_ns);
    struct burst_row *row = &burst->row;
    if (!row->flows++) {
        row->first_ns = f->time_ns; /* until now it had only the bytes of earlier ones */
        burst->head.due_ns = f->time_ns + LIMIT_FLOW_BURST_NS;
        row->flow_id = ~f->flow_id;
        row->nsid = f->nsid;
        row->src = f->src;
        row->dst = f->dst;
        row->dport = f->dport;
        row->one_dst = row->one_dport = true;
    }
    row->one_dst = row->one_dst && address_equal(&row->dst, &f->dst);
    row->one_dport = row->one_dport && row->dport == f->dport;
    burst->ports[f->dport / 64] |= 1ull << f->dport % 64;
    sketch_address(burst, f->key.direction == DIRECTION_IN ? &f->src : &f->dst);
    b->n_folded++;
}

static void burst_add_end(struct flow_bursts *b, const struct event *ev, const struct flow_kind_key *key)
{
    if (!event_knows(ev, F_PACKETS_OUT) && !event_knows(ev, F_PACKETS_IN))
        return;
    struct burst_row *row = &burst_for(b, key, ev->time_ns)->row;
    if (!row->flows && !row->has_counters) {
        row->flow_id = ~ev->flow_id;
        row->nsid = ev->nsid;
    }
    row->has_counters = true;
    row->bytes_out += ev->bytes_out;
    row->bytes_in += ev->bytes_in;
    row->packets_out += ev->packets_out;
    row->packets_in += ev->packets_in;
}

bool flow_bursts_asks(struct flow_bursts *b, const struct flow_kind_key *key, uint64_t now_ns)
{
    return rate_pass(&kind_of(b, key, now_ns)->asks, now_ns, LIMIT_FLOW_BURST_ASKS_AT_ONCE, LIMIT_FLOW_BURST_ASKS_PER_SECOND);
}

void flow_bursts_set_owner(struct flow_bursts *b, const struct flow_kind_key *key, int32_t pid, uint64_t start_ns, uint64_t now_ns)
{
    struct flow_kind *kind = kind_of(b, key, now_ns);
    bool recent = kind->pid && now_ns < kind->owner_ns + LIMIT_FLOW_BURST_NS, same = kind->pid == pid && kind->start_ns == start_ns;
    kind->many_owners = recent && (kind->many_owners || !same);
    kind->pid = pid;
    kind->start_ns = start_ns;
    kind->owner_ns = now_ns;
}

/* ---- undecided flows ---- */

/* The time for an answer is over: it is counted, unless it was answered. */
static void undecided_decide(struct flow_bursts *b)
{
    const struct flow_folded *f = &b->undecided[b->first_undecided++ % LIMIT_FLOW_UNDECIDED];
    uint32_t *mark = mark_find(b, f->flow_id);
    bool answered = mark && *mark & MARK_ANSWERED;
    if (mark && *mark & (MARK_ANSWERED | MARK_ENDED))
        *mark = 0;
    else if (mark)
        *mark &= ~(uint32_t)MARK_BITS;
    if (!answered)
        burst_add_flow(b, f);
}

static struct flow_folded folded_of(const struct event *ev, const struct flow_kind_key *key)
{
    return (struct flow_folded){ .flow_id = ev->flow_id, .time_ns = ev->time_ns, .key = *key, .nsid = ev->nsid, .src = ev->src, .dst = ev->dst,
                                 .dport = ev->dport };
}

static void undecided_add(struct flow_bursts *b, const struct event *ev, const struct flow_kind_key *key)
{
    if (b->next_undecided - b->first_undecided == LIMIT_FLOW_UNDECIDED)
        undecided_decide(b);
    b->undecided[b->next_undecided++ % LIMIT_FLOW_UNDECIDED] = folded_of(ev, key);
}

static void undecided_expire(struct flow_bursts *b, uint64_t now_ns)
{
    while (b->first_undecided != b->next_undecided &&
           b->undecided[b->first_undecided % LIMIT_FLOW_UNDECIDED].time_ns + LIMIT_FLOW_ANSWER_NS <= now_ns)
        undecided_decide(b);
}

/* ---- the events of a flow ---- */

static bool pass_unanswered(struct flow_kind *kind, uint64_t now_ns)
{
    return rate_pass(&kind->unanswered, now_ns, LIMIT_FLOW_UNANSWERED_AT_ONCE, LIMIT_FLOW_UNANSWERED_PER_SECOND);
}

static bool pass_answered(struct flow_kind *kind, uint64_t now_ns)
{
    return rate_pass(&kind->answered, now_ns, LIMIT_FLOW_ANSWERED_AT_ONCE, LIMIT_FLOW_ANSWERED_PER_SECOND);
}

/* A detector has questions about it. */
static bool pass_wanted(struct flow_kind *kind, uint64_t now_ns)
{
    return rate_pass(&kind->kept, now_ns, LIMIT_FLOW_KEPT_AT_ONCE, LIMIT_FLOW_KEPT_PER_SECOND);
}

static bool take_new(struct flow_bursts *b, const struct event *ev, const struct flow_kind_key *key, bool wanted)
{
    struct flow_kind *kind = kind_of(b, key, ev->time_ns);
    if (pass_unanswered(kind, ev->time_ns) || (wanted && pass_wanted(kind, ev->time_ns)))
        return true;
    mark_add(b, ev->flow_id);
    undecided_add(b, ev, key);
    return false;
}

/* Of the steps that a TCP connection takes between its first packet and its end only one tells something: that it was established. Of others the
 * kernel tells when a packet came back. When it is asked it tells all: of those without a row, the unanswered ones that are no streams stay so. */
static bool is_answer(const struct event *ev)
{
    if (ev->proto == IPPROTO_TCP)
        return ev->tcp_state == TCP_ESTABLISHED;
    return event_knows(ev, F_BEGIN_ID) || !event_knows(ev, F_PACKETS_IN) || ev->packets_in || ev->packets_out >= STREAM_PACKETS;
}

static bool take_update(struct flow_bursts *b, const struct event *ev, const struct flow_kind_key *key, bool wanted)
{
    struct flow_kind *kind = kind_of(b, key, ev->time_ns);
    if (!is_answer(ev))
        return false;
    bool pass = pass_answered(kind, ev->time_ns) || (wanted && pass_wanted(kind, ev->time_ns));
    uint32_t *mark = pass ? mark_find(b, ev->flow_id) : NULL;
    if (mark && *mark & MARK_UNDECIDED)
        *mark |= MARK_ANSWERED;
    else if (mark)
        *mark = 0; /* it was counted already, a late answer */
    return pass;
}

/* An end is all that is told of a flow: in a flood the kernel is asked not to tell each begin (nft_table.c), or the begin was lost. */
static bool take_only_end(struct flow_bursts *b, const struct event *ev, const struct flow_kind_key *key)
{
    struct flow_kind *kind = kind_of(b, key, ev->time_ns);
    bool is_unanswered = event_knows(ev, F_PACKETS_IN) && !ev->packets_in;
    if (is_unanswered ? pass_unanswered(kind, ev->time_ns) : pass_answered(kind, ev->time_ns))
        return true;
    const struct flow_folded folded = folded_of(ev, key);
    burst_add_flow(b, &folded);
    burst_add_end(b, ev, key);
    return false;
}

static bool take_end(struct flow_bursts *b, const struct event *ev, const struct flow_kind_key *key)
{
    uint32_t *mark = mark_find(b, ev->flow_id);
    bool folded = mark && !(*mark & MARK_ANSWERED);
    if (!mark && !event_knows(ev, F_BEGIN_ID))
        return take_only_end(b, ev, key);
    if (folded)
        burst_add_end(b, ev, key);
    if (mark && *mark & MARK_UNDECIDED)
        *mark |= MARK_ENDED;
    else if (mark)
        *mark = 0;
    return !folded;
}

bool flow_bursts_take(struct flow_bursts *b, const struct event *ev, const struct flow_kind_key *key, bool wanted)
{
    undecided_expire(b, ev->time_ns);
    switch ((enum flow_phase)ev->flow_phase) {
    case FLOW_NEW:
        return take_new(b, ev, key, wanted);
    case FLOW_UPDATE:
        return take_update(b, ev, key, wanted);
    case FLOW_END:
        return take_end(b, ev, key);
    case FLOW_BURST:
        break; /* of a recording */
    }
    return true;
}

/* ---- rows ---- */

static void row_fill(const struct burst_row *r, struct event *row)
{
    row->time_ns = r->first_ns;
    event_set(row, F_FLOW_PHASE, flow_phase, FLOW_BURST);
    event_set(row, F_FLOW_ID, flow_id, r->flow_id);
    event_set(row, F_NSID, nsid, r->nsid);
    event_set(row, F_PROTO, proto, r->key.proto);
    event_set(row, F_FLOWS, flows, r->flows);
    if (r->key.direction)
        event_set(row, F_DIRECTION, direction, r->key.direction);
    if (r->flows && r->key.proto != IPPROTO_ICMP && r->key.proto != IPPROTO_ICMPV6)
        event_set(row, F_PORTS, ports, r->ports);
    if (r->flows) {
        event_set(row, F_ADDRESSES, addresses, r->addresses);
        event_set(row, F_SRC, src, r->src);
    }
    if (r->one_dst)
        event_set(row, F_DST, dst, r->dst);
    if (r->one_dport)
        event_set(row, F_DPORT, dport, r->dport);
    if (r->has_counters) {
        event_set(row, F_BYTES_OUT, bytes_out, r->bytes_out);
        event_set(row, F_BYTES_IN, bytes_in, r->bytes_in);
        event_set(row, F_PACKETS_OUT, packets_out, r->packets_out);
        event_set(row, F_PACKETS_IN, packets_in, r->packets_in);
    }
    if (r->pid) { /* certain for those that were asked about, likely for the others */
        event_set(row, F_PID, pid, r->pid);
        event_set(row, F_OWNER, owner, OWNER_RECENT);
    }
}

bool flow_bursts_next(struct flow_bursts *b, uint64_t now_ns, struct event *row, struct flow_kind_key *key, uint64_t *start_ns)
{
    undecided_expire(b, now_ns);
    for (struct burst_head *first; (first = burst_set_first(&b->open)) && first->due_ns <= now_ns;)
        burst_finish(b, first);
    if (b->first_row == b->next_row)
        return false;
    const struct burst_row *r = &b->rows[b->first_row++ % LIMIT_FLOW_BURST_ROWS];
    row_fill(r, row);
    *key = r->key;
    *start_ns = r->start_ns;
    b->n_bursts++;
    return true;
}

uint64_t flow_bursts_due(const struct flow_bursts *b)
{
    const struct burst_head *first = burst_set_first(&b->open);
    const uint64_t due = first ? first->due_ns : UINT64_MAX;
    if (b->first_row != b->next_row)
        return 0;
    if (b->first_undecided == b->next_undecided)
        return due;
    uint64_t decision = b->undecided[b->first_undecided % LIMIT_FLOW_UNDECIDED].time_ns + LIMIT_FLOW_ANSWER_NS;
    return decision < due ? decision : due;
}
