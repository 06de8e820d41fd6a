/* The vocabulary that all stages share: one event of one of the sensors. An event is a flat, relocatable record (it can
 * be copied through rings and stored): numbers in the struct, texts behind it. Each field says whether it is known.
 *
 * Units: times in nanoseconds (CLOCK_MONOTONIC unless the name says wall), sizes in bytes, addresses and ports in host
 * terms (IPv4 as 4 bytes), device numbers as in stat(2). The table of all fields is in event_fields.h: JSON, database columns
 * and documentation come from it. */
#ifndef ECSGUARD_EVENT_H
#define ECSGUARD_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

enum event_kind {
    EVENT_NONE,
    EVENT_FORK,      /* proc connector; pid = child, ppid = parent (processes only, no threads) */
    EVENT_EXEC,      /* proc connector + /proc: the process image after execve(2) */
    EVENT_EXIT,      /* proc connector */
    EVENT_UID,       /* proc connector: uid/euid after a change */
    EVENT_GID,       /* proc connector: gid/egid after a change */
    EVENT_SID,       /* proc connector: setsid(2) */
    EVENT_PTRACE,    /* proc connector: attached; pid = tracer, target_pid = tracee */
    EVENT_COMM,      /* proc connector: comm set by the process itself */
    EVENT_PROCESS,   /* /proc scan at start or after loss: a process that exists, fields as EVENT_EXEC */
    EVENT_CGROUP,    /* container sensor: pid is in this cgroup now */
    EVENT_SOCKETS,   /* answer to a request: inet socket that pid holds (fd, proto, src = local, dst = peer) */
    EVENT_FILE,      /* fanotify */
    EVENT_FLOW,      /* conntrack */
    EVENT_CONTAINER, /* container sensor, Docker, ECS agent: facts about a container */
    EVENT_LOSS,      /* a sensor lost events: source, count, reason */
    EVENT_KIND_MAX,
};

enum file_op {
    FILE_CREATE = 1,
    FILE_DELETE,
    FILE_MOVE,        /* path = new name (may be unknown), old_path = old name (may be unknown) */
    FILE_ATTRIB,      /* chmod, chown, xattr */
    FILE_CLOSE_WRITE, /* was open for writing */
    FILE_OPEN_EXEC,   /* opened for execution */
    FILE_MODIFY,      /* written to, on /proc and other pseudo file systems */
    FILE_OPEN,        /* opened, on marked files only */
};

enum flow_phase { FLOW_NEW = 1, FLOW_UPDATE, FLOW_END };

enum container_phase {
    CONTAINER_START = 1, /* its cgroup exists and has a first process */
    CONTAINER_FACTS,     /* more became known */
    CONTAINER_END,       /* its cgroup is gone */
};

enum container_role {
    CONTAINER_ROLE_WORKLOAD = 1,
    CONTAINER_ROLE_PAUSE,     /* holds an awsvpc task's network namespace */
    CONTAINER_ROLE_ECS_AGENT, /* the ECS agent itself */
};

enum event_source {
    SOURCE_EXEC = 1, /* exec readers */
    SOURCE_PROC,     /* other proc connector events */
    SOURCE_SCAN,     /* /proc scan */
    SOURCE_FID,      /* fanotify, directory entries of the layers' file system */
    SOURCE_OVERLAY,  /* fanotify, per container */
    SOURCE_PROCFS,   /* fanotify, container /proc */
    SOURCE_FLOW,     /* conntrack */
    SOURCE_CGROUP,   /* container tracker */
    SOURCE_DOCKER,   /* Docker Engine API */
    SOURCE_ECS,      /* ECS agent introspection API */
    SOURCE_REQUEST,  /* answer to a question of the pipeline */
    SOURCE_STORE,    /* writer */
};

/* A text of this event: `len` bytes at event->text + off, always followed by a NUL that is not counted. May hold NULs. */
struct text {
    uint16_t off, len;
};

struct address {
    uint8_t family; /* 0 none, 4, 6 */
    uint8_t bytes[16];
};

/* Field numbers: bit positions in `known`. Same order as the struct. */
enum event_field {
    F_PID, F_PPID, F_START_NS, F_UID, F_EUID, F_GID, F_EGID, F_SID, F_TTY, F_COMM, F_EXE, F_CMDLINE, F_ENVIRON, F_CWD, F_CGROUP,
    F_STDIN, F_STDOUT, F_STDERR, F_MNTNS, F_NETNS, F_PIDNS, F_EXIT_CODE, F_EXIT_SIGNAL, F_TARGET_PID,
    F_FILE_OP, F_PATH, F_HOST_PATH, F_OLD_PATH, F_DEV, F_INO, F_MODE, F_FILE_UID, F_NLINK, F_SIZE, F_CTIME_WALL_NS, F_MTIME_WALL_NS, F_COPIED_UP,
    F_FLOW_PHASE, F_FLOW_ID, F_NSID, F_PROTO, F_SRC, F_SPORT, F_DST, F_DPORT, F_REPLY_SRC, F_REPLY_SPORT, F_REPLY_DST, F_REPLY_DPORT,
    F_BYTES_OUT, F_BYTES_IN, F_PACKETS_OUT, F_PACKETS_IN, F_TCP_STATE, F_FD,
    F_CONTAINER_PHASE, F_CONTAINER_ID, F_CONTAINER_ROLE, F_RUNTIME, F_TASK_ID, F_TASK_ARN, F_CLUSTER, F_FAMILY, F_REVISION, F_SERVICE,
    F_CONTAINER_NAME, F_DOCKER_NAME, F_IMAGE, F_IMAGE_ID, F_UPPERDIR, F_ROOT_DEV, F_PRIVILEGED, F_STARTED_WALL_NS,
    F_SOURCE, F_COUNT, F_REASON,
    F_MAX,
};

