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
    EVENT_SYSCALL,   /* tracefs: a rare system call began; syscall, arg0 ... arg5 */
    EVENT_UNIX,      /* unix_diag: pid is connected to the unix socket `path` */
    EVENT_MOUNT,     /* a mount appeared in a container: path, mount_source, fs_type */
    EVENT_MODULE,    /* uevent: the kernel loaded `module` */
    EVENT_CPU,       /* control group counters: CPU time that a container used in an interval; not stored */
    EVENT_HASH,      /* answer to a request: sha256 of the file dev, ino */
    EVENT_DNS,       /* NFLOG: a DNS query or answer; src = who asks, dst = the server, in both directions */
    EVENT_LISTEN,    /* sock_diag: a socket began or ceased to listen (src, sport), in network namespace nsid */
    EVENT_NETNS,     /* our watch over a network namespace changed: netns, nsid, netns_op, reason */
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

enum flow_phase {
    FLOW_NEW = 1,
    FLOW_UPDATE,
    FLOW_END,
    FLOW_BURST, /* made by the pipeline: one row for many flows of one container; flows, ports, addresses say how many */
};

/* Whose flow it is, seen from the container (or, without one, from the host). */
enum flow_direction {
    DIRECTION_OUT = 1,
    DIRECTION_IN,
    DIRECTION_LOCAL, /* both ends in its own network namespace */
};

/* How the process of a flow, DNS query or listening socket is known. Only the first is certain, the others are likely. */
enum owner_by {
    OWNER_SOCKET = 1, /* it holds the socket */
    OWNER_ONLY_UID,   /* the only process of the container with the packet's uid */
    OWNER_ONLY,       /* the only process of the container but its init */
    OWNER_RECENT,     /* the latest of the container (with that uid) to be executed or forked, just before */
};

enum dns_op { DNS_QUERY = 1, DNS_ANSWER };

enum listen_phase {
    LISTEN_PRESENT = 1, /* listened already when we first looked */
    LISTEN_NEW,
    LISTEN_END,
};

enum netns_op {
    NETNS_WATCHED = 1, /* our table is there; tracks = connection tracking is ours */
    NETNS_WITHDRAWN,   /* our tracking was taken away: the conntrack table fills up, or by configuration */
    NETNS_REMOVED,     /* somebody else removed or changed our table */
    NETNS_RESTORED,    /* ... and it is there again */
    NETNS_REFUSED,     /* the table could not be made: reason */
    NETNS_END,
    NETNS_ADDRESS,      /* an interface has the address `src` */
    NETNS_ADDRESS_GONE, /* ... no more; without src: all of them */
};

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
    SOURCE_TRACEFS,  /* system call events of a private tracefs instance */
    SOURCE_UNIX,     /* unix_diag */
    SOURCE_MOUNT,    /* mountinfo of containers */
    SOURCE_UEVENT,   /* kernel uevents */
    SOURCE_CPU,      /* control group CPU counters */
    SOURCE_DNS,      /* NFLOG */
    SOURCE_LISTEN,   /* sock_diag, looked at in intervals */
    SOURCE_NETNS,    /* watch over network namespaces */
    SOURCE_PIPELINE, /* made by the pipeline out of other events */
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
    F_LOGINUID, F_PGID, F_VPID, F_VPGID, F_CAP_EFFECTIVE, F_CAP_PERMITTED, F_CAP_INHERITABLE, F_LINK_TARGET, F_SHA256,
    F_SYSCALL, F_ARG0, F_ARG1, F_ARG2, F_ARG3, F_ARG4, F_ARG5, F_MOUNT_SOURCE, F_FS_TYPE, F_MODULE, F_CPU_NS, F_INTERVAL_NS,
    F_MOUNTS,
    F_NEW_LIBRARY, F_LOADED,
    F_DIRECTION, F_DOMAIN, F_OWNER, F_FLOWS, F_PORTS, F_ADDRESSES,
    F_DNS_OP, F_DNS_ID, F_DNS_NAME, F_DNS_TYPE, F_DNS_CLASS, F_DNS_RCODE, F_DNS_ANSWERS, F_DNS_TRUNCATED, F_DNS_SIZE, F_DNS_FORWARDED, F_MESSAGES, F_NAMES,
    F_LISTEN_PHASE, F_NETNS_OP, F_TRACKS,
    F_BEGIN_ID,
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

    /* more about the process: from /proc/PID/status and loginuid, when everything is read */
    uint32_t loginuid; /* audit's; UINT32_MAX = unset */
    int32_t pgid, vpid, vpgid; /* v: as its own pid namespace numbers it */
    uint64_t cap_effective, cap_permitted, cap_inheritable;
    /* more about the file */
    struct text link_target; /* of a symbolic link just made */
    struct text sha256;      /* 64 hex digits */
    /* the system call: name without prefix, arguments as the kernel got them (pointers are of no use) */
    struct text syscall;
    uint64_t arg0, arg1, arg2, arg3, arg4, arg5;
    struct text mount_source, fs_type, module;
    uint64_t cpu_ns, interval_ns;
    struct text mounts;
    /* FILE_OPEN of a library that was written while its container was watched: 0 or 1 */
    uint8_t new_library, loaded;

    /* more about the flow, found by the pipeline */
    uint8_t direction; /* enum flow_direction */
    uint8_t owner;     /* enum owner_by: how `pid` is known */
    struct text domain; /* the name under which this container resolved the far end; the first name asked for, not the last CNAME */
    uint64_t flows;     /* FLOW_BURST: how many it stands for, to how many */
    uint32_t ports, addresses;

    /* the DNS message. Names as people write them: lower case as sent is kept, no dot at the end, other bytes than letters, digits, - and _
     * as \DDD; "." for the root */
    uint8_t dns_op, dns_rcode, dns_truncated, dns_forwarded;
    uint16_t dns_id, dns_type, dns_class;
    uint32_t dns_size; /* of the message (or of all that the row stands for), bytes */
    uint32_t names;    /* made by the pipeline: one row for many messages of one container, about so many names */
    uint64_t messages; /* ... how many */
    struct text dns_name;    /* of the first question */
    struct text dns_answers; /* NUL-separated "NAME TYPE TTL DATA", e.g. "www.example.com CNAME 300 a.example.net"; the answer section */

    uint8_t listen_phase, netns_op;
    uint8_t tracks; /* EVENT_NETNS: 0 or 1, flows of the namespace are tracked because of us */
    uint64_t begin_id; /* EVENT_FLOW: row of the flow's first event that is stored; found by the pipeline */

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
