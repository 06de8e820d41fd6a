#include "agent/enrich/dns_bursts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/enrich/rate.h"

#define SKETCH_BITS 16384
#define NO_BURST UINT32_MAX

/* Questions, or answers, of one container. */
struct dns_voice {
    int32_t container;
    uint32_t burst; /* being added up, by index; valid if that is `used` and has this container and kind */
    struct rate own, kept;
};

struct dns_burst_row {
    int32_t container, nsid, pid;
    uint8_t op, rcode, owner, proto;
    bool one_type, one_rcode, one_server, one_client, one_name, one_pid;
    uint16_t type, name_size;
    uint32_t names;
    uint64_t first_ns, messages, bytes;
    struct address client, server;
    char name[LIMIT_DOMAIN_BYTES]; /* the whole name, or what all names end with: labels behind a dot */
};

struct dns_burst {
    struct burst_head head;
    struct dns_burst_row row;
    uint64_t names[SKETCH_BITS / 64]; /* a bit per hash of a name */
};

int dns_bursts_init(struct dns_bursts *b, uint32_t n_slots)
{
    memset(b, 0, sizeof *b);
    b->n_slots = n_slots;
    b->voices = calloc(2 * ((size_t)n_slots + 1), sizeof *b->voices);
    b->rows = calloc(LIMIT_DNS_BURST_ROWS, sizeof *b->rows);
    if (b->voices && b->rows && !burst_set_init(&b->open, LIMIT_DNS_BURSTS, sizeof(struct dns_burst)))
        return 0;
    dns_bursts_fini(b);
    return -ENOMEM;
}

void dns_bursts_fini(struct dns_bursts *b)
{
    free(b->voices);
    burst_set_fini(&b->open);
    free(b->rows);
    memset(b, 0, sizeof *b);
}

static struct dns_voice *voice_of(struct dns_bursts *b, struct dns_speaker who, uint8_t op)
{
    struct dns_voice *v = &b->voices[2 * (who.slot < b->n_slots ? who.slot : b->n_slots) + (op == DNS_ANSWER)];
    if (v->container != who.container)
        *v = (struct dns_voice){ .container = who.container, .burst = NO_BURST };
    return v;
}

/* ---- names ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Any hash does: equal bits only make the number of names smaller. */
static uint32_t name_bit(const char *name, size_t size)
{
    uint64_t h = size;
    for (size_t i = 0; i < size; i++)
        h = (h ^ (uint8_t)lower(name[i])) * 0x100000001b3u;
    return (uint32_t)(h * 0x9e3779b97f4a7c15u >> 50);
}

_Static_assert(SKETCH_BITS == 1 << 14, "name_bit() gives 14 bits");

/* How much of the ends of both is the same, in whole labels. */
static size_t common_end(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t same = 0, labels = 0, i = 0, most = a_size < b_size ? a_size : b_size;
    while (i < most && lower(a[a_size - 1 - i]) == lower(b[b_size - 1 - i])) {
        if (a[a_size - 1 - i] == '.')
            labels = i;
        same = ++i;
    }
    bool whole_a = same == a_size || a[a_size - 1 - same] == '.', whole_b = same == b_size || b[b_size - 1 - same] == '.';
    return whole_a && whole_b ? same : labels;
}

static void row_join_name(struct dns_burst_row *row, const char *name, size_t size)
{
    size_t same = common_end(row->name, row->name_size, name, size);
    row->one_name = row->one_name && same == row->name_size && same == size;
    memmove(row->name, row->name + row->name_size - same, same);
    row->name_size = (uint16_t)same;
}

/* ---- bursts ---- */

static struct dns_burst *burst_of(struct burst_head *head)
{
    return (struct dns_burst *)(void *)head;
}

static void burst_finish(struct dns_bursts *b, struct burst_head *head)
{
    struct dns_burst *burst = burst_of(head);
    struct dns_burst_row *row = &burst->row;
    burst_set_close(&b->open, head);
    if (b->next_row - b->first_row == LIMIT_DNS_BURST_ROWS) {
        b->n_unsummed += row->messages;
        return;
    }
    for (int i = 0; i < SKETCH_BITS / 64; i++)
        row->names += (uint32_t)__builtin_popcountll(burst->names[i]);
    b->rows[b->next_row++ % LIMIT_DNS_BURST_ROWS] = *row;
}

static struct dns_burst *burst_find(const struct dns_bursts *b, const struct dns_voice *v, uint8_t op)
{
    struct dns_burst *burst = v->burst != NO_BURST ? burst_of(burst_set_at(&b->open, v->burst)) : NULL;
    return burst && burst->head.used && burst->row.container == v->container && burst->row.op == op ? burst : NULL;
}

