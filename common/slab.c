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

void *slab_take(struct slab *slab, size_t size)
{
    int c = class_of(size);
    if (c == SLAB_CLASSES)
        return NULL;
    void *block = slab->free[c];
    if (block) {
        memcpy(&slab->free[c], block, sizeof(void *)); /* a free block starts with the next one */
        return block;
    }
    size_t bytes = SLAB_MIN << c;
    if (slab->size - slab->used < bytes)
        return NULL;
    block = slab->arena + slab->used;
    slab->used += bytes;
    return block;
}

void slab_give(struct slab *slab, void *block, size_t size)
{
    int c = class_of(size);
    memcpy(block, &slab->free[c], sizeof(void *));
    slab->free[c] = block;
}
