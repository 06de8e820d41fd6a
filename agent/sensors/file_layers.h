/* The group on the file systems that hold container layers: directory entry events with file handles. */
#ifndef ECSGUARD_FILE_LAYERS_H
#define ECSGUARD_FILE_LAYERS_H

#include <sys/stat.h>

#include "agent/sensors/file_sensor.h"

void file_layers_open(struct file_sensor *fs);
void file_layers_close(struct file_sensor *fs);
/* Marks the file systems of the options that are not marked yet. */
void file_layers_mark(struct file_sensor *fs);
/* Reads what waits, at most one buffer. True if it was full: there may be more. */
bool file_layers_read(struct file_sensor *fs);
/* Gives marks to sensitive and watched files that appeared, where that is due; and asks for it. */
void file_layers_remark(struct file_sensor *fs, uint64_t now_ns);
void file_layers_remark_at(struct file_sensor *fs, struct overlay *o, uint64_t due_ns);

/* Appends `prefix` + '/' + `name` (name "." or NULL: only the prefix) as one text. */
void event_set_path(struct event *ev, enum event_field field, const char *prefix, const char *name, size_t name_len);
void event_set_stat(struct event *ev, const struct stat *st);

#endif
