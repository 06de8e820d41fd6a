/* Watches files with fanotify(7), in three groups that live and vanish with this process:
 *
 *   layers   names and owners of directory entries, on the file systems that hold container layers: what containers create, rename,
 *            chmod, write and delete in their writable layer, with the host's pid, from before the container starts
 *   overlay  what containers execute and write, by marks on each container's root and tmpfs mounts; single watched files; and opens, by
 *            marks on the inodes of sensitive files (sensitive_paths.h) and of libraries and programs that a container just wrote
 *   procfs   writes to /proc files (/proc/PID/mem, core_pattern, ...) in each container's own /proc and in the host's, opens of the few
 *            that tell secrets in containers' (environ, mem, kcore, ...), and writes to release_agent and its like in control groups
 *
 * Two threads: one for the first two groups, one for the third, because the kernel opens a procfs event's file when the event is read
 * and has nothing to open once the target process is gone. Each group has its own ring of EVENT_FILE records; see DESIGN.md for what
 * these marks cost. No descriptor of a container's file systems is kept, or they would outlive the container. */
#ifndef ECSGUARD_FILE_SENSOR_H
#define ECSGUARD_FILE_SENSOR_H

#include <pthread.h>

#include "agent/sensors/dir_cache.h"
#include "agent/sensors/file_library.h"
#include "agent/sensors/file_rescan.h"
#include "agent/sensors/file_scope.h"
#include "agent/sensors/sensor.h"

enum file_group { FILE_GROUP_LAYERS, FILE_GROUP_OVERLAY, FILE_GROUP_PROCFS, FILE_GROUPS };

/* All lists are NULL-terminated and must outlive the sensor. */
struct file_sensor_options {
    const char *const *layer_dirs;  /* below these lie container layers; one that does not exist yet is awaited */
    const char *const *host_paths;  /* the host's own files and directories of which changes are told; a component may be "*" */
    const char *const *log_paths;   /* the same, of which only deletion, moves and emptying are told */
    const char *const *watch_files; /* single files of the host: writes to them, through whatever mount */
    const char *const *own_files;   /* files that this process has locked (fcntl(2)), which the group overlay never tells of: to close the
                                     * descriptor that comes with an event would end the locks */
    bool no_cache;    /* resolve every directory anew, to measure what the cache saves */
    bool no_sensitive; /* no marks on sensitive files, to measure what they cost */
    bool no_proc_opens;  /* no opens of containers' /proc files: saves whoever opens one ~8 us */
    struct waker *waker;
};

/* Lists for the options above that suit an ECS container instance. */
extern const char *const file_sensor_layer_dirs[];
extern const char *const file_sensor_host_paths[];
extern const char *const file_sensor_log_paths[];
extern const char *const file_sensor_watch_files[];

/* A file system that holds layers. */
struct layer_fs {
    uint64_t dev;
    uint8_t fsid[8];
    int mount_fd; /* a directory on it, for open_by_handle_at(2) */
};

/* A marked file system: a container's own, or a pseudo file system of the host. */
enum mark_kind { MARK_TMPFS, MARK_PROCFS, MARK_CGROUP, MARK_SYSFS };

struct container_mark {
    uint64_t dev;
    uint64_t pidns; /* procfs: the pid namespace whose numbers it shows */
    int32_t pid;    /* a process of the container; 0 = the host */
    enum mark_kind kind;
};

struct pending_container {
    int32_t pid;
    uint64_t since_ns;
};

/* A reading of a sensitive file that was told. */
struct sensitive_read {
    uint64_t dev, ino, time_ns;
    int32_t pid;
};

#define SENSITIVE_READS 32

struct file_sensor {
    struct sensor sensors[FILE_GROUPS]; /* the loop reads their rings */
    struct sensor_stats stats[FILE_GROUPS];
    _Atomic uint64_t resolved;          /* directory handles resolved: what the cache did not save */
    _Atomic uint64_t sensitive_marks;   /* set, again and again for those that stay */

    struct file_sensor_options options;
    int32_t own_pid;
    int group_fd[FILE_GROUPS];
    int mountinfo_fd, wake_fd, stop_fd;
    pthread_t threads[2];
    int n_threads;
    _Atomic bool stopping;
    struct ring commands;

    /* the first thread's */
    bool has_rename; /* FAN_RENAME: both names in one event */
    struct layer_fs filesystems[LIMIT_LAYER_FILESYSTEMS];
    int n_filesystems;
    struct file_scope scope;
    struct dir_cache dirs;
    struct pending_container pending[LIMIT_PENDING_CONTAINERS];
    int n_pending;
    bool host_remote;         /* the host has network or FUSE file systems mounted */
    uint64_t remark_ns;       /* when something is to be marked, 0 = nothing */
    bool remark_host;         /* sensitive files of the host appeared */
    uint64_t link_since_ns;   /* hard links whose other name was looked for since then */
    int n_link_lookups;
    struct sensitive_read reads[SENSITIVE_READS]; /* a circle */
    size_t n_reads;
    struct pending_load loads[LIMIT_PENDING_LOADS];
    int n_loads;
    int n_full_overlays; /* in which libraries are written that are not watched: as told in `stats` */
    struct file_rescan rescan;
    uint64_t drained_wall_ns; /* when no event was waiting, last: what a later overflow lost changed after this */
    uint64_t held_since_ns[FILE_GROUPS]; /* since when its ring is too full to read on; 0 = it is not */
    uint64_t retry_ns;        /* when missing layer directories are looked for again */
    uint64_t mark_failures;
    char *mountinfo;          /* buffer, LIMIT_MOUNTINFO_BYTES, touched as needed */

    uint64_t host_mntns; /* the second thread's: mount namespace of the host's processes */

    /* both threads', under `marks_lock` */
    pthread_mutex_t marks_lock;
    struct container_mark marks[LIMIT_CONTAINER_MARKS];
    int n_marks;
};

/* Starts the sensor. What the kernel refuses is said in `stats`; only lack of memory or threads is an error (-errno). The struct is
 * large: allocate it. */
int file_sensor_open(struct file_sensor *fs, const struct file_sensor_options *options);
/* Stops the threads; afterwards nothing of ours is left in the kernel. What is in the rings is lost. */
void file_sensor_close(struct file_sensor *fs);

/* From the loop's thread only: 0, or -EAGAIN when too many commands wait. */
/* A new container: once `pid` (the host's number) has its own root, mark its /proc and tmpfs mounts, and its overlay if that is not in
 * the host's mount table. */
int file_sensor_add_container(struct file_sensor *fs, int32_t pid);
/* The container to which `pid` was the key is gone. */
int file_sensor_remove_container(struct file_sensor *fs, int32_t pid);
/* Tell of `mask` (FAN_MODIFY | FAN_CLOSE_WRITE | FAN_OPEN | FAN_OPEN_EXEC) on one file of the host. */
int file_sensor_watch_path(struct file_sensor *fs, const char *path, uint64_t mask);

#endif
