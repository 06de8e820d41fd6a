/* A byte ring between exactly one producer thread and one consumer thread. Records are whole or absent; a full ring
 * refuses and the producer counts. No locks, no allocation after ring_init(). */
#ifndef ECSGUARD_RING_H
#define ECSGUARD_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    uint8_t *data;
    size_t size; /* power of two */
    _Alignas(64) _Atomic size_t head; /* next byte to read; the consumer's */
    _Alignas(64) _Atomic size_t tail; /* next byte to write; the producer's */
    bool spread; /* the producer's: more than the first quarter was written since the rest was given back */
};

/* 0 or -ENOMEM. `size` is a power of two. Memory is touched only as it is used: by a consumer that keeps up, the first quarter;
 * what a burst needed beyond is given back to the kernel. */
int ring_init(struct ring *ring, size_t size);
void ring_fini(struct ring *ring);

/* Producer. Room for one record of at most `size` bytes (8-byte aligned, contiguous), or NULL if the ring would then
 * have less than `keep_free` bytes left. Nothing is visible until ring_commit() with the final size <= the reserved. */
void *ring_reserve(struct ring *ring, size_t size, size_t keep_free);
void ring_commit(struct ring *ring, size_t size);

/* Consumer. The oldest record and its size, or NULL; it stays valid until ring_pop(). */
const void *ring_peek(struct ring *ring, size_t *size);
void ring_pop(struct ring *ring);

/* Consumer, when records must stay until they are safe elsewhere: start with at = ring_start(), then each ring_next() gives the
 * record at `*at` and moves on, NULL at the end; ring_pop_to() frees everything before `at`. */
size_t ring_start(const struct ring *ring);
const void *ring_next(const struct ring *ring, size_t *at, size_t *size);
void ring_pop_to(struct ring *ring, size_t at);

/* Bytes in use: a queue depth for the user. Any thread. */
size_t ring_used(const struct ring *ring);

#endif
