/* A coin miner by what it does: it keeps CPUs busy, and something else speaks for mining.
 *
 * A container uses at least miner.cpu_percent of one CPU (80) in every sample of miner.time (5 minutes), without a pause; and one of these:
 *   - it talks to an address of a threat list of category crypto, crypto_pool, cryptocurrency or mining, or to one that it resolved under a name of
 *     such a list, within the last hour;
 *   - it has a TCP connection to a port that mining pools use, open for at least a minute;
 *   - it runs a program with the name of a miner, or with arguments that only miners take.
 * Load alone is what many services do, and stays silent. Reported once an hour as long as it goes on.
 *
 * Limits: containers only (the sensor samples their control groups); a miner that throttles itself below the share, or talks to its pool through
 * a proxy on an ordinary port, under another name, with its settings in a file, is not seen; which process it is is asked of the connection's
 * owner, and may remain unknown. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define SAMPLE_GAP_NS (25 * NS_PER_SECOND) /* two samples may be lost; the sensor leaves out idle containers */
#define FLOW_AGE_NS (60 * NS_PER_SECOND)
#define AGAIN_NS (3600 * NS_PER_SECOND)
#define WAIT_OWNER_NS (150 * NS_PER_MS)
#define FLOWS 4

enum evidence { EVIDENCE_NONE, EVIDENCE_LIST, EVIDENCE_PORT, EVIDENCE_PROCESS };

struct pool_flow {
    uint64_t flow_id, start_ns; /* start 0 = free */
    uint8_t proto;
    struct address src, dst;
    uint16_t sport, dport;
    bool listed;
    char list[INTEL_LIST_MAX]; /* "" = by its port */
    char domain[64];           /* under which it was resolved, "" = unknown; a long one is cut */
};

struct worker {
    int32_t container; /* 0 = free */
    uint64_t busy_since_ns, last_ns; /* 0 = not busy */
    uint64_t cpu_ns, interval_ns;    /* since busy_since_ns */
    uint64_t reported_ns;
    int32_t pid; /* with the name or arguments of a miner */
    uint64_t start_ns;
    char sign[96]; /* which */
    struct pool_flow flows[FLOWS];
};

struct state {
    struct worker workers[LIMIT_MINER_CONTAINERS];
};

static struct worker *worker_find(struct state *state, int32_t container)
{
    for (int i = 0; i < LIMIT_MINER_CONTAINERS; i++)
        if (state->workers[i].container == container)
            return &state->workers[i];
    return NULL;
}

/* In the place of the one that was busy the longest time ago. */
static struct worker *worker_of(struct state *state, int32_t container)
{
    struct worker *w = worker_find(state, container);
    if (w)
        return w;
    w = &state->workers[0];
    for (int i = 0; i < LIMIT_MINER_CONTAINERS && w->container; i++)
        if (!state->workers[i].container || state->workers[i].last_ns < w->last_ns)
            w = &state->workers[i];
    *w = (struct worker){ .container = container };
    return w;
}

/* ---- signs -------------------------------------------------------------------------------------------------------- */

static bool is_mining_category(const char *category)
{
    static const char *const names[] = { "crypto", "crypto-reputation", "crypto_pool", "crypto-pool", "cryptocurrency", "mining" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(category, names[i]))
            return true;
    return false;
}

/* Ports that public pools and their software have as defaults, and few others do. */
static bool is_pool_port(uint16_t port)
{
    static const uint16_t ports[] = { 3032, 3333, 3334, 3335, 3336, 3357, 4444, 5555, 5556, 6666, 7777, 7778, 8332, 8333, 9332, 9999, 10032,
                                      10128, 10343,
                                      13333, 13531, 14433, 14444, 18081, 20580, 45560, 45700 };
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
        if (ports[i] == port)
            return true;
    return false;
}

