/* Parsers of what /proc/PID/ files say (proc(5)). Pure: bytes in, numbers and spans out. */
#ifndef ECSGUARD_PROCFS_DECODE_H
#define ECSGUARD_PROCFS_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

struct procfs_stat {
    const char *comm; /* in the parsed bytes */
    size_t comm_size;
    int32_t ppid, pgid, sid;
    uint32_t tty;         /* device number, 0 = none */
    uint64_t start_ticks; /* since boot (CLOCK_BOOTTIME), in 1/sysconf(_SC_CLK_TCK) s */
};

/* /proc/PID/stat. comm is between the first '(' and the last ')' and may itself hold both, blanks and newlines. 0 or -EINVAL. */
int procfs_parse_stat(const char *text, size_t size, struct procfs_stat *out);

struct procfs_status {
    uint32_t uid, euid, gid, egid;
    int32_t vpid, vpgid; /* as its own pid namespace numbers it; 0 = not told */
    bool has_capabilities;
    uint64_t cap_effective, cap_permitted, cap_inheritable;
};

/* /proc/PID/status. 0, or -EINVAL when the ids are not in it. */
int procfs_parse_status(const char *text, size_t size, struct procfs_status *out);

/* The Tgid: line of /proc/PID/status, the process that a thread belongs to; 0 if there is none. */
int32_t procfs_parse_tgid(const char *text, size_t size);

/* "socket:[123]", "mnt:[4026531841]": true with the number when `link` is of this kind ("socket", "mnt"). */
bool procfs_parse_link(const char *link, size_t size, const char *kind, uint64_t *number);

/* Reduces an environment that is longer than LIMIT_ENVIRON_BYTES to its LD_* variables, in place: they change what the program
 * does. Returns the new size; a shorter environment stays whole. */
size_t procfs_bound_environ(char *bytes, size_t size);

/* The one path of /proc/PID/cgroup that tells most: the first with 32 or more hex digits in a row (a container's or a task's id), else
 * the longest. 0 with a span of `text`, or -EINVAL when there is none. */
int procfs_pick_cgroup(const char *text, size_t size, const char **path, size_t *path_size);

/* A decimal pid as a directory name of /proc: true and the pid. */
bool procfs_parse_pid(const char *name, int32_t *pid);

#endif
