/* Lookup time, loading time and memory of large threat lists: 5,000,000 entries of each kind (or as many as the argument says). Each question is
 * asked once and in random order, so that the processor's caches do not know the answer; medians of batches. Beside it, in the same
 * run, one random read of the same amount of memory: what no table can beat.
 *   bench_intel [ENTRIES] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/intel_load.h"
#include "common/clock.h"

#define BATCH 1000
#define BATCHES 400

static uint64_t state = 20261123;

static uint64_t next_random(void) /* xorshift64* */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}

static uint64_t mix(uint64_t x) /* the same for the same number: entries can be asked for again */
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

enum kind { IPV4, IPV6, DOMAIN, SHA256, KINDS };
static const char *const kind_names[] = { "v4", "v6", "domain", "sha256" };

/* The i-th entry as a line; entries from `n` on are not listed. */
static int print_entry(enum kind kind, uint64_t i, char *line, size_t size)
{
    uint64_t x = mix(i + 1), y = mix(x);
    switch (kind) {
    case IPV4:
        return snprintf(line, size, "%u.%u.%u.%u", 1 + (unsigned)(x >> 56) % 223, (unsigned)(x >> 48) & 255, (unsigned)(x >> 40) & 255, (unsigned)(x >> 32) & 255);
    case IPV6: /* crowded in few networks, as real ones */
        return snprintf(line, size, "2001:%x:%x:%x::%x", (unsigned)(y & 0xff), (unsigned)(x >> 48), (unsigned)(x >> 32) & 0xffff, (unsigned)x & 0xffff);
    case DOMAIN: /* 17 bytes on average */
        return snprintf(line, size, "%.*s%llx.example%u.com", (int)(y % 5), "shop-", (unsigned long long)(x >> 36), (unsigned)(y >> 8 & 15));
    case SHA256:
        return snprintf(line, size, "%016llx%016llx%016llx%016llx", (unsigned long long)x, (unsigned long long)y, (unsigned long long)mix(y), (unsigned long long)i);
    case KINDS:
        break;
    }
    return 0;
}

static double load(struct intel *intel, enum kind kind, uint64_t n)
{
    static char text[1 << 20];
    struct intel_source source = { .list = "bench", .category = "c2" };
    double seconds = 0;
    size_t used = 0;
    for (uint64_t i = 0; i <= n; i++) {
        if (i == n || used > sizeof text - 256) {
            uint64_t start = clock_monotonic_ns();
            if (intel_load_text(intel, &source, text, used))
                abort();
            seconds += (double)(clock_monotonic_ns() - start) / 1e9;
            used = 0;
        }
        used += (size_t)print_entry(kind, i, text + used, 128);
        text[used++] = '\n';
    }
    uint64_t start = clock_monotonic_ns();
    if (intel_seal(intel))
        abort();
    return seconds + (double)(clock_monotonic_ns() - start) / 1e9;
}

static int compare(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

struct question {
    char name[72];
    size_t length;
    struct address address;
    uint8_t digest[INTEL_DIGEST_BYTES];
};

static void make_questions(struct question *q, enum kind kind, uint64_t n, bool hit)
{
    for (int i = 0; i < BATCH; i++) {
        int length = print_entry(kind, next_random() % n + (hit ? 0 : 1ull << 40), q[i].name, sizeof q[i].name);
        q[i].length = (size_t)length;
        if (kind == SHA256)
            intel_digest_parse(q[i].name, 64, q[i].digest);
        else if (kind != DOMAIN && address_parse(q[i].name, &q[i].address))
            abort();
    }
}

static bool ask(const struct intel *intel, enum kind kind, const struct question *q, struct intel_match *match)
{
    if (kind == DOMAIN)
        return intel_lookup_domain(intel, q->name, q->length, match);
    return kind == SHA256 ? intel_lookup_hash(intel, q->digest, match) : intel_lookup(intel, &q->address, match);
}

/* Median over batches of the mean of one batch, in ns. */
static double measure(const struct intel *intel, enum kind kind, uint64_t n, bool hit, double *hits)
{
    static struct question questions[BATCH];
    static double times[BATCHES];
    struct intel_match match;
    uint64_t found = 0;
    for (int b = 0; b < BATCHES; b++) {
        make_questions(questions, kind, n, hit);
        uint64_t start = clock_monotonic_ns();
        for (int i = 0; i < BATCH; i++)
            found += ask(intel, kind, &questions[i], &match);
        times[b] = (double)(clock_monotonic_ns() - start) / BATCH;
    }
    qsort(times, BATCHES, sizeof *times, compare);
    *hits = (double)found / (BATCH * BATCHES);
    return times[BATCHES / 2];
}

/* One read that depends on the one before it, somewhere in that much memory. */
static double read_cost(uint64_t bytes)
{
    static double times[BATCHES];
    uint64_t n = bytes / sizeof(uint64_t), at = 0;
    uint64_t *memory = malloc(n * sizeof *memory);
    if (!memory)
        abort();
    for (uint64_t i = 0; i < n; i++)
        memory[i] = mix(i);
    for (int b = 0; b < BATCHES; b++) {
        uint64_t start = clock_monotonic_ns();
        for (uint64_t i = 0; i < BATCH; i++)
            at = (memory[at] + i + (uint64_t)b) % n;
        times[b] = (double)(clock_monotonic_ns() - start) / BATCH;
    }
    free(memory);
    qsort(times, BATCHES, sizeof *times, compare);
    return times[BATCHES / 2] + (at == n); /* at < n: it is used */
}

int main(int argc, char **argv)
{
    double sum = 0, reads = 0;
    uint64_t n = argc > 1 && argv[1][0] >= '0' && argv[1][0] <= '9' ? strtoull(argv[1], NULL, 10) : 5000000; /* or names of figures */
    for (enum kind kind = IPV4; kind < KINDS; kind++) {
        struct intel intel;
        double hits, misses;
        intel_init(&intel);
        double seconds = load(&intel, kind, n);
        double hit = measure(&intel, kind, n, true, &hits), miss = measure(&intel, kind, n, false, &misses);
        const char *name = kind_names[kind];
        double read = read_cost(intel.bytes);
        printf("# %s: %llu entries; %.1f %% of what is asked for is found, %.1f %% of the rest; one random read %.0f ns\n", name,
               (unsigned long long)intel_count(&intel), 100 * hits, 100 * misses, read);
        sum += kind == SHA256 ? 0 : (hit + miss) / 6;
        reads += kind == SHA256 ? 0 : read / 3;
        printf("bench: intel_lookup_%s_hit_ns %.0f ns\n", name, hit);
        printf("bench: intel_lookup_%s_miss_ns %.0f ns\n", name, miss);
        printf("bench: intel_load_%s_s %.2f s\n", name, seconds);
        printf("bench: intel_%s_mib_per_million %.1f MiB\n", name, (double)intel.bytes / (double)n * 1e6 / 1048576);
        intel_fini(&intel);
    }
    printf("bench: intel_lookup_ns %.0f ns vs one random read of memory %.0f\n", sum, reads); /* of addresses and domains, half of them listed */
    return 0;
}
