/* Traffic with what is on the threat lists: flows to and from listed addresses, queries for listed names, and answers that lead to either. The
 * category of the list makes the type, by one table (`types` below).
 *
 * What happens again is one matter for each container and address or name: it is told when it happens for the 1st, 2nd, 4th, 8th, ... time, and
 * again when a minute has passed since it was told. The evidence counts all of it.
 *
 * A flow is told at its first packet: whether anybody answered does not matter, and stands in the evidence as far as it is known by then. A flow that
 * existed before its list was loaded is told at its next event. Inbound, where anybody can knock, only connections that were established are told,
 * once for each port of the container and not for each caller.
 *
 * A query is told when its answer came, or after 150 ms without one. A resolver on the host that passes a container's query on is not told beside
 * the container. */
#include "agent/detect/listed.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/dns_step.h"
#include "common/clock.h"
#include "common/dns_code.h"
#include "common/text.h"

#define AGAIN_NS (60 * NS_PER_SECOND)
#define ANSWER_NS (150 * NS_PER_MS)
#define FORWARD_NS (5 * NS_PER_SECOND)
#define NAME_BYTES 256
#define ANSWERS 4
#define TYPES 4

struct question {
    uint16_t id, type;
};

/* Something that happens again and again: a container and an address, a name, or a port that is called. */
struct matter {
    const struct detector *detector;
    int32_t container;
    bool waits;              /* a decision about it is under way */
    uint32_t total, told;    /* occurrences, and how many of them when it was told last */
    uint64_t told_ns, seen_ns;
    char list[INTEL_LIST_MAX], category[INTEL_CATEGORY_MAX];
    struct address listed;   /* family 0: a name is listed */
    char name[NAME_BYTES];   /* asked for; of a flow: under which the container resolved the far end; "" = unknown */
    char alias[NAME_BYTES];  /* the listed name that an answer led to; "" = the name itself, or an address */
    /* flows */
    bool existed; /* the last one was there before it was matched */
    uint32_t established, refused, unanswered, ended;
    uint64_t bytes_out, bytes_in;
    /* DNS */
    struct question asked[2]; /* the last ones: A and AAAA go together, and a resolver's repeats have the same number */
    uint16_t types[TYPES];
    struct address answers[ANSWERS];
    uint32_t n_types, n_answers, n_answered;
    uint8_t rcode;
    const char *owner; /* how the process is known */
};

struct state {
    uint64_t hashes[LIMIT_LISTED_MATTERS]; /* of the matters, close together; 0 = free */
    struct matter matters[LIMIT_LISTED_MATTERS];
    uint64_t flows[LIMIT_LISTED_FLOWS]; /* lately told, a circle */
    uint32_t n_flows;
};

/* ---- the table ---------------------------------------------------------------------------------------------------- */

static const struct {
    const struct detector *flow, *dns;
} types[INTEL_CATEGORIES] = {
    [INTEL_OTHER] = { &detector_custom_address, &detector_custom_domain },
    [INTEL_CUSTOM] = { &detector_custom_address, &detector_custom_domain },
    [INTEL_MALWARE] = { &detector_custom_address, &detector_malicious_domain },
    [INTEL_CRYPTO] = { &detector_crypto_address, &detector_crypto_domain },
    [INTEL_CRYPTO_REPUTATION] = { &detector_crypto_address, &detector_crypto_reputation_domain },
    [INTEL_C2] = { &detector_c2_address, &detector_c2_domain },
    [INTEL_TOR_RELAY] = { NULL, NULL }, /* tor_flow() */
    [INTEL_TOR_GUARD] = { NULL, NULL },
    [INTEL_BLACKHOLE] = { &detector_blackhole_address, &detector_blackhole_domain },
    [INTEL_DROPPOINT] = { &detector_droppoint_address, &detector_droppoint_domain },
    [INTEL_DGA] = { &detector_custom_address, &detector_dga_domain },
    [INTEL_DRIVEBY] = { &detector_custom_address, &detector_driveby_domain },
    [INTEL_PHISHING] = { &detector_custom_address, &detector_phishing_domain },
    [INTEL_ABUSED] = { &detector_custom_address, &detector_abused_domain },
    [INTEL_MALICIOUS] = { &detector_custom_address, &detector_malicious_domain },
    [INTEL_SUSPICIOUS] = { &detector_custom_address, &detector_suspicious_domain },
};

