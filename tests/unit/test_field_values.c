/* Values of fields over events made by hand: a tree of processes, a container with its facts, files, flows. Every field that can be
 * filled is seen with a value at least once. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/detect/rules/field_context.h"
#include "agent/detect/rules/format.h"
#include "agent/detect/rules/user_names.h"
#include "common/text.h"

#define ID "c0ffee0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
#define OFFSET 1700000000000000000ll
#define SECOND 1000000000ull
#define MISSING "-"
#define WAIT "?"

static struct proctree tree;
static struct file_origins origins;
static struct container_facts box;
static struct user_names users;
static struct host_facts host = { .mntns = 1, .netns = 2, .pidns = 3, .n_addresses = 1, .addresses = { { 4, { 10, 0, 0, 5 } } } };
static struct eval eval;
static struct field_context context;
static union event_buffer buffer;
static struct image *previous;
static bool seen[1024];
static uint64_t now;

/* ---- making events ---- */

static struct event *make(enum event_kind kind, int32_t pid)
{
    event_init(&buffer.event, kind, SOURCE_EXEC, now += SECOND);
    if (pid)
        event_set(&buffer.event, F_PID, pid, pid);
    return &buffer.event;
}

static void put(struct event *ev, enum event_field field, const char *text)
{
    event_set_text(ev, field, text, strlen(text));
}

#define ARGV(ev, bytes) event_set_text(ev, F_CMDLINE, bytes, sizeof bytes)

static void apply(struct event *ev)
{
    image_release(&tree, previous);
    previous = NULL;
    context.process = proctree_apply(&tree, ev, 7, &previous);
    if (context.process && context.process->container == 0 && context.container)
        context.process->container = context.container->id;
    context.ev = ev;
    context.image = context.process ? context.process->image : NULL;
    context.previous = previous;
    const int class = event_class_of(ev, &context);
    assert_true(class >= 0);
    context.class = (enum event_class)class;
    eval_begin(&eval, &context.source);
}

static void run_fork(int32_t parent, int32_t child)
{
    struct event *ev = make(EVENT_FORK, child);
    event_set(ev, F_PPID, ppid, parent);
    apply(ev);
}

static struct event *make_exec(int32_t pid, const char *comm, const char *exe)
{
    struct event *ev = make(EVENT_EXEC, pid);
    put(ev, F_COMM, comm);
    put(ev, F_EXE, exe);
    event_set(ev, F_EUID, euid, 0);
    event_set(ev, F_EGID, egid, 0);
    return ev;
}

/* ---- looking at values ---- */

static const char *show(const char *name)
{
    static char text[4096];
    char error[128];
    char copy[128];
    const char *open = strchr(name, '['), *argument = NULL;
    size_t length = strlen(name), argument_length = 0;
    struct field_ref ref;
    struct value value;
    struct text_out out;
    snprintf(copy, sizeof copy, "%s", name);
    if (open) {
        argument = copy + (open - name) + 1;
        argument_length = length - (size_t)(open - name) - 2;
        length = (size_t)(open - name);
    }
    assert_int_equal(field_ref_init(&ref, copy, length, argument, argument_length, error, sizeof error), 0);
    switch (context.source.get(&context.source, &ref, &value)) {
    case VALUE_MISSING:
        return MISSING;
    case VALUE_WAIT:
        return WAIT;
    case VALUE_GOT:
        break;
    }
    seen[ref.field - rule_fields] = true;
    assert_true(ref.field->type == VALUE_DYNAMIC || value.is_list || value.type == ref.field->type);
    text_out_init(&out, text, sizeof text);
    value_print(&out, &value, &ref);
    return text;
}

struct expectation {
    const char *field, *value;
};

static void expect(const struct expectation *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *got = show(list[i].field);
        if (strcmp(got, list[i].value) != 0)
            fail_msg("%s: expected %s, got %s", list[i].field, list[i].value, got);
    }
}

#define EXPECT(...)                                              \
    do {                                                         \
        static const struct expectation list_[] = { __VA_ARGS__ }; \
        expect(list_, sizeof list_ / sizeof list_[0]);           \
    } while (0)

/* ---- the world ---- */

static int setup(void **state)
{
    static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\nbroken\n:x:9:\nworker:x:1000:1000::/home/worker:/bin/sh\n"
                                 "again:x:1000:1::/:/bin/false\n";
    static const char group[] = "root:x:0:\nstaff:x:50:worker";
    (void)state;
    now = 100 * SECOND;
    user_names_init(&users);
    memset(&box, 0, sizeof box);
    box = (struct container_facts){ .id = 5, .role = CONTAINER_ROLE_WORKLOAD, .container_id = ID, .runtime = "docker", .nsid = -2 };
    assert_int_equal(user_names_set_users(&users, passwd, sizeof passwd - 1), 0);
    assert_int_equal(user_names_set_groups(&users, group, sizeof group - 1), 0);
    assert_int_equal(file_origins_init(&origins, 256), 0);
    assert_int_equal(eval_init(&eval), 0);
    field_context_init(&context, &eval);
    context.tree = &tree;
    context.origins = &origins;
    context.users = &users;
    context.host = &host;
    context.host_name = "node-1";
    context.wall_offset_ns = OFFSET;
    context.event_number = 42;
    return proctree_init(&tree, 256, 1 << 20);
}

static int teardown(void **state)
{
    (void)state;
    image_release(&tree, previous);
    previous = NULL;
    proctree_fini(&tree);
    file_origins_fini(&origins);
    user_names_fini(&users);
    eval_fini(&eval);
    return 0;
}

static void tell_facts(void)
{
    box.from_docker = box.from_ecs = true;
    box.privileged = 1;
    box.root_dev = 77;
    strcpy(box.upperdir, "/var/lib/docker/overlay2/x/diff");
    box.started_wall_ns = OFFSET + 50 * SECOND;
    box.netns = host.netns;
    box.pidns = 33;
    box.init_pid = 10;
    box.address = (struct address){ 4, { 172, 17, 0, 2 } };
    strcpy(box.task_id, "0123456789abcdef0123456789abcdef");
    strcpy(box.task_arn, "arn:aws:ecs:eu-central-1:123456789012:task/prod/0123456789abcdef0123456789abcdef");
    strcpy(box.cluster, "prod");
    strcpy(box.family, "web");
    strcpy(box.revision, "8");
    strcpy(box.service, "shop");
    strcpy(box.name, "app");
    strcpy(box.docker_name, "ecs-web-8-app");
    strcpy(box.image, "registry.example:5000/team/web:1.2@sha256:feed");
    strcpy(box.image_id, "sha256:beef");
    strcpy(box.mounts, "/etc:/host/etc:ro:false:rprivate,/var/run/docker.sock:/var/run/docker.sock::true:rprivate");
}