static bool has_miner_name(const struct image *image)
{
    static const char *const names[] = { "xmrig", "xmrigdaemon", "xmr-stak", "xmr-stak-rx", "minerd", "cpuminer", "cpuminer-multi",
                                         "cpuminer-opt",
                                         "ccminer", "ethminer", "cgminer", "bfgminer", "nanominer", "lolminer", "lolMiner", "phoenixminer", "PhoenixMiner",
                                         "t-rex", "nbminer", "gminer", "teamredminer", "srbminer", "SRBMiner-MULTI", "wildrig", "wildrig-multi", "verus-solver",
                                         "hellminer", "nheqminer", "kdevtmpfsi", "kinsing", "xmr", "randomx-cli", "p2pool", NULL };
    char name[64];
    image_name(image, name, sizeof name);
    for (const char *const *n = names; *n; n++)
        if (!strcmp(name, *n))
            return true;
    return false;
}

/* An argument that begins with one of these. */
static const char *miner_argument(const struct image *image)
{
    static const char *const begins[] = { "stratum+tcp://", "stratum+ssl://", "stratum+tls://", "stratum2+tcp://", "stratum://", "--donate-level",
                                          "--randomx", "--cpu-max-threads-hint", "--nicehash", "--coin=monero", "--algo=rx/", "--algo=cryptonight",
                                          "--algo=randomx", "rx/0", "cryptonight", "--url=stratum", "-ostratum" };
    const char *argv = image_text(image, image->cmdline), *end = argv + image->cmdline.len;
    for (; argv < end; argv += strlen(argv) + 1)
        for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
            if (text_has_prefix(argv, begins[i]))
                return begins[i];
    return NULL;
}

static void note_process(struct state *state, const struct step *s)
{
    if (!s->container || !s->process || !s->process->image)
        return;
    const char *argument = miner_argument(s->process->image);
    if (!argument && !has_miner_name(s->process->image))
        return;
    struct worker *w = worker_of(state, s->container->id);
    struct text_out out;
    w->pid = s->process->pid;
    w->start_ns = s->process->start_ns;
    text_out_init(&out, w->sign, sizeof w->sign);
    text_out_printf(&out, argument ? "argument %s" : "name of a miner", argument);
}

/* ---- flows -------------------------------------------------------------------------------------------------------- */

static bool is_outbound(const struct event *ev, const struct container_facts *c)
{
    return address_equal(&ev->src, &c->address) || address_equal(&ev->src, &c->address6) || (!c->address.family && !c->address6.family);
}

/* The free place, or that of the oldest. */
static struct pool_flow *flow_place(struct worker *w)
{
    struct pool_flow *f = &w->flows[0];
    for (int i = 1; i < FLOWS && f->start_ns; i++)
        if (w->flows[i].start_ns < f->start_ns)
            f = &w->flows[i];
    return f;
}

static bool has_listed_domain(const struct detection *d, const struct event *ev, struct intel_match *match)
{
    return d->intel && event_knows(ev, F_DOMAIN) && intel_lookup_domain(d->intel, event_text(ev, ev->domain), ev->domain.len, match) &&
           is_mining_category(match->category);
}

static void flow_begin(struct detection *d, struct state *state, const struct step *s)
{
    const struct event *ev = s->ev;
    struct intel_match match = { .list = "" };
    bool listed = d->intel && intel_lookup(d->intel, &ev->dst, &match) && is_mining_category(match.category);
    if (!listed && !match.trusted)
        listed = has_listed_domain(d, ev, &match);
    if (!listed && (ev->proto != IPPROTO_TCP || !is_pool_port(ev->dport) || match.trusted || !is_outbound(ev, s->container)))
        return;
    struct pool_flow *f = flow_place(worker_of(state, s->container->id));
    *f = (struct pool_flow){ .flow_id = ev->flow_id, .start_ns = ev->time_ns, .proto = ev->proto, .src = ev->src, .dst = ev->dst, .sport = ev->sport,
                             .dport = ev->dport, .listed = listed };
    if (listed)
        text_copy(f->list, sizeof f->list, match.list, strlen(match.list));
    if (event_knows(ev, F_DOMAIN))
        text_copy(f->domain, sizeof f->domain, event_text(ev, ev->domain), ev->domain.len);
}