static bool is_tor(const struct intel_match *match)
{
    return match->kind == INTEL_TOR_RELAY || match->kind == INTEL_TOR_GUARD;
}

/* ---- matters ------------------------------------------------------------------------------------------------------ */

struct matter_key {
    const struct detector *detector;
    int32_t container;
    uint16_t port;
    struct address address;
    const char *name;
    size_t name_size;
};

static uint64_t key_hash(const struct detection *d, const struct matter_key *k)
{
    char bytes[16 + 17 + NAME_BYTES] = { 0 };
    size_t n = k->name_size < NAME_BYTES ? k->name_size : NAME_BYTES;
    memcpy(bytes, &k->detector, sizeof k->detector);
    memcpy(bytes + 8, &k->container, 4);
    memcpy(bytes + 12, &k->port, 2);
    bytes[16] = (char)k->address.family;
    memcpy(bytes + 17, k->address.bytes, 16);
    for (size_t i = 0; i < n; i++)
        bytes[33 + i] = (char)(k->name[i] >= 'A' && k->name[i] <= 'Z' ? k->name[i] | 0x20 : k->name[i]);
    uint64_t hash = hash_bytes(&d->tree->key, bytes, 33 + n);
    return hash ? hash : 1;
}

static struct matter *matter_find(struct state *state, uint64_t hash)
{
    for (int i = 0; i < LIMIT_LISTED_MATTERS; i++)
        if (state->hashes[i] == hash)
            return &state->matters[i];
    return NULL;
}

/* In a free place or that of the one not seen for the longest time; those that wait for a decision, fewer than there are places, stay. */
static struct matter *matter_take(struct state *state, uint64_t hash)
{
    int place = -1;
    struct matter *m = matter_find(state, hash);
    if (m)
        return m;
    for (int i = 0; i < LIMIT_LISTED_MATTERS; i++) {
        if (state->hashes[i] && state->matters[i].waits)
            continue;
        if (place < 0 || !state->hashes[i] || state->matters[i].seen_ns < state->matters[place].seen_ns)
            place = i;
        if (!state->hashes[i])
            break;
    }
    if (place < 0)
        return NULL;
    m = &state->matters[place];
    memset(m, 0, sizeof *m);
    state->hashes[place] = hash;
    return m;
}

static struct matter *matter_note(struct detection *d, struct state *state, const struct matter_key *k, const struct intel_match *match,
                                  uint64_t now_ns)
{
    struct matter *m = matter_take(state, key_hash(d, k));
    if (!m)
        return NULL;
    m->detector = k->detector;
    m->container = k->container;
    m->seen_ns = now_ns;
    text_copy(m->list, sizeof m->list, match->list, strlen(match->list));
    text_copy(m->category, sizeof m->category, match->category, strlen(match->category));
    return m;
}

static bool matter_is_due(const struct matter *m, uint64_t now_ns)
{
    return !m->waits && (!m->told || m->total >= 2 * m->told || now_ns >= m->told_ns + AGAIN_NS);
}

static void matter_wait(struct state *state, struct matter *m, struct pending *p)
{
    m->waits = true;
    p->number = (uint32_t)(m - state->matters);
}

static struct matter *matter_decide(struct state *state, const struct pending *p)
{
    struct matter *m = &state->matters[p->number];
    m->waits = false;
    return m;
}

/* The finding was made: what it counted begins anew where it is not a sum. */
static void matter_told(struct matter *m, uint64_t now_ns)
{
    m->told = m->total;
    m->told_ns = now_ns;
    m->n_types = m->n_answers = m->n_answered = 0;
}

static struct state *state_of(struct detection *d)
{
    return detection_state(d, &detector_c2_address);
}

/* ---- evidence ----------------------------------------------------------------------------------------------------- */

