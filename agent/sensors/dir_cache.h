/* Remembers which directory a file handle means, so that a flood of events in one directory costs one resolution. Pure.
 * A handle holds the inode's generation: a deleted directory's entry is never found again and ages out. A moved one makes the paths
 * below it wrong: the caller flushes. */
#ifndef ECSGUARD_DIR_CACHE_H
#define ECSGUARD_DIR_CACHE_H

#include "agent/sensors/fan_decode.h"
#include "agent/sensors/file_scope.h"
#include "common/hash.h"

#define DIR_CACHE_WAYS 4
#define DIR_KEY_MAX 56 /* fsid and handle: ext4 24, xfs 32, btrfs 56 bytes; longer ones are not kept */

struct dir_entry {
    char *path; /* NULL = free */
    uint64_t resolved_ns;
    uint32_t generation; /* of the scope, for `place` */
    struct file_place place;
    uint8_t key_len;
    uint8_t key[DIR_KEY_MAX];
};

struct dir_cache {
    struct hash_key hash;
    struct dir_entry entries[LIMIT_DIR_CACHE];
    struct dir_entry unkept; /* the last one that could not be kept */
};

void dir_cache_init(struct dir_cache *cache, struct hash_key hash);
void dir_cache_fini(struct dir_cache *cache);
void dir_cache_flush(struct dir_cache *cache);

/* The entry of this directory, or NULL if it is unknown or older than LIMIT_DIR_CACHE_NS. Valid until the next call. */
struct dir_entry *dir_cache_find(struct dir_cache *cache, const struct fan_entry *entry, uint64_t now_ns);
/* Keeps (or renews) an entry; the oldest of its set leaves. NULL on lack of memory. */
struct dir_entry *dir_cache_put(struct dir_cache *cache, const struct fan_entry *entry, const char *path, uint64_t now_ns);

#endif
