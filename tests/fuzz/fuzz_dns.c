/* One datagram of NFLOG packets, decoded as the DNS sensor does it; and as one packet, which a fuzzer reaches sooner. */
#include <stdint.h>
#include <stdlib.h>

#include "agent/sensors/dns_decode.h"
#include "agent/sensors/nflog_decode.h"
#include "common/dns_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_message(const struct dns_segment *s, const struct dns_message *m)
{
    static union event_buffer buffer;
    for (unsigned i = 0; i < dns_question_count(m); i++) {
        struct event *ev = &buffer.event;
        struct dns_record record;
        size_t at = 0;
        event_init(ev, EVENT_DNS, SOURCE_DNS, 1);
        if (dns_decode(ev, s, m, i))
            return;
        if (event_check(ev, ev->size) || !event_knows(ev, F_DNS_OP) || !ev->src.family || ev->dns_name.len > LIMIT_DOMAIN_BYTES)
            abort();
        while (at < ev->dns_answers.len) /* what we write, we read */
            if (!dns_record_next(event_text(ev, ev->dns_answers), ev->dns_answers.len, &at, &record))
                abort();
    }
}

static void decode_packet(struct dns_streams *streams, struct bytes packet)
{
    struct dns_segment segment;
    struct dns_message message;
    int r = dns_segment_decode(packet, &segment);
    for (int n = 0; r > 0 && dns_message_next(streams, 1, &segment, &message) > 0; n++) {
        if (message.data.left > message.size || n > 65536)
            abort();
        decode_message(&segment, &message);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_streams streams;
    struct bytes datagram = bytes_of(data, size);
    struct nflog_packet packet;
    while (nflog_decode(&datagram, &packet) > 0)
        decode_packet(&streams, packet.payload);
    decode_packet(&streams, bytes_of(data, size));
    return 0;
}
