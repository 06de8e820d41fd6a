#include "agent/sensors/ct_decode.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <linux/netlink.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "agent/sensors/netlink_attrs.h"
#include "common/hash.h"

struct tuple {
    struct address src, dst;
    uint16_t sport, dport;
    uint8_t proto;
    bool has_proto;
};

static int take_address(struct address *to, const struct attr *a, uint8_t family)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    const uint8_t *p = a->data.at;
    if (a->data.left != (family == 6 ? 16u : 4u))
        return -EINVAL;
    memset(to, 0, sizeof *to);
    if (family == 6 && !memcmp(p, mapped, sizeof mapped)) {
        p += sizeof mapped;
        family = 4;
    }
    to->family = family;
    memcpy(to->bytes, p, family == 6 ? 16 : 4);
    return 0;
}

static int take_be16(uint16_t *to, const struct attr *a)
{
    if (a->data.left != 2)
        return -EINVAL;
    *to = load_be16(a->data.at);
    return 0;
}

static int take_byte(uint8_t *to, const struct attr *a)
{
    if (a->data.left != 1)
        return -EINVAL;
    *to = *a->data.at;
    return 0;
}

static int take_ip(void *to, const struct attr *a)
{
    struct tuple *t = to;
    switch (a->type) {
    case CTA_IP_V4_SRC:
        return take_address(&t->src, a, 4);
    case CTA_IP_V4_DST:
        return take_address(&t->dst, a, 4);
    case CTA_IP_V6_SRC:
        return take_address(&t->src, a, 6);
    case CTA_IP_V6_DST:
        return take_address(&t->dst, a, 6);
    }
    return 0;
}

/* Type and code of ICMP arrive apart and in any order. */
static int take_icmp(struct tuple *t, const struct attr *a, int shift)
{
    uint8_t value;
    if (take_byte(&value, a))
        return -EINVAL;
    t->dport = (uint16_t)((t->dport & (0xff00 >> shift)) | (uint16_t)(value << shift));
    return 0;
}

static int take_proto(void *to, const struct attr *a)
{
    struct tuple *t = to;
    switch (a->type) {
    case CTA_PROTO_NUM:
        t->has_proto = true;
        return take_byte(&t->proto, a);
    case CTA_PROTO_SRC_PORT:
    case CTA_PROTO_ICMP_ID:
    case CTA_PROTO_ICMPV6_ID:
        return take_be16(&t->sport, a);
    case CTA_PROTO_DST_PORT:
        return take_be16(&t->dport, a);
    case CTA_PROTO_ICMP_TYPE:
    case CTA_PROTO_ICMPV6_TYPE:
        return take_icmp(t, a, 8);
    case CTA_PROTO_ICMP_CODE:
    case CTA_PROTO_ICMPV6_CODE:
        return take_icmp(t, a, 0);
    }
    return 0;
}

static int take_tuple_part(void *to, const struct attr *a)
{
    switch (a->type) {
    case CTA_TUPLE_IP:
        return attrs_walk(a->data, take_ip, to);
    case CTA_TUPLE_PROTO:
        return attrs_walk(a->data, take_proto, to);
    }
    return 0;
}

static int take_tuple(struct tuple *t, const struct attr *a)
{
    memset(t, 0, sizeof *t);
    if (attrs_walk(a->data, take_tuple_part, t) || !t->has_proto || !t->src.family || t->src.family != t->dst.family)
        return -EINVAL;
    return 0;
}

struct counters {
    uint64_t bytes, packets;
    bool known;
};

static int take_counter(void *to, const struct attr *a)
{
    struct counters *c = to;
    if (a->type != CTA_COUNTERS_BYTES && a->type != CTA_COUNTERS_PACKETS)
        return 0;
    if (a->data.left != 8)
        return -EINVAL;
    *(a->type == CTA_COUNTERS_BYTES ? &c->bytes : &c->packets) = load_be64(a->data.at);
    c->known = true;
    return 0;
}

static int take_tcp_state(void *to, const struct attr *a)
{
    /* enum tcp_conntrack to the numbers of tcp(7) */
    static const uint8_t states[] = { 0, 2, 3, 1, 4, 8, 9, 6, 7, 2 };
    struct event *ev = to;
    uint8_t state;
    if (a->type != CTA_PROTOINFO_TCP_STATE)
        return 0;
    if (take_byte(&state, a))
        return -EINVAL;
    if (state && state < sizeof states)
        event_set(ev, F_TCP_STATE, tcp_state, states[state]);
    return 0;
}

static int take_protoinfo(void *to, const struct attr *a)
{
    return a->type == CTA_PROTOINFO_TCP ? attrs_walk(a->data, take_tcp_state, to) : 0;
}

