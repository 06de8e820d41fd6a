/* Decoder of NFLOG datagrams (linux/netfilter/nfnetlink_log.h): one may hold many packets. Pure. */
#ifndef ECSGUARD_NFLOG_DECODE_H
#define ECSGUARD_NFLOG_DECODE_H

#include "common/bytes.h"

struct nflog_packet {
    struct bytes payload; /* from the IP header on, as far as it was copied */
    uint16_t protocol;    /* ETH_P_*, host order */
    uint8_t hook;         /* NF_INET_* */
    bool has_uid, has_seq, has_indev;
    uint32_t uid;         /* of the socket's owner: packets that go out have one */
    uint32_t seq;         /* counts the packets of this socket */
    uint32_t indev;
};

/* The next packet of a datagram that came from port 0 (the kernel's). 1; 0 at the end; -EINVAL when the rest is no message: nothing
 * behind it can be trusted. Messages that are no packets are passed over. */
int nflog_decode(struct bytes *datagram, struct nflog_packet *packet);

#endif