/* nginx (10) -> bash (11) -> curl (12), in the container. */
static void run_chain(void)
{
    context.container = &box;
    struct event *ev = make_exec(10, "nginx", "/usr/sbin/nginx");
    ARGV(ev, "nginx\0-g\0daemon off;");
    event_set(ev, F_PPID, ppid, 1);
    event_set(ev, F_SID, sid, 10);
    apply(ev);
    run_fork(10, 11);
    ev = make_exec(11, "bash", "/bin/bash");
    ARGV(ev, "/bin/bash\0-i");
    event_set(ev, F_PGID, pgid, 11);
    event_set(ev, F_VPID, vpid, 8);
    apply(ev);
    run_fork(11, 12);
    ev = make_exec(12, "curl", "/tmp/curl");
    ARGV(ev, "curl\0-s\0http://198.51.100.7/x y");
    event_set_text(ev, F_ENVIRON, "PATH=/bin\0LD_PRELOAD=/tmp/x.so\0EMPTY=", sizeof "PATH=/bin\0LD_PRELOAD=/tmp/x.so\0EMPTY=");
    put(ev, F_CWD, "/srv");
    put(ev, F_CGROUP, "/ecs/task/" ID);
    put(ev, F_STDIN, "socket:[99]");
    put(ev, F_STDOUT, "pipe:[7]");
    put(ev, F_STDERR, "/dev/pts/0");
    event_set(ev, F_FD, fd, 0);
    event_set(ev, F_PROTO, proto, IPPROTO_TCP);
    event_set(ev, F_SRC, src, ((struct address){ 4, { 172, 17, 0, 2 } }));
    event_set(ev, F_SPORT, sport, 40000);
    event_set(ev, F_DST, dst, ((struct address){ 4, { 198, 51, 100, 7 } }));
    event_set(ev, F_DPORT, dport, 4444);
    event_set(ev, F_TTY, tty, 34816);
    event_set(ev, F_PGID, pgid, 12);
    event_set(ev, F_VPID, vpid, 9);
    event_set(ev, F_VPGID, vpgid, 9);
    event_set(ev, F_LOGINUID, loginuid, 1000);
    event_set(ev, F_EUID, euid, 1000);
    event_set(ev, F_EGID, egid, 50);
    event_set(ev, F_UID, uid, 1000);
    event_set(ev, F_CAP_EFFECTIVE, cap_effective, 1 << 13 | 1 << 21);
    event_set(ev, F_CAP_PERMITTED, cap_permitted, 1);
    event_set(ev, F_CAP_INHERITABLE, cap_inheritable, 0);
    event_set(ev, F_MNTNS, mntns, 11);
    event_set(ev, F_NETNS, netns, 2);
    event_set(ev, F_PIDNS, pidns, 33);
    event_set(ev, F_DEV, dev, 77);
    event_set(ev, F_INO, ino, 1234);
    event_set(ev, F_MODE, mode, S_IFREG | 04755);
    event_set(ev, F_FILE_UID, file_uid, 1000);
    event_set(ev, F_NLINK, nlink, 1);
    event_set(ev, F_SIZE, file_size, 4096);
    event_set(ev, F_CTIME_WALL_NS, ctime_wall_ns, OFFSET + 60 * SECOND);
    event_set(ev, F_MTIME_WALL_NS, mtime_wall_ns, OFFSET + 59 * SECOND);
    apply(ev);
}

/* ---- execution ---- */

static void exec_of_a_process_with_ancestors(void **state)
{
    (void)state;
    tell_facts();
    run_chain();
    assert_int_equal(context.class, CLASS_EXEC);
    EXPECT({ "proc.name", "curl" }, { "proc.exe", "curl" }, { "proc.exepath", "/tmp/curl" }, { "proc.args", "-s http://198.51.100.7/x y" },
           { "proc.args[0]", "-s" }, { "proc.args[1]", "http://198.51.100.7/x y" }, { "proc.args[2]", MISSING },
           { "proc.cmdline", "curl -s http://198.51.100.7/x y" }, { "proc.exeline", "curl -s http://198.51.100.7/x y" },
           { "proc.cmdnargs", "2" },
           { "proc.cmdlenargs", "25" }, { "proc.pid", "12" }, { "proc.ppid", "11" }, { "proc.pname", "bash" }, { "proc.pexe", "/bin/bash" },
           { "proc.pexepath", "/bin/bash" }, { "proc.pcmdline", "bash -i" }, { "proc.aname[0]", "curl" }, { "proc.aname[1]", "bash" },
           { "proc.aname[2]", "nginx" }, { "proc.aname[3]", MISSING }, { "proc.aname[1000000]", MISSING }, { "proc.aname", "bash nginx" },
           { "proc.aexe", "/bin/bash nginx" }, { "proc.aexepath", "/bin/bash /usr/sbin/nginx" }, { "proc.apid", "11 10" },
           { "proc.acmdline[2]", "nginx -g daemon off;" }, { "proc.aargs[1]", "-i" }, { "proc.sid", "10" }, { "proc.sname", "nginx" },
           { "proc.sid.exe", "nginx" }, { "proc.sid.exepath", "/usr/sbin/nginx" }, { "proc.is_sid_leader", "false" }, { "proc.pgid", "12" },
           { "proc.pgid.name", "curl" }, { "proc.pgid.exe", "curl" }, { "proc.pgid.exepath", "/tmp/curl" }, { "proc.vpgid", "9" },
           { "proc.vpgid.name", "curl" }, { "proc.vpgid.exe", "curl" }, { "proc.vpgid.exepath", "/tmp/curl" },
           { "proc.is_vpgid_leader", "true" },
           { "proc.is_pgid_leader", "true" }, { "proc.vpid", "9" }, { "thread.vtid", "9" }, { "thread.tid", "12" },
           { "thread.ismain", "true" },
           { "proc.pvpid", "8" }, { "proc.tty", "34816" }, { "proc.cwd", "/srv/" }, { "proc.loginshellid", "11" },
           { "proc.previous.exepath", "/bin/bash" }, { "proc.previous.cmdline", "/bin/bash -i" }, { "proc.duration", "1000000000" },
           { "proc.pid.ts", "1700000104000000000" }, { "proc.ppid.ts", "1700000102000000000" }, { "proc.ppid.duration", "3000000000" },
           { "thread.cgroups", "/ecs/task/" ID }, { "thread.cgroup.cpu", "/ecs/task/" ID });
    EXPECT({ "proc.env", "PATH=/bin LD_PRELOAD=/tmp/x.so EMPTY=" }, { "proc.env[LD_PRELOAD]", "/tmp/x.so" }, { "proc.env[EMPTY]", "" },
           { "proc.env[LD]", MISSING }, { "proc.env[PRELOAD]", MISSING }, { "proc.env[PATH]", "/bin" },
           { "proc.stdin.type", "ipv4" }, { "proc.stdin.name", "socket:[99]" }, { "proc.stdout.type", "pipe" },
           { "proc.stdout.name", "pipe:[7]" }, { "proc.stderr.type", "file" }, { "proc.stderr.name", "/dev/pts/0" },
           { "fd.types", "(ipv4,pipe,file)" },
           { "fd.types[1]", "(pipe)" }, { "fd.types[9]", MISSING }, { "thread.cap_effective", "CAP_NET_RAW CAP_SYS_ADMIN" },
           { "thread.cap_permitted", "CAP_CHOWN" }, { "thread.cap_inheritable", "" }, { "user.uid", "1000" }, { "user.name", "worker" },
           { "user.homedir", "/home/worker" }, { "user.shell", "/bin/sh" }, { "user.loginuid", "1000" }, { "user.loginname", "worker" },
           { "group.gid", "50" }, { "group.name", "staff" }, { "proc.ruid", "1000" }, { "proc.mntns.is_host", "false" },
           { "proc.netns.is_host", "true" }, { "proc.pidns.is_host", "false" }, { "proc.entry", "task" }, { "proc.entered", "false" });
    EXPECT({ "proc.exe_ino", "1234" }, { "proc.exe_ino.ctime", "1700000060000000000" }, { "proc.exe_ino.mtime", "1700000059000000000" },
           { "proc.exe_ino.ctime_duration_proc_start", "45000000000" }, { "proc.exe_ino.ctime_duration_pidns_start", "10000000000" },
           { "proc.pidns_init_start_ts", "1700000050000000000" }, { "proc.is_exe_writable", "true" }, { "proc.is_exe_upper_layer", "true" },
           { "proc.is_exe_lower_layer", "false" }, { "proc.is_exe_from_memfd", "false" }, { "proc.is_exe_deleted", "false" },
           { "evt.arg.flags", "EXE_WRITABLE|EXE_UPPER_LAYER" }, { "evt.arg.filename", "/tmp/curl" }, { "evt.arg.uid", "worker" },
           { "evt.arg.exe", "curl" }, { "evt.arg.domain", MISSING }, { "evt.rawarg.uid", "1000" }, { "evt.rawarg.exe", "curl" },
           { "evt.rawarg.exe_ino", "1234" }, { "evt.arg.cap_effective", "2105344" }, { "evt.arg[1]", MISSING });
}

