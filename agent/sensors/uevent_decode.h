/* Decodes kernel uevents: lib/kobject_uevent.c; "add@/module/NAME" and NUL-separated KEY=VALUE behind it. Pure. */
#ifndef ECSGUARD_UEVENT_DECODE_H
#define ECSGUARD_UEVENT_DECODE_H

#include <stddef.h>

enum uevent_kind {
    UEVENT_OTHER,          /* nothing about modules, or asked for by a program (udevadm trigger) */
    UEVENT_MODULE_ADDED,
    UEVENT_MODULE_REMOVED,
};

/* `name` (64 bytes, as the kernel's MODULE_NAME_LEN allows) is set for the last two. -EINVAL for what the kernel would not write. */
int uevent_decode(const char *bytes, size_t size, char name[64]);

#endif