static struct dns_burst *burst_begin(struct dns_bursts *b, struct dns_voice *v, const struct event *ev)
{
    const uint64_t due_ns = ev->time_ns + LIMIT_DNS_BURST_NS;
    struct burst_head *head = burst_set_open(&b->open, due_ns);
    if (!head) {
        burst_finish(b, burst_set_first(&b->open));
        head = burst_set_open(&b->open, due_ns);
    }
    struct dns_burst *burst = burst_of(head);
    struct dns_burst_row *row = &burst->row;
    v->burst = (uint32_t)(((uint8_t *)burst - b->open.items) / b->open.size);
    *row = (struct dns_burst_row){
        .container = v->container, .nsid = ev->nsid, .op = ev->dns_op, .proto = ev->proto, .type = ev->dns_type, .rcode = ev->dns_rcode,
        .client = ev->src, .server = ev->dst, .pid = ev->pid, .owner = ev->owner, .first_ns = ev->time_ns,
        .one_type = true, .one_rcode = true, .one_server = true, .one_client = true,
        .one_name = true, .one_pid = event_knows(ev, F_PID),
    };
    row->name_size = ev->dns_name.len < sizeof row->name ? (uint16_t)ev->dns_name.len : (uint16_t)sizeof row->name;
    memcpy(row->name, event_text(ev, ev->dns_name), row->name_size);
    return burst;
}

static void burst_add(struct dns_burst *burst, const struct event *ev)
{
    struct dns_burst_row *row = &burst->row;
    const char *name = event_text(ev, ev->dns_name);
    size_t size = ev->dns_name.len < sizeof row->name ? ev->dns_name.len : sizeof row->name;
    uint32_t bit = name_bit(name, size);
    burst->names[bit / 64] |= 1ull << bit % 64;
    row_join_name(row, name, size);
    row->messages++;
    row->bytes += ev->dns_size;
    row->one_type = row->one_type && row->type == ev->dns_type;
    row->one_rcode = row->one_rcode && row->rcode == ev->dns_rcode;
    row->one_server = row->one_server && address_equal(&row->server, &ev->dst);
    row->one_client = row->one_client && address_equal(&row->client, &ev->src);
    row->one_pid = row->one_pid && event_knows(ev, F_PID) && row->pid == ev->pid;
}

bool dns_bursts_take(struct dns_bursts *b, const struct event *ev, struct dns_speaker who, bool wanted)
{
    struct dns_voice *v = voice_of(b, who, ev->dns_op);
    if (event_knows(ev, F_MESSAGES) || rate_pass(&v->own, ev->time_ns, LIMIT_DNS_OWN_AT_ONCE, LIMIT_DNS_OWN_PER_SECOND))
        return true; /* the former: of a recording */
    if (wanted && rate_pass(&v->kept, ev->time_ns, LIMIT_DNS_KEPT_AT_ONCE, LIMIT_DNS_KEPT_PER_SECOND))
        return true;
    struct dns_burst *burst = burst_find(b, v, ev->dns_op);
    burst_add(burst ? burst : burst_begin(b, v, ev), ev);
    b->n_folded++;
    return false;
}

/* ---- rows ---- */

static void row_set_name(const struct dns_burst_row *r, struct event *row)
{
    char text[LIMIT_DOMAIN_BYTES + 2] = "*.";
    if (r->one_name) {
        event_set_text(row, F_DNS_NAME, r->name, r->name_size);
        return;
    }
    memcpy(text + 2, r->name, r->name_size);
    event_set_text(row, F_DNS_NAME, text, r->name_size ? r->name_size + 2u : 1);
}

static void row_fill(const struct dns_burst_row *r, struct event *row)
{
    row->time_ns = r->first_ns;
    event_set(row, F_DNS_OP, dns_op, r->op);
    event_set(row, F_NSID, nsid, r->nsid);
    event_set(row, F_PROTO, proto, r->proto);
    event_set(row, F_DNS_SIZE, dns_size, r->bytes < UINT32_MAX ? (uint32_t)r->bytes : UINT32_MAX);
    event_set(row, F_MESSAGES, messages, r->messages);
    event_set(row, F_NAMES, names, r->names);
    row_set_name(r, row);
    if (r->one_type)
        event_set(row, F_DNS_TYPE, dns_type, r->type);
    if (r->op == DNS_ANSWER && r->one_rcode)
        event_set(row, F_DNS_RCODE, dns_rcode, r->rcode);
    if (r->one_client)
        event_set(row, F_SRC, src, r->client);
    if (r->one_server)
        event_set(row, F_DST, dst, r->server);
    if (r->one_pid) {
        event_set(row, F_PID, pid, r->pid);
        event_set(row, F_OWNER, owner, r->owner);
    }
}

bool dns_bursts_next(struct dns_bursts *b, uint64_t now_ns, struct event *row, int32_t *container)
{
    for (struct burst_head *first; (first = burst_set_first(&b->open)) && first->due_ns <= now_ns;)
        burst_finish(b, first);
    if (b->first_row == b->next_row)
        return false;
    const struct dns_burst_row *r = &b->rows[b->first_row++ % LIMIT_DNS_BURST_ROWS];
    row_fill(r, row);
    *container = r->container;
    b->n_bursts++;
    return true;
}

uint64_t dns_bursts_due(const struct dns_bursts *b)
{
    const struct burst_head *first = burst_set_first(&b->open);
    return b->first_row != b->next_row ? 0 : first ? first->due_ns : UINT64_MAX;
}