static void event_fields_of_any_event(void **state)
{
    (void)state;
    tell_facts();
    run_chain();
    EXPECT({ "evt.num", "42" }, { "evt.type", "execve" }, { "syscall.type", "execve" }, { "evt.type.is.execveat", "1" },
           { "evt.type.is.openat", "0" }, { "evt.category", "process" }, { "evt.hostname", "node-1" }, { "evt.source", "syscall" },
           { "evt.dir", "<" }, { "evt.res", "SUCCESS" }, { "evt.rawres", "0" }, { "evt.failed", "false" }, { "evt.count", "1" },
           { "evt.count.exit", "1" }, { "evt.count.error", "0" }, { "evt.count.error.file", "0" }, { "evt.count.error.net", "0" },
           { "evt.count.error.memory", "0" }, { "evt.count.error.other", "0" }, { "evt.is_async", "false" }, { "evt.is_io", "false" },
           { "evt.is_io_read", "false" }, { "evt.is_io_write", "false" }, { "evt.is_wait", "false" }, { "evt.is_syslog", "false" },
           { "evt.is_open_read", "false" }, { "evt.is_open_write", "false" }, { "evt.is_open_exec", "false" },
           { "evt.is_open_create", "false" },
           { "evt.rawtime", "1700000105000000000" }, { "evt.rawtime.s", "1700000105" }, { "evt.rawtime.ns", "0" },
           { "evt.time", "22:15:05.000000000" }, { "evt.time.s", "22:15:05" }, { "evt.time.iso8601", "2023-11-14T22:15:05.000000000Z" },
           { "evt.datetime", "2023-11-14 22:15:05.000000000" }, { "evt.datetime.s", "2023-11-14 22:15:05" }, { "evt.latency", MISSING },
           { "fd.name", MISSING }, { "fd.sip.name", MISSING }, { "k8s.ns.name", MISSING });
    assert_non_null(strstr(show("evt.args"), "filename=/tmp/curl "));
    assert_non_null(strstr(show("evt.info"), "exe=curl "));
}

static void a_socket_as_standard_input_is_a_dup(void **state)
{
    (void)state;
    tell_facts();
    run_chain();
    assert_int_equal(event_class_also(context.ev), CLASS_DUP);
    context.class = CLASS_DUP;
    EXPECT({ "evt.type", "dup2" }, { "evt.rawres", "0" }, { "fd.num", "0" }, { "fd.type", "ipv4" }, { "fd.l4proto", "tcp" },
           { "fd.name", "172.17.0.2:40000->198.51.100.7:4444" }, { "fd.lip", "172.17.0.2" }, { "fd.rip", "198.51.100.7" },
           { "fd.rport", "4444" },
           { "fd.sip", "198.51.100.7" }, { "fd.is_server", "false" }, { "evt.arg.fd", "0" });
}

static void container_facts_are_told(void **state)
{
    (void)state;
    tell_facts();
    run_chain();
    EXPECT({ "container.id", "c0ffee012345" }, { "container.full_id", ID }, { "container.name", "ecs-web-8-app" },
           { "container.type", "docker" },
           { "container.image", "registry.example:5000/team/web:1.2@sha256:feed" },
           { "container.image.repository", "registry.example:5000/team/web" }, { "container.image.tag", "1.2" },
           { "container.image.digest", "sha256:feed" }, { "container.image.id", "beef" }, { "container.privileged", "true" },
           { "container.ip", "172.17.0.2" }, { "container.start_ts", "1700000050000000000" }, { "container.duration", "55000000000" },
           { "container.host_network", "true" }, { "container.host_pid", "false" },
           { "container.mounts", "/etc:/host/etc:ro:false:rprivate,/var/run/docker.sock:/var/run/docker.sock::true:rprivate" },
           { "container.mount[0]", "/etc:/host/etc:ro:false:rprivate" },
           { "container.mount[/var/*]", "/var/run/docker.sock:/var/run/docker.sock::true:rprivate" },
           { "container.mount.dest[/host/etc]", "/host/etc" }, { "container.mount.dest[/etc]", "N/A" },
           { "container.mount.dest[/var*]", "/var/run/docker.sock" },
           { "container.mount.source[1]", "/var/run/docker.sock" }, { "container.mount.mode[/etc]", "ro" },
           { "container.mount.rdwr[/etc]", "false" },
           { "container.mount.propagation[0]", "rprivate" }, { "container.mount.source[7]", "N/A" });
    EXPECT({ "ecs.cluster", "prod" }, { "ecs.task.id", "0123456789abcdef0123456789abcdef" },
           { "ecs.task.arn", "arn:aws:ecs:eu-central-1:123456789012:task/prod/0123456789abcdef0123456789abcdef" },
           { "ecs.task.family", "web" },
           { "ecs.task.revision", "8" }, { "ecs.service", "shop" }, { "ecs.container.name", "app" }, { "ecs.container.role", "workload" });
    strcpy(box.image, "web");
    EXPECT({ "container.image.repository", "web" }, { "container.image.tag", "latest" }, { "container.image.digest", MISSING });
    strcpy(box.image, "localhost:5000/web@sha256:1");
    EXPECT({ "container.image.repository", "localhost:5000/web" }, { "container.image.tag", MISSING });
}

static void facts_that_may_come_are_waited_for(void **state)
{
    (void)state;
    run_chain();
    EXPECT({ "container.id", "c0ffee012345" }, { "container.image", WAIT }, { "container.image.repository", WAIT },
           { "container.privileged", WAIT },
           { "container.mount.dest[/etc]", WAIT }, { "ecs.task.family", WAIT }, { "ecs.service", WAIT },
           { "proc.is_exe_upper_layer", WAIT },
           { "container.start_ts", WAIT }, { "container.mounts", WAIT }, { "ecs.container.role", WAIT }, { "proc.name", "curl" });
    context.facts_final = true;
    EXPECT({ "container.image", MISSING }, { "container.privileged", MISSING }, { "container.mount.dest[/etc]", "N/A" },
           { "ecs.service", MISSING },
           { "proc.is_exe_upper_layer", MISSING }, { "container.mounts", MISSING }, { "container.start_ts", MISSING });
    context.facts_final = false;
    box.from_docker = true;
    EXPECT({ "container.image", MISSING }, { "ecs.service", MISSING }, { "container.privileged", "false" }, { "container.mounts", "" });
    strcpy(box.task_id, "0123456789abcdef0123456789abcdef");
    EXPECT({ "ecs.service", WAIT }, { "ecs.task.family", MISSING });
}

