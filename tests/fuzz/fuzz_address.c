/* One datagram of rtnetlink messages about addresses and namespaces, decoded as the address sensor does it. */
#include <stdint.h>
#include <stdlib.h>

#include "agent/enrich/netns_addresses.h"
#include "agent/sensors/address_decode.h"
#include "agent/sensors/netlink_attrs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct netns_addresses addresses;
    struct bytes datagram = bytes_of(data, size);
    const uint8_t *message;
    size_t length;
    if (!addresses.slots && netns_addresses_init(&addresses))
        abort();
    while (netlink_next(&datagram, &message, &length) > 0) {
        struct event ev;
        int32_t nsid = -1;
        event_init(&ev, EVENT_NETNS, SOURCE_NETNS, 1);
        if (address_decode(&ev, message, length, &nsid))
            continue;
        if (event_check(&ev, ev.size) || !event_knows(&ev, F_NSID) || ev.nsid != nsid)
            abort();
        netns_addresses_apply(&addresses, &ev);
        if (ev.netns_op == NETNS_ADDRESS && !netns_has_address(&addresses, nsid, &ev.src))
            abort();
    }
    return 0;
}
