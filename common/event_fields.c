#include "common/event_fields.h"

#define K(kind) (1u << EVENT_##kind)
#define ALL_KINDS (~0u)
#define IMAGE (K(EXEC) | K(PROCESS))             /* events that describe a process image */
#define SUBJECT (IMAGE | K(FORK) | K(EXIT))      /* events about a process as such */
#define SOCKET (IMAGE | K(SOCKETS) | K(FLOW))

static const char *const file_ops[] = { "", "create", "delete", "move", "attrib", "close_write", "open_exec", "modify", "open", NULL };
static const char *const flow_phases[] = { "", "new", "update", "end", NULL };
static const char *const container_phases[] = { "", "start", "facts", "end", NULL };
static const char *const container_roles[] = { "", "workload", "pause", "ecs-agent", NULL };
static const char *const sources[] = { "",     "exec", "proc",   "scan",   "fid", "overlay", "procfs",
                                       "flow", "cgroup", "docker", "ecs", "request", "store", NULL };

#define FIELD(id, name, type, member, kinds, doc) \
    [id] = { name, FIELD_##type, offsetof(struct event, member), LIMIT_PATH_BYTES, kinds, NULL, doc }
#define NAMED(id, name, member, kinds, names, doc) \
    [id] = { name, FIELD_ENUM, offsetof(struct event, member), 0, kinds, names, doc }
#define SHORT(id, name, member, max, kinds, doc) \
    [id] = { name, FIELD_TEXT, offsetof(struct event, member), max, kinds, NULL, doc }

const struct event_field_info event_fields[F_MAX] = {
    FIELD(F_PID, "pid", I32, pid, ALL_KINDS, "process id (thread group) in the host's pid namespace"),
    FIELD(F_PPID, "ppid", I32, ppid, SUBJECT, "process id of the parent"),
    FIELD(F_START_NS, "start", TIME, start_ns, SUBJECT, "when the process was forked"),
    FIELD(F_UID, "uid", U32, uid, SUBJECT | K(UID), "real user id, host's user namespace"),
    FIELD(F_EUID, "euid", U32, euid, SUBJECT | K(UID), "effective user id"),
    FIELD(F_GID, "gid", U32, gid, SUBJECT | K(GID), "real group id"),
    FIELD(F_EGID, "egid", U32, egid, SUBJECT | K(GID), "effective group id"),
    FIELD(F_SID, "sid", I32, sid, IMAGE | K(SID), "session id"),
    FIELD(F_TTY, "tty", U32, tty, IMAGE, "device number of the controlling terminal, 0 for none"),
    SHORT(F_COMM, "comm", comm, LIMIT_COMM_BYTES, IMAGE | K(COMM), "name of the process as the kernel keeps it"),
    FIELD(F_EXE, "exe", TEXT, exe, IMAGE, "path of the executable as the process sees it; \" (deleted)\" when unlinked"),
    [F_CMDLINE] = { "cmdline", FIELD_ARGV, offsetof(struct event, cmdline), LIMIT_CMDLINE_BYTES, IMAGE, NULL, "argument vector" },
    [F_ENVIRON] = { "environ", FIELD_ARGV, offsetof(struct event, environ), LIMIT_ENVIRON_BYTES, IMAGE, NULL,
                    "environment: whole while it is short, else LD_* only" },
    FIELD(F_CWD, "cwd", TEXT, cwd, IMAGE, "working directory as the process sees it"),
    FIELD(F_CGROUP, "cgroup", TEXT, cgroup, IMAGE | K(CGROUP) | K(CONTAINER), "control group path"),
    FIELD(F_STDIN, "stdin", TEXT, stdin_link, IMAGE, "what descriptor 0 is, as /proc/PID/fd/0 shows it"),
    FIELD(F_STDOUT, "stdout", TEXT, stdout_link, IMAGE, "what descriptor 1 is"),
    FIELD(F_STDERR, "stderr", TEXT, stderr_link, IMAGE, "what descriptor 2 is"),
    FIELD(F_MNTNS, "mntns", U64, mntns, IMAGE | K(CONTAINER), "mount namespace (inode number)"),
    FIELD(F_NETNS, "netns", U64, netns, IMAGE | K(CONTAINER), "network namespace (inode number)"),
    FIELD(F_PIDNS, "pidns", U64, pidns, IMAGE | K(CONTAINER), "pid namespace (inode number)"),
    FIELD(F_EXIT_CODE, "exit_code", I32, exit_code, K(EXIT), "exit status, 0 to 255"),
    FIELD(F_EXIT_SIGNAL, "exit_signal", I32, exit_signal, K(EXIT), "signal that ended the process"),
    FIELD(F_TARGET_PID, "target_pid", I32, target_pid, K(PTRACE) | K(FILE), "process acted upon: traced, or owner of the /proc/PID entry"),

    NAMED(F_FILE_OP, "op", file_op, K(FILE), file_ops, "what happened to the file"),
    FIELD(F_PATH, "path", TEXT, path, K(FILE), "path of the file as the container sees it"),
    FIELD(F_HOST_PATH, "host_path", TEXT, host_path, K(FILE), "path of the file as the host sees it"),
    FIELD(F_OLD_PATH, "old_path", TEXT, old_path, K(FILE), "former path of a moved file"),
    FIELD(F_DEV, "dev", U64, dev, IMAGE | K(FILE), "device number of the file (or executable)"),
    FIELD(F_INO, "ino", U64, ino, IMAGE | K(FILE), "inode number of the file (or executable)"),
    FIELD(F_MODE, "mode", MODE, mode, IMAGE | K(FILE), "type and permission bits of the file (or executable)"),
    FIELD(F_FILE_UID, "file_uid", U32, file_uid, IMAGE | K(FILE), "owner of the file (or executable)"),
    FIELD(F_NLINK, "nlink", U32, nlink, IMAGE | K(FILE), "number of links of the file (or executable); 0: deleted"),
    FIELD(F_SIZE, "file_size", U64, file_size, IMAGE | K(FILE), "size of the file (or executable) in bytes"),
    FIELD(F_CTIME_WALL_NS, "file_ctime", WALL, ctime_wall_ns, IMAGE | K(FILE), "last change of the file's inode (or executable's)"),
    FIELD(F_MTIME_WALL_NS, "file_mtime", WALL, mtime_wall_ns, IMAGE | K(FILE), "last change of the file's contents (or executable's)"),

    FIELD(F_COPIED_UP, "copied_up", BOOL, copied_up, K(FILE), "the file is the image's own, copied into the writable layer by this change"),

    NAMED(F_FLOW_PHASE, "phase", flow_phase, K(FLOW), flow_phases, "begin, change or end of the flow"),
    FIELD(F_FLOW_ID, "flow_id", U64, flow_id, K(FLOW), "the same for all events of one flow"),
    FIELD(F_NSID, "nsid", I32, nsid, K(FLOW) | K(CONTAINER), "network namespace id as the host numbers it, -1 for the host's own"),
    FIELD(F_PROTO, "proto", U8, proto, SOCKET, "IP protocol number: 6 TCP, 17 UDP"),
    FIELD(F_SRC, "src", ADDRESS, src, SOCKET | K(CONTAINER), "source address (a socket's own, a container's)"),
    FIELD(F_SPORT, "sport", U16, sport, SOCKET, "source port (of a socket: local)"),
    FIELD(F_DST, "dst", ADDRESS, dst, SOCKET, "destination address (of a socket: peer)"),
    FIELD(F_DPORT, "dport", U16, dport, SOCKET, "destination port (of a socket: peer)"),
    FIELD(F_REPLY_SRC, "reply_src", ADDRESS, reply_src, K(FLOW), "source of the reply direction: the real destination behind NAT"),
    FIELD(F_REPLY_SPORT, "reply_sport", U16, reply_sport, K(FLOW), "source port of the reply direction"),
    FIELD(F_REPLY_DST, "reply_dst", ADDRESS, reply_dst, K(FLOW), "destination of the reply direction: the translated source"),
    FIELD(F_REPLY_DPORT, "reply_dport", U16, reply_dport, K(FLOW), "destination port of the reply direction"),
    FIELD(F_BYTES_OUT, "bytes_out", U64, bytes_out, K(FLOW), "bytes in the original direction, headers included"),
    FIELD(F_BYTES_IN, "bytes_in", U64, bytes_in, K(FLOW), "bytes in the reply direction"),
    FIELD(F_PACKETS_OUT, "packets_out", U64, packets_out, K(FLOW), "packets in the original direction"),
    FIELD(F_PACKETS_IN, "packets_in", U64, packets_in, K(FLOW), "packets in the reply direction"),
    FIELD(F_TCP_STATE, "tcp_state", U8, tcp_state, SOCKET, "TCP state: 1 established, 2 syn-sent, 10 listen"),
    FIELD(F_FD, "fd", I32, fd, IMAGE | K(SOCKETS), "descriptor that is the inet socket described by src and dst"),

    NAMED(F_CONTAINER_PHASE, "container_phase", container_phase, K(CONTAINER), container_phases, "start, more facts, or end"),
    SHORT(F_CONTAINER_ID, "container_id", container_id, 128, K(CONTAINER) | K(CGROUP), "container id, 64 hex digits for Docker"),
    NAMED(F_CONTAINER_ROLE, "container_role", container_role, K(CONTAINER), container_roles, "what the container is for"),
    SHORT(F_RUNTIME, "runtime", runtime, 32, K(CONTAINER), "docker, containerd, podman, ..."),
    SHORT(F_TASK_ID, "task_id", task_id, 64, K(CONTAINER) | K(CGROUP), "ECS task id"),
    SHORT(F_TASK_ARN, "task_arn", task_arn, 512, K(CONTAINER), "ECS task ARN"),
    SHORT(F_CLUSTER, "cluster", cluster, 512, K(CONTAINER), "ECS cluster"),
    SHORT(F_FAMILY, "task_family", family, 256, K(CONTAINER), "family of the ECS task definition"),
    SHORT(F_REVISION, "task_revision", revision, 16, K(CONTAINER), "revision of the ECS task definition"),
    SHORT(F_SERVICE, "service", service, 256, K(CONTAINER), "ECS service"),
    SHORT(F_CONTAINER_NAME, "container_name", container_name, 256, K(CONTAINER), "name in the task definition, else the runtime's"),
    SHORT(F_DOCKER_NAME, "docker_name", docker_name, 256, K(CONTAINER), "the runtime's name of the container"),
    SHORT(F_IMAGE, "image", image, 512, K(CONTAINER), "image as it was asked for"),
    SHORT(F_IMAGE_ID, "image_id", image_id, 256, K(CONTAINER), "image digest"),
    FIELD(F_UPPERDIR, "upperdir", TEXT, upperdir, K(CONTAINER), "host path of the overlay's writable layer"),
    FIELD(F_ROOT_DEV, "root_dev", U64, root_dev, K(CONTAINER), "device number of the container's root file system"),
    FIELD(F_PRIVILEGED, "privileged", BOOL, privileged, K(CONTAINER), "runs privileged"),
    FIELD(F_STARTED_WALL_NS, "started", WALL, started_wall_ns, K(CONTAINER), "when the container's first process started"),

    NAMED(F_SOURCE, "source", source, ALL_KINDS, sources, "the sensor"),
    FIELD(F_COUNT, "count", U64, count, K(LOSS), "how many events were lost; 1 when only the fact is known"),
    SHORT(F_REASON, "reason", reason, 192, K(LOSS), "what happened"),
};
