#include "common/event_fields.h"

#define K(kind) (1u << EVENT_##kind)
#define ALL_KINDS (~0u)
#define IMAGE (K(EXEC) | K(PROCESS))             /* events that describe a process image */
#define SUBJECT (IMAGE | K(FORK) | K(EXIT))      /* events about a process as such */
#define SOCKET (IMAGE | K(SOCKETS) | K(FLOW) | K(DNS) | K(LISTEN))

static const char *const file_ops[] = { "", "create", "delete", "move", "attrib", "close_write", "open_exec", "modify", "open", NULL };
static const char *const flow_phases[] = { "", "new", "update", "end", "burst", NULL };
static const char *const directions[] = { "", "out", "in", "local", NULL };
static const char *const owners[] = { "", "socket", "only-uid", "only", "recent", NULL };
static const char *const dns_ops[] = { "", "query", "answer", NULL };
static const char *const listen_phases[] = { "", "present", "new", "end", NULL };
static const char *const netns_ops[] = { "", "watched", "withdrawn", "removed", "restored", "refused", "end", "address", "address-gone", NULL };
static const char *const container_phases[] = { "", "start", "facts", "end", NULL };
static const char *const container_roles[] = { "", "workload", "pause", "ecs-agent", NULL };
static const char *const sources[] = { "",     "exec", "proc",   "scan",   "fid", "overlay", "procfs",
                                       "flow", "cgroup", "docker", "ecs", "request", "store", "tracefs", "unix",
                                       "mount", "uevent", "cpu", "dns", "listen", "netns", "pipeline", NULL };