static void evidence_list(json_t *e, const struct matter *m)
{
    char text[INTEL_LIST_MAX + INTEL_CATEGORY_MAX + 4];
    snprintf(text, sizeof text, "%s (%s)", m->list, m->category);
    evidence_text(e, "list", text, strlen(text));
    json_object_set_new(e, "times", json_integer(m->total));
    if (m->told)
        json_object_set_new(e, "times_since_last_told", json_integer(m->total - m->told));
}

static void evidence_process_known(json_t *e, const struct process *process, const char *how)
{
    json_object_set_new(e, "process_known", json_boolean(process != NULL));
    if (process)
        json_object_set_new(e, "process_by", json_string(how));
}

static const char *process_words(const struct process *process)
{
    return process ? process->comm : "A process (not identified)";
}

/* ---- flows -------------------------------------------------------------------------------------------------------- */

static json_t *flow_evidence(const struct pending *p, const struct matter *m)
{
    json_t *e = json_object();
    json_object_set_new(e, "protocol", json_string(ip_proto_name(p->proto)));
    evidence_address(e, "local", &p->src, p->sport);
    evidence_address(e, "remote", &p->dst, p->dport);
    if (m->listed.family && !address_equal(&m->listed, &p->dst))
        evidence_address(e, "remote_behind_nat", &m->listed, p->dport);
    if (m->name[0])
        evidence_text(e, "domain", m->name, strlen(m->name));
    evidence_list(e, m);
    if (m->existed)
        json_object_set_new(e, "existed_before", json_true());
    json_object_set_new(e, "established", json_integer(m->established));
    json_object_set_new(e, "refused", json_integer(m->refused));
    json_object_set_new(e, "ended", json_integer(m->ended));
    if (m->unanswered)
        json_object_set_new(e, "unanswered", json_integer(m->unanswered));
    if (m->ended) {
        json_object_set_new(e, "bytes_out", json_integer((json_int_t)m->bytes_out));
        json_object_set_new(e, "bytes_in", json_integer((json_int_t)m->bytes_in));
    }
    return e;
}

static uint64_t flow_due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    enum owner_by by;
    char address[46];
    uint64_t again = flow_wait_more(p, now_ns);
    if (again)
        return again;
    struct matter *m = matter_decide(state_of(d), p);
    struct process *owner = flow_process(d, p, &by);
    struct finding *f = detection_begin(d, p->detector, owner, owner ? owner->image : NULL, flow_container_id(p, owner), p->time_ns, p->event_id);
    address_format(&m->listed, address);
    finding_printf(f, FT_DESCRIPTION, "%s opened a connection to %s port %u%s%s, which is on the list %s (%s).", process_words(owner),
                   address, p->dport,
                   m->name[0] ? ", resolved as " : "", m->name, m->list, m->category);
    json_t *e = flow_evidence(p, m);
    evidence_process_known(e, owner, owner_words(by));
    matter_told(m, p->time_ns);
    detection_end(d, f, address, e);
    return 0;
}

static uint64_t caller_due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    enum owner_by by;
    char address[46], key[32];
    uint64_t again = flow_wait_more(p, now_ns);
    if (again)
        return again;
    struct matter *m = matter_decide(state_of(d), p);
    struct process *owner = flow_process(d, p, &by);
    struct finding *f = detection_begin(d, p->detector, owner, owner ? owner->image : NULL, flow_container_id(p, owner), p->time_ns, p->event_id);
    address_format(&p->dst, address);
    finding_printf(f, FT_DESCRIPTION, "A connection from %s, which is on the list %s (%s), was accepted on port %u.", address, m->list,
                   m->category, p->sport);
    json_t *e = flow_evidence(p, m);
    evidence_process_known(e, owner, owner_words(by));
    matter_told(m, p->time_ns);
    snprintf(key, sizeof key, "%s:%u", ip_proto_name(p->proto), p->sport);
    detection_end(d, f, key, e);
    return 0;
}

static bool flow_is_told(const struct state *state, uint64_t flow_id)
{
    for (int i = 0; i < LIMIT_LISTED_FLOWS; i++)
        if (state->flows[i] == flow_id)
            return true;
    return false;
}

