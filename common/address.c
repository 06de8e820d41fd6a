#include "common/address.h"

#include <netinet/in.h>
#include <string.h>

#include "common/bytes.h"

bool address_is_loopback(const struct address *a)
{
    static const uint8_t one[16] = { [15] = 1 };
    return a->family == 4 ? a->bytes[0] == 127 : a->family == 6 && !memcmp(a->bytes, one, sizeof one);
}

static bool is_public4(uint32_t a)
{
    static const struct {
        uint32_t net;
        uint8_t prefix;
    } others[] = {
        { 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 }, { 0x7f000000, 8 }, { 0xa9fe0000, 16 },
        { 0xac100000, 12 }, { 0xc0a80000, 16 }, { 0xe0000000, 3 },
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (a >> (32 - others[i].prefix) == others[i].net >> (32 - others[i].prefix))
            return false;
    return true;
}

bool address_is_public(const struct address *address)
{
    if (address->family == 4)
        return is_public4((uint32_t)load_be32(address->bytes));
    return address->family == 6 && (address->bytes[0] & 0xe0) == 0x20;
}

uint64_t address_hash(const struct hash_key *key, const struct address *address)
{
    return hash_bytes(key, address->bytes, address->family == 4 ? 4 : 16);
}

const char *ip_proto_name(uint8_t proto)
{
    switch (proto) {
    case IPPROTO_TCP:
        return "tcp";
    case IPPROTO_UDP:
        return "udp";
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        return "icmp";
    }
    return "other";
}
