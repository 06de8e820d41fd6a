/* The group with marks on each container's overlay and tmpfs mounts and on single files: events with an open descriptor. */
#ifndef ECSGUARD_FILE_OVERLAY_H
#define ECSGUARD_FILE_OVERLAY_H

#include "agent/sensors/file_sensor.h"

void file_overlay_open(struct file_sensor *fs);
/* Reads what waits, at most one buffer. True if there may be more. */
bool file_overlay_read(struct file_sensor *fs);
/* An inode mark, if the file exists. Marking again is harmless. */
void file_overlay_watch(struct file_sensor *fs, const char *path, uint64_t mask);
/* Those files of the options that exist by now are never told. */
void file_overlay_ignore_own(struct file_sensor *fs);
/* The marks on the host's own files: writes to those of the options, opens of sensitive ones. */
void file_overlay_watch_host(struct file_sensor *fs);

/* The opening of a new library. `loaded`: its code is mapped (1), is not (0), the process was gone (-1). */
void file_overlay_tell_load(struct file_sensor *fs, const struct pending_load *load, int loaded);

/* fanotify_init(2) for events with descriptors, with FAN_REPORT_FD_ERROR where the kernel has it: else an event whose file cannot be
 * opened any more vanishes. The descriptor or -errno. */
int fan_open_with_files(bool *reports_errors);
/* What descriptor `fd` has open, NUL-terminated; its length, or -errno. */
int fd_path(int fd, char *out, size_t size);

#endif