static void take_domain(struct matter *m, const struct event *ev)
{
    if (event_knows(ev, F_DOMAIN))
        text_copy(m->name, sizeof m->name, event_text(ev, ev->domain), ev->domain.len);
}

/* What became of it. */
static void flow_outcome(struct matter *m, const struct event *ev, const struct flow_view *view)
{
    m->established += view->is_established && ev->flow_phase == FLOW_UPDATE && ev->proto == IPPROTO_TCP;
    m->refused += view->is_closed && ev->packets_in < 2;
    if (ev->flow_phase != FLOW_END)
        return;
    m->ended++;
    m->unanswered += event_knows(ev, F_PACKETS_IN) && !ev->packets_in;
    m->bytes_out += ev->bytes_out;
    m->bytes_in += ev->bytes_in;
}

static void on_listed_flow(struct detection *d, const struct step *s, const struct flow_view *view, const struct intel_match *match,
                           const struct address *listed)
{
    const struct event *ev = s->ev;
    struct state *state = state_of(d);
    bool inbound = view->direction == DIRECTION_IN, told = flow_is_told(state, ev->flow_id);
    if (inbound && !told && !view->is_established)
        return;
    struct matter_key key = { .detector = inbound ? &detector_listed_caller : types[match->kind].flow,
                              .container = s->container ? s->container->id : 0 };
    if (inbound)
        key.port = view->near_port;
    else
        key.address = *listed;
    struct matter *m = matter_note(d, state, &key, match, ev->time_ns);
    if (!m)
        return;
    m->listed = *listed;
    flow_outcome(m, ev, view);
    if (told)
        return;
    state->flows[state->n_flows++ % LIMIT_LISTED_FLOWS] = ev->flow_id;
    m->existed = !inbound && !view->is_new;
    m->total++;
    take_domain(m, ev);
    if (matter_is_due(m, ev->time_ns))
        matter_wait(state, m, flow_wait(d, key.detector, s, view));
}

static void on_flow(struct detection *d, const struct step *s)
{
    struct flow_view view;
    struct intel_match match;
    const struct address *listed = &view.far;
    if (!flow_view_of(d, s, &view))
        return;
    if (!intel_lookup(d->intel, listed, &match)) {
        listed = &view.far_real; /* the real destination, behind destination NAT */
        if (address_equal(listed, &view.far) || !intel_lookup(d->intel, listed, &match))
            return;
    }
    if (is_tor(&match) && view.direction != DIRECTION_IN)
        tor_flow(d, s, &view, &match);
    else
        on_listed_flow(d, s, &view, &match, listed);
    if (is_tor(&match) && view.direction == DIRECTION_IN)
        tor_flow(d, s, &view, &match);
}

/* ---- DNS ---------------------------------------------------------------------------------------------------------- */

static void dns_evidence_answers(json_t *e, const struct matter *m)
{
    char other[DNS_CODE_BYTES], text[46];
    json_t *names = json_array(), *addresses = json_array();
    for (uint32_t i = 0; i < m->n_types; i++)
        json_array_append_new(names, json_string(dns_type_name(m->types[i], other)));
    json_object_set_new(e, "types", names);
    json_object_set_new(e, "result", json_string(m->n_answered ? dns_rcode_name(m->rcode, other) : "no answer seen yet"));
    for (uint32_t i = 0; i < m->n_answers; i++) {
        address_format(&m->answers[i], text);
        json_array_append_new(addresses, json_string(text));
    }
    json_object_set_new(e, "addresses", addresses);
}

struct asker {
    struct process *process;
    const struct image *image;
    int32_t container;
    uint64_t time_ns;
    int64_t event_id;
};