static void the_host_has_no_container(void **state)
{
    (void)state;
    struct event *ev = make_exec(20, "sh", "/bin/sh");
    ARGV(ev, "sh");
    context.container = NULL;
    apply(ev);
    EXPECT({ "container.id", "host" }, { "container.name", "host" }, { "container.type", "host" }, { "container.image", MISSING },
           { "container.mount.dest[/etc]", MISSING }, { "ecs.task.id", MISSING }, { "proc.cmdline", "sh" }, { "proc.args", "" },
           { "proc.pname", MISSING },
           { "proc.aname", MISSING }, { "proc.vpid", "20" }, { "proc.tty", MISSING }, { "user.loginuid", MISSING },
           { "user.loginname", "<NA>" },
           { "user.name", "root" }, { "proc.env", MISSING }, { "proc.entry", "unknown" }, { "proc.entered", MISSING });
    context.process->container_known = true;
    EXPECT({ "proc.entry", "host" }, { "proc.entered", "false" });
}

static void an_unknown_process_has_a_placeholder_for_a_name(void **state)
{
    (void)state;
    struct event *ev = make(EVENT_FILE, 0);
    event_set(ev, F_FILE_OP, file_op, FILE_CLOSE_WRITE);
    put(ev, F_PATH, "/etc/passwd");
    apply(ev);
    assert_null(context.process);
    EXPECT({ "proc.name", "<NA>" }, { "proc.exe", "<NA>" }, { "proc.cmdline", "<NA>" }, { "proc.exepath", MISSING },
           { "proc.pname", MISSING },
           { "user.name", "<NA>" }, { "user.uid", MISSING }, { "proc.pid", MISSING }, { "proc.aname", MISSING },
           { "proc.aname[0]", MISSING },
           { "fd.name", "/etc/passwd" }, { "proc.entry", "unknown" }, { "target.pid", MISSING });
}

static void files_in_memory_have_the_name_that_rules_expect(void **state)
{
    (void)state;
    struct event *ev = make_exec(30, "3", "/memfd:runc_cloned:/proc/self/exe (deleted)");
    event_set(ev, F_INO, ino, 5);
    event_set(ev, F_DEV, dev, 1);
    event_set(ev, F_MODE, mode, S_IFREG | 0777);
    event_set(ev, F_NLINK, nlink, 0);
    apply(ev);
    EXPECT({ "proc.exepath", "memfd:runc_cloned:/proc/self/exe" }, { "proc.is_exe_from_memfd", "true" }, { "proc.is_exe_deleted", "true" },
           { "evt.arg.flags", "EXE_WRITABLE|EXE_FROM_MEMFD" }, { "file.deleted", "true" }, { "proc.exe", "<NA>" });
}

/* ---- how a process came into its container ---- */

static void entries(void **state)
{
    (void)state;
    tell_facts();
    run_chain();
    run_fork(2, 50); /* the runtime's child, moved into the container */
    context.process->container = box.id;
    context.process->entered = true;
    run_fork(50, 51);
    struct event *ev = make_exec(51, "sh", "/bin/sh");
    apply(ev);
    EXPECT({ "proc.entry", "docker_exec" }, { "proc.entered", "true" });
    run_fork(2, 60);
    context.process->container = box.id;
    context.process->entered = true;
    ev = make_exec(60, "amazon-ssm-agen", "/ecs-execute-command-1234/amazon-ssm-agent");
    event_set(ev, F_INO, ino, 5);
    event_set(ev, F_DEV, dev, 1);
    apply(ev);
    run_fork(60, 61);
    EXPECT({ "proc.entry", "ecs_exec" });
    run_fork(2, 70);
    context.process->container = box.id;
    context.process->entered = true;
    ev = make_exec(70, "amazon-ssm-agen", "/ecs-execute-command-1234/amazon-ssm-agent"); /* a file of the container's own */
    event_set(ev, F_INO, ino, 5);
    event_set(ev, F_DEV, dev, 77);
    apply(ev);
    EXPECT({ "proc.entry", "docker_exec" });
}

/* ---- files ---- */

static struct event *make_file(enum file_op op, const char *path)
{
    struct event *ev = make(EVENT_FILE, 12);
    event_set(ev, F_FILE_OP, file_op, op);
    put(ev, F_PATH, path);
    return ev;
}

static void stat_of(struct event *ev, uint32_t mode, uint64_t size)
{
    event_set(ev, F_DEV, dev, 77);
    event_set(ev, F_INO, ino, 4321);
    event_set(ev, F_MODE, mode, mode);
    event_set(ev, F_FILE_UID, file_uid, 1000);
    event_set(ev, F_NLINK, nlink, 1);
    event_set(ev, F_SIZE, file_size, size);
    event_set(ev, F_CTIME_WALL_NS, ctime_wall_ns, OFFSET);
    event_set(ev, F_MTIME_WALL_NS, mtime_wall_ns, OFFSET);
    event_set(ev, F_COPIED_UP, copied_up, 1);
}

static void stat_of_new(struct event *ev, uint32_t mode, uint64_t size)
{
    stat_of(ev, mode, size);
    ev->copied_up = 0;
}

static void a_written_file(void **state)
{
    (void)state;
    tell_facts();
    run_chain();
    struct event *ev = make_file(FILE_CLOSE_WRITE, "/etc/cron.d/job");
    put(ev, F_HOST_PATH, "/var/lib/docker/overlay2/x/diff/etc/cron.d/job");
    stat_of(ev, S_IFREG | 06755, 0);
    apply(ev);
    file_origins_note(&origins, box.id, ev, context.process);
    now += SECOND;
    ev->time_ns += SECOND;
    EXPECT({ "evt.type", "openat" }, { "evt.is_open_write", "true" }, { "evt.is_open_read", "false" },
           { "evt.arg.flags", "O_TRUNC|O_WRONLY" },
           { "evt.arg.name", "/etc/cron.d/job" }, { "evt.abspath", "/etc/cron.d/job" }, { "fd.name", "/etc/cron.d/job" },
           { "fd.directory", "/etc/cron.d" },
           { "fd.filename", "job" }, { "fd.type", "file" }, { "fd.typechar", "f" }, { "fd.num", "0" }, { "fd.dev", "77" },
           { "fd.dev.major", "0" },
           { "fd.dev.minor", "77" }, { "fd.ino", "4321" }, { "fd.is_upper_layer", "true" }, { "fd.is_lower_layer", "false" },
           { "fd.containername", "c0ffee012345:/etc/cron.d/job" }, { "fd.containerdirectory", "c0ffee012345:/etc/cron.d" },
           { "fd.ip", MISSING },
           { "fs.path.name", "/etc/cron.d/job" }, { "fs.path.source", MISSING }, { "proc.name", "curl" }, { "proc.pname", "bash" },
           { "proc.tty", "34816" }, { "proc.cwd", "/srv/" }, { "user.loginname", "worker" }, { "proc.vpid", "9" },
           { "thread.cap_permitted", "CAP_CHOWN" },
           { "proc.mntns.is_host", "false" }, { "proc.stdin.type", "socket" }, { "proc.exe_ino.mtime", "1700000059000000000" });
    EXPECT({ "file.path", "/etc/cron.d/job" }, { "file.host_path", "/var/lib/docker/overlay2/x/diff/etc/cron.d/job" },
           { "file.op", "close_write" },
           { "file.mode", "3565" }, { "file.uid", "1000" }, { "file.nlink", "1" }, { "file.size", "0" }, { "file.ino", "4321" },
           { "file.ctime", "1700000000000000000" }, { "file.mtime", "1700000000000000000" }, { "file.copied_up", "true" },
           { "file.deleted", "false" },
           { "file.executable", "true" }, { "file.setuid", "true" }, { "file.setgid", "true" }, { "file.upper_layer", "true" },
           { "file.origin", "changed" }, { "file.writer.exe", "/tmp/curl" }, { "file.writer.cmdline", "curl -s 'http://198.51.100.7/x y'" },
           { "file.writer.pid", "12" }, { "file.writer.uid", "1000" }, { "file.writer.age", "1000000000" });
}

