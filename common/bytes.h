/* Reading numbers out of untrusted bytes: every read is checked against what is left, a read past the end yields
 * zero and marks the reader as failed, so that a decoder checks once at its end. */
#ifndef ECSGUARD_BYTES_H
#define ECSGUARD_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){ .at = data, .left = size, .failed = false };
}

/* The next `size` bytes, or NULL (and failed) if there are fewer. */
static inline const uint8_t *bytes_take(struct bytes *b, size_t size)
{
    if (b->failed || b->left < size) {
        b->failed = true;
        return NULL;
    }
    const uint8_t *p = b->at;
    b->at += size;
    b->left -= size;
    return p;
}

static inline uint16_t load_be16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t load_be32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t load_be64(const void *p)
{
    return (uint64_t)load_be32(p) << 32 | load_be32((const uint8_t *)p + 4);
}

/* Host-order loads from unaligned kernel buffers. */
static inline uint16_t load_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

#endif
