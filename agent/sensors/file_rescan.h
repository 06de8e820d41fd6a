/* After an overflow: looks through the writable layers for executables that changed since, in slices between live events. */
#ifndef ECSGUARD_FILE_RESCAN_H
#define ECSGUARD_FILE_RESCAN_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"

struct file_sensor;

struct rescan_dir {
    char *path;      /* on the host */
    size_t root_len; /* of the upperdir in it */
};

struct file_rescan {
    uint64_t since_wall_ns, next_since_wall_ns;
    uint64_t started_ns;
    bool again; /* one is asked for (perhaps while another runs) */
    struct rescan_dir stack[LIMIT_RESCAN_DIRS];
    int n_stack;
    DIR *dir; /* of `at` */
    struct rescan_dir at;
};

/* Starts a rescan, or another one after the one that runs. */
void file_rescan_request(struct file_sensor *fs);
/* One slice. True if there is more to do now. */
bool file_rescan_step(struct file_sensor *fs);
void file_rescan_fini(struct file_rescan *rescan);

#endif
