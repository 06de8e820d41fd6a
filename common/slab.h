/* Blocks of a few sizes out of one fixed arena: what looks like allocation on the hot path is a list pop, and the whole can
 * never grow beyond its arena. Memory is touched only as it is used. Free neighbours become one larger block again (buddies), so that a
 * time of many small blocks leaves room for large ones behind. */
#ifndef ECSGUARD_SLAB_H
#define ECSGUARD_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_CLASSES 8 /* 128 B ... 16 KiB, each twice the one before */
#define SLAB_MIN 128u
#define SLAB_MAX (SLAB_MIN << (SLAB_CLASSES - 1))

struct slab {
    uint8_t *arena;
    uint8_t *free_class; /* of each SLAB_MIN of the arena: 1 + class of the free block that begins there, 0 = none does */
    size_t size;
    size_t used;  /* bytes in blocks that are taken */
    size_t begun; /* what is behind was never touched */
    struct slab_block *free[SLAB_CLASSES];
};

int slab_init(struct slab *slab, size_t arena_bytes); /* whole blocks of 16 KiB. 0 or -ENOMEM */
void slab_fini(struct slab *slab);

/* A block of at least *size bytes, or NULL when the arena is used up (or more than 16 KiB are wanted). *size becomes the block's own. */
void *slab_take(struct slab *slab, size_t *size);
void slab_give(struct slab *slab, void *block, size_t size); /* the size that slab_take() said */

#endif