static void files_opened_and_made(void **state)
{
    (void)state;
    tell_facts();
    run_chain();
    struct event *ev = make_file(FILE_OPEN, "/passwd");
    event_set(ev, F_DEV, dev, 77);
    apply(ev);
    EXPECT({ "evt.is_open_read", "true" }, { "evt.is_open_write", "false" }, { "evt.arg.flags", "O_RDONLY" }, { "fd.directory", "/" },
           { "fd.is_upper_layer", "false" }, { "fd.is_lower_layer", "true" }, { "file.mode", MISSING });
    ev = make_file(FILE_OPEN, "/root/.ssh");
    stat_of(ev, S_IFDIR | 0700, 0);
    apply(ev);
    EXPECT({ "fd.typechar", "d" }, { "fd.type", "directory" }, { "fd.directory", "/root/.ssh" });
    ev = make_file(FILE_CREATE, "/bin/ls");
    stat_of(ev, S_IFREG | 0755, 0);
    assert_int_equal(event_class_of(ev, &context), -1); /* copied up */
    ev = make_file(FILE_OPEN, "/tmp/x.so");
    put(ev, F_HOST_PATH, "/data/volume/tmp/x.so");
    event_set(ev, F_NEW_LIBRARY, new_library, 1);
    event_set(ev, F_LOADED, loaded, 1);
    apply(ev);
    EXPECT({ "file.new_library", "true" }, { "file.loaded", "true" }, { "file.upper_layer", "false" });
    ev = make_file(FILE_CREATE, "/tmp/x");
    stat_of_new(ev, S_IFREG | 0755, 0);
    apply(ev);
    EXPECT({ "evt.is_open_create", "true" }, { "evt.is_open_exec", "true" }, { "evt.is_open_write", "false" },
           { "evt.arg.flags", "O_CREAT|O_WRONLY" },
           { "evt.arg.mode", "0755" }, { "evt.rawarg.mode", "493" }, { "file.op", "create" });
    ev = make_file(FILE_CREATE, "/tmp/d");
    stat_of_new(ev, S_IFDIR | 0755, 0);
    apply(ev);
    EXPECT({ "evt.type", "mkdirat" }, { "evt.arg.path", "/tmp/d" }, { "fd.name", MISSING });
    ev = make_file(FILE_CREATE, "/tmp/l");
    stat_of_new(ev, S_IFLNK | 0777, 0);
    put(ev, F_LINK_TARGET, "/etc/shadow");
    apply(ev);
    EXPECT({ "evt.type", "symlinkat" }, { "evt.arg.target", "/etc/shadow" }, { "evt.arg.linkpath", "/tmp/l" },
           { "file.link_target", "/etc/shadow" },
           { "fs.path.source", "/etc/shadow" }, { "fs.path.target", "/tmp/l" });
    ev = make_file(FILE_CREATE, "/tmp/h");
    stat_of_new(ev, S_IFREG | 0600, 9);
    ev->nlink = 2;
    put(ev, F_OLD_PATH, "/etc/shadow");
    apply(ev);
    EXPECT({ "evt.type", "linkat" }, { "evt.arg.oldpath", "/etc/shadow" }, { "evt.arg.newpath", "/tmp/h" });
    ev->copied_up = 1; /* a file of the image: the link made it appear in the writable layer as well */
    assert_int_equal(event_class_of(ev, &context), CLASS_LINK);
}

static void names_removed_renamed_and_changed(void **state)
{
    (void)state;
    tell_facts();
    run_chain();
    struct event *ev = make_file(FILE_DELETE, "/root/.bash_history");
    apply(ev);
    EXPECT({ "evt.type", "unlinkat" }, { "evt.arg.name", "/root/.bash_history" }, { "evt.arg.path", "/root/.bash_history" },
           { "fd.name", MISSING });
    ev = make_file(FILE_DELETE, "/opt");
    event_set(ev, F_MODE, mode, S_IFDIR);
    apply(ev);
    EXPECT({ "evt.type", "rmdir" }, { "evt.arg.path", "/opt" });
    ev = make_file(FILE_MOVE, "/bin/b");
    put(ev, F_OLD_PATH, "/bin/a");
    apply(ev);
    EXPECT({ "evt.type", "renameat2" }, { "evt.arg.oldpath", "/bin/a" }, { "evt.arg.newpath", "/bin/b" }, { "file.old_path", "/bin/a" },
           { "evt.abspath.src", "/bin/a" }, { "evt.abspath.dst", "/bin/b" });
    ev = make_file(FILE_ATTRIB, "/tmp/sh");
    stat_of(ev, S_IFREG | 04755, 1);
    apply(ev);
    EXPECT({ "evt.type", "fchmodat" }, { "evt.arg.filename", "/tmp/sh" },
           { "evt.arg.mode", "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID" });
}

/* ---- flows and sockets ---- */

static struct event *make_flow(const uint8_t *src, uint16_t sport, const uint8_t *dst, uint16_t dport)
{
    struct event *ev = make(EVENT_FLOW, 0);
    struct address a = { .family = 4 }, b = { .family = 4 };
    memcpy(a.bytes, src, 4);
    memcpy(b.bytes, dst, 4);
    event_set(ev, F_FLOW_PHASE, flow_phase, FLOW_NEW);
    event_set(ev, F_PROTO, proto, IPPROTO_TCP);
    event_set(ev, F_SRC, src, a);
    event_set(ev, F_SPORT, sport, sport);
    event_set(ev, F_DST, dst, b);
    event_set(ev, F_DPORT, dport, dport);
    event_set(ev, F_BYTES_OUT, bytes_out, 100);
    event_set(ev, F_BYTES_IN, bytes_in, 200);
    event_set(ev, F_PACKETS_OUT, packets_out, 1);
    event_set(ev, F_PACKETS_IN, packets_in, 2);
    return ev;
}

