/* What a path below /proc is about. Pure. */
#ifndef ECSGUARD_PROC_ENTRY_H
#define ECSGUARD_PROC_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proc_entry {
    int32_t pid;      /* in the pid namespace of that /proc; 0 = not about a process */
    const char *tail; /* for a process: from the slash before its pid, "/123/mem"; else the path */
    const char *file; /* for a process: "mem", "attr/current", of threads too; else "" */
};

/* `path` of an open file on a procfs, wherever that is mounted. */
void proc_entry_parse(const char *path, struct proc_entry *entry);

/* True for files that ordinary programs and container runtimes write about themselves: names, scheduling and OOM hints, labels.
 * Not among them: mem (code injection) and the id maps (a new user namespace). */
bool proc_entry_is_own_noise(const char *file);

/* True if opening this file is told: it shows another process's secrets or memory, or the kernel's. `own`: the process opens its own, as
 * libraries do with their maps. */
bool proc_entry_open_matters(const struct proc_entry *entry, bool own);

/* True for the files of a control group that lead out of a container: programs that the kernel runs on the host, and access to devices. */
bool cgroup_file_matters(const char *path);
/* The same for sysfs. */
bool sysfs_file_matters(const char *path);

/* The innermost pid of the NSpid line of a /proc/PID/status text; 0 if there is none. */
int32_t proc_status_nspid(const char *status);

#endif
