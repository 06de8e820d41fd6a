#include "common/hash.h"

#include <endian.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "common/bytes.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t m)
{
    s->v3 ^= m;
    sip_round(s);
    sip_round(s);
    s->v0 ^= m;
}

/* The bytes behind the last whole word. */
static inline uint64_t load_rest(const uint8_t *p, size_t n)
{
    uint64_t m = 0;
    for (size_t i = 0; i < n; i++)
        m |= (uint64_t)p[i] << (8 * i);
    return m;
}

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t size)
{
    const uint8_t *p = data;
    size_t words = size / 8;
    struct sip s = { key->k0 ^ 0x736f6d6570736575ull, key->k1 ^ 0x646f72616e646f6dull,
                     key->k0 ^ 0x6c7967656e657261ull, key->k1 ^ 0x7465646279746573ull };

    for (size_t i = 0; i < words; i++)
        sip_word(&s, le64toh(load_u64(p + 8 * i)));
    sip_word(&s, (uint64_t)size << 56 | load_rest(p + 8 * words, size % 8));
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

struct hash_key hash_key_random(void)
{
    struct hash_key key;
    if (getrandom(&key, sizeof key, GRND_NONBLOCK) != sizeof key) {
        /* Only before the entropy pool is ready, early in boot: a guessable key costs speed, not correctness. */
        key.k0 = (uint64_t)time(NULL);
        key.k1 = (uint64_t)(uintptr_t)&key;
    }
    return key;
}

void hash_hex(const void *data, size_t size, char out[33])
{
    const struct hash_key a = { 1, 2 }, b = { 3, 4 };
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)hash_bytes(&a, data, size),
             (unsigned long long)hash_bytes(&b, data, size));
}
