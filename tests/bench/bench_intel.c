/* Lookup time and memory of full threat lists: LIMIT_INTEL_ENTRIES random entries, half of the questions are hits.
 *   bench_intel */
#include <stdio.h>
#include <stdlib.h>

#include "agent/detect/intel.h"
#include "common/clock.h"

#define QUESTIONS 2000000

static uint64_t seed = 20261123;

static uint32_t next_random(void) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (uint32_t)(seed * 0x2545f4914f6cdd1dull >> 32);
}

static struct address random_address(int family)
{
    struct address a = { .family = (uint8_t)family };
    for (int i = 0; i < (family == 4 ? 4 : 16); i++)
        a.bytes[i] = (uint8_t)(next_random() >> 24);
    if (family == 6) { /* as the allocated space is: 2000::/12, crowded */
        a.bytes[0] = 0x20;
        a.bytes[1] &= 0x0f;
    }
    return a;
}

static void measure(int family)
{
    static struct address questions[65536];
    struct intel intel;
    struct intel_source source = { .list = "bench", .category = "c2" };
    struct intel_match match;
    intel_init(&intel);
    uint64_t start = clock_monotonic_ns();
    for (int i = 0; i < LIMIT_INTEL_ENTRIES; i++) {
        struct address a = random_address(family);
        char shown[46], line[64];
        address_format(&a, shown);
        int n = snprintf(line, sizeof line, i % 10 ? "%s\n" : family == 4 ? "%s/24\n" : "%s/48\n", shown);
        if (intel_load_text(&intel, &source, line, (size_t)n))
            abort();
        if (i % 16 < 1)
            questions[i / 16 % 65536] = i % 32 ? a : random_address(family);
    }
    intel_seal(&intel);
    double load_s = (double)(clock_monotonic_ns() - start) / 1e9;
    uint32_t hits = 0;
    start = clock_monotonic_ns();
    for (int i = 0; i < QUESTIONS; i++)
        hits += intel_lookup(&intel, &questions[next_random() % 62500], &match);
    double ns = (double)(clock_monotonic_ns() - start) / QUESTIONS;
    printf("# IPv%d: %u entries loaded in %.2f s, %.0f %% hits\n", family, intel_count(&intel), load_s, 100.0 * hits / QUESTIONS);
    printf("bench: intel_lookup_v%d_ns %.0f ns\n", family, ns);
    printf("bench: intel_v%d_mib %.1f MiB\n", family,
           (double)(intel.threats.room_v4 * sizeof *intel.threats.v4 + intel.threats.room_v6 * sizeof *intel.threats.v6) / 1048576);
    intel_fini(&intel);
}

int main(void)
{
    measure(4);
    measure(6);
    return 0;
}
