#include "common/ring.h"

#include <errno.h>
#include <sys/mman.h>

/* Each record starts with its length word (payload bytes); WRAP fills the end of the buffer. Records are 8-aligned, so
 * one length word always fits before the end. */
#define WRAP UINT64_MAX
#define PAGE 4096

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

int ring_init(struct ring *ring, size_t size)
{
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return -ENOMEM;
    ring->data = data;
    ring->size = size;
    ring->spread = false;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    return 0;
}

void ring_fini(struct ring *ring)
{
    if (ring->data)
        munmap(ring->data, ring->size);
    ring->data = NULL;
}

/* An empty ring holds nothing: what a burst has touched goes back to the kernel. */
static void give_back(struct ring *ring, size_t keep)
{
    if (ring->spread)
        madvise(ring->data + keep, ring->size - keep, MADV_DONTNEED);
    ring->spread = false;
}

/* Where the next record of `need` bytes (length word included) starts; skips the buffer's end if it does not fit. An empty ring begins anew once a
 * quarter of it was used, so that its other pages stay untouched until a burst needs them. `keep_free` is the least that must be left then. */
static size_t place(struct ring *ring, size_t head, size_t tail, size_t need, size_t keep_free)
{
    size_t at = tail & (ring->size - 1), to_end = ring->size - at, keep = ring->size / 4 + PAGE;
    bool begins_anew = head == tail && at >= ring->size / 4 && need + keep_free <= at;
    if (begins_anew)
        give_back(ring, keep);
    bool skips = begins_anew || need > to_end;
    ring->spread |= ring->size >= 16 * PAGE && (skips ? 0 : at) + need > keep;
    return skips ? tail + to_end : tail;
}

void *ring_reserve(struct ring *ring, size_t size, size_t keep_free)
{
    size_t need = align8(size) + 8;
    size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t start = place(ring, head, tail, need, keep_free);
    if (start + need - head + keep_free > ring->size)
        return NULL;
    if (start != tail)
        *(uint64_t *)(void *)(ring->data + (tail & (ring->size - 1))) = WRAP;
    /* The length word holds the reserved size until the commit says the real one: it tells commit where we are. */
    *(uint64_t *)(void *)(ring->data + (start & (ring->size - 1))) = start;
    return ring->data + (start & (ring->size - 1)) + 8;
}

void ring_commit(struct ring *ring, size_t size)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t *word = (uint64_t *)(void *)(ring->data + (tail & (ring->size - 1)));
    if (*word == WRAP) {
        tail += ring->size - (tail & (ring->size - 1));
        word = (uint64_t *)(void *)ring->data;
    }
    *word = size;
    atomic_store_explicit(&ring->tail, tail + 8 + align8(size), memory_order_release);
}

const void *ring_peek(struct ring *ring, size_t *size)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == tail)
        return NULL;
    uint64_t *word = (uint64_t *)(void *)(ring->data + (head & (ring->size - 1)));
    if (*word == WRAP) {
        head += ring->size - (head & (ring->size - 1));
        atomic_store_explicit(&ring->head, head, memory_order_release);
        word = (uint64_t *)(void *)ring->data;
    }
    *size = *word;
    return word + 1;
}

void ring_pop(struct ring *ring)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t size = *(uint64_t *)(void *)(ring->data + (head & (ring->size - 1)));
    atomic_store_explicit(&ring->head, head + 8 + align8(size), memory_order_release);
}

size_t ring_start(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed);
}

const void *ring_next(const struct ring *ring, size_t *at, size_t *size)
{
    if (*at == atomic_load_explicit(&ring->tail, memory_order_acquire))
        return NULL;
    const uint64_t *word = (const uint64_t *)(const void *)(ring->data + (*at & (ring->size - 1)));
    if (*word == WRAP) {
        *at += ring->size - (*at & (ring->size - 1));
        word = (const uint64_t *)(const void *)ring->data;
    }
    *size = *word;
    *at += 8 + align8(*word);
    return word + 1;
}

void ring_pop_to(struct ring *ring, size_t at)
{
    atomic_store_explicit(&ring->head, at, memory_order_release);
}

size_t ring_used(const struct ring *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_relaxed) - atomic_load_explicit(&ring->head, memory_order_relaxed);
}
