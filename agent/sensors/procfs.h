/* Reads one process from /proc, through a directory descriptor so that a fixture tree can stand in. Each field is marked known only when
 * it was truly read; what is gone stays unknown. Nothing here allocates. */
#ifndef ECSGUARD_PROCFS_H
#define ECSGUARD_PROCFS_H

#include "common/event.h"

/* What to read; in the order in which it is read. */
enum {
    PROCFS_CMDLINE = 1 << 0,
    PROCFS_EXE_FILE = 1 << 1, /* dev, ino, mode, owner, links, size, times of the executable */
    PROCFS_EXE = 1 << 2,      /* its path, " (deleted)" kept */
    PROCFS_STDIO = 1 << 3,    /* what descriptors 0 to 2 are */
    PROCFS_SOCKET = 1 << 4,   /* if one of them is an inet socket: its addresses; needs PROCFS_STDIO */
    PROCFS_ENVIRON = 1 << 5,
    PROCFS_OWNER = 1 << 6,    /* euid, egid */
    PROCFS_STAT = 1 << 7,     /* comm, ppid, pgid, sid, tty, start (to 10 ms) */
    PROCFS_CWD = 1 << 8,
    PROCFS_CGROUP = 1 << 9,
    PROCFS_NAMESPACES = 1 << 10,
    PROCFS_LOGINUID = 1 << 11,
    PROCFS_STATUS = 1 << 12,  /* uid, euid, gid, egid, vpid, vpgid, capabilities: as dear as three others */
    PROCFS_ALL = (PROCFS_STATUS << 1) - 1,
};

/* Working memory of one reader: too big for a stack, reused for ever. */
struct procfs_scratch {
    uint64_t exe_mount_id; /* of the last PROCFS_EXE_FILE, 0 = unknown (before Linux 5.8) */
    bool is_gone;          /* the last PROCFS_CMDLINE found no process */
    bool is_zombie;        /* ... or one that had no memory any more */
    char bytes[LIMIT_ENVIRON_SCAN_BYTES];
};

/* Opens /proc, or a tree like it. A descriptor or a negative errno. */
int procfs_open(const char *path);

/* An instance of procfs that is mounted nowhere, with the processes only. The first to look up a name in a directory makes everybody else
 * who looks for it wait (d_alloc_parallel() in fs/dcache.c): in /proc any ps or monitor that was preempted there can hold up a real-time
 * reader; here there are no others. It ends with its descriptor. That, or a negative errno: before Linux 5.8, without CAP_SYS_ADMIN. */
int procfs_open_own(void);

/* The directory of one process: pins its identity for the reads that follow. A descriptor, or -ENOENT when it is gone. */
int procfs_open_process(int procdir, int32_t pid);

/* Reads `what` of the process behind `dir` into `ev`, whose pid is set. */
void procfs_read(int dir, unsigned what, struct event *ev, struct procfs_scratch *scratch);

/* PROCFS_CMDLINE and PROCFS_EXE_FILE by path: the fastest way to what dies first, 5 us less than by the process's directory. Only for a
 * process that cannot have been replaced: it just told us of itself. 0 or -ENOENT. */
int procfs_read_image(int procdir, int32_t pid, struct event *ev, struct procfs_scratch *scratch);

/* Open, read, close: for scans and requests. 0, or -ENOENT when the process is gone (only F_PID is then known). */
int procfs_read_process(int procdir, int32_t pid, unsigned what, struct event *ev, struct procfs_scratch *scratch);

/* Takes a duplicate of another process's descriptor, if it still is the socket with this inode number: descriptor or negative errno.
 * A pid that was reused meanwhile is found out by the number. */
int procfs_take_socket(int32_t pid, int fd, uint64_t inode);

/* proto, src, sport, dst, dport and tcp_state of an inet socket; IPv4-mapped addresses become IPv4. 0, or -EAFNOSUPPORT for others. */
int procfs_describe_socket(int sock, struct event *ev);

#endif
