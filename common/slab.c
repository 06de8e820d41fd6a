#include "common/slab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* A free block; it lies in the block itself. */
struct slab_block {
    struct slab_block *next, *before;
};

static void *zeroed(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int slab_init(struct slab *slab, size_t arena_bytes)
{
    memset(slab, 0, sizeof *slab);
    slab->size = arena_bytes / SLAB_MAX * SLAB_MAX;
    slab->arena = zeroed(slab->size);
    slab->free_class = zeroed(slab->size / SLAB_MIN);
    if (slab->arena && slab->free_class)
        return 0;
    slab_fini(slab);
    return -ENOMEM;
}

void slab_fini(struct slab *slab)
{
    if (slab->arena)
        munmap(slab->arena, slab->size);
    if (slab->free_class)
        munmap(slab->free_class, slab->size / SLAB_MIN);
    slab->arena = slab->free_class = NULL;
}

static int class_of(size_t size)
{
    int c = 0;
    while (c < SLAB_CLASSES && (SLAB_MIN << c) < size)
        c++;
    return c;
}

static void push(struct slab *slab, size_t at, int c)
{
    struct slab_block *block = (void *)(slab->arena + at);
    *block = (struct slab_block){ .next = slab->free[c] };
    if (block->next)
        block->next->before = block;
    slab->free[c] = block;
    slab->free_class[at / SLAB_MIN] = (uint8_t)(c + 1);
}

static size_t drop(struct slab *slab, struct slab_block *block, int c)
{
    size_t at = (size_t)((uint8_t *)block - slab->arena);
    if (block->before)
        block->before->next = block->next;
    else
        slab->free[c] = block->next;
    if (block->next)
        block->next->before = block->before;
    slab->free_class[at / SLAB_MIN] = 0;
    return at;
}

void *slab_take(struct slab *slab, size_t *size)
{
    const int wanted = class_of(*size);
    size_t at;
    int c = wanted;
    if (wanted == SLAB_CLASSES)
        return NULL;
    while (c < SLAB_CLASSES && !slab->free[c])
        c++;
    if (c < SLAB_CLASSES) {
        at = drop(slab, slab->free[c], c);
    } else if (slab->begun < slab->size) {
        c = SLAB_CLASSES - 1;
        at = slab->begun;
        slab->begun += SLAB_MAX;
    } else {
        return NULL;
    }
    while (c > wanted) { /* the second half stays free */
        c--;
        push(slab, at + (SLAB_MIN << c), c);
    }
    *size = SLAB_MIN << wanted;
    slab->used += *size;
    return slab->arena + at;
}

void slab_give(struct slab *slab, void *block, size_t size)
{
    size_t at = (size_t)((uint8_t *)block - slab->arena);
    int c = class_of(size);
    slab->used -= size;
    for (; c < SLAB_CLASSES - 1; c++) {
        size_t buddy = at ^ (SLAB_MIN << c);
        if (slab->free_class[buddy / SLAB_MIN] != c + 1)
            break;
        drop(slab, (void *)(slab->arena + buddy), c);
        at &= ~(size_t)(SLAB_MIN << c);
    }
    push(slab, at, c);
}