static void dns_report(struct detection *d, struct matter *m, const struct asker *a)
{
    char address[46] = "", key[NAME_BYTES];
    struct finding *f = detection_begin(d, m->detector, a->process, a->image, a->container, a->time_ns, a->event_id);
    json_t *e = json_object();
    evidence_text(e, "name", m->name, strlen(m->name));
    if (m->alias[0])
        evidence_text(e, "listed_alias", m->alias, strlen(m->alias));
    if (m->listed.family) {
        address_format(&m->listed, address);
        json_object_set_new(e, "listed_address", json_string(address));
    }
    evidence_list(e, m);
    dns_evidence_answers(e, m);
    evidence_process_known(e, a->process, m->owner ? m->owner : "likely");
    finding_printf(f, FT_DESCRIPTION, "%s asked for the name %s, which %s%s%s on the list %s (%s).", process_words(a->process), m->name,
                   m->alias[0] || address[0] ? "leads to " : "is", m->alias[0] ? m->alias : address, m->alias[0] || address[0] ? "," : "",
                       m->list, m->category);
    matter_told(m, a->time_ns);
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (char)(m->name[i] >= 'A' && m->name[i] <= 'Z' ? m->name[i] | 0x20 : m->name[i]);
    detection_end(d, f, key, e);
}

static uint64_t dns_due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    if (!p->answered && now_ns < p->deadline_ns)
        return p->deadline_ns;
    struct matter *m = matter_decide(state_of(d), p);
    dns_report(d, m, &(struct asker){ pending_process(d, p), p->image, p->container, p->time_ns, p->event_id });
    return 0;
}

static bool was_asked(struct matter *m, const struct question *q)
{
    for (size_t i = 0; i < sizeof m->asked / sizeof m->asked[0]; i++)
        if (m->total && m->asked[i].id == q->id && m->asked[i].type == q->type)
            return true;
    m->asked[1] = m->asked[0];
    m->asked[0] = *q;
    return false;
}

static void take_type(struct matter *m, uint16_t type)
{
    for (uint32_t i = 0; i < m->n_types; i++)
        if (m->types[i] == type)
            return;
    if (m->n_types < TYPES)
        m->types[m->n_types++] = type;
}

static void take_answers(struct matter *m, const struct event *ev)
{
    size_t at = 0;
    struct dns_item item;
    m->n_answered++;
    if (event_knows(ev, F_DNS_RCODE))
        m->rcode = ev->dns_rcode;
    while (m->n_answers < ANSWERS && dns_item_next(ev, &at, &item))
        if (item.address.family)
            m->answers[m->n_answers++] = item.address;
}

/* A resolver of the host passes on what a container asked a moment ago. */
static bool is_forwarded(const struct state *state, const struct event *ev, const struct step *s)
{
    const char *name = event_text(ev, ev->dns_name);
    for (int i = 0; !s->container && i < LIMIT_LISTED_MATTERS; i++) {
        const struct matter *m = &state->matters[i];
        if (state->hashes[i] && m->container && m->seen_ns + FORWARD_NS > ev->time_ns && dns_name_is(name, ev->dns_name.len, m->name))
            return true;
    }
    return false;
}

static struct matter *dns_matter(struct detection *d, struct state *state, const struct step *s, const struct intel_match *match)
{
    const struct event *ev = s->ev;
    struct matter_key key = { .detector = types[match->kind].dns ? types[match->kind].dns : &detector_custom_domain,
                              .container = s->container ? s->container->id : 0, .name = event_text(ev, ev->dns_name),
                                  .name_size = ev->dns_name.len };
    struct matter *m = matter_note(d, state, &key, match, ev->time_ns);
    if (m)
        text_copy(m->name, sizeof m->name, key.name, key.name_size);
    return m;
}

static void on_query(struct detection *d, const struct step *s, const struct intel_match *match)
{
    const struct event *ev = s->ev;
    struct state *state = state_of(d);
    if (is_forwarded(state, ev, s))
        return;
    struct matter *m = dns_matter(d, state, s, match);
    struct question q = { ev->dns_id, ev->dns_type };
    if (!m || was_asked(m, &q))
        return;
    m->total++;
    take_type(m, ev->dns_type);
    if (s->process)
        m->owner = owner_words(event_owner(ev));
    if (!matter_is_due(m, ev->time_ns))
        return;
    struct pending *p = detection_wait(d, m->detector, s, ev->time_ns + ANSWER_NS);
    p->deadline_ns = p->due_ns;
    matter_wait(state, m, p);
}