#define FIELD(id, name, type, member, kinds, doc) \
    [id] = { name, FIELD_##type, offsetof(struct event, member), LIMIT_PATH_BYTES, kinds, NULL, doc }
#define NAMED(id, name, member, kinds, names, doc) \
    [id] = { name, FIELD_ENUM, offsetof(struct event, member), 0, kinds, names, doc }
#define SHORT(id, name, member, max, kinds, doc) \
    [id] = { name, FIELD_TEXT, offsetof(struct event, member), max, kinds, NULL, doc }

const struct event_field_info event_fields[F_MAX] = {
    FIELD(F_PID, "pid", I32, pid, ALL_KINDS, "process id (thread group) in the host's pid namespace"),
    FIELD(F_PPID, "ppid", I32, ppid, SUBJECT, "process id of the parent"),
    FIELD(F_START_NS, "start", TIME, start_ns, SUBJECT | K(SOCKETS) | K(LISTEN) | K(SYSCALL), "when the process was forked"),
    FIELD(F_UID, "uid", U32, uid, SUBJECT | K(UID) | K(DNS) | K(LISTEN) | K(SOCKETS) | K(SYSCALL),
          "real user id, host's user namespace (of a DNS query or a socket: who made the socket)"),
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
    FIELD(F_CGROUP, "cgroup", TEXT, cgroup, IMAGE | K(CGROUP) | K(CONTAINER) | K(SOCKETS) | K(LISTEN), "control group path"),
    FIELD(F_STDIN, "stdin", TEXT, stdin_link, IMAGE, "what descriptor 0 is, as /proc/PID/fd/0 shows it"),
    FIELD(F_STDOUT, "stdout", TEXT, stdout_link, IMAGE, "what descriptor 1 is"),
    FIELD(F_STDERR, "stderr", TEXT, stderr_link, IMAGE, "what descriptor 2 is"),
    FIELD(F_MNTNS, "mntns", U64, mntns, IMAGE | K(CONTAINER), "mount namespace (inode number)"),
    FIELD(F_NETNS, "netns", U64, netns, IMAGE | K(CONTAINER) | K(DNS) | K(LISTEN) | K(NETNS) | K(SYSCALL), "network namespace (inode number)"),
    FIELD(F_PIDNS, "pidns", U64, pidns, IMAGE | K(CONTAINER), "pid namespace (inode number)"),
    FIELD(F_EXIT_CODE, "exit_code", I32, exit_code, K(EXIT), "exit status, 0 to 255"),
    FIELD(F_EXIT_SIGNAL, "exit_signal", I32, exit_signal, K(EXIT), "signal that ended the process"),
    FIELD(F_TARGET_PID, "target_pid", I32, target_pid, K(PTRACE) | K(FILE) | K(SYSCALL) | K(UNIX),
          "process acted upon: traced, written to, or owner of the /proc/PID entry; unix: the container's first process, if pid was not "
          "identified"),

    NAMED(F_FILE_OP, "op", file_op, K(FILE), file_ops, "what happened to the file"),
    FIELD(F_PATH, "path", TEXT, path, K(FILE) | K(UNIX) | K(MOUNT) | K(HASH),
          "path of the file (socket, mount point, tool that the executable is a copy of) as the container sees it"),
    FIELD(F_HOST_PATH, "host_path", TEXT, host_path, K(FILE) | K(MOUNT) | K(HASH),
          "path of the file (of what is mounted, of the host's tool that the executable is a copy of) as the host sees it"),
    FIELD(F_OLD_PATH, "old_path", TEXT, old_path, K(FILE), "former path of a moved file"),
    FIELD(F_DEV, "dev", U64, dev, IMAGE | K(FILE) | K(HASH), "device number of the file (or executable)"),
    FIELD(F_INO, "ino", U64, ino, IMAGE | K(FILE) | K(HASH), "inode number of the file (or executable)"),
    FIELD(F_MODE, "mode", MODE, mode, IMAGE | K(FILE), "type and permission bits of the file (or executable)"),
    FIELD(F_FILE_UID, "file_uid", U32, file_uid, IMAGE | K(FILE), "owner of the file (or executable)"),
    FIELD(F_NLINK, "nlink", U32, nlink, IMAGE | K(FILE), "number of links of the file (or executable); 0: deleted"),
    FIELD(F_SIZE, "file_size", U64, file_size, IMAGE | K(FILE) | K(HASH), "size of the file (or executable) in bytes"),
    FIELD(F_CTIME_WALL_NS, "file_ctime", WALL, ctime_wall_ns, IMAGE | K(FILE), "last change of the file's inode (or executable's)"),
    FIELD(F_MTIME_WALL_NS, "file_mtime", WALL, mtime_wall_ns, IMAGE | K(FILE) | K(HASH), "last change of the file's contents (or executable's)"),

    FIELD(F_COPIED_UP, "copied_up", BOOL, copied_up, K(FILE), "the file is the image's own, copied into the writable layer by this change"),

    NAMED(F_FLOW_PHASE, "phase", flow_phase, K(FLOW), flow_phases, "begin, change or end of the flow"),
    FIELD(F_FLOW_ID, "flow_id", U64, flow_id, K(FLOW) | K(SOCKETS), "the same for all events of one flow"),
    FIELD(F_NSID, "nsid", I32, nsid, K(FLOW) | K(CONTAINER) | K(DNS) | K(LISTEN) | K(NETNS) | K(SYSCALL),
          "network namespace id as the host numbers it, -1 for the host's own"),
    FIELD(F_PROTO, "proto", U8, proto, SOCKET, "IP protocol number: 6 TCP, 17 UDP"),
    FIELD(F_SRC, "src", ADDRESS, src, SOCKET | K(CONTAINER) | K(NETNS), "source address (a socket's own, a container's, a namespace's)"),
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
    FIELD(F_FD, "fd", I32, fd, IMAGE | K(SOCKETS) | K(UNIX), "descriptor that is the socket"),

    NAMED(F_CONTAINER_PHASE, "container_phase", container_phase, K(CONTAINER), container_phases, "start, more facts, or end"),
    SHORT(F_CONTAINER_ID, "container_id", container_id, 128, K(CONTAINER) | K(CGROUP) | K(CPU), "container id, 64 hex digits for Docker"),
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
    FIELD(F_COUNT, "count", U64, count, K(LOSS) | K(HASH), "how many events were lost, 1 when only the fact is known; hash: tools that the executable was compared with"),
    SHORT(F_REASON, "reason", reason, 192, K(LOSS) | K(HASH) | K(NETNS), "what happened; hash: by what the executable is a copy"),

    FIELD(F_LOGINUID, "loginuid", U32, loginuid, IMAGE, "user who logged in, as audit keeps it; 4294967295 for none"),
    FIELD(F_PGID, "pgid", I32, pgid, IMAGE, "process group id"),
    FIELD(F_VPID, "vpid", I32, vpid, IMAGE, "process id in its own pid namespace"),
    FIELD(F_VPGID, "vpgid", I32, vpgid, IMAGE, "process group id in its own pid namespace"),
    FIELD(F_CAP_EFFECTIVE, "cap_effective", U64, cap_effective, IMAGE, "effective capabilities, a bit mask"),
    FIELD(F_CAP_PERMITTED, "cap_permitted", U64, cap_permitted, IMAGE, "permitted capabilities, a bit mask"),
    FIELD(F_CAP_INHERITABLE, "cap_inheritable", U64, cap_inheritable, IMAGE, "inheritable capabilities, a bit mask"),
    FIELD(F_LINK_TARGET, "link_target", TEXT, link_target, K(FILE), "where a symbolic link that was just made points to"),
    SHORT(F_SHA256, "sha256", sha256, 64, K(HASH), "SHA-256 of the file, hex"),
    SHORT(F_SYSCALL, "syscall", syscall, 32, K(SYSCALL), "name of the system call"),
    FIELD(F_ARG0, "arg0", U64, arg0, K(SYSCALL), "its first argument, as the kernel got it"),
    FIELD(F_ARG1, "arg1", U64, arg1, K(SYSCALL), "its second argument"),
    FIELD(F_ARG2, "arg2", U64, arg2, K(SYSCALL), "its third argument"),
    FIELD(F_ARG3, "arg3", U64, arg3, K(SYSCALL), "its fourth argument"),
    FIELD(F_ARG4, "arg4", U64, arg4, K(SYSCALL), "its fifth argument"),
    FIELD(F_ARG5, "arg5", U64, arg5, K(SYSCALL), "its sixth argument"),
    FIELD(F_MOUNT_SOURCE, "mount_source", TEXT, mount_source, K(MOUNT), "what is mounted: device or directory"),
    SHORT(F_FS_TYPE, "fs_type", fs_type, 64, K(MOUNT), "type of the mounted file system"),
    SHORT(F_MODULE, "module", module, 64, K(MODULE), "name of the kernel module"),
    FIELD(F_CPU_NS, "cpu", U64, cpu_ns, K(CPU), "CPU time used in the interval, ns"),
    FIELD(F_INTERVAL_NS, "interval", U64, interval_ns, K(CPU), "length of the interval, ns"),
    SHORT(F_MOUNTS, "mounts", mounts, 1024, K(CONTAINER), "bind mounts and volumes, source:destination:mode:rw:propagation, joined by commas"),
    FIELD(F_NEW_LIBRARY, "new_library", BOOL, new_library, K(FILE),
          "the opened file is a library (or kernel module) written since its container started"),
    FIELD(F_LOADED, "loaded", BOOL, loaded, K(FILE), "the process mapped the opened library's code; not known if it ended at once"),
    NAMED(F_DIRECTION, "direction", direction, K(FLOW), directions,
          "out: begun by the container (or host), in: begun by others, local: within its namespace"),
    SHORT(F_DOMAIN, "domain", domain, LIMIT_DOMAIN_BYTES, K(FLOW), "name under which the container resolved the far end"),
    NAMED(F_OWNER, "owner", owner, K(FLOW) | K(DNS) | K(LISTEN) | K(SOCKETS) | K(SYSCALL), owners,
          "how the process is known; socket: certain, others: likely"),
    FIELD(F_FLOWS, "flows", U64, flows, K(FLOW), "flows that a burst row stands for"),
    FIELD(F_PORTS, "ports", U32, ports, K(FLOW), "different destination ports among them (at least)"),
    FIELD(F_ADDRESSES, "addresses", U32, addresses, K(FLOW),
          "different far addresses among them (at least): destinations, of inbound flows sources"),
    NAMED(F_DNS_OP, "dns_op", dns_op, K(DNS), dns_ops, "query or answer"),
    FIELD(F_DNS_ID, "dns_id", U16, dns_id, K(DNS), "transaction id of the DNS message"),
    SHORT(F_DNS_NAME, "dns_name", dns_name, LIMIT_DOMAIN_BYTES, K(DNS), "name asked for, without the last dot; odd bytes as \\DDD"),
    FIELD(F_DNS_TYPE, "dns_type", U16, dns_type, K(DNS), "type asked for: 1 A, 28 AAAA, 5 CNAME, 16 TXT, 15 MX"),
    FIELD(F_DNS_CLASS, "dns_class", U16, dns_class, K(DNS), "class asked for: 1 IN"),
    FIELD(F_DNS_RCODE, "dns_rcode", U8, dns_rcode, K(DNS), "result: 0 ok, 2 server failure, 3 no such name"),
    [F_DNS_ANSWERS] = { "dns_answers", FIELD_ARGV, offsetof(struct event, dns_answers), LIMIT_DNS_ANSWERS_BYTES, K(DNS), NULL,
                        "records of the answer, each \"NAME TYPE TTL DATA\"" },
    FIELD(F_DNS_TRUNCATED, "dns_truncated", BOOL, dns_truncated, K(DNS), "the message says that it is cut, or not all of it could be read"),
    FIELD(F_DNS_SIZE, "dns_size", U32, dns_size, K(DNS), "size of the DNS message in bytes"),
    FIELD(F_DNS_FORWARDED, "dns_forwarded", BOOL, dns_forwarded, K(DNS),
          "sent by Docker, which passes on what was asked of its own resolver (127.0.0.11); the same question stands before it"),
    FIELD(F_MESSAGES, "messages", U64, messages, K(DNS), "DNS messages that a burst row stands for; their names end as dns_name does"),
    FIELD(F_NAMES, "names", U32, names, K(DNS), "different names in them (at least)"),
    NAMED(F_LISTEN_PHASE, "listen_phase", listen_phase, K(LISTEN), listen_phases, "the socket listened already, began, or ceased to"),
    NAMED(F_NETNS_OP, "netns_op", netns_op, K(NETNS), netns_ops, "what happened to our watch over the network namespace"),
    FIELD(F_BEGIN_ID, "begin_id", U64, begin_id, K(FLOW), "row of the flow's first event in the database; of that one, unset"),
    FIELD(F_TRACKS, "tracks", BOOL, tracks, K(NETNS), "flows of the namespace are tracked because of us"),
};
