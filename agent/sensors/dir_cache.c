#include "agent/sensors/dir_cache.h"

#include <stdlib.h>

_Static_assert((LIMIT_DIR_CACHE & (LIMIT_DIR_CACHE - 1)) == 0, "the number of cached directories is a power of two");

void dir_cache_init(struct dir_cache *cache, struct hash_key hash)
{
    memset(cache, 0, sizeof *cache);
    cache->hash = hash;
}

void dir_cache_flush(struct dir_cache *cache)
{
    for (int i = 0; i < LIMIT_DIR_CACHE; i++) {
        free(cache->entries[i].path);
        cache->entries[i].path = NULL;
    }
}

void dir_cache_fini(struct dir_cache *cache)
{
    dir_cache_flush(cache);
    free(cache->unkept.path);
    cache->unkept.path = NULL;
}

/* fsid and handle as one key; 0 if it is too long. */
static size_t make_key(const struct fan_entry *entry, uint8_t key[DIR_KEY_MAX])
{
    size_t size = sizeof entry->fsid + entry->handle_size;
    if (size > DIR_KEY_MAX)
        return 0;
    memcpy(key, entry->fsid, sizeof entry->fsid);
    memcpy(key + sizeof entry->fsid, entry->handle, entry->handle_size);
    return size;
}

static struct dir_entry *set_of(struct dir_cache *cache, const uint8_t *key, size_t size)
{
    return &cache->entries[hash_bytes(&cache->hash, key, size) & (LIMIT_DIR_CACHE - 1) & ~(uint64_t)(DIR_CACHE_WAYS - 1)];
}

struct dir_entry *dir_cache_find(struct dir_cache *cache, const struct fan_entry *entry, uint64_t now_ns)
{
    uint8_t key[DIR_KEY_MAX];
    size_t size = make_key(entry, key);
    if (!size)
        return NULL;
    struct dir_entry *set = set_of(cache, key, size);
    for (int i = 0; i < DIR_CACHE_WAYS; i++)
        if (set[i].path && set[i].key_len == size && !memcmp(set[i].key, key, size))
            return now_ns - set[i].resolved_ns < LIMIT_DIR_CACHE_NS ? &set[i] : NULL;
    return NULL;
}

/* Where the key goes: its own old entry, a free one, or the oldest. */
static struct dir_entry *victim(struct dir_entry *set, const uint8_t *key, size_t size)
{
    struct dir_entry *best = set;
    for (int i = 0; i < DIR_CACHE_WAYS; i++) {
        if (set[i].path && set[i].key_len == size && !memcmp(set[i].key, key, size))
            return &set[i];
        if (best->path && (!set[i].path || set[i].resolved_ns < best->resolved_ns))
            best = &set[i];
    }
    return best;
}

struct dir_entry *dir_cache_put(struct dir_cache *cache, const struct fan_entry *entry, const char *path, uint64_t now_ns)
{
    uint8_t key[DIR_KEY_MAX];
    size_t size = make_key(entry, key);
    struct dir_entry *e = size ? victim(set_of(cache, key, size), key, size) : &cache->unkept;
    free(e->path);
    e->path = strdup(path);
    if (!e->path)
        return NULL;
    e->resolved_ns = now_ns;
    e->generation = 0;
    e->key_len = (uint8_t)size;
    if (size)
        memcpy(e->key, key, size);
    return e;
}