static struct pending *pending_of(struct detection *d, const struct state *state, const struct matter *m)
{
    for (int i = 0; m->waits && i < LIMIT_PENDING; i++)
        if (d->pending[i].detector == m->detector && d->pending[i].number == (uint32_t)(m - state->matters))
            return &d->pending[i];
    return NULL;
}

/* The query was not seen, or what is listed is not the name: the answer counts itself. */
static void answer_alone(struct detection *d, const struct step *s, struct matter *m)
{
    const struct event *ev = s->ev;
    struct question q = { ev->dns_id, ev->dns_type };
    if (was_asked(m, &q))
        return;
    m->total++;
    take_type(m, ev->dns_type);
    take_answers(m, ev);
    if (s->process)
        m->owner = owner_words(event_owner(ev));
    if (matter_is_due(m, ev->time_ns))
        dns_report(d, m, &(struct asker){ s->process, s->process ? s->process->image : NULL, m->container, ev->time_ns, s->event_id });
}

/* The name is listed. Its query waits for this, unless it was told already. */
static void on_listed_answer(struct detection *d, const struct step *s, const struct intel_match *match)
{
    const struct event *ev = s->ev;
    struct state *state = state_of(d);
    if (is_forwarded(state, ev, s))
        return;
    struct matter *m = dns_matter(d, state, s, match);
    if (!m)
        return;
    if (!m->total) {
        answer_alone(d, s, m);
        return;
    }
    struct pending *p = pending_of(d, state, m);
    if (!p)
        return;
    take_answers(m, ev);
    if (m->n_answers || m->n_answered >= m->total - m->told) {
        p->answered = true;
        detection_decide(d, p, ev->time_ns);
    }
}

/* Does the answer lead to something listed? The first such record. */
static void on_other_answer(struct detection *d, const struct step *s)
{
    struct intel_match match;
    struct dns_item item;
    size_t at = 0;
    while (dns_item_next(s->ev, &at, &item)) {
        bool listed = item.is_alias ? intel_lookup_domain(d->intel, item.record.data, item.record.data_size, &match)
                                    : item.address.family && intel_lookup(d->intel, &item.address, &match);
        if (!listed || is_tor(&match))
            continue;
        struct matter *m = is_forwarded(state_of(d), s->ev, s) ? NULL : dns_matter(d, state_of(d), s, &match);
        if (!m)
            return;
        m->listed = item.address;
        if (item.is_alias)
            text_copy(m->alias, sizeof m->alias, item.record.data, item.record.data_size);
        answer_alone(d, s, m);
        return;
    }
}

static void on_dns(struct detection *d, const struct step *s)
{
    const struct event *ev = s->ev;
    struct intel_match match = { .list = "" };
    if (!event_knows(ev, F_DNS_NAME))
        return;
    bool listed = intel_lookup_domain(d->intel, event_text(ev, ev->dns_name), ev->dns_name.len, &match);
    if (ev->dns_op == DNS_QUERY && listed)
        on_query(d, s, &match);
    else if (ev->dns_op == DNS_ANSWER && listed)
        on_listed_answer(d, s, &match);
    else if (ev->dns_op == DNS_ANSWER && !match.trusted && ev->dns_answers.len)
        on_other_answer(d, s);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    (void)self;
    if (!d->intel)
        return;
    if (s->ev->kind == EVENT_FLOW)
        on_flow(d, s);
    else if (s->ev->kind == EVENT_DNS)
        on_dns(d, s);
}

/* ---- the types ---------------------------------------------------------------------------------------------------- */

#define FLOW_CONDITION(category)                                                                                                          \
    "A flow from a container or the host goes to an address or network of a list of category " category ", before or after NAT, that no trusted list " \
    "holds. Its first packet decides: nobody needs to answer. Connections that existed when the list was loaded are told at their next event."
#define FLOW_LIMITS                                                                                                                       \
    "Repeats to the same address are told for the 2nd, 4th, 8th, ... time and once a minute. The process is named when it still holds the socket when it " \
    "is asked for, 150 ms at most; evidence on answers and bytes is what was known then."
