/* The root file system of a container, out of its mount table. Pure. */
#ifndef ECSGUARD_ROOTFS_H
#define ECSGUARD_ROOTFS_H

#include <stddef.h>
#include <stdint.h>

struct rootfs {
    uint64_t dev;        /* as in stat(2) */
    char upperdir[4096]; /* host path of the overlay's writable layer; "" when the root is no overlay, is read-only, or the path is relative */
};

/* `bytes` is the content of /proc/PID/mountinfo (proc_pid_mountinfo(5)). The last entry mounted on "/" is the one on top. 0, -ENOENT when
 * there is none, -EINVAL for a line that the kernel would not write. A last line without its newline is ignored: it is cut. */
int rootfs_parse(const char *bytes, size_t size, struct rootfs *out);

#endif
