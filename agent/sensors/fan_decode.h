/* Decodes what read(2) on a fanotify descriptor gives: fanotify(7), <linux/fanotify.h>. Pure. */
#ifndef ECSGUARD_FAN_DECODE_H
#define ECSGUARD_FAN_DECODE_H

#include "common/bytes.h"

#define FAN_HANDLE_MAX 136 /* struct file_handle with MAX_HANDLE_SZ bytes behind its two words */

/* A directory and a name in it, as the kernel tells it in groups with FAN_REPORT_DFID_NAME. */
struct fan_entry {
    const uint8_t *handle; /* struct file_handle, unaligned; NULL = not told */
    uint32_t handle_size;
    uint8_t fsid[8];
    const char *name; /* not terminated; "." is the directory itself, NULL = not told */
    uint32_t name_len;
};

struct fan_event {
    uint64_t mask;
    int32_t pid;
    int32_t fd;            /* negative: none */
    struct fan_entry from; /* the entry; of FAN_RENAME its old place */
    struct fan_entry to;   /* FAN_RENAME only: its new place */
};

/* Takes the next event off `buffer`, which borrows the bytes. 1 = an event, 0 = end of the buffer, -EINVAL = the rest cannot be read
 * (and `buffer` is empty then). Information records of unknown types are skipped: the kernel may be newer than we are. */
int fan_event_next(struct bytes *buffer, struct fan_event *event);

#endif
