#include "agent/detect/metadata.h"

#include <string.h>

static const struct metadata_service services[] = {
    { METADATA_INSTANCE, "169.254.169.254", "the instance metadata service" },
    { METADATA_INSTANCE, "fd00:ec2::254", "the instance metadata service" },
    { METADATA_TASK, "169.254.170.2", "the task metadata and credentials service" },
    { METADATA_POD, "169.254.170.23", "the pod credentials service" },
    { METADATA_POD, "fd00:ec2::23", "the pod credentials service" },
};

/* The IPv4 address inside of one that NAT64 translates; address_parse() has already taken mapped ones apart. */
static struct address inner(const struct address *address)
{
    static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    if (address->family != 6 || memcmp(address->bytes, nat64, sizeof nat64))
        return *address;
    struct address v4 = { .family = 4 };
    memcpy(v4.bytes, address->bytes + 12, 4);
    return v4;
}

const struct metadata_service *metadata_service_find(const struct address *address)
{
    const struct address plain = inner(address);
    /* all of them begin so: nothing else is compared */
    if (plain.family == 4 ? plain.bytes[0] != 169 : plain.bytes[0] != 0xfd)
        return NULL;
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        struct address known;
        if (!address_parse(services[i].address, &known) && address_equal(&known, &plain))
            return &services[i];
    }
    return NULL;
}
