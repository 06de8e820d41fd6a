#include "common/slab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int slab_init(struct slab *slab, size_t arena_bytes)
{
    memset(slab, 0, sizeof *slab);
    void *arena = mmap(NULL, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED)
        return -ENOMEM;
    slab->arena = arena;
    slab->size = arena_bytes;
    return 0;
}

void slab_fini(struct slab *slab)
{
    if (slab->arena)
        munmap(slab->arena, slab->size);
    slab->arena = NULL;
}

static int class_of(size_t size)
{
    int c = 0;
    while (c < SLAB_CLASSES && (SLAB_MIN << c) < size)
        c++;
    return c;
}

static void *pop(struct slab *slab, int c, size_t *size)
{
    void *block = slab->free[c];
    if (!block)
        return NULL;
    memcpy(&slab->free[c], block, sizeof(void *)); /* a free block starts with the next one */
    *size = SLAB_MIN << c;
    return block;
}

void *slab_take(struct slab *slab, size_t *size)
{
    int c = class_of(*size);
    if (c == SLAB_CLASSES)
        return NULL;
    void *block = pop(slab, c, size);
    size_t bytes = SLAB_MIN << c;
    if (!block && slab->size - slab->used >= bytes) {
        block = slab->arena + slab->used;
        slab->used += bytes;
        *size = bytes;
    }
    while (!block && ++c < SLAB_CLASSES) /* better a block too large than none */
        block = pop(slab, c, size);
    return block;
}

void slab_give(struct slab *slab, void *block, size_t size)
{
    int c = class_of(size);
    memcpy(block, &slab->free[c], sizeof(void *));
    slab->free[c] = block;
}
