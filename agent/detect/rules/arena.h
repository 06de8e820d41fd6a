/* Memory of a loaded set of rules: many small pieces, all given back at once. Never used per event. */
#ifndef ECSGUARD_RULES_ARENA_H
#define ECSGUARD_RULES_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used_bytes, max_bytes; /* max 0 = LIMIT_RULES_BYTES */
    bool failed;                  /* a request was refused: the load cannot be trusted */
};

void arena_init(struct arena *arena, size_t max_bytes);
void arena_fini(struct arena *arena);

/* Zeroed, aligned for any type. When memory or the bound is used up: sets `failed` and gives NULL. */
void *arena_new(struct arena *arena, size_t size);
/* A copy with a NUL behind it. */
char *arena_text(struct arena *arena, const char *text, size_t length);
__attribute__((format(printf, 2, 3))) char *arena_printf(struct arena *arena, const char *format, ...);

#endif