static void an_outbound_flow(void **state)
{
    (void)state;
    static const uint8_t own[] = { 172, 17, 0, 2 }, far[] = { 198, 51, 100, 7 };
    tell_facts();
    context.container = &box;
    struct event *ev = make_flow(own, 40000, far, 443);
    apply(ev);
    EXPECT({ "evt.type", "connect" }, { "fd.name", "172.17.0.2:40000->198.51.100.7:443" }, { "fd.type", "ipv4" }, { "fd.typechar", "4" },
           { "fd.sockfamily", "ip" }, { "fd.l4proto", "tcp" }, { "fd.cip", "172.17.0.2" }, { "fd.sip", "198.51.100.7" },
           { "fd.lip", "172.17.0.2" },
           { "fd.rip", "198.51.100.7" }, { "fd.cport", "40000" }, { "fd.sport", "443" }, { "fd.lport", "40000" }, { "fd.rport", "443" },
           { "fd.ip", "172.17.0.2 198.51.100.7" }, { "fd.port", "40000 443" }, { "fd.proto", "40000 443" }, { "fd.cproto", "40000" },
           { "fd.sproto", "443" }, { "fd.lproto", "40000" }, { "fd.rproto", "443" }, { "fd.is_server", "false" },
           { "fd.connected", "true" },
           { "fd.name_changed", "true" }, { "fd.num", "0" }, { "fd.directory", MISSING }, { "fd.ino", MISSING },
           { "flow.bytes_out", "100" },
           { "flow.bytes_in", "200" }, { "flow.packets_out", "1" }, { "flow.packets_in", "2" }, { "flow.phase", "new" },
           { "flow.direction", "outbound" }, { "flow.real_ip", "198.51.100.7" }, { "flow.real_port", "443" },
           { "evt.arg.tuple", "172.17.0.2:40000->198.51.100.7:443" });
    assert_string_not_equal(show("fd.net"), MISSING);
    assert_string_not_equal(show("fd.cnet"), MISSING);
    assert_string_not_equal(show("fd.snet"), MISSING);
    assert_string_not_equal(show("fd.lnet"), MISSING);
    assert_string_not_equal(show("fd.rnet"), MISSING);
}

static void an_inbound_flow_through_a_published_port(void **state)
{
    (void)state;
    static const uint8_t far[] = { 198, 51, 100, 7 }, host_address[] = { 10, 0, 0, 5 };
    tell_facts();
    context.container = &box;
    struct event *ev = make_flow(far, 50000, host_address, 8080);
    event_set(ev, F_REPLY_SRC, reply_src, box.address);
    event_set(ev, F_REPLY_SPORT, reply_sport, 80);
    apply(ev);
    EXPECT({ "evt.type", "accept" }, { "fd.name", "198.51.100.7:50000->172.17.0.2:80" }, { "fd.sip", "172.17.0.2" }, { "fd.sport", "80" },
           { "fd.lip", "172.17.0.2" }, { "fd.rip", "198.51.100.7" }, { "fd.is_server", "true" }, { "flow.direction", "inbound" },
           { "flow.real_ip", "172.17.0.2" }, { "flow.real_port", "80" });
    context.container = NULL;
    ev = make_flow(far, 50000, host_address, 22);
    apply(ev);
    EXPECT({ "evt.type", "accept" }, { "fd.sport", "22" });
}

static void a_flow_that_knows_more(void **state)
{
    (void)state;
    static const uint8_t own[] = { 172, 17, 0, 2 }, far[] = { 198, 51, 100, 7 };
    tell_facts();
    context.container = &box;
    struct event *ev = make_flow(own, 40000, far, 443);
    event_set(ev, F_DIRECTION, direction, DIRECTION_OUT);
    event_set(ev, F_OWNER, owner, OWNER_SOCKET);
    put(ev, F_DOMAIN, "api.example.com");
    apply(ev);
    EXPECT({ "evt.type", "connect" }, { "flow.domain", "api.example.com" }, { "flow.owner", "socket" }, { "fd.sip.name", "api.example.com" },
           { "fd.rip.name", "api.example.com" }, { "fd.cip.name", MISSING });
    ev->direction = DIRECTION_LOCAL;
    apply(ev);
    EXPECT({ "evt.type", "connect" }, { "flow.direction", "local" });
    ev->direction = DIRECTION_IN; /* the container's address is not known to be its own */
    apply(ev);
    EXPECT({ "evt.type", "accept" }, { "flow.direction", "inbound" }, { "fd.is_server", "true" }, { "fd.cip.name", "api.example.com" },
           { "fd.sip.name", MISSING });
    ev->flow_phase = FLOW_END;
    apply(ev);
    EXPECT({ "evt.type", "flow_end" }, { "flow.phase", "end" }, { "flow.direction", "inbound" }, { "flow.bytes_out", "100" });
    ev->flow_phase = FLOW_BURST;
    assert_int_equal(event_class_of(ev, &context), -1);
}

/* The container asked for its own name, as programs do that tell others where they are. */
static void the_near_end_has_a_name_too(void **state)
{
    (void)state;
    static const uint8_t own[] = { 172, 17, 0, 2 }, far[] = { 198, 51, 100, 7 };
    struct dns_names names;
    tell_facts();
    context.container = &box;
    assert_int_equal(dns_names_init(&names, (struct hash_key){ 1, 2 }), 0);
    struct event *ev = make(EVENT_DNS, 0);
    event_set(ev, F_NSID, nsid, box.nsid = 3);
    event_set(ev, F_DNS_TYPE, dns_type, 1);
    put(ev, F_DNS_NAME, "me.example.com");
    put(ev, F_DNS_ANSWERS, "me.example.com A 60 172.17.0.2");
    dns_names_note(&names, ev);
    ev = make_flow(own, 40000, far, 443);
    apply(ev);
    EXPECT({ "fd.lip.name", MISSING });
    context.names = &names;
    EXPECT({ "fd.lip.name", "me.example.com" }, { "fd.cip.name", "me.example.com" }, { "fd.rip.name", MISSING }, { "fd.sip.name", MISSING });
    context.names = NULL;
    box.nsid = -2;
    dns_names_fini(&names);
}

static void a_listening_socket(void **state)
{
    (void)state;
    tell_facts();
    context.container = &box;
    struct event *ev = make(EVENT_LISTEN, 12);
    event_set(ev, F_LISTEN_PHASE, listen_phase, LISTEN_NEW);
    event_set(ev, F_PROTO, proto, IPPROTO_TCP);
    event_set(ev, F_SRC, src, ((struct address){ .family = 4 }));
    event_set(ev, F_SPORT, sport, 4444);
    event_set(ev, F_OWNER, owner, OWNER_SOCKET);
    apply(ev);
    EXPECT({ "evt.type", "listen" }, { "fd.sport", "4444" }, { "fd.lport", "4444" }, { "fd.cport", MISSING }, { "fd.is_server", "true" },
           { "fd.l4proto", "tcp" }, { "flow.owner", "socket" }, { "flow.direction", MISSING });
    ev->listen_phase = LISTEN_END;
    assert_int_equal(event_class_of(ev, &context), -1);
}

static struct event *make_dns(enum dns_op op)
{
    static const uint8_t own[] = { 172, 17, 0, 2 }, server[] = { 198, 51, 100, 53 };
    struct event *ev = make(EVENT_DNS, 0);
    struct address a = { .family = 4 }, b = { .family = 4 };
    memcpy(a.bytes, own, 4);
    memcpy(b.bytes, server, 4);
    event_set(ev, F_DNS_OP, dns_op, op);
    event_set(ev, F_PROTO, proto, IPPROTO_UDP);
    event_set(ev, F_SRC, src, a);
    event_set(ev, F_SPORT, sport, 40000);
    event_set(ev, F_DST, dst, b);
    event_set(ev, F_DPORT, dport, 53);
    event_set(ev, F_DNS_ID, dns_id, 7);
    event_set(ev, F_DNS_TYPE, dns_type, 1);
    event_set(ev, F_DNS_CLASS, dns_class, 1);
    event_set(ev, F_DNS_SIZE, dns_size, 60);
    event_set(ev, F_DNS_TRUNCATED, dns_truncated, 0);
    put(ev, F_DNS_NAME, "Www.Example.COM");
    return ev;
}

