/* The group with marks on each container's overlay and tmpfs mounts and on single files: events with an open descriptor. */
#ifndef ECSGUARD_FILE_OVERLAY_H
#define ECSGUARD_FILE_OVERLAY_H

#include "agent/sensors/file_sensor.h"

void file_overlay_open(struct file_sensor *fs);
/* Reads what waits, at most one buffer. True if there may be more. */
bool file_overlay_read(struct file_sensor *fs);
/* An inode mark. */
void file_overlay_watch(struct file_sensor *fs, const char *path, uint64_t mask);

/* fanotify_init(2) for events with descriptors, with FAN_REPORT_FD_ERROR where the kernel has it: else an event whose file cannot be
 * opened any more vanishes. The descriptor or -errno. */
int fan_open_with_files(bool *reports_errors);
/* What descriptor `fd` has open, NUL-terminated; its length, or -errno. */
int fd_path(int fd, char *out, size_t size);

#endif