static void flow_end(struct state *state, const struct step *s)
{
    struct worker *w = worker_find(state, s->container->id);
    for (int i = 0; w && i < FLOWS; i++)
        if (w->flows[i].flow_id == s->ev->flow_id && !w->flows[i].listed)
            w->flows[i] = (struct pool_flow){ 0 };
}

static const struct pool_flow *flow_found(const struct worker *w, uint64_t now_ns, enum evidence *evidence)
{
    for (int i = 0; i < FLOWS; i++) {
        const struct pool_flow *f = &w->flows[i];
        if (!f->start_ns || (f->listed ? f->start_ns + AGAIN_NS < now_ns : f->start_ns + FLOW_AGE_NS > now_ns))
            continue;
        *evidence = f->listed ? EVIDENCE_LIST : EVIDENCE_PORT;
        return f;
    }
    return NULL;
}

/* ---- reporting ---------------------------------------------------------------------------------------------------- */

struct report {
    uint64_t time_ns;
    int64_t event_id;
    enum evidence evidence;
    const struct pool_flow *flow;
};

static void report(struct detection *d, const struct detector *self, const struct worker *w, struct process *p, const struct report *r)
{
    char address[46] = "", why[256];
    unsigned percent = (unsigned)(w->interval_ns ? w->cpu_ns * 100 / w->interval_ns : 0);
    unsigned minutes = (unsigned)((r->time_ns - w->busy_since_ns) / (60 * NS_PER_SECOND));
    struct finding *f = detection_begin(d, self, p, p ? p->image : NULL, w->container, r->time_ns, r->event_id);
    json_t *e = json_object();
    json_object_set_new(e, "cpu_percent", json_integer(percent));
    json_object_set_new(e, "minutes", json_integer(minutes));
    if (r->flow) {
        address_format(&r->flow->dst, address);
        evidence_address(e, "remote", &r->flow->dst, r->flow->dport);
        if (r->flow->listed)
            evidence_text(e, "list", r->flow->list, strlen(r->flow->list));
        if (r->flow->domain[0])
            evidence_text(e, "domain", r->flow->domain, strlen(r->flow->domain));
    }
    if (w->sign[0])
        json_object_set_new(e, "sign", json_string(w->sign));
    if (r->flow)
        snprintf(why, sizeof why, "%s %s port %u", r->flow->listed ? "talks to the listed address" : "keeps a connection to a port of mining pools,",
                 address, r->flow->dport);
    else
        snprintf(why, sizeof why, "runs a program with the %s", w->sign);
    finding_printf(f, FT_DESCRIPTION, "The container used %u%% of a CPU for %u minutes without a pause, and %s.", percent, minutes, why);
    detection_end(d, f, "", e);
}

static struct process *sign_process(struct detection *d, const struct worker *w)
{
    struct process *p = w->pid ? proctree_find(d->tree, w->pid) : NULL;
    return p && p->start_ns == w->start_ns && !p->exit_ns ? p : NULL;
}

/* The owner of the connection was asked for. */
static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    if (!p->answered && now_ns < p->deadline_ns)
        return p->deadline_ns;
    struct worker *w = worker_find(detection_state(d, p->detector), p->container);
    enum evidence evidence = EVIDENCE_NONE;
    const struct pool_flow *flow = w && w->busy_since_ns ? flow_found(w, p->time_ns, &evidence) : NULL;
    struct process *owner = p->answered && p->asked_pid ? proctree_find(d->tree, p->asked_pid) : NULL;
    if (flow)
        report(d, p->detector, w, owner, &(struct report){ p->time_ns, p->event_id, evidence, flow });
    return 0;
}

