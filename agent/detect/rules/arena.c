#include "agent/detect/rules/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"

#define BLOCK_BYTES (64u << 10)
#define ALIGNMENT 16

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(ALIGNMENT) char bytes[];
};

void arena_init(struct arena *arena, size_t max_bytes)
{
    *arena = (struct arena){ .max_bytes = max_bytes ? max_bytes : LIMIT_RULES_BYTES };
}

void arena_fini(struct arena *arena)
{
    for (struct arena_block *b = arena->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *arena = (struct arena){ 0 };
}

static struct arena_block *block_new(struct arena *arena, size_t size)
{
    size_t bytes = size > BLOCK_BYTES / 4 ? size : BLOCK_BYTES;
    if (bytes > arena->max_bytes - arena->used_bytes)
        return NULL;
    struct arena_block *b = calloc(1, sizeof *b + bytes);
    if (!b)
        return NULL;
    b->size = bytes;
    arena->used_bytes += bytes;
    if (arena->blocks && bytes == size) { /* a block of its own: the one in use stays in front */
        b->next = arena->blocks->next;
        arena->blocks->next = b;
    } else {
        b->next = arena->blocks;
        arena->blocks = b;
    }
    return b;
}

void *arena_new(struct arena *arena, size_t size)
{
    struct arena_block *b = arena->blocks;
    if (size > arena->max_bytes) {
        arena->failed = true;
        return NULL;
    }
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (!b || b->size - b->used < size)
        b = block_new(arena, size);
    if (!b) {
        arena->failed = true;
        return NULL;
    }
    void *at = b->bytes + b->used;
    b->used += size;
    return at;
}

char *arena_text(struct arena *arena, const char *text, size_t length)
{
    char *copy = arena_new(arena, length + 1);
    if (copy && length)
        memcpy(copy, text, length);
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : arena_new(arena, (size_t)n + 1);
    if (!text)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}
