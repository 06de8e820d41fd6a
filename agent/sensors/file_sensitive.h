/* Inode marks on the sensitive files of a root directory: opens of all other files stay free. */
#ifndef ECSGUARD_FILE_SENSITIVE_H
#define ECSGUARD_FILE_SENSITIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_sensor;
struct opened;

#define SENSITIVE_MASK (FAN_OPEN | FAN_ACCESS)

/* Mark what exists of the list; marking again is harmless. Below a mount point of the host: symbolic links are not followed, and no
 * descriptor is held meanwhile, which would make umount(8) say "busy". Below /proc/PID/root: as the process would resolve the paths;
 * `one_mount`: without entering what is mounted there, because a look into it might never end. */
void file_sensitive_mark(struct file_sensor *fs, const char *mount_point);
void file_sensitive_mark_root(struct file_sensor *fs, const char *root, bool one_mount);

/* An event (FAN_OPEN, FAN_ACCESS) of a sensitive file: whether it is to be told. Appending to a history is no reading, and one reading is told
 * once, however many calls it takes. */
bool file_sensitive_is_read(struct file_sensor *fs, uint64_t mask, int32_t pid, const struct opened *file, uint64_t now_ns);

/* The sensitive file of `root` that is this inode, as a path below `root`; false if none is. */
bool file_sensitive_find(const char *root, bool one_mount, uint64_t dev, uint64_t ino, char *out, size_t size);

#endif
