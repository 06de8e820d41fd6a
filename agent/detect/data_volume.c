/* Unusual data volume: what the containers of one task family send to public addresses in an hour, against what they sent before. The history of each
 * family is the last week of hours; of it count the median, the median absolute deviation (both of the logarithm, because volumes differ by
 * factors) and the largest hour: neither one busy night nor one silent day spoils them. Bytes to networks that the family never talked to weigh four
 * times. The history is in memory: after a restart of the agent it is learnt again. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/network.h"
#include "common/clock.h"
#include "common/text.h"

#define INTERVAL_NS (3600 * NS_PER_SECOND)
#define WARM_UP 24
#define DEVIATIONS 6.0
#define DEVIATION_LEAST 0.5 /* of the binary logarithm: less is no difference */
#define MAD_SCALE 1.4826    /* makes the median deviation comparable with a standard deviation */
#define ABOVE_LARGEST 2
#define NEW_WEIGHT 4
#define NET_BITS 2048

struct far_end {
    struct address address;
    uint16_t port;
    uint64_t bytes;
};

struct profile {
    uint64_t key; /* 0 = free */
    uint64_t start_ns, last_ns;
    uint32_t n;                       /* whole intervals learnt */
    float hours[LIMIT_VOLUME_HOURS];  /* binary logarithm of bytes + 1, a circle */
    uint64_t limit, usual, largest;   /* of the current interval, 0 = still learning */
    uint64_t bytes, new_bytes;        /* of the current interval */
    bool told;
    uint64_t known[NET_BITS / 64], current[NET_BITS / 64]; /* networks talked to, before and in this interval: two bits each */
    struct far_end fars[4]; /* the most in this interval */
    char domain[64];        /* of the first of them */
};

struct state {
    struct hash_key key;
    struct flow_totals totals;
    struct profile profiles[LIMIT_VOLUME_PROFILES];
};

/* ---- what is usual ------------------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static double median(float *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? (double)values[n / 2] : ((double)values[n / 2 - 1] + (double)values[n / 2]) / 2;
}

static void set_limit(struct profile *p, uint64_t least)
{
    float values[LIMIT_VOLUME_HOURS];
    size_t n = p->n < LIMIT_VOLUME_HOURS ? p->n : LIMIT_VOLUME_HOURS;
    p->limit = 0;
    if (p->n < WARM_UP)
        return;
    memcpy(values, p->hours, n * sizeof *values);
    double middle = median(values, n), largest = exp2((double)values[n - 1]);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)fabs((double)values[i] - middle);
    double deviation = median(values, n) * MAD_SCALE;
    double limit = exp2(middle + DEVIATIONS * (deviation < DEVIATION_LEAST ? DEVIATION_LEAST : deviation));
    if (limit < largest * ABOVE_LARGEST)
        limit = largest * ABOVE_LARGEST;
    if (limit < (double)least)
        limit = (double)least;
    p->limit = limit < 1e18 ? (uint64_t)limit : UINT64_MAX;
    p->usual = (uint64_t)exp2(middle);
    p->largest = (uint64_t)largest;
}

static void close_interval(struct profile *p, uint64_t bytes)
{
    p->hours[p->n++ % LIMIT_VOLUME_HOURS] = (float)log2((double)bytes + 1);
    if (p->n == 2 * LIMIT_VOLUME_HOURS)
        p->n = LIMIT_VOLUME_HOURS;
}

/* Hours without any flow were silent ones. */
static void turn(struct profile *p, uint64_t now_ns, uint64_t least)
{
    if (now_ns - p->start_ns < INTERVAL_NS)
        return;
    uint64_t passed = (now_ns - p->start_ns) / INTERVAL_NS;
    close_interval(p, p->bytes);
    for (uint64_t i = 1; i < passed && i < LIMIT_VOLUME_HOURS; i++)
        close_interval(p, 0);
    for (int i = 0; i < NET_BITS / 64; i++) {
        p->known[i] |= p->current[i];
        p->current[i] = 0;
    }
    p->start_ns += passed * INTERVAL_NS;
    p->bytes = p->new_bytes = 0;
    p->told = false;
    p->domain[0] = 0;
    memset(p->fars, 0, sizeof p->fars);
    set_limit(p, least);
}

