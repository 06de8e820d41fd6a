/* DNS tunnels: data that leaves in the labels of names that are asked for, or comes in the texts of answers. Seen from the names: very many different ones
 * below one registered domain, whose labels are long and look encoded; or that ask for records that only carry texts. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/dga_model.h"
#include "agent/detect/domain_parts.h"
#include "agent/detect/network.h"
#include "agent/detect/sketch.h"
#include "common/clock.h"

#define WINDOW_NS (300 * NS_PER_SECOND)
#define NAMES_MIN 100
#define NAMES_BUSY 20
#define BYTES_MIN 4096
#define LABEL_MIN 18 /* what a tunnel of hex needs at least: nine bytes of its own */
#define ENCODED_SCORE 2.5f
#define TYPE_NULL 10
#define TYPE_TXT 16
#define TYPE_ANY 255
#define TYPE_PRIVATE 65280

struct domain {
    uint64_t key; /* 0 = free */
    uint64_t window_ns, last_ns, told_ns;
    struct sketch names;
    double encoded, texts, bytes; /* of the different names */
    uint64_t answer_bytes;
    uint32_t queries;
    uint8_t n_samples;
    char base[64];
    char samples[LIMIT_DNS_SAMPLES][80];
};

struct asker {
    uint64_t busy_ns; /* when a domain last had many names: answers are only counted then */
    struct domain domains[LIMIT_DNS_DOMAINS];
};

struct state {
    struct hash_key key;
    struct net_slots slots;
    struct asker askers[LIMIT_NET_CONTAINERS];
};

/* Domains whose names carry hashes by design: delivery networks, clouds and reputation services. Written by us from their documentation. */
static bool is_known(const char *base)
{
    static const char *const known[] = { "akadns.net",    "akamai.net",      "akamaiedge.net",  "amazonaws.com",  "aws.dev",
                                         "awsglobalaccelerator.com",
                                         "azureedge.net", "azurefd.net",     "barracudabrts.com", "cloudflare.net", "cloudfront.net", "cymru.com",
                                         "edgekey.net",   "edgesuite.net",   "fastly.net",      "googlevideo.com", "mcafee.com",    "on.aws",
                                         "sophosxl.net",  "spamhaus.net",    "spamhaus.org",    "surbl.org",      "trafficmanager.net", "uribl.com",
                                         "windows.net",   NULL };
    for (const char *const *k = known; *k; k++)
        if (!strcmp(base, *k))
            return true;
    return false;
}

/* One label that is an MD5, SHA-1 or SHA-256: a question to a reputation service. */
static bool is_digest(const struct domain_parts *p)
{
    return (p->sub == 32 || p->sub == 40 || p->sub == 64) && strspn(p->name, "0123456789abcdef") == p->sub;
}

static bool is_encoded(const struct domain_parts *p)
{
    size_t longest = 0, at = 0;
    for (size_t i = 0; i < p->sub;) {
        size_t n = strcspn(p->name + i, ".");
        if (n > longest) {
            longest = n;
            at = i;
        }
        i += n + 1;
    }
    return longest >= LABEL_MIN && !is_digest(p) && dga_score(p->name + at, longest) >= ENCODED_SCORE;
}

static bool carries_text(uint16_t type)
{
    return type == TYPE_TXT || type == TYPE_NULL || type == TYPE_ANY || type >= TYPE_PRIVATE;
}

static void domain_clear(struct domain *m, uint64_t now_ns)
{
    memset(&m->names, 0, sizeof m->names);
    m->encoded = m->texts = m->bytes = 0;
    m->answer_bytes = m->queries = m->n_samples = 0;
    m->window_ns = now_ns;
}

/* In the place of the one with the fewest names in its window. */
static struct domain *domain_take(struct detection *d, struct asker *a, uint64_t key, uint64_t now_ns, bool make)
{
    struct domain *least = NULL;
    for (int i = 0; i < LIMIT_DNS_DOMAINS; i++) {
        struct domain *m = &a->domains[i];
        if (m->key == key)
            return m;
        if (m->key && now_ns - m->window_ns >= WINDOW_NS)
            domain_clear(m, now_ns);
        if (!least || m->names.n < least->names.n || (m->names.n <= least->names.n && m->last_ns < least->last_ns))
            least = m;
    }
    if (!make)
        return NULL;
    d->n_forgotten += least->names.n > 1;
    *least = (struct domain){ .key = key, .window_ns = now_ns };
    return least;
}

static bool is_tunnel(const struct domain *m)
{
    if (m->names.n < NAMES_MIN)
        return false;
    return (m->encoded >= m->names.n * 0.8 && m->bytes >= BYTES_MIN) || m->texts >= m->names.n * 0.5;
}

static bool is_trusted(const struct detection *d, const char *name)
{
    struct intel_match match = { .list = "" };
    return d->intel && !intel_lookup_domain(d->intel, name, strlen(name), &match) && match.trusted;
}

