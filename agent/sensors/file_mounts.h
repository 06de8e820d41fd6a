/* Follows the host's mount table and the containers' own, and keeps the marks on their file systems. */
#ifndef ECSGUARD_FILE_MOUNTS_H
#define ECSGUARD_FILE_MOUNTS_H

#include "agent/sensors/file_sensor.h"

/* Reads the host's mount table anew if it changed since the last call (or `force`): new overlays are marked. Cheap when nothing did. */
void file_mounts_refresh(struct file_sensor *fs, bool force);

/* A container whose own /proc is awaited, and a look at all of them. */
void file_mounts_add(struct file_sensor *fs, int32_t pid, uint64_t now_ns);
void file_mounts_retry(struct file_sensor *fs, uint64_t now_ns);
void file_mounts_remove(struct file_sensor *fs, int32_t pid, uint64_t now_ns);

/* The mark on this device; false if there is none. Any thread. */
bool file_mounts_mark_of(struct file_sensor *fs, uint64_t dev, struct container_mark *mark);
/* Keeps a mark for file_mounts_mark_of(). */
void file_mounts_keep(struct file_sensor *fs, const struct container_mark *mark);

#endif
