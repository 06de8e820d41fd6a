#include "agent/sensors/fan_decode.h"

#include <errno.h>
#include <stddef.h>
#include <linux/fanotify.h>

#define INFO_HEADER_SIZE 4 /* struct fanotify_event_info_header: type, pad, u16 len */
#define HANDLE_HEADER_SIZE 8 /* struct file_handle: handle_bytes, handle_type */

/* fsid, file handle and, if `named`, a NUL-terminated name. */
static int entry_decode(struct bytes b, int named, struct fan_entry *entry)
{
    const uint8_t *fsid = bytes_take(&b, sizeof entry->fsid);
    const uint8_t *handle = b.at;
    const uint8_t *head = bytes_take(&b, HANDLE_HEADER_SIZE);
    uint32_t handle_bytes = head ? load_u32(head) : 0;
    if (!head || handle_bytes > FAN_HANDLE_MAX - HANDLE_HEADER_SIZE || !bytes_take(&b, handle_bytes))
        return -EINVAL;
    memcpy(entry->fsid, fsid, sizeof entry->fsid);
    entry->handle = handle;
    entry->handle_size = HANDLE_HEADER_SIZE + handle_bytes;
    if (!named)
        return 0;
    const uint8_t *end = b.left ? memchr(b.at, 0, b.left) : NULL;
    if (!end)
        return -EINVAL;
    entry->name = (const char *)b.at;
    entry->name_len = (uint32_t)(end - b.at);
    return 0;
}

static int info_decode(uint8_t type, struct bytes info, struct fan_event *event)
{
    switch (type) {
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
    case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
        return entry_decode(info, 1, &event->from);
    case FAN_EVENT_INFO_TYPE_DFID:
        return entry_decode(info, 0, &event->from);
    case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
        return entry_decode(info, 1, &event->to);
    default: /* not an enum of ours: whatever a newer kernel adds */
        return 0;
    }
}

static int infos_decode(struct bytes infos, struct fan_event *event)
{
    while (infos.left) {
        const uint8_t *head = bytes_take(&infos, INFO_HEADER_SIZE);
        size_t len = head ? load_u16(head + 2) : 0;
        if (len < INFO_HEADER_SIZE)
            return -EINVAL;
        const uint8_t *body = bytes_take(&infos, len - INFO_HEADER_SIZE);
        if (!body)
            return -EINVAL;
        int error = info_decode(head[0], bytes_of(body, len - INFO_HEADER_SIZE), event);
        if (error)
            return error;
    }
    return 0;
}

int fan_event_next(struct bytes *buffer, struct fan_event *event)
{
    struct fanotify_event_metadata meta;
    memset(event, 0, sizeof *event);
    if (!buffer->left)
        return 0;
    if (buffer->left < sizeof meta)
        goto malformed;
    memcpy(&meta, buffer->at, sizeof meta);
    if (meta.vers != FANOTIFY_METADATA_VERSION || meta.metadata_len < sizeof meta || meta.event_len < meta.metadata_len)
        goto malformed;
    const uint8_t *at = bytes_take(buffer, meta.event_len);
    if (!at)
        goto malformed;
    event->mask = meta.mask;
    event->pid = meta.pid;
    event->fd = meta.fd;
    if (infos_decode(bytes_of(at + meta.metadata_len, meta.event_len - meta.metadata_len), event))
        goto malformed;
    return 1;
malformed:
    *buffer = bytes_of(NULL, 0);
    return -EINVAL;
}
