/* SipHash-2-4 (Aumasson, Bernstein 2012): table hashing that containers cannot flood, and stable finding ids. */
#ifndef ECSGUARD_HASH_H
#define ECSGUARD_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

/* A fresh random key for tables, from getrandom(2). */
struct hash_key hash_key_random(void);

/* 64-bit SipHash-2-4 of `size` bytes. */
uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t size);

/* 32 lower-case hex digits and a NUL: the same on every host and run for the same bytes. */
void hash_hex(const void *data, size_t size, char out[33]);

#endif
