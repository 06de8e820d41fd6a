/* Generated names: a container asks for one domain after the other that looks made by a machine, and that nobody has registered. One such name is nothing;
 * ten different ones within ten minutes, none of them there, are what malware does to find its masters. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/dga_model.h"
#include "agent/detect/domain_parts.h"
#include "agent/detect/network.h"
#include "agent/detect/sketch.h"
#include "common/clock.h"

#define WINDOW_NS (600 * NS_PER_SECOND)
#define NAMES_MIN 10
#define SHARE 3 /* at least one in this many of the names that are not there looks generated */
#define RCODE_NXDOMAIN 3

struct asker {
    uint64_t window_ns, told_ns;
    struct sketch generated, missing; /* registered domains that do not exist: those that look generated, and all */
    uint8_t n_samples;
    char samples[LIMIT_DNS_SAMPLES][80];
};

struct state {
    struct hash_key key;
    struct net_slots slots;
    struct asker askers[LIMIT_NET_CONTAINERS];
};

static struct asker *asker_of(struct detection *d, struct state *state, const struct step *s)
{
    bool fresh;
    int at = net_slots_take(d, &state->slots, net_scope(s), s->ev->time_ns, &fresh);
    struct asker *a = &state->askers[at];
    if (fresh || s->ev->time_ns - a->window_ns >= WINDOW_NS)
        *a = (struct asker){ .window_ns = s->ev->time_ns, .told_ns = fresh ? 0 : a->told_ns };
    return a;
}

static void add_sample(struct asker *a, const struct domain_parts *p)
{
    if (a->n_samples < LIMIT_DNS_SAMPLES)
        snprintf(a->samples[a->n_samples++], sizeof a->samples[0], "%.79s", p->name + p->base);
}

static void report(struct detection *d, const struct detector *self, const struct step *s, const struct asker *a)
{
    struct finding *f = detection_begin(d, self, s->process, s->process ? s->process->image : NULL, s->container ? s->container->id : 0,
                                        s->ev->time_ns, s->event_id);
    json_t *e = json_object(), *list = json_array();
    unsigned n = sketch_count(&a->generated);
    for (int i = 0; i < a->n_samples; i++) {
        json_t *name = json_object();
        size_t label = strcspn(a->samples[i], ".");
        evidence_text(name, "domain", a->samples[i], strlen(a->samples[i]));
        json_object_set_new(name, "score", json_real((double)(int)(dga_score(a->samples[i], label) * 10) / 10));
        json_array_append_new(list, name);
    }
    json_object_set_new(e, "generated", json_integer(n));
    json_object_set_new(e, "missing", json_integer(sketch_count(&a->missing)));
    json_object_set_new(e, "names", list);
    evidence_time(e, "since", a->window_ns + (uint64_t)d->wall_offset_ns);
    finding_printf(f, FT_DESCRIPTION, "%s asked for %u domains within %llu s that look generated and do not exist, such as %s and %s.",
                   s->process ? s->process->comm : s->container ? "The container" : "The host", n,
                   (unsigned long long)((s->ev->time_ns - a->window_ns) / NS_PER_SECOND + 1), a->samples[0], a->samples[1]);
    detection_end(d, f, "", e);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    struct domain_parts p;
    if (ev->dns_op != DNS_ANSWER || ev->dns_rcode != RCODE_NXDOMAIN ||
        !domain_split(&p, event_text(ev, ev->dns_name), ev->dns_name.len) || p.internal || p.reversed)
        return;
    struct state *state = detection_state(d, self);
    if (!state->key.k0)
        state->key = hash_key_random();
    struct asker *a = asker_of(d, state, s);
    uint64_t hash = hash_bytes(&state->key, p.name + p.base, p.length - p.base);
    sketch_add(&a->missing, hash);
    if (dga_score(p.name + p.base, p.label) < DGA_THRESHOLD || !sketch_add(&a->generated, hash))
        return;
    add_sample(a, &p);
    uint32_t n = sketch_count(&a->generated);
    if (n < NAMES_MIN || n * SHARE < sketch_count(&a->missing) || (a->told_ns && ev->time_ns - a->told_ns < WINDOW_NS))
        return;
    a->told_ns = ev->time_ns;
    report(d, self, s, a);
}

const struct detector detector_dga = {
    .rule = "generated_names",
    .type = "Trojan:Runtime/DGADomainRequest.B",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0011 T1568.002",
    .title = "Many generated-looking domain names were asked for that do not exist",
    .advice = "See all that was asked and by whom: ecsguardctl dns --container ID. Names of one length or pattern point to malware; a "
              "program that tests names that "
              "cannot exist (some browsers and captive-portal checks do) has no business in a server. See which of the names did exist, "
              "and where connections "
              "went after them.",
    .condition = "Within 10 minutes a container (or the host) gets the answer \"no such name\" for at least 10 different registered "
                 "domains whose label a model of "
                 "letters takes for generated (log odds of at least 3: 0.4 % of ordinary names), and they are at least a third of all "
                 "domains that did not exist. Told at "
                 "most every 10 minutes. The registered domain is the last two labels (three below com.au and the like). Left out: single "
                 "labels, names below "
                 "local, internal, arpa and the like, punycode.",
    .limits = "Names put together from words are hardly found (4 %), pronounceable ones about 60 % each; random letters of ten and more 85 "
              "to 99 %: test_dga_model "
              "measures it. A generator that hits a registered name within its first nine is not told, nor one below a dynamic DNS "
              "provider's domain.",
    .needs = FILL_DNS,
    .helps = FILL_CGROUP,
    .on = ON(DNS),
    .event = event,
    .state_bytes = sizeof(struct state),
};