struct flow {
    struct event *ev;
    struct tuple original, reply;
    struct counters out, in;
    uint32_t id;
    bool has_original, has_reply;
};

static int take_flow(void *to, const struct attr *a)
{
    struct flow *f = to;
    switch (a->type) {
    case CTA_TUPLE_ORIG:
        f->has_original = true;
        return take_tuple(&f->original, a);
    case CTA_TUPLE_REPLY:
        f->has_reply = true;
        return take_tuple(&f->reply, a);
    case CTA_COUNTERS_ORIG:
        return attrs_walk(a->data, take_counter, &f->out);
    case CTA_COUNTERS_REPLY:
        return attrs_walk(a->data, take_counter, &f->in);
    case CTA_PROTOINFO:
        return attrs_walk(a->data, take_protoinfo, f->ev);
    case CTA_ID:
        if (a->data.left != 4)
            return -EINVAL;
        f->id = load_u32(a->data.at);
        return 0;
    }
    return 0;
}

/* The kernel's id alone is not enough: it is derived from an address of kernel memory, which a later flow may get again. The key is
 * fixed, so that a recorded flow keeps its id; the kernel's id is itself a keyed hash that nobody outside can choose. */
static uint64_t flow_id(const struct flow *f, int32_t nsid)
{
    static const struct hash_key key = { 0x65637367, 0x666c6f77 };
    const struct tuple *t = &f->original;
    uint8_t bytes[48] = { 0 };
    memcpy(bytes, t->src.bytes, 16);
    memcpy(bytes + 16, t->dst.bytes, 16);
    memcpy(bytes + 32, &t->sport, 2);
    memcpy(bytes + 34, &t->dport, 2);
    memcpy(bytes + 36, &f->id, 4);
    memcpy(bytes + 40, &nsid, 4);
    bytes[44] = t->proto;
    bytes[45] = t->src.family;
    return hash_bytes(&key, bytes, sizeof bytes);
}

static void set_counters(struct event *ev, const struct flow *f)
{
    if (f->out.known) {
        event_set(ev, F_BYTES_OUT, bytes_out, f->out.bytes);
        event_set(ev, F_PACKETS_OUT, packets_out, f->out.packets);
    }
    if (f->in.known) {
        event_set(ev, F_BYTES_IN, bytes_in, f->in.bytes);
        event_set(ev, F_PACKETS_IN, packets_in, f->in.packets);
    }
}

static void set_flow(struct event *ev, const struct flow *f, enum flow_phase phase, int32_t nsid)
{
    event_set(ev, F_FLOW_PHASE, flow_phase, (uint8_t)phase);
    event_set(ev, F_FLOW_ID, flow_id, flow_id(f, nsid));
    event_set(ev, F_NSID, nsid, nsid);
    event_set(ev, F_PROTO, proto, f->original.proto);
    event_set(ev, F_SRC, src, f->original.src);
    event_set(ev, F_SPORT, sport, f->original.sport);
    event_set(ev, F_DST, dst, f->original.dst);
    event_set(ev, F_DPORT, dport, f->original.dport);
    if (f->has_reply) {
        event_set(ev, F_REPLY_SRC, reply_src, f->reply.src);
        event_set(ev, F_REPLY_SPORT, reply_sport, f->reply.sport);
        event_set(ev, F_REPLY_DST, reply_dst, f->reply.dst);
        event_set(ev, F_REPLY_DPORT, reply_dport, f->reply.dport);
    }
    set_counters(ev, f);
}

int ct_decode(struct event *ev, const uint8_t *message, size_t size, int32_t nsid)
{
    struct nlmsghdr head;
    struct flow f = { .ev = ev };
    if (size < NLMSG_HDRLEN)
        return -EINVAL;
    memcpy(&head, message, sizeof head);
    int type = NFNL_MSG_TYPE(head.nlmsg_type);
    if (NFNL_SUBSYS_ID(head.nlmsg_type) != NFNL_SUBSYS_CTNETLINK || (type != IPCTNL_MSG_CT_NEW && type != IPCTNL_MSG_CT_DELETE))
        return CT_OTHER;
    if (size < NLMSG_HDRLEN + sizeof(struct nfgenmsg))
        return -EINVAL;
    size_t skip = NLMSG_HDRLEN + sizeof(struct nfgenmsg);
    if (attrs_walk(bytes_of(message + skip, size - skip), take_flow, &f) || !f.has_original)
        return -EINVAL;
    /* A new flow and a changed one have the same type: the flag tells them apart. Dumps have no flag: what they show exists. */
    enum flow_phase phase = type == IPCTNL_MSG_CT_DELETE ? FLOW_END : head.nlmsg_flags & NLM_F_CREATE ? FLOW_NEW : FLOW_UPDATE;
    set_flow(ev, &f, phase, nsid);
    return 0;
}
