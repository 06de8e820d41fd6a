/* A threat list: what is loaded must be found. */
#include <stdint.h>
#include <stdlib.h>

#include "agent/detect/intel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct intel intel;
    struct intel_source source = { .list = "fuzz", .category = "c2" };
    struct intel_match match;
    intel_init(&intel);
    intel_load_text(&intel, &source, (const char *)data, size);
    if (intel_seal(&intel))
        abort();
    for (uint32_t i = 0; i < intel.threats.n_v4; i++) {
        uint32_t a = intel.threats.v4[i].start;
        struct address address = { 4, { (uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8), (uint8_t)a } };
        if (!intel_lookup(&intel, &address, &match) || match.prefix < intel.threats.v4[i].prefix)
            abort();
    }
    for (uint32_t i = 0; i < intel.threats.n_v6; i++) {
        struct address address = { .family = 6 };
        for (int j = 0; j < 16; j++)
            address.bytes[j] = (uint8_t)(intel.threats.v6[i].start[j / 8] >> (56 - 8 * (j % 8)));
        if (!intel_lookup(&intel, &address, &match) || match.prefix < intel.threats.v6[i].prefix)
            abort();
    }
    intel_fini(&intel);
    return 0;
}