#define DNS_CONDITION(category)                                                                                                           \
    "A name is asked for in DNS that is on a list of category " category ", or below a listed name, or whose answer leads there: by an alias (CNAME) on such " \
    "a list, or by an address on one. Failed lookups count. A trusted list that has the name or the address wins."
#define DNS_LIMITS                                                                                                                        \
    "Plain DNS over port 53 only: DNS over TLS or HTTPS is not read. Repeats of the same name are told for the 2nd, 4th, 8th, ... time and once a minute. " \
    "The process is likely, not sure. A resolver on the host that passes a container's query on within 5 s is not told."
#define FLOW_ADVICE                                                                                                                       \
    "See what else went there and how much: sqlite3 ecsguard.db \"select * from flows where dst = 'ADDRESS'\". Then look at the process' lineage and where " \
    "its program came from. An address that is wrongly listed belongs on a trusted list."
#define DNS_ADVICE                                                                                                                        \
    "Was there a connection behind the lookup: sqlite3 ecsguard.db \"select * from flows where domain = 'NAME'\". Then look at the process' lineage. A name " \
    "that is wrongly listed belongs on a trusted list."

#define DETECTOR_FLOW(symbol, category, type_, severity_, mitre_, title_)                                                               \
    .rule = #symbol, .type = type_, .severity = severity_, .mitre = mitre_, .title = title_, .advice = FLOW_ADVICE,                       \
    .condition = FLOW_CONDITION(category), .limits = FLOW_LIMITS, .needs = FILL_FLOW, .due = flow_due
#define DETECTOR_DNS(symbol, category, type_, severity_, mitre_, title_)                                                                \
    .rule = #symbol, .type = type_, .severity = severity_, .mitre = mitre_, .title = title_, .advice = DNS_ADVICE,                        \
    .condition = DNS_CONDITION(category), .limits = DNS_LIMITS, .needs = FILL_DNS, .due = dns_due

/* Looks for all of them, and remembers. */
const struct detector detector_c2_address = {
    DETECTOR_FLOW(c2_address, "c2", "Backdoor:Runtime/C&CActivity.B", SEVERITY_HIGH, "TA0011 T1071 T1571",
                  "Traffic to an address of a command-and-control list"),
    .on = ON(FLOW) | ON(DNS),
    .event = event,
    .state_bytes = sizeof(struct state),
};

const struct detector detector_c2_domain = { DETECTOR_DNS(c2_domain, "c2", "Backdoor:Runtime/C&CActivity.B!DNS", SEVERITY_HIGH,
                                                          "TA0011 T1071.004 T1568",
                                                          "A name of a command-and-control list was asked for") };

const struct detector detector_crypto_address = { DETECTOR_FLOW(crypto_address, "crypto or crypto-reputation",
                                                                "CryptoCurrency:Runtime/BitcoinTool.B",
                                                                SEVERITY_HIGH, "TA0040 T1496",
                                                                    "Traffic to an address known for cryptocurrency") };

const struct detector detector_crypto_domain = { DETECTOR_DNS(crypto_domain, "crypto", "CryptoCurrency:Runtime/BitcoinTool.B!DNS", SEVERITY_HIGH,
                                                              "TA0040 T1496", "A name known for cryptocurrency was asked for") };

const struct detector detector_blackhole_address = { DETECTOR_FLOW(blackhole_address, "blackhole", "Trojan:Runtime/BlackholeTraffic",
                                                                   SEVERITY_MEDIUM,
                                                                   "TA0011 T1071", "Traffic to an address of a sink hole") };

const struct detector detector_blackhole_domain = { DETECTOR_DNS(blackhole_domain, "blackhole", "Trojan:Runtime/BlackholeTraffic!DNS",
                                                                 SEVERITY_MEDIUM,
                                                                 "TA0011 T1071.004", "A name was asked for that leads to a sink hole") };

const struct detector detector_droppoint_address = { DETECTOR_FLOW(droppoint_address, "droppoint", "Trojan:Runtime/DropPoint", SEVERITY_MEDIUM,
                                                                   "TA0010 T1041 T1567", "Traffic to an address where stolen data is collected") };