/* ---- where it goes ------------------------------------------------------------------------------------------------ */

static bool has_bit(const uint64_t *bits, uint32_t at)
{
    return bits[at / 64] >> (at % 64) & 1;
}

/* Notes the network (/24, /48); true if the family did not talk to it before this interval. */
static bool is_new_network(struct profile *p, const struct state *state, const struct address *a)
{
    uint64_t hash = hash_bytes(&state->key, a->bytes, a->family == 4 ? 3 : 6);
    uint32_t one = hash % NET_BITS, two = (uint32_t)(hash >> 32) % NET_BITS;
    bool known = has_bit(p->known, one) && has_bit(p->known, two);
    p->current[one / 64] |= 1ull << (one % 64);
    p->current[two / 64] |= 1ull << (two % 64);
    return !known;
}

static void note_far_end(struct profile *p, const struct event *ev, uint64_t bytes)
{
    struct far_end *least = &p->fars[0], *first = &p->fars[0];
    for (int i = 0; i < 4; i++) {
        struct far_end *f = &p->fars[i];
        if (f->port == ev->dport && address_equal(&f->address, &ev->dst)) {
            f->bytes += bytes;
            return;
        }
        if (f->bytes < least->bytes)
            least = f;
        if (f->bytes > first->bytes)
            first = f;
    }
    if (bytes <= least->bytes)
        return;
    if (bytes > first->bytes)
        text_copy(p->domain, sizeof p->domain, event_text(ev, ev->domain), ev->domain.len);
    *least = (struct far_end){ ev->dst, ev->dport, bytes };
}

/* ---- reporting ---------------------------------------------------------------------------------------------------- */

static void report(struct detection *d, const struct detector *self, const struct step *s, const struct profile *p)
{
    struct finding *f = detection_begin(d, self, s->process, s->process ? s->process->image : NULL, s->container ? s->container->id : 0,
                                        s->ev->time_ns, s->event_id);
    json_t *e = json_object(), *list = json_array();
    bool mostly_new = p->new_bytes * 2 >= p->bytes;
    for (int i = 0; i < 4; i++) {
        if (!p->fars[i].bytes)
            continue;
        json_t *o = json_object();
        evidence_address(o, "remote", &p->fars[i].address, p->fars[i].port);
        json_object_set_new(o, "bytes", json_integer((json_int_t)p->fars[i].bytes));
        json_array_append_new(list, o);
    }
    json_object_set_new(e, "bytes", json_integer((json_int_t)p->bytes));
    json_object_set_new(e, "bytes_to_new_networks", json_integer((json_int_t)p->new_bytes));
    json_object_set_new(e, "median_hour", json_integer((json_int_t)p->usual));
    json_object_set_new(e, "largest_hour", json_integer((json_int_t)p->largest));
    json_object_set_new(e, "limit", json_integer((json_int_t)p->limit));
    json_object_set_new(e, "hours_learnt", json_integer(p->n < LIMIT_VOLUME_HOURS ? p->n : LIMIT_VOLUME_HOURS));
    json_object_set_new(e, "remotes", list);
    if (p->domain[0])
        evidence_text(e, "domain", p->domain, strlen(p->domain));
    if (mostly_new)
        f->severity = SEVERITY_MEDIUM;
    finding_printf(f, FT_DESCRIPTION, "%llu MiB went to public addresses within an hour, %llu MiB of it to networks not seen before; a usual hour has %llu MiB, the largest "
                   "learnt %llu MiB.", (unsigned long long)(p->bytes >> 20), (unsigned long long)(p->new_bytes >> 20),
                       (unsigned long long)(p->usual >> 20),
                   (unsigned long long)(p->largest >> 20));
    detection_end(d, f, "", e);
}

