#include "agent/sensors/diag_flow.h"

#include <netinet/in.h>

#include "common/hash.h"

static bool is_any(const struct address *a)
{
    static const uint8_t none[16];
    return !a->family || !memcmp(a->bytes, none, a->family == 4 ? 4 : 16);
}

static uint64_t flow_id(const struct inet_socket *socket, int32_t nsid)
{
    static const struct hash_key key = { 0x65637367, 0x64696167 }; /* fixed, so that a recorded flow keeps its id; cookies are the kernel's choice */
    uint8_t bytes[16] = { 0 };
    memcpy(bytes, &socket->cookie, 8);
    memcpy(bytes + 8, &nsid, 4);
    return hash_bytes(&key, bytes, sizeof bytes);
}

static void set_ends(struct event *ev, const struct address *src, uint16_t sport, const struct address *dst, uint16_t dport)
{
    event_set(ev, F_SRC, src, *src);
    event_set(ev, F_SPORT, sport, sport);
    event_set(ev, F_DST, dst, *dst);
    event_set(ev, F_DPORT, dport, dport);
    event_set(ev, F_REPLY_SRC, reply_src, *dst);
    event_set(ev, F_REPLY_SPORT, reply_sport, dport);
    event_set(ev, F_REPLY_DST, reply_dst, *src);
    event_set(ev, F_REPLY_DPORT, reply_dport, sport);
}

bool diag_flow(struct event *ev, const struct inet_socket *socket, int32_t nsid)
{
    if ((socket->proto != IPPROTO_TCP && socket->proto != IPPROTO_UDP) || !socket->lport || !socket->pport || is_any(&socket->peer))
        return false;
    bool began = socket->lport >= socket->pport;
    event_set(ev, F_FLOW_PHASE, flow_phase, FLOW_END);
    event_set(ev, F_FLOW_ID, flow_id, flow_id(socket, nsid));
    event_set(ev, F_NSID, nsid, nsid);
    event_set(ev, F_PROTO, proto, socket->proto);
    if (began)
        set_ends(ev, &socket->local, socket->lport, &socket->peer, socket->pport);
    else
        set_ends(ev, &socket->peer, socket->pport, &socket->local, socket->lport);
    if (socket->proto == IPPROTO_TCP && socket->has_bytes) {
        event_set(ev, F_BYTES_OUT, bytes_out, began ? socket->bytes_acked : socket->bytes_received);
        event_set(ev, F_BYTES_IN, bytes_in, began ? socket->bytes_received : socket->bytes_acked);
    }
    return true;
}
