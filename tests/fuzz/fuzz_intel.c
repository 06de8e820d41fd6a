/* A threat list, of whatever format, sometimes in small pieces: what is loaded must be found. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/intel_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_networks(const struct intel *intel)
{
    struct intel_match match;
    for (uint32_t i = 0; i < intel->threats.networks4.n; i++) {
        uint32_t a = intel->threats.networks4.entries[i].start;
        struct address address = { 4, { (uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8), (uint8_t)a } };
        if (!intel_lookup(intel, &address, &match) || match.prefix < intel->threats.networks4.entries[i].prefix)
            abort();
    }
    for (uint32_t i = 0; i < intel->threats.networks6.n; i++) {
        struct address address = { .family = 6 };
        for (int j = 0; j < 16; j++)
            address.bytes[j] = (uint8_t)(intel->threats.networks6.entries[i].start[j / 8] >> (56 - 8 * (j % 8)));
        if (!intel_lookup(intel, &address, &match) || match.prefix < intel->threats.networks6.entries[i].prefix)
            abort();
    }
    for (uint32_t i = 0; i < intel->threats.hosts4.n; i++) {
        const uint8_t *b = intel->threats.hosts4.records + 6 * (size_t)i;
        struct address address = { 4, { b[0], b[1], b[2], b[3] } };
        if (!intel_lookup(intel, &address, &match) || match.prefix != 32)
            abort();
    }
}

static void check_domains(const struct intel *intel)
{
    const struct intel_domains *s = &intel->threats.domains;
    struct intel_match match;
    char name[INTEL_DOMAIN_MAX + 2] = "x.";
    for (uint32_t at = 0; at < s->size; at += 3u + s->text[at + 2]) {
        size_t length = s->text[at + 2];
        unsigned covers = (unsigned)s->text[at + 1] >> 6;
        memcpy(name + 2, s->text + at + 3, length);
        if ((covers & INTEL_COVERS_SELF) && (!intel_lookup_domain(intel, name + 2, length, &match) || match.skipped))
            abort();
        if ((covers & INTEL_COVERS_BELOW) && (!intel_lookup_domain(intel, name, length + 2, &match) || match.skipped > 2))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct intel intel;
    struct intel_source source = { .list = "fuzz", .category = "c2" };
    struct intel_reader reader;
    intel_init(&intel);
    intel_reader_init(&reader, &intel, &source);
    for (size_t at = 0, piece = size % 7 ? size : 5; at < size; at += piece)
        intel_reader_feed(&reader, (const char *)data + at, size - at < piece ? size - at : piece);
    intel_reader_end(&reader);
    if (intel_seal(&intel))
        abort();
    check_networks(&intel);
    check_domains(&intel);
    intel_fini(&intel);
    return 0;
}
