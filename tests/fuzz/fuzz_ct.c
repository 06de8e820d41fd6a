/* One datagram of conntrack messages, decoded as the flow sensor does it. */
#include <stdint.h>
#include <stdlib.h>

#include "agent/sensors/ct_decode.h"
#include "agent/sensors/netlink_attrs.h"
#include "agent/sensors/flow_twins.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct flow_twins twins;
    struct bytes datagram = bytes_of(data, size);
    const uint8_t *message;
    size_t length;
    if (!twins.twins && flow_twins_init(&twins, (struct hash_key){ 1, 2 }))
        abort();
    for (int n = 0; netlink_next(&datagram, &message, &length) > 0; n++) {
        struct event ev;
        event_init(&ev, EVENT_FLOW, SOURCE_FLOW, 1);
        if (ct_decode(&ev, message, length, n % 3 - 1))
            continue;
        if (event_check(&ev, ev.size) || !event_knows(&ev, F_FLOW_ID) || !ev.src.family)
            abort();
        flow_twins_pass(&twins, &ev);
    }
    return 0;
}