/* ---- flows -------------------------------------------------------------------------------------------------------- */

/* The containers of one kind learn together: of one task they share the network, and of a replaced task they do the same. */
static uint64_t kind_of(const struct state *state, const struct container_facts *c)
{
    const char *kind = !c ? "host" : c->family[0] ? c->family : c->image[0] ? c->image : c->container_id;
    return hash_bytes(&state->key, kind, strlen(kind)) | 1;
}

static struct profile *profile_of(struct detection *d, struct state *state, const struct step *s)
{
    uint64_t key = kind_of(state, s->container), now_ns = s->ev->time_ns;
    struct profile *oldest = &state->profiles[0];
    for (int i = 0; i < LIMIT_VOLUME_PROFILES; i++) {
        struct profile *p = &state->profiles[i];
        if (p->key == key)
            return p;
        if (p->last_ns < oldest->last_ns)
            oldest = p;
    }
    d->n_forgotten += oldest->key != 0;
    *oldest = (struct profile){ .key = key, .start_ns = now_ns };
    return oldest;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    struct flow_growth g;
    if (ev->flow_phase == FLOW_NEW || ev->direction != DIRECTION_OUT || !event_knows(ev, F_BYTES_OUT) ||
        !address_is_public(&ev->dst))
        return;
    struct state *state = detection_state(d, self);
    if (!state->key.k0)
        state->key = hash_key_random();
    if (!flow_totals_take(d, &state->totals, ev, &g) || address_is_trusted(d, &ev->dst))
        return;
    struct profile *p = profile_of(d, state, s);
    turn(p, ev->time_ns, d->options.data_volume_bytes);
    p->last_ns = ev->time_ns;
    p->bytes += g.bytes_out;
    note_far_end(p, ev, g.bytes_out);
    if (is_new_network(p, state, &ev->dst))
        p->new_bytes += g.bytes_out;
    uint64_t weighed = p->bytes + (NEW_WEIGHT - 1) * p->new_bytes;
    if (!p->limit || weighed <= p->limit || p->told)
        return;
    p->told = true;
    report(d, self, s, p);
}

const struct detector detector_data_volume = {
    .rule = "data_volume",
    .type = "Exfiltration:Runtime/UnusualDataVolume",
    .severity = SEVERITY_LOW,
    .mitre = "TA0010 T1048 T1041 T1567",
    .title = "Far more data than usual went to public addresses",
    .advice = "Where did it go, and was it a backup, a release or an import? ecsguardctl flows --top. If the destination is not yours, "
              "look at what the process read before. "
              "Raise network.data_volume if hours of this size do not matter; put the destination's network on a trusted list.",
    .condition = "The containers of one task family (without a task: of one image) send to public addresses, within an hour, more than each "
                 "of: network.data_volume (100 MiB); twice the largest hour of the last week; 2 to the power of the median plus six "
                 "deviations (1.4826 times the median "
                 "absolute deviation, at least 0.5) of the binary logarithms of its hours. Bytes to networks (/24, /48) that the family "
                 "never talked to count four times; if "
                 "they are half of all, the severity is medium. Told once an hour. 24 hours are learnt first.",
    .limits = "What was learnt is in memory: a restarted agent learns for 24 hours again. Data to private addresses, and answers to "
              "clients that connect to the container, do "
              "not count. The bytes of a flow count when it ends or is looked at, in that hour. A slow theft below the usual hour is not "
              "seen, and an attack during the "
              "first day is learnt as usual.",
    .needs = FILL_FLOW,
    .helps = FILL_CGROUP | FILL_FACTS,
    .on = ON(FLOW),
    .event = event,
    .state_bytes = sizeof(struct state),
};