static void report(struct detection *d, const struct detector *self, const struct step *s, const struct domain *m)
{
    struct finding *f = detection_begin(d, self, s->process, s->process ? s->process->image : NULL, s->container ? s->container->id : 0,
                                        s->ev->time_ns, s->event_id);
    json_t *e = json_object(), *list = json_array();
    char base[sizeof m->base * 4];
    struct text_out out;
    unsigned long long seconds = (s->ev->time_ns - m->window_ns) / NS_PER_SECOND + 1;
    for (int i = 0; i < m->n_samples; i++)
        json_array_append_new(list, json_string(m->samples[i]));
    evidence_text(e, "domain", m->base, strlen(m->base));
    json_object_set_new(e, "names", json_integer(sketch_count(&m->names)));
    json_object_set_new(e, "queries", json_integer(m->queries));
    json_object_set_new(e, "encoded_percent", json_integer((json_int_t)(m->encoded * 100 / m->names.n)));
    json_object_set_new(e, "text_records_percent", json_integer((json_int_t)(m->texts * 100 / m->names.n)));
    json_object_set_new(e, "bytes_in_names", json_integer((json_int_t)m->bytes));
    json_object_set_new(e, "bytes_in_answers", json_integer((json_int_t)m->answer_bytes));
    json_object_set_new(e, "seconds", json_integer((json_int_t)seconds));
    json_object_set_new(e, "sample_names", list);
    text_out_init(&out, base, sizeof base);
    text_escape(&out, m->base, strlen(m->base));
    finding_printf(f, FT_DESCRIPTION, "%s asked for about %u different names below %s within %llu s; %u%% look encoded, %u%% ask for text records. The names carry %llu bytes, "
                   "the answers %llu.", s->process ? s->process->comm : s->container ? "The container" : "The host",
                       sketch_count(&m->names), base, seconds,
                   (unsigned)(m->encoded * 100 / m->names.n), (unsigned)(m->texts * 100 / m->names.n), (unsigned long long)m->bytes,
                   (unsigned long long)m->answer_bytes);
    detection_end(d, f, m->base, e);
}

static void add_name(struct domain *m, const struct state *state, const struct domain_parts *p, uint16_t type)
{
    double before = m->names.n;
    m->queries++;
    if (!sketch_add(&m->names, hash_bytes(&state->key, p->name, p->length)))
        return;
    double more = m->names.n - before; /* so many new names stand behind this change */
    m->bytes += more * (double)p->sub;
    if (is_encoded(p))
        m->encoded += more;
    if (carries_text(type))
        m->texts += more;
    if (m->n_samples < LIMIT_DNS_SAMPLES)
        snprintf(m->samples[m->n_samples++], sizeof m->samples[0], "%.79s", p->name);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    struct domain_parts p;
    bool fresh = false, query = ev->dns_op == DNS_QUERY;
    struct state *state = detection_state(d, self);
    if (!state->key.k0)
        state->key = hash_key_random();
    int32_t id = net_scope(s);
    int at = query ? net_slots_take(d, &state->slots, id, ev->time_ns, &fresh) : net_slots_find(&state->slots, id);
    if (at < 0 || (!query && ev->time_ns - state->askers[at].busy_ns >= WINDOW_NS))
        return;
    if (fresh)
        memset(&state->askers[at], 0, sizeof state->askers[at]);
    if (!domain_split(&p, event_text(ev, ev->dns_name), ev->dns_name.len) || p.internal || p.reversed || !p.sub || is_known(p.name + p.base))
        return;
    uint64_t key = hash_bytes(&state->key, p.name + p.base, p.length - p.base) | 1;
    struct domain *m = domain_take(d, &state->askers[at], key, ev->time_ns, query);
    if (!m)
        return;
    if (!query) {
        m->answer_bytes += ev->dns_size;
        return;
    }
    if (!m->base[0])
        snprintf(m->base, sizeof m->base, "%.63s", p.name + p.base);
    if (ev->time_ns - m->window_ns >= WINDOW_NS)
        domain_clear(m, ev->time_ns);
    m->last_ns = ev->time_ns;
    add_name(m, state, &p, ev->dns_type);
    if (m->names.n >= NAMES_BUSY)
        state->askers[at].busy_ns = ev->time_ns;
    if (!is_tunnel(m) || (m->told_ns && ev->time_ns - m->told_ns < WINDOW_NS) || is_trusted(d, m->base))
        return;
    m->told_ns = ev->time_ns;
    report(d, self, s, m);
}

const struct detector detector_dns_tunnel = {
    .rule = "dns_tunnel",
    .type = "Trojan:Runtime/DNSDataExfiltration!DNS",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0010 T1048.003 TA0011 T1071.004 T1572",
    .title = "Data goes through DNS: very many encoded names below one domain, or texts asked for",
    .advice = "Whose domain is it, and does the program belong to the image? See the names and answers: ecsguardctl dns --container ID. If "
              "it is a reputation or "
              "licence service that you use, put its domain on a trusted list. If not, block it at the resolver (Route 53 DNS Firewall) "
              "and stop the task.",
    .condition = "Within 5 minutes a container (or the host) asks for at least 100 different names below one registered domain, and either "
                 "at least 80 % of them "
                 "have a label of 18 characters or more that a model of letters takes for encoded, 4 KiB together; or at least half ask "
                 "for TXT, NULL, ANY or "
                 "private-use records. The registered domain is the last two labels (three below com.au and the like). Told at most every "
                 "5 minutes for one "
                 "domain. Left out: trusted lists, addresses written backwards (in-addr.arpa, block lists), names below local, internal "
                 "and the like, single "
                 "labels of 32, 40 or 64 hex digits (reputation services), amazonaws.com, cloudfront.net and a few other domains that put "
                 "hashes into names.",
    .limits = "Slower tunnels (under 20 different names a minute), and those that use short or readable labels for A records, are not "
              "found. DNS over TLS or HTTPS is not "
              "seen. Numbers of names are estimates, off by 7 % usually.",
    .needs = FILL_DNS,
    .helps = FILL_CGROUP,
    .on = ON(DNS),
    .event = event,
    .state_bytes = sizeof(struct state),
};