static void decide(struct detection *d, const struct detector *self, const struct step *s, struct worker *w)
{
    enum evidence evidence = EVIDENCE_NONE;
    const struct pool_flow *flow = flow_found(w, s->ev->time_ns, &evidence);
    struct process *p = sign_process(d, w);
    if (!flow && !p)
        return;
    w->reported_ns = s->ev->time_ns;
    if (p) {
        report(d, self, w, p, &(struct report){ s->ev->time_ns, s->event_id, flow ? evidence : EVIDENCE_PROCESS, flow });
        return;
    }
    struct pending *wait = detection_wait(d, self, s, s->ev->time_ns + WAIT_OWNER_NS);
    wait->deadline_ns = wait->due_ns;
    wait->flow_id = flow->flow_id;
    struct request ask = { .kind = REQUEST_OWNER, .pid = s->container->init_pid, .container = s->container->id, .flow_id = flow->flow_id,
                           .proto = flow->proto, .src = flow->src, .dst = flow->dst, .sport = flow->sport, .dport = flow->dport };
    detection_request(d, &ask);
}

static void take_sample(struct detection *d, const struct detector *self, struct state *state, const struct step *s)
{
    const struct event *ev = s->ev;
    if (!event_knows(ev, F_CPU_NS) || !event_knows(ev, F_INTERVAL_NS) || !ev->interval_ns)
        return;
    bool busy = ev->cpu_ns >= ev->interval_ns / 100 * d->options.miner_cpu_percent;
    struct worker *w = busy ? worker_of(state, s->container->id) : worker_find(state, s->container->id);
    if (!w)
        return;
    uint64_t began_ns = ev->time_ns > ev->interval_ns ? ev->time_ns - ev->interval_ns : 0;
    if (!busy || !w->busy_since_ns || began_ns > w->last_ns + SAMPLE_GAP_NS) {
        w->busy_since_ns = busy ? began_ns : 0;
        w->cpu_ns = w->interval_ns = 0;
    }
    w->last_ns = ev->time_ns;
    w->cpu_ns += ev->cpu_ns;
    w->interval_ns += ev->interval_ns;
    if (!busy || ev->time_ns - w->busy_since_ns < d->options.miner_time_ns)
        return;
    if ((!w->reported_ns || w->reported_ns + AGAIN_NS <= ev->time_ns) && detection_has_room(d))
        decide(d, self, s, w);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (s->ev->kind == EVENT_EXEC || s->ev->kind == EVENT_PROCESS) {
        if (s->container)
            note_process(detection_state(d, self), s);
    } else if (s->ev->kind == EVENT_FLOW && s->container) {
        if (s->ev->flow_phase == FLOW_NEW)
            flow_begin(d, detection_state(d, self), s);
        else if (s->ev->flow_phase == FLOW_END)
            flow_end(detection_state(d, self), s);
    } else if (s->ev->kind == EVENT_CPU && s->container) {
        take_sample(d, self, detection_state(d, self), s);
    }
}

const struct detector detector_miner_cpu = {
    .rule = "miner_by_cpu",
    .type = "Impact:Runtime/CryptoMinerExecuted",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0040 T1496",
    .title = "A container mines coins: its CPUs are busy and it talks to a pool, or runs a miner",
    .condition = "A container uses at least miner.cpu_percent of one CPU (80) for miner.time (5 minutes) without a pause, and talks to "
                 "an address of a list of category crypto, crypto_pool, cryptocurrency or mining, or one resolved under a name of such a "
                 "list, or keeps an outbound TCP connection to "
                 "a port of mining pools for a minute, or runs a program with a miner's name or arguments.",
    .limits = "Load alone is silent. Containers only; a miner that throttles itself, or uses a proxy on an ordinary port under "
              "another name, is not seen.",
    .advice = "Which process uses the CPU: docker top CONTAINER. How did it come there: ecsguardctl events --container ID. If it is a "
              "service of yours on "
              "such a port, put the address on a trusted list or suppress the task family.",
    .needs = FILL_CGROUP,
    .helps = FILL_EXEC | FILL_FLOW,
    .on = ON(EXEC) | ON(PROCESS) | ON(FLOW) | ON(CPU),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};