static void dns_messages(void **state)
{
    (void)state;
    static const char answers[] = "Www.Example.COM CNAME 300 A.Example.net\0A.Example.net A 60 203.0.113.9\0A.Example.net AAAA 60 2001:db8::9\0"
                                  "odd TXT 1 \"a b\"\0broken";
    tell_facts();
    context.container = &box;
    struct event *ev = make_dns(DNS_QUERY);
    apply(ev);
    EXPECT({ "evt.type", "dns" }, { "evt.category", "net" }, { "dns.op", "query" }, { "dns.name", "www.example.com" }, { "dns.labels", "3" },
           { "dns.type", "A" }, { "dns.class", "1" }, { "dns.id", "7" }, { "dns.size", "60" }, { "dns.truncated", "false" },
           { "dns.rcode", MISSING }, { "dns.addresses", MISSING }, { "dns.cnames", MISSING }, { "fd.sip", "198.51.100.53" },
           { "fd.sport", "53" }, { "fd.l4proto", "udp" }, { "fd.name", "172.17.0.2:40000->198.51.100.53:53" }, { "fd.is_server", "false" },
           { "flow.phase", MISSING });
    ev = make_dns(DNS_ANSWER);
    event_set(ev, F_DNS_RCODE, dns_rcode, 0);
    event_set_text(ev, F_DNS_ANSWERS, answers, sizeof answers - 1);
    apply(ev);
    EXPECT({ "dns.op", "answer" }, { "dns.rcode", "NOERROR" }, { "dns.cnames", "(a.example.net)" },
           { "dns.addresses", "(203.0.113.9,2001:db8::9)" }, { "dns.data", "(A.Example.net,203.0.113.9,2001:db8::9,\"a b\")" });
    ev->dns_rcode = 200;
    ev->dns_type = 65000;
    EXPECT({ "dns.rcode", "RCODE200" }, { "dns.type", "TYPE65000" });
}

static void sockets(void **state)
{
    (void)state;
    tell_facts();
    run_chain();
    struct event *ev = make(EVENT_SOCKETS, 12);
    event_set(ev, F_FD, fd, 4);
    event_set(ev, F_PROTO, proto, IPPROTO_TCP);
    event_set(ev, F_TCP_STATE, tcp_state, 10);
    event_set(ev, F_SRC, src, ((struct address){ .family = 6 }));
    event_set(ev, F_SPORT, sport, 4444);
    apply(ev);
    EXPECT({ "evt.type", "listen" }, { "fd.type", "ipv6" }, { "fd.typechar", "6" }, { "fd.sport", "4444" }, { "fd.port", "4444" },
           { "fd.cip", MISSING },
           { "fd.is_server", "true" }, { "fd.lport", "4444" }, { "fd.num", "4" });
    ev = make(EVENT_UNIX, 12);
    event_set(ev, F_FD, fd, 3);
    put(ev, F_PATH, "/var/run/docker.sock");
    apply(ev);
    EXPECT({ "evt.type", "connect" }, { "fd.type", "unix" }, { "fd.typechar", "u" }, { "fd.name", "/var/run/docker.sock" },
           { "fd.sockfamily", "unix" },
           { "fd.sip", MISSING }, { "file.path", "/var/run/docker.sock" });
}

/* ---- other kinds ---- */

static void changes_of_ids(void **state)
{
    (void)state;
    run_chain();
    struct event *ev = make(EVENT_UID, 12);
    event_set(ev, F_UID, uid, 0);
    event_set(ev, F_EUID, euid, 0);
    apply(ev);
    EXPECT({ "evt.type", "setuid" }, { "evt.arg.uid", "root" }, { "user.uid", "1000" }, { "user.name", "worker" },
           { "evt.rawarg.ruid", "0" });
    ev = make(EVENT_GID, 12);
    event_set(ev, F_GID, gid, 12345);
    event_set(ev, F_EGID, egid, 12345);
    apply(ev);
    EXPECT({ "evt.type", "setgid" }, { "evt.arg.gid", "12345" }, { "group.name", "<NA>" });
    apply(make(EVENT_SID, 12));
    EXPECT({ "evt.type", "setsid" });
}

static void tracing_and_rare_calls(void **state)
{
    (void)state;
    run_chain();
    struct event *ev = make(EVENT_PTRACE, 12);
    event_set(ev, F_TARGET_PID, target_pid, 10);
    apply(ev);
    EXPECT({ "evt.type", "ptrace" }, { "evt.arg.request", "PTRACE_ATTACH" }, { "evt.arg.pid", "10" }, { "target.pid", "10" },
           { "target.name", "nginx" },
           { "target.exepath", "/usr/sbin/nginx" }, { "target.cmdline", "nginx -g daemon off;" });
    static const struct {
        const char *name;
        uint64_t args[3];
        const char *field, *value;
    } calls[] = {
        { "ptrace", { 0, 0, 0 }, "evt.arg.request", "PTRACE_TRACEME" },
        { "ptrace", { 0xffff, 0, 0 }, "evt.arg.request", "65535" },
        { "setns", { 3, 0x40000000, 0 }, "evt.arg.nstype", "CLONE_NEWNET" },
        { "unshare", { 0x10020000, 0, 0 }, "evt.arg.flags", "CLONE_NEWNS|CLONE_NEWUSER" },
        { "memfd_create", { 1, 1, 0 }, "evt.arg.flags", "MFD_CLOEXEC" },
        { "bpf", { 5, 0, 0 }, "evt.arg.cmd", "BPF_PROG_LOAD" },
        { "socket", { 17, 3, 0 }, "evt.arg.domain", "AF_PACKET" },
        { "finit_module", { 3, 0, 0 }, "evt.type", "finit_module" },
        { "userfaultfd", { 0, 0, 0 }, "evt.category", "file" },
        { "process_vm_writev", { 10, 0, 0 }, "evt.arg.pid", "10" },
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        ev = make(EVENT_SYSCALL, 12);
        put(ev, F_SYSCALL, calls[i].name);
        event_set(ev, F_ARG0, arg0, calls[i].args[0]);
        event_set(ev, F_ARG1, arg1, calls[i].args[1]);
        event_set(ev, F_ARG2, arg2, calls[i].args[2]);
        apply(ev);
        assert_string_equal(show("evt.type"), calls[i].name);
        assert_string_equal(show(calls[i].field), calls[i].value);
    }
    ev = make(EVENT_SYSCALL, 12);
    put(ev, F_SYSCALL, "getpid");
    assert_int_equal(event_class_of(ev, &context), -1);
}

static void mounts_modules_and_containers(void **state)
{
    (void)state;
    run_chain();
    struct event *ev = make(EVENT_MOUNT, 12);
    put(ev, F_PATH, "/mnt");
    put(ev, F_MOUNT_SOURCE, "/dev/nvme0n1p1");
    put(ev, F_FS_TYPE, "xfs");
    apply(ev);
    EXPECT({ "evt.type", "mount" }, { "mount.source", "/dev/nvme0n1p1" }, { "mount.target", "/mnt" }, { "mount.type", "xfs" },
           { "evt.arg.dev", "/dev/nvme0n1p1" },
           { "evt.arg.dir", "/mnt" }, { "evt.arg.type", "xfs" });
    ev = make(EVENT_MODULE, 0);
    put(ev, F_MODULE, "rootkit");
    apply(ev);
    EXPECT({ "evt.type", "finit_module" }, { "module.name", "rootkit" });
    ev = make(EVENT_CONTAINER, 0);
    apply(ev);
    EXPECT({ "evt.type", "container" });
    run_fork(12, 13);
    EXPECT({ "evt.type", "clone" }, { "evt.arg.res", "13" }, { "evt.arg.ptid", "12" }, { "proc.name", "curl" }, { "proc.vpid", MISSING });
    ev = make(EVENT_EXIT, 13);
    event_set(ev, F_EXIT_CODE, exit_code, 3);
    apply(ev);
    EXPECT({ "evt.type", "procexit" }, { "evt.arg.ret", "3" }, { "evt.arg.status", "768" });
    ev = make(EVENT_HASH, 0);
    assert_int_equal(event_class_of(ev, &context), -1);
    put(ev, F_SHA256, "feed");
    context.ev = ev;
    EXPECT({ "file.sha256", "feed" });
}

