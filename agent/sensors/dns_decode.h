/* Decoder of DNS messages (RFC 1035, 3596, 9460) in packets as NFLOG gives them: IP header, UDP or TCP, messages. Bytes to EVENT_DNS,
 * strict and bounded. Pure. */
#ifndef ECSGUARD_DNS_DECODE_H
#define ECSGUARD_DNS_DECODE_H

#include "common/bytes.h"
#include "common/event.h"

/* What UDP or TCP carries in one packet. */
struct dns_segment {
    struct address src, dst;
    uint16_t sport, dport;
    uint8_t proto;     /* IPPROTO_UDP, IPPROTO_TCP */
    struct bytes data; /* as far as it was copied */
    size_t length;     /* as the headers say; more than data.left when the packet was cut */
    bool fragment;     /* the first of several: more follows elsewhere */
    uint32_t seq;      /* TCP: number of the first byte */
    /* TCP: where dns_message_next() is */
    size_t at;
    uint16_t expected; /* length of the message that begins there, 0 = two bytes say it */
    bool begun;
};

/* One DNS message, as far as it is here: all of it if data.left == size. */
struct dns_message {
    struct bytes data;
    size_t size;
};

/* A packet that begins with its IP header. 1; 0 when it carries nothing of interest (TCP without data, a later fragment); -EINVAL when it is
 * no IPv4 or IPv6 with UDP or TCP, or its headers lie. */
int dns_segment_decode(struct bytes packet, struct dns_segment *segment);

/* Messages over TCP do not end where segments end. Remembered is only where the next message of a connection begins, when that is not at
 * the start of its next segment: LIMIT_DNS_STREAMS connections, the least recently used leave. Bytes are not kept: a message is told with
 * what its first segment holds. */
struct dns_stream {
    uint64_t key; /* 0 = free */
    uint32_t next_seq;
    uint16_t expected;
    uint32_t used;
};

struct dns_streams {
    struct dns_stream streams[LIMIT_DNS_STREAMS];
    uint32_t clock;
};

/* The next message of a segment: 1, 0 at the end, -EINVAL when TCP data are no messages. `scope` tells network namespaces apart. */
int dns_message_next(struct dns_streams *streams, uint64_t scope, struct dns_segment *segment, struct dns_message *message);

/* How many events a message makes: one for each question, one if it has none, at most LIMIT_DNS_QUESTIONS. */
unsigned dns_question_count(const struct dns_message *message);

/* Question number `question` of a message (0 = the first, which is told even if there is none; with it go the answers) into an event that
 * event_init() has prepared as EVENT_DNS. 0, or -EINVAL: this is no DNS message, or one between a server's port and a client that goes
 * the wrong way. What was not here or is broken behind the questions leaves dns_truncated = 1. */
int dns_decode(struct event *ev, const struct dns_segment *segment, const struct dns_message *message, unsigned question);

#endif
