/* Blocks of a few sizes out of one fixed arena: what looks like allocation on the hot path is a list pop, and the whole can
 * never grow beyond its arena. Memory is touched only as it is used. */
#ifndef ECSGUARD_SLAB_H
#define ECSGUARD_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_CLASSES 8 /* 128 B ... 16 KiB, each twice the one before */
#define SLAB_MIN 128u

struct slab {
    uint8_t *arena;
    size_t size, used;
    void *free[SLAB_CLASSES];
};

int slab_init(struct slab *slab, size_t arena_bytes); /* 0 or -ENOMEM */
void slab_fini(struct slab *slab);

/* A block of at least *size bytes, or NULL when the arena is used up (or more than 16 KiB are wanted). *size becomes the block's own. */
void *slab_take(struct slab *slab, size_t *size);
void slab_give(struct slab *slab, void *block, size_t size); /* the size that slab_take() said */

#endif