const struct detector detector_droppoint_domain = { DETECTOR_DNS(droppoint_domain, "droppoint", "Trojan:Runtime/DropPoint!DNS", SEVERITY_MEDIUM,
                                                                 "TA0010 T1041 T1567", "A name was asked for under which stolen data is collected") };

const struct detector detector_dga_domain = { DETECTOR_DNS(dga_domain, "dga", "Trojan:Runtime/DGADomainRequest.C!DNS", SEVERITY_HIGH,
                                                           "TA0011 T1568.002",
                                                           "A name known to be generated by malware was asked for") };

const struct detector detector_driveby_domain = { DETECTOR_DNS(driveby_domain, "driveby", "Trojan:Runtime/DriveBySourceTraffic!DNS",
                                                               SEVERITY_HIGH,
                                                               "TA0001 T1189", "A name known for drive-by downloads was asked for") };

const struct detector detector_phishing_domain = { DETECTOR_DNS(phishing_domain, "phishing", "Trojan:Runtime/PhishingDomainRequest!DNS",
                                                                SEVERITY_HIGH,
                                                                "TA0001 T1566", "A name known for phishing was asked for") };

const struct detector detector_abused_domain = { DETECTOR_DNS(abused_domain, "abused", "Impact:Runtime/AbusedDomainRequest.Reputation",
                                                              SEVERITY_MEDIUM,
                                                              "TA0011 T1568 T1583.001", "A name of a kind that is often abused was asked for") };

const struct detector detector_crypto_reputation_domain = { DETECTOR_DNS(crypto_reputation_domain, "crypto-reputation",
                                                                         "Impact:Runtime/BitcoinDomainRequest.Reputation", SEVERITY_HIGH, "TA0040 T1496",
                                                                         "A name of low reputation tied to cryptocurrency was asked for") };

const struct detector detector_malicious_domain = { DETECTOR_DNS(malicious_domain, "malicious or malware",
                                                                 "Impact:Runtime/MaliciousDomainRequest.Reputation",
                                                                 SEVERITY_HIGH, "TA0011 T1071.004",
                                                                     "A name tied to known malicious ones was asked for") };

const struct detector detector_suspicious_domain = { DETECTOR_DNS(suspicious_domain, "suspicious",
                                                                  "Impact:Runtime/SuspiciousDomainRequest.Reputation",
                                                                  SEVERITY_LOW, "TA0011 T1568",
                                                                      "A name was asked for that is suspicious for its age or rareness") };

const struct detector detector_custom_address = { DETECTOR_FLOW(custom_address, "custom, malicious or any that has no type of its own for flows",
                                                                "UnauthorizedAccess:Runtime/MaliciousIPCaller.Custom", SEVERITY_MEDIUM, "TA0011 T1071",
                                                                "Traffic to an address of one of your own lists") };

const struct detector detector_custom_domain = { DETECTOR_DNS(custom_domain, "custom, or any that has no type of its own",
                                                              "Impact:Runtime/MaliciousDomainRequest.Custom", SEVERITY_MEDIUM, "TA0011 T1071.004",
                                                              "A name of one of your own lists was asked for") };

const struct detector detector_listed_caller = {
    .rule = "listed_caller",
    .type = "UnauthorizedAccess:Runtime/MaliciousIPCaller.Custom",
    .severity = SEVERITY_LOW,
    .mitre = "TA0001 T1190 T1133",
    .title = "A connection from a listed address was accepted",
    .condition = "A TCP connection from an address of a threat list, of whatever category, to a port of a container or the host was "
                 "established, or a UDP "
                 "packet from one was answered. One finding for each port.",
    .limits = "Low, because every service that is open to the Internet is called by such addresses; what then happens in the container "
              "decides. Behind a load balancer the "
              "caller's address is the load balancer's. Attempts that nobody answered are not told.",
    .advice = "Is the port meant to be open to everybody? Look at the service's own log for this time, and for other findings of the task.",
    .needs = FILL_FLOW,
    .due = caller_due,
};
