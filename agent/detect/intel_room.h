/* Arrays that grow while lists are loaded, and give back what they did not need when they are sealed. They are bounded by struct intel. */
#ifndef ECSGUARD_INTEL_ROOM_H
#define ECSGUARD_INTEL_ROOM_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Room for one more element. Grows by half: what is not touched yet takes no memory, but it is counted against limits of address space. */
static inline int intel_room(void **array, uint32_t n, uint32_t *room, size_t size)
{
    if (n < *room)
        return 0;
    uint32_t want = *room ? *room + *room / 2 : 64;
    void *bigger = reallocarray(*array, want, size);
    if (!bigger)
        return -ENOMEM;
    *array = bigger;
    *room = want;
    return 0;
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif
#define INTEL_HUGE_BYTES (2u << 20)

/* Large pages for a large table that is asked at random: most of what such a question costs is to find its page, in a virtual machine twice over.
 * What was written already is moved now, or by the kernel when it has time. */
static inline void intel_room_huge(void *array, uint64_t bytes)
{
    uintptr_t from = ((uintptr_t)array + INTEL_HUGE_BYTES - 1) & ~(uintptr_t)(INTEL_HUGE_BYTES - 1), end = (uintptr_t)array + bytes;
    if (!array || from + INTEL_HUGE_BYTES > end)
        return;
    size_t size = (end - from) & ~(uintptr_t)(INTEL_HUGE_BYTES - 1);
    if (!madvise((void *)from, size, MADV_HUGEPAGE))
        (void)madvise((void *)from, size, MADV_COLLAPSE);
}

static inline void intel_room_trim(void **array, uint32_t n, uint32_t *room, size_t size)
{
    void *smaller = n && n < *room ? reallocarray(*array, n, size) : NULL;
    if (smaller) {
        *array = smaller;
        *room = n;
    }
    intel_room_huge(*array, (uint64_t)n * size);
}

/* An index of the first bits of what is in order: one place for four entries, which stand in one line of the processor's cache; at most 4 MiB. */
#define INTEL_INDEX_BYTES 1 /* of one entry, about */

static inline uint32_t intel_index_bits(uint32_t n)
{
    uint32_t bits = 1;
    while (bits < 20 && 4u << bits < n)
        bits++;
    return bits;
}

/* Of that many places, all 0. NULL: no memory. */
static inline uint32_t *intel_index_new(uint32_t places)
{
    uint32_t *index = calloc(places, sizeof *index);
    intel_room_huge(index, places * sizeof *index);
    return index;
}

#endif
