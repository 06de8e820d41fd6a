/* A name that resolves to the address of a metadata or credentials service: the trick of DNS rebinding, by which a server-side request to an
 * innocent looking name ends at the instance's credentials. */
#include <string.h>

#include "agent/detect/detector.h"
#include "agent/detect/dns_step.h"
#include "agent/detect/flow_step.h"
#include "agent/detect/metadata.h"
#include "agent/detect/repeats.h"
#include "common/text.h"

/* Names under which clouds themselves publish their metadata services, and the internal zones that only they can fill. */
static bool is_legitimate(const char *name, size_t size)
{
    static const char *const names[] = { "instance-data", "metadata", "metadata.google.internal" };
    static const char *const zones[] = { ".ec2.internal", ".compute.internal", ".google.internal", ".in-addr.arpa", ".ip6.arpa" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (dns_name_is(name, size, names[i]))
            return true;
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
        if (dns_name_ends(name, size, zones[i]))
            return true;
    return false;
}

struct answer {
    const struct metadata_service *service;
    struct address address;
    char alias[256]; /* the record's own name, when it is not the one asked for */
    int n_aliases;
};

static bool find_service(const struct event *ev, struct answer *out)
{
    size_t at = 0;
    struct dns_item item;
    *out = (struct answer){ 0 };
    while (dns_item_next(ev, &at, &item)) {
        out->n_aliases += item.is_alias;
        out->service = item.address.family ? metadata_service_find(&item.address) : NULL;
        if (!out->service)
            continue;
        out->address = item.address;
        if (!dns_name_is(item.record.name, item.record.name_size, event_text(ev, ev->dns_name)))
            text_copy(out->alias, sizeof out->alias, item.record.name, item.record.name_size);
        return true;
    }
    return false;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    const char *name = event_text(ev, ev->dns_name);
    struct answer a;
    char address[46], key[LIMIT_DOMAIN_BYTES];
    if (ev->dns_op != DNS_ANSWER || !ev->dns_answers.len || !find_service(ev, &a) ||
        is_legitimate(name, ev->dns_name.len))
        return;
    text_copy(key, sizeof key, name, ev->dns_name.len);
    for (char *c = key; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    int32_t container = s->container ? s->container->id : 0;
    uint32_t times = repeat_due(detection_state(d, self), d, container, key, ev->time_ns);
    if (!times)
        return;
    struct finding *f = detection_begin(d, self, s->process, s->process ? s->process->image : NULL, container, ev->time_ns, s->event_id);
    json_t *e = json_object();
    address_format(&a.address, address);
    finding_printf(f, FT_DESCRIPTION, "The name %s resolved to %s, the address of %s.", key, address, a.service->name);
    evidence_text(e, "name", name, ev->dns_name.len);
    json_object_set_new(e, "times", json_integer(times));
    json_object_set_new(e, "address", json_string(address));
    json_object_set_new(e, "service", json_string(a.service->name));
    json_object_set_new(e, "aliases", json_integer(a.n_aliases));
    if (a.alias[0])
        evidence_text(e, "last_alias", a.alias, strlen(a.alias));
    evidence_address(e, "resolver", &ev->dst, ev->dport);
    json_object_set_new(e, "process_known", json_boolean(s->process != NULL));
    if (s->process)
        json_object_set_new(e, "process_by", json_string(owner_words(event_owner(ev))));
    detection_end(d, f, key, e);
}

const struct detector detector_metadata_rebind = {
    .rule = "metadata_dns_rebind",
    .type = "UnauthorizedAccess:Runtime/MetadataDNSRebind",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0006 T1552.005 TA0001 T1190",
    .title = "A name resolved to the address of a metadata service",
    .condition = "An answer in DNS has an address record with 169.254.169.254, fd00:ec2::254, 169.254.170.2, 169.254.170.23 or "
                 "fd00:ec2::23, plain, mapped into IPv6 or "
                 "translated (NAT64), directly or behind aliases, and the name asked for is not one under which clouds publish these "
                 "services (instance-data, "
                 "metadata, *.ec2.internal, *.compute.internal, *.google.internal).",
    .limits = "Answers over port 53 that the sensor reads; not names in /etc/hosts, DNS over TLS or HTTPS, nor address hints in HTTPS "
              "records. Whether the service was then "
              "asked stands in the flows.",
    .advice = "Was the metadata service asked behind it: sqlite3 ecsguard.db \"select * from flows where dst = '169.254.169.254'\". Which "
              "input led the service to that name: "
              "its request log. Set the hop limit of IMDS to 1 and require tokens (IMDSv2).",
    .needs = FILL_DNS,
    .on = ON(DNS),
    .event = event,
    .state_bytes = sizeof(struct repeats),
};
