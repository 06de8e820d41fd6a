/* Who wrote this file, and when: the latest write, creation, rename or mode change of each path in a container (or on the host),
 * so that an execution can be traced to the process that brought the file. */
#ifndef ECSGUARD_FILE_ORIGIN_H
#define ECSGUARD_FILE_ORIGIN_H

#include "agent/enrich/proctree.h"

struct file_origin {
    uint64_t path_hash; /* of container row and path */
    uint32_t hash_next;
    bool is_copy_up;   /* the file was the image's own before */
    bool never_filled; /* created here, and empty at every close since: there was nothing to cut off */
    uint64_t time_ns;
    int64_t exec_id; /* image of the writer */
    int32_t pid, container; /* of the writer */
    uint32_t uid;
    char exe[96];      /* of the writer, end kept when longer */
    char cmdline[160]; /* of the writer, shell-quoted, cut */
};

struct file_origins {
    struct file_origin *slots;
    uint32_t n_slots, next; /* FIFO: the oldest leaves */
    uint32_t *buckets;
    uint64_t n_evicted;
    struct hash_key key;
};

int file_origins_init(struct file_origins *origins, uint32_t n_slots); /* power of two; 0 or -ENOMEM */
void file_origins_fini(struct file_origins *origins);

/* Notes an EVENT_FILE of `container` done by `writer` (NULL = unknown). */
void file_origins_note(struct file_origins *origins, int32_t container, const struct event *ev, const struct process *writer);

const struct file_origin *file_origins_find(const struct file_origins *origins, int32_t container, const char *path, size_t length);

#endif
