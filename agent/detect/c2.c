/* A flow to an address of the local threat lists. The flow is known at its first packet; which process owns it is asked for, and
 * waited for briefly. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define WAIT_OWNER_NS (150 * NS_PER_MS)

static bool is_listed(const struct detection *d, const struct event *ev, struct intel_match *match, struct address *address)
{
    if (intel_lookup(d->intel, &ev->dst, match)) {
        *address = ev->dst;
        return !strcmp(match->category, "c2");
    }
    /* behind DNAT the reply comes from the real destination */
    if (event_knows(ev, F_REPLY_SRC) && !address_equal(&ev->reply_src, &ev->dst) && intel_lookup(d->intel, &ev->reply_src, match)) {
        *address = ev->reply_src;
        return !strcmp(match->category, "c2");
    }
    return false;
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    if (!p->answered && now_ns < p->time_ns + WAIT_OWNER_NS && now_ns < p->deadline_ns)
        return p->time_ns + WAIT_OWNER_NS;
    struct process *owner = p->answered && p->asked_pid ? proctree_find(d->tree, p->asked_pid) : NULL;
    int32_t container = p->container ? p->container : owner ? owner->container : 0;
    char address[46], key[128];
    address_format(&p->dst, address);
    struct finding *f = detection_begin(d, p->detector, owner, owner ? owner->image : NULL, container, p->time_ns, p->event_id);
    finding_printf(f, FT_DESCRIPTION, "%s opened a connection to %s port %u, which is on the list %s.", owner ? owner->comm : "A process (not identified)",
                   address, p->dport, p->note);
    json_t *e = json_object();
    json_object_set_new(e, "protocol", json_string(p->proto == IPPROTO_TCP ? "tcp" : p->proto == IPPROTO_UDP ? "udp" : "other"));
    evidence_address(e, "local", &p->src, p->sport);
    evidence_address(e, "remote", &p->dst, p->dport);
    evidence_text(e, "list", p->note, strlen(p->note));
    json_object_set_new(e, "process_known", json_boolean(owner != NULL));
    snprintf(key, sizeof key, "%s:%u", address, p->dport);
    detection_end(d, f, key, e);
    return 0;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    struct intel_match match;
    struct address address;
    const struct event *ev = s->ev;
    if (ev->kind != EVENT_FLOW || ev->flow_phase != FLOW_NEW || !d->intel || !is_listed(d, ev, &match, &address))
        return;
    struct pending *p = detection_wait(d, self, s, ev->time_ns + WAIT_OWNER_NS);
    p->deadline_ns = p->due_ns;
    p->flow_id = ev->flow_id;
    p->proto = ev->proto;
    p->src = ev->src;
    p->sport = ev->sport;
    p->dst = address;
    p->dport = ev->dport;
    struct text_out out;
    text_out_init(&out, p->note, sizeof p->note);
    text_out_printf(&out, "%s (%s)", match.list, match.category);
    struct request ask = { .kind = REQUEST_OWNER, .pid = s->container ? s->container->init_pid : 0, .container = p->container, .flow_id = ev->flow_id, .proto = ev->proto,
                           .src = ev->src, .dst = ev->dst, .sport = ev->sport, .dport = ev->dport };
    detection_request(d, &ask);
}

const struct detector detector_c2 = {
    .rule = "c2_address",
    .type = "Backdoor:Runtime/C&CActivity.B",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0011 T1071 T1571",
    .title = "Traffic to an address of a command-and-control list",
    .advice = "See what else went there and how much: sqlite3 ecsguard.db \"select * from flows where dst = 'ADDRESS'\". Then look at the process' lineage.",
    .event = event,
    .due = due,
};
