#include "agent/enrich/file_origin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define NONE UINT32_MAX

int file_origins_init(struct file_origins *origins, uint32_t n_slots)
{
    memset(origins, 0, sizeof *origins);
    origins->slots = calloc(n_slots, sizeof *origins->slots);
    origins->buckets = malloc(n_slots * sizeof *origins->buckets);
    origins->n_slots = n_slots;
    origins->key = hash_key_random();
    if (!origins->slots || !origins->buckets) {
        file_origins_fini(origins);
        return -ENOMEM;
    }
    memset(origins->buckets, 0xff, n_slots * sizeof *origins->buckets);
    return 0;
}

void file_origins_fini(struct file_origins *origins)
{
    free(origins->slots);
    free(origins->buckets);
    origins->slots = NULL;
    origins->buckets = NULL;
}

/* 64 bits of a keyed hash stand for the path: nobody outside can aim at a collision. */
static uint64_t path_hash(const struct file_origins *origins, int32_t container, const char *path, size_t length)
{
    struct hash_key key = origins->key;
    key.k0 ^= (uint64_t)(uint32_t)container;
    uint64_t h = hash_bytes(&key, path, length);
    return h ? h : 1;
}

static struct file_origin *find(const struct file_origins *origins, uint64_t hash)
{
    for (uint32_t at = origins->buckets[hash % origins->n_slots]; at != NONE; at = origins->slots[at].hash_next)
        if (origins->slots[at].path_hash == hash)
            return &origins->slots[at];
    return NULL;
}

static void unhash(struct file_origins *origins, uint32_t slot)
{
    uint32_t *at = &origins->buckets[origins->slots[slot].path_hash % origins->n_slots];
    for (; *at != NONE; at = &origins->slots[*at].hash_next)
        if (*at == slot) {
            *at = origins->slots[slot].hash_next;
            return;
        }
}

static struct file_origin *take(struct file_origins *origins, uint64_t hash)
{
    uint32_t slot = origins->next++ % origins->n_slots;
    struct file_origin *o = &origins->slots[slot];
    if (o->path_hash) {
        unhash(origins, slot);
        origins->n_evicted++;
    }
    memset(o, 0, sizeof *o);
    o->path_hash = hash;
    uint32_t *bucket = &origins->buckets[hash % origins->n_slots];
    o->hash_next = *bucket;
    *bucket = slot;
    return o;
}

static void set_writer(struct file_origin *o, const struct event *ev, const struct process *writer)
{
    o->time_ns = ev->time_ns;
    o->pid = event_knows(ev, F_PID) ? ev->pid : 0;
    o->exec_id = 0;
    o->uid = 0;
    o->container = 0;
    o->exe[0] = o->cmdline[0] = 0;
    if (!writer)
        return;
    o->container = writer->container;
    o->uid = writer->euid;
    if (!writer->image)
        return;
    const struct image *image = writer->image;
    struct text_out line;
    size_t skip = image->exe.len >= sizeof o->exe ? image->exe.len - sizeof o->exe + 1 : 0;
    o->exec_id = image->exec_id;
    text_copy(o->exe, sizeof o->exe, image_text(image, image->exe) + skip, sizeof o->exe);
    text_out_init(&line, o->cmdline, sizeof o->cmdline);
    text_argv(&line, image_text(image, image->cmdline), image->cmdline.len);
}

static bool is_empty(const struct event *ev)
{
    return event_knows(ev, F_SIZE) && ev->file_size == 0;
}

void file_origins_note(struct file_origins *origins, int32_t container, const struct event *ev, const struct process *writer)
{
    if (ev->file_op != FILE_CREATE && ev->file_op != FILE_CLOSE_WRITE && ev->file_op != FILE_MOVE && ev->file_op != FILE_ATTRIB)
        return;
    if (!ev->path.len)
        return;
    uint64_t hash = path_hash(origins, container, event_text(ev, ev->path), ev->path.len);
    struct file_origin *o = find(origins, hash);
    if (ev->file_op == FILE_ATTRIB && o)
        return; /* chmod after the write: the writer is the one to name */
    if (!o)
        o = take(origins, hash);
    if (ev->file_op == FILE_MOVE && ev->old_path.len) {
        /* Downloaders write a temporary name and rename: whoever wrote that is the origin. */
        const struct file_origin *old =
            find(origins, path_hash(origins, container, event_text(ev, ev->old_path), ev->old_path.len));
        if (old && old != o) {
            uint64_t keep_hash = o->path_hash;
            uint32_t keep_next = o->hash_next;
            *o = *old;
            o->path_hash = keep_hash;
            o->hash_next = keep_next;
            return;
        }
    }
    set_writer(o, ev, writer);
    o->is_copy_up |= event_knows(ev, F_COPIED_UP) && ev->copied_up;
    o->never_filled = (ev->file_op == FILE_CREATE || (o->never_filled && is_empty(ev))) && !o->is_copy_up;
}

const struct file_origin *file_origins_find(const struct file_origins *origins, int32_t container, const char *path, size_t length)
{
    return length ? find(origins, path_hash(origins, container, path, length)) : NULL;
}
