/* Libraries that a container wrote: marks that tell of their opening, and whether the opener really loads them. */
#ifndef ECSGUARD_FILE_LIBRARY_H
#define ECSGUARD_FILE_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/limits.h"

struct file_sensor;

/* An event's file: its descriptor, what it is and where. */
struct opened {
    int fd;
    struct stat st;
    char path[LIMIT_PATH_BYTES];
};

/* The opening of a new library that is told once it is known whether its code is mapped. */
struct pending_load {
    int32_t pid;
    int tries;
    uint64_t due_ns;
    char *path; /* as in /proc/PID/maps; NULL = free */
    struct stat st;
};

/* A file was closed that had been open for writing: should a process be able to load it, its opens are told from now on. */
void file_library_written(struct file_sensor *fs, const struct opened *file);
/* Says for how many containers that is not so, because they wrote too many. For whenever that number may have changed. */
void file_library_tell_limit(struct file_sensor *fs);
/* Whether this is one of those. */
bool file_library_is_new(struct file_sensor *fs, const struct opened *file);
/* It was opened. True if the event will be told later; else tell it now. */
bool file_library_opened(struct file_sensor *fs, const struct opened *file, int32_t pid, uint64_t now_ns);
/* Tells what is due. Cheap when nothing waits. */
void file_library_step(struct file_sensor *fs, uint64_t now_ns);
void file_library_fini(struct file_sensor *fs);

#endif