/* ---- conditions ---- */

static bool holds(const char *text)
{
    struct arena arena;
    struct cond *cond;
    struct cond_error error;
    struct predicate *predicate;
    arena_init(&arena, 0);
    if (cond_parse(&arena, text, strlen(text), 100, &cond, &error) || predicate_compile(&arena, cond, &predicate, &error))
        fail_msg("%s: %s", text, error.message);
    eval_begin(&eval, &context.source);
    const bool result = predicate_eval(predicate, &eval) == VERDICT_TRUE;
    arena_fini(&arena);
    return result;
}

static void an_environment_is_joined_only_for_who_sees_it(void **state)
{
    (void)state;
    static const char *const within[] = { "proc.env contains \"LD_PRELOAD=/tmp\"", "proc.env icontains ld_preload", "proc.env contains \"EMPTY=\"",
                                          "proc.env contains anyof (nowhere, BIN, bin)", "proc.env contains \"\"" };
    static const char *const across[] = { "proc.env contains \"bin LD_\"", "proc.env icontains allof (\"BIN ld\", path)",
                                          "proc.env endswith \".so EMPTY=\"", "proc.env regex \".* EMPTY=\"" };
    run_chain();
    for (size_t i = 0; i < sizeof within / sizeof within[0]; i++) {
        assert_true(holds(within[i]));
        assert_int_equal(eval.scratch_used, 0);
    }
    for (size_t i = 0; i < sizeof across / sizeof across[0]; i++) {
        assert_true(holds(across[i]));
        assert_true(eval.scratch_used > 0);
    }
    assert_false(holds("proc.env contains binLD"));
    assert_false(holds("proc.env contains \"LD_PRELOAD=/tmp/y\""));
}

/* ---- hostile events ---- */

/* Texts as long as they can be, without the NULs and shapes that are expected, for every class and every field. */
static void nothing_breaks_on_hostile_texts(void **state)
{
    (void)state;
    static const char patterns[] = { 0, '/', ' ', '=', ':', ',', 'a', (char)0xff };
    static char long_text[LIMIT_PATH_BYTES];
    tell_facts();
    memset(box.mounts, ':', sizeof box.mounts - 1);
    memset(box.image, '@', sizeof box.image - 1);
    for (size_t i = 0; i < sizeof patterns; i++) {
        memset(long_text, patterns[i], sizeof long_text);
        run_chain();
        struct event *ev = make(EVENT_EXEC, 12);
        for (int field = 0; field < F_MAX; field++)
            event_set_text(ev, F_EXE, long_text, sizeof long_text);
        event_set_text(ev, F_CMDLINE, long_text, sizeof long_text);
        event_set_text(ev, F_ENVIRON, long_text, sizeof long_text);
        event_set_text(ev, F_CWD, long_text, 100);
        event_set_text(ev, F_STDIN, long_text, 100);
        event_set_text(ev, F_PATH, long_text, sizeof long_text);
        apply(ev);
        for (int class = 0; class < CLASS_MAX; class++) {
            context.class = (enum event_class)class;
            for (size_t f = 0; f < n_rule_fields; f++) {
                static const char *const arguments[] = { NULL, "0", "1", "99", "a", "*", "", "flags", "mode" };
                for (size_t a = 0; a < sizeof arguments / sizeof arguments[0]; a++) {
                    char error[64];
                    struct field_ref ref;
                    struct value value;
                    const char *name = rule_fields[f].name;
                    const size_t length = arguments[a] ? strlen(arguments[a]) : 0;
                    if (field_ref_init(&ref, name, strlen(name), arguments[a], length, error, sizeof error))
                        continue;
                    eval_begin(&eval, &context.source);
                    context.source.get(&context.source, &ref, &value);
                }
            }
        }
    }
}

static void a_full_scratch_makes_values_missing(void **state)
{
    (void)state;
    run_chain();
    eval.scratch_used = EVAL_SCRATCH_BYTES - 8;
    EXPECT({ "proc.cmdline", MISSING }, { "proc.aname", MISSING }, { "fd.types", MISSING }, { "evt.time", MISSING },
           { "proc.name", "curl" });
    assert_int_equal(eval.n_scratch_full, 4);
    eval.scratch_used = EVAL_SCRATCH_BYTES;
    EXPECT({ "proc.cmdline", MISSING });
    assert_int_equal(eval.n_scratch_full, 5);
}

static void every_field_that_can_be_filled_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_rule_fields; i++)
        if (rule_fields[i].fill != FIELD_NEVER && !seen[i])
            fail_msg("%s was never seen with a value", rule_fields[i].name);
}

/* ---- users ---- */

static void user_tables_are_bounded_and_robust(void **state)
{
    (void)state;
    static const char odd[] = "a:b:99999999999\n\n::\n\0:\0:1\nok:x:7";
    struct user_names names;
    char *big = malloc(1 << 20), *at = big;
    user_names_init(&names);
    assert_null(user_names_user(&names, 0));
    assert_int_equal(user_names_set_users(&names, "", 0), 0);
    assert_int_equal(user_names_set_users(&names, "a:b", 3), 0);
    assert_int_equal(user_names_set_users(&names, odd, sizeof odd - 1), 0);
    assert_int_equal(names.n_users, 1);
    assert_string_equal(user_names_user(&names, 7), "ok");
    for (int i = 0; i < 5000; i++)
        at += sprintf(at, "user%d:x:%d:%d\n", i, 10000 - i, i);
    assert_int_equal(user_names_set_users(&names, big, (size_t)(at - big)), 0);
    assert_int_equal(names.n_users, LIMIT_USER_NAMES);
    assert_string_equal(user_names_user(&names, 10000), "user0");
    assert_string_equal(user_names_find(&names, 9999)->shell, "");
    assert_null(user_names_user(&names, 10000 - 4999));
    user_names_fini(&names);
    free(big);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(exec_of_a_process_with_ancestors), T(event_fields_of_any_event), T(a_socket_as_standard_input_is_a_dup),
        T(container_facts_are_told),
        T(facts_that_may_come_are_waited_for), T(the_host_has_no_container), T(an_unknown_process_has_a_placeholder_for_a_name),
        T(files_in_memory_have_the_name_that_rules_expect), T(entries), T(a_written_file), T(files_opened_and_made),
        T(names_removed_renamed_and_changed), T(an_outbound_flow), T(an_inbound_flow_through_a_published_port), T(a_flow_that_knows_more),
        T(the_near_end_has_a_name_too), T(a_listening_socket), T(dns_messages),
        T(sockets),
        T(changes_of_ids),
        T(tracing_and_rare_calls), T(mounts_modules_and_containers), T(an_environment_is_joined_only_for_who_sees_it),
        T(nothing_breaks_on_hostile_texts), T(a_full_scratch_makes_values_missing),
        cmocka_unit_test(every_field_that_can_be_filled_was), cmocka_unit_test(user_tables_are_bounded_and_robust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