struct event {
    uint32_t size; /* of the whole record: offsetof(text) + text_len */
    uint16_t text_len;
    uint16_t text_max; /* room for texts where this record is being built */
    uint8_t kind;   /* enum event_kind */
    uint8_t source; /* enum event_source; known for every event */
    uint64_t time_ns;
    uint64_t known[2];

    /* the process that acts */
    int32_t pid, ppid;
    uint64_t start_ns; /* when it was forked */
    uint32_t uid, euid, gid, egid;
    int32_t sid;
    uint32_t tty; /* device number of the controlling terminal, 0 = none */
    struct text comm, exe, cmdline, environ, cwd, cgroup;
    struct text stdin_link, stdout_link, stderr_link; /* readlink of /proc/PID/fd/N: "socket:[7]", "/dev/pts/0", ... */
    uint64_t mntns, netns, pidns; /* inode numbers */
    int32_t exit_code, exit_signal;
    int32_t target_pid;

    /* the file: of EVENT_FILE, or the executable of EVENT_EXEC and EVENT_PROCESS */
    uint8_t file_op;
    struct text path, host_path, old_path; /* path: as the container sees it; host_path: as the host sees it */
    uint64_t dev, ino;
    uint32_t mode, file_uid, nlink;
    uint64_t file_size, ctime_wall_ns, mtime_wall_ns;
    uint8_t copied_up; /* 0 or 1: a changed file of the image itself */

    /* the flow; for EVENT_EXEC and EVENT_SOCKETS the inet socket on descriptor `fd`: src = local, dst = peer */
    uint8_t flow_phase;
    uint64_t flow_id;
    int32_t nsid; /* of the reporting network namespace as seen from the host's; -1 = the host's own */
    uint8_t proto; /* IPPROTO_* */
    struct address src, dst, reply_src, reply_dst;
    uint16_t sport, dport, reply_sport, reply_dport;
    uint64_t bytes_out, bytes_in, packets_out, packets_in; /* out = original direction */
    uint8_t tcp_state; /* EVENT_SOCKETS, EVENT_EXEC: as in tcp(7): 1 established, 2 syn-sent, 10 listen */
    int32_t fd;

    /* the container */
    uint8_t container_phase, container_role;
    struct text container_id, runtime, task_id, task_arn, cluster, family, revision, service, container_name, docker_name, image,
        image_id, upperdir;
    uint64_t root_dev;  /* st_dev of its root file system */
    uint8_t privileged; /* 0 or 1 */
    uint64_t started_wall_ns;

    /* loss */
    uint64_t count;
    struct text reason;

    char text[];
};

/* Room for any event. In less room (a ring), lower text_max after event_init(). */
union event_buffer {
    struct event event;
    char bytes[sizeof(struct event) + LIMIT_EVENT_TEXT_BYTES];
};

void event_init(struct event *ev, enum event_kind kind, enum event_source source, uint64_t time_ns);

static inline bool event_knows(const struct event *ev, enum event_field field)
{
    return ev->known[field >> 6] >> (field & 63) & 1;
}

static inline void event_know(struct event *ev, enum event_field field)
{
    ev->known[field >> 6] |= 1ull << (field & 63);
}

/* Sets a number field and marks it known: event_set(ev, F_PID, pid, 7). */
#define event_set(ev, field, member, value) ((ev)->member = (value), event_know((ev), (field)))

/* Appends a text to an event in an event_buffer and marks the field known. Texts longer than the field's limit or than
 * the room left are cut; returns false if so. */
bool event_set_text(struct event *ev, enum event_field field, const void *data, size_t size);

/* For a reader that gets its text by a system call: a pointer to `*room` free bytes behind the texts so far (one byte is kept for
 * the NUL), then event_text_done() with what was written. */
char *event_text_room(struct event *ev, size_t *room);
void event_text_done(struct event *ev, enum event_field field, size_t size);

/* The bytes of a text field, NUL-terminated; "" when empty or unknown. */
static inline const char *event_text(const struct event *ev, struct text t)
{
    return t.len ? ev->text + t.off : "";
}

/* Checks a record that came from outside (a file): sizes, text ranges, enum values. 0 or -EINVAL. */
int event_check(const struct event *ev, size_t size);

const char *event_kind_name(enum event_kind kind); /* "exec" */
const char *event_source_name(enum event_source source);

/* "10.0.0.1" or "2001:db8::1" into out (46 bytes suffice, "" for none). */
void address_format(const struct address *address, char out[46]);
/* 0 or -EINVAL. IPv4-mapped IPv6 addresses become IPv4. */
int address_parse(const char *text, struct address *address);
bool address_equal(const struct address *a, const struct address *b);

#endif
