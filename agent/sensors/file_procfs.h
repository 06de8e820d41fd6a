/* The group with marks on procfs superblocks, and its thread. */
#ifndef ECSGUARD_FILE_PROCFS_H
#define ECSGUARD_FILE_PROCFS_H

#include "agent/sensors/file_sensor.h"

void file_procfs_open(struct file_sensor *fs);
/* What is asked of this file system. */
uint64_t file_procfs_mask(const struct file_sensor *fs, const struct container_mark *mark);
/* The thread: returns when the sensor stops. */
void file_procfs_run(struct file_sensor *fs);

#endif
