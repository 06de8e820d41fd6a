/* Scenarios that must make a rule fire: processes that start each other, system calls of the last of them. What our sensors would tell of
 * them is made here, and the rules are evaluated over it, fields filled as in the agent. What is not told (the path as the program wrote
 * it) cannot agree. */
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "agent/detect/rules/field_context.h"
#include "agent/detect/rules/program.h"
#include "agent/detect/rules/user_names.h"
#include "common/clock.h"
#include "common/text.h"
#include "tests/conformance/conformance.h"

#define WALL_OFFSET (1700000000 * (int64_t)NS_PER_SECOND)
#define OVERLAY_DEV 77
#define FIRST_PID 1000
#define HITS_MAX 64
#define ALL_CAPABILITIES ((1ull << 41) - 1)
#define PATH_BYTES 512

static const char passwd[] = "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1:::\nbin:x:2:2:::\nsync:x:4:4:::\ngames:x:5:5:::\nlp:x:7:7:::\n"
                             "mail:x:8:8:::\nuucp:x:10:10:::\nwww-data:x:33:33:::\nsshd:x:100:100:::\nnobody:x:65534:65534:::\n";

/* Loaded once. */
static struct ruleset *rules;
static struct program *program;
static struct user_names users;
static struct eval eval;

struct scenario {
    struct conformance *c;
    struct proctree tree;
    struct file_origins origins;
    struct container_facts container;
    struct field_context context;
    union event_buffer event;
    uint64_t now_ns;
    int32_t pid;
    bool fired;
};

/* ---- the rules -------------------------------------------------------------------------------------------------------------- */

static void rules_open(const struct conformance *c)
{
    static struct event_name_set classes[CLASS_MAX];
    const struct program_options options = { .classes = classes, .n_classes = CLASS_MAX, .priority_max = PRIORITY_DEBUG };
    char name[256];
    size_t size;
    snprintf(name, sizeof name, "data/%s", conformance_text(c, "input.rules", NULL));
    char *text = conformance_file(c, name, &size);
    for (int class = 0; class < CLASS_MAX; class++)
        event_class_names((enum event_class)class, &classes[class]);
    rules = ruleset_new();
    user_names_init(&users);
    if (!rules || ruleset_load(rules, name, text, size) || !(program = program_new(rules, &options)) || eval_init(&eval) ||
        user_names_set_users(&users, passwd, sizeof passwd - 1))
        abort();
    free(text);
}

/* ---- events ----------------------------------------------------------------------------------------------------------------- */

static struct event *event_make(struct scenario *s, enum event_kind kind, int32_t pid)
{
    event_init(&s->event.event, kind, SOURCE_EXEC, s->now_ns += NS_PER_SECOND / 100);
    if (pid)
        event_set(&s->event.event, F_PID, pid, pid);
    return &s->event.event;
}

static void put(struct event *ev, enum event_field field, const char *text)
{
    event_set_text(ev, field, text, strlen(text));
}

/* The value of a field, as outputs show it. */
static void compare_field(struct scenario *s, const char *name, const char *expected)
{
    struct field_ref ref;
    struct value value;
    char got[1024] = "nothing", error[128], what[128];
    struct text_out out;
    text_out_init(&out, got, sizeof got);
    if (field_ref_init(&ref, name, strlen(name), NULL, 0, error, sizeof error))
        text_out_printf(&out, "%s", error);
    else if (s->context.source.get(&s->context.source, &ref, &value) == VALUE_GOT)
        value_print(&out, &value, &ref);
    snprintf(what, sizeof what, "field %s", name);
    conformance_compare(s->c, what, expected, got);
}

/* Several events may make it fire; that of the last one counts. */
static void compare_outcome(struct scenario *s, const struct rule *rule)
{
    const char *name, *priority = conformance_text(s->c, "expect.priority", NULL);
    json_t *value;
    s->fired = true;
    s->c->difference[0] = 0;
    if (strcasecmp(priority, rule_priority_name(rule->priority)) != 0)
        conformance_differ(s->c, "priority", priority, rule_priority_name(rule->priority));
    json_object_foreach((json_t *)(uintptr_t)conformance_get(s->c, "expect.fields"), name, value)
        compare_field(s, name, json_string_value(value));
}

static void class_run(struct scenario *s, int class)
{
    struct program_hit hits[HITS_MAX];
    if (class < 0)
        return;
    s->context.class = (enum event_class)class;
    eval_begin(&eval, &s->context.source);
    const size_t n = program_match(program, (uint32_t)class, &eval, hits, HITS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct rule *rule = &rules->rules[hits[i].rule];
        if (hits[i].verdict == VERDICT_TRUE && strcmp(rule->name, conformance_text(s->c, "expect.rule", NULL)) == 0)
            compare_outcome(s, rule);
    }
}

/* Lets the event happen to the process `pid`, and the rules look at it. */
static void event_run(struct scenario *s, int32_t pid)
{
    struct image *previous;
    struct process *p = proctree_apply(&s->tree, &s->event.event, 1, &previous);
    s->context.process = p ? p : proctree_find(&s->tree, pid);
    if (s->context.process && s->context.container)
        s->context.process->container = s->container.id;
    s->context.image = s->context.process ? s->context.process->image : NULL;
    s->context.previous = previous;
    s->context.ev = &s->event.event;
    s->context.event_number++;
    class_run(s, event_class_of(&s->event.event, &s->context));
    class_run(s, event_class_also(&s->event.event));
    image_release(&s->tree, previous);
}

/* ---- processes -------------------------------------------------------------------------------------------------------------- */

static uint32_t uid_of(const char *name)
{
    for (uint32_t i = 0; name && i < users.n_users; i++)
        if (strcmp(users.users[i].name, name) == 0)
            return users.users[i].id;
    return 0;
}

/* A copy of the runner under another name: written after the container started. */
static void put_executable(struct event *ev, const struct scenario *s, const char *exe)
{
    put(ev, F_EXE, exe);
    event_set(ev, F_DEV, dev, s->context.container ? OVERLAY_DEV : 1);
    event_set(ev, F_INO, ino, 4711);
    event_set(ev, F_MODE, mode, S_IFREG | 0755);
    event_set(ev, F_FILE_UID, file_uid, 0);
    event_set(ev, F_NLINK, nlink, 1);
    event_set(ev, F_CTIME_WALL_NS, ctime_wall_ns, s->now_ns + (uint64_t)WALL_OFFSET);
    event_set(ev, F_MTIME_WALL_NS, mtime_wall_ns, s->now_ns + (uint64_t)WALL_OFFSET);
}

/* The first word as given, the others divided by blanks. */
static void put_argv(struct event *ev, const char *first, const char *others)
{
    char argv[PATH_BYTES];
    struct text_out out;
    text_out_init(&out, argv, sizeof argv);
    text_out_bytes(&out, first, strlen(first) + 1);
    for (const char *at = others; at && *at; at += strspn(at, " ")) {
        const size_t n = strcspn(at, " ");
        text_out_bytes(&out, at, n);
        text_out_bytes(&out, "", 1);
        at += n;
    }
    event_set_text(ev, F_CMDLINE, argv, out.length);
}

static struct event *exec_make(struct scenario *s, const char *name, const char *exe, const char *args, const char *user)
{
    struct event *ev = event_make(s, EVENT_EXEC, s->pid);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/tmp/runner/%s", name);
    put(ev, F_COMM, name);
    put_executable(ev, s, exe ? exe : path);
    put_argv(ev, exe ? exe : name, args);
    put(ev, F_CWD, "/");
    event_set(ev, F_EUID, euid, uid_of(user));
    event_set(ev, F_EGID, egid, 0);
    event_set(ev, F_TTY, tty, 0);
    event_set(ev, F_CAP_EFFECTIVE, cap_effective, ALL_CAPABILITIES); /* the scenarios' containers are privileged */
    event_set(ev, F_CAP_PERMITTED, cap_permitted, ALL_CAPABILITIES);
    return ev;
}

static void fork_run(struct scenario *s)
{
    struct event *ev = event_make(s, EVENT_FORK, s->pid + 1);
    event_set(ev, F_PPID, ppid, s->pid);
    event_run(s, s->pid + 1);
    s->pid++;
}

static void process_run(struct scenario *s, const json_t *process)
{
    const char *name = json_string_value(json_object_get(process, "name"));
    fork_run(s);
    exec_make(s, name, json_string_value(json_object_get(process, "exe")), json_string_value(json_object_get(process, "args")),
              json_string_value(json_object_get(process, "user")));
    event_run(s, s->pid);
}

static void fileless_run(struct scenario *s, const json_t *process)
{
    char exe[PATH_BYTES];
    fork_run(s);
    snprintf(exe, sizeof exe, "/memfd:%s (deleted)", json_string_value(json_object_get(process, "name")));
    exec_make(s, "3", exe, NULL, NULL);
    event_run(s, s->pid);
}

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

/* Without "..", "." and empty parts: the kernel tells a file's path, not what the program wrote. */
static void path_resolve(char *out, const char *path)
{
    size_t n = 0;
    while (*path) {
        const size_t part = strcspn(path, "/");
        if (part == 2 && !memcmp(path, "..", 2)) {
            while (n && out[--n] != '/')
                ;
        } else if (part && !(part == 1 && *path == '.') && n + part + 1 < PATH_BYTES) {
            out[n++] = '/';
            memcpy(out + n, path, part);
            n += part;
        }
        path += part + (path[part] == '/');
    }
    out[n] = 0;
}

static struct event *file_make(struct scenario *s, enum file_op op, const char *path, uint32_t mode, uint32_t nlink)
{
    struct event *ev = event_make(s, EVENT_FILE, s->pid);
    char resolved[PATH_BYTES];
    path_resolve(resolved, path);
    event_set(ev, F_FILE_OP, file_op, op);
    put(ev, F_PATH, resolved);
    event_set(ev, F_DEV, dev, 1);
    event_set(ev, F_INO, ino, 1);
    event_set(ev, F_MODE, mode, mode);
    event_set(ev, F_NLINK, nlink, nlink);
    event_set(ev, F_SIZE, file_size, 0);
    return ev;
}

static void open_run(struct scenario *s, const json_t *args)
{
    const char *path = json_string_value(json_object_get(args, "pathname"));
    const json_t *how = json_object_get(args, "how");
    const char *flags = json_string_value(json_object_get(how ? how : args, "flags"));
    struct event *ev;
    if (strstr(flags, "O_CREAT")) {
        file_make(s, FILE_CREATE, path, S_IFREG | 0644, 1);
        event_run(s, s->pid);
    }
    ev = file_make(s, strstr(flags, "O_WRONLY") || strstr(flags, "O_RDWR") ? FILE_CLOSE_WRITE : FILE_OPEN, path, S_IFREG | 0644, 1);
    if (!strstr(flags, "O_TRUNC"))
        ev->file_size = 100;
    event_run(s, s->pid);
}

static void symlink_run(struct scenario *s, const json_t *args)
{
    struct event *ev = file_make(s, FILE_CREATE, json_string_value(json_object_get(args, "linkPath")), S_IFLNK | 0777, 1);
    put(ev, F_LINK_TARGET, json_string_value(json_object_get(args, "target")));
    event_run(s, s->pid);
}

static void link_run(struct scenario *s, const json_t *args)
{
    struct event *ev = file_make(s, FILE_CREATE, json_string_value(json_object_get(args, "newPath")), S_IFREG | 0600, 2);
    put(ev, F_OLD_PATH, json_string_value(json_object_get(args, "oldPath")));
    event_run(s, s->pid);
}

/* ---- sockets ---------------------------------------------------------------------------------------------------------------- */

/* The connection that the resource makes, as it is seen from its client. */
static void put_connection(const struct scenario *s, struct event *ev)
{
    const json_t *resource = json_array_get(conformance_get(s->c, "input.scenario.resources"), 0);
    const char *protocol = json_string_value(json_object_get(resource, "l4Proto"));
    const char *address = json_string_value(json_object_get(resource, "address"));
    const char *colon = strrchr(address, ':');
    const bool bracket = address[0] == '[';
    char text[64];
    struct address peer, local;
    snprintf(text, sizeof text, "%.*s", (int)(colon - address) - 2 * bracket, address + bracket);
    if (address_parse(text, &peer) || address_parse(peer.family == 6 ? "2001:db8::2" : "172.17.0.2", &local))
        abort();
    event_set(ev, F_PROTO, proto, text_has_prefix(protocol, "tcp") ? IPPROTO_TCP : IPPROTO_UDP);
    event_set(ev, F_SRC, src, local);
    event_set(ev, F_SPORT, sport, 40000);
    event_set(ev, F_DST, dst, peer);
    event_set(ev, F_DPORT, dport, (uint16_t)atoi(colon + 1));
}

static void connect_run(struct scenario *s)
{
    struct event *ev = event_make(s, EVENT_FLOW, 0);
    event_set(ev, F_FLOW_PHASE, flow_phase, FLOW_NEW);
    put_connection(s, ev);
    event_run(s, s->pid);
}

/* dup(2) itself is not told, but that a program is executed with the socket as one of its standard descriptors. */
static void dup_run(struct scenario *s, const json_t *args)
{
    static const enum event_field links[] = { F_STDIN, F_STDOUT, F_STDERR };
    const int32_t fd = (int32_t)json_integer_value(json_object_get(args, "newFd"));
    struct event *ev = exec_make(s, s->context.process->comm, NULL, NULL, NULL);
    put_connection(s, ev);
    event_set(ev, F_FD, fd, fd);
    put(ev, links[fd], "socket:[1]");
    event_run(s, s->pid);
}

static void socket_run(struct scenario *s, const json_t *args)
{
    struct event *ev = event_make(s, EVENT_SYSCALL, s->pid);
    put(ev, F_SYSCALL, "socket");
    event_set(ev, F_ARG0, arg0, strcmp(json_string_value(json_object_get(args, "domain")), "AF_PACKET") == 0 ? 17 : 0);
    event_set(ev, F_ARG1, arg1, 3);
    event_set(ev, F_ARG2, arg2, 0);
    event_run(s, s->pid);
}

/* ---- a case ----------------------------------------------------------------------------------------------------------------- */

static void step_run(struct scenario *s, const json_t *step)
{
    static const struct {
        const char *name;
        void (*run)(struct scenario *s, const json_t *args);
    } calls[] = { { "open", open_run }, { "symlink", symlink_run }, { "link", link_run }, { "dup", dup_run }, { "socket", socket_run } };
    const char *name = json_string_value(json_object_get(step, "syscall"));
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (text_has_prefix(name, calls[i].name)) {
            calls[i].run(s, json_object_get(step, "args"));
            return;
        }
    conformance_differ_say(s->c, "no event can be made of %s", name);
}

static void resource_run(struct scenario *s, const json_t *resource)
{
    const char *type = json_string_value(json_object_get(resource, "type"));
    if (strcmp(type, "process") == 0)
        fileless_run(s, resource);
    else if (strcmp(type, "clientServer") == 0)
        connect_run(s);
}

static void each_run(struct scenario *s, const char *path, void (*run)(struct scenario *s, const json_t *item))
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)conformance_get(s->c, path), i, item)
        run(s, item);
}

static void scenario_init(struct scenario *s, struct conformance *c)
{
    s->c = c;
    s->now_ns = 1000 * NS_PER_SECOND;
    s->pid = FIRST_PID;
    if (proctree_init(&s->tree, 64, 1 << 20) || file_origins_init(&s->origins, 64))
        abort();
    s->container = (struct container_facts){
        .id = 1,
        .role = CONTAINER_ROLE_WORKLOAD,
        .privileged = 1,
        .from_docker = true,
        .from_ecs = true,
        .container_id = "c0ffee0123456789",
        .runtime = "docker",
        .docker_name = "scenario",
        .image = "scenario:latest",
        .root_dev = OVERLAY_DEV,
        .started_wall_ns = (uint64_t)WALL_OFFSET + 900 * NS_PER_SECOND,
    };
    field_context_init(&s->context, &eval);
    s->context.tree = &s->tree;
    s->context.origins = &s->origins;
    s->context.users = &users;
    s->context.wall_offset_ns = WALL_OFFSET;
    s->context.container = conformance_get(c, "input.scenario.context.container") ? &s->container : NULL;
}

void run_rule_behaviour(struct conformance *c)
{
    struct scenario *s = calloc(1, sizeof *s);
    const char *before = conformance_text(c, "input.scenario.before", NULL);
    if (!s)
        abort();
    if (!rules)
        rules_open(c);
    scenario_init(s, c);
    exec_make(s, "runner", "/usr/bin/runner", NULL, NULL);
    event_run(s, s->pid);
    each_run(s, "input.scenario.context.processes", process_run);
    if (before && text_has_prefix(before, "sleep "))
        s->now_ns += (uint64_t)atoi(before + strlen("sleep ")) * NS_PER_SECOND;
    each_run(s, "input.scenario.resources", resource_run);
    each_run(s, "input.scenario.steps", step_run);
    if (!s->fired)
        conformance_differ(c, "fires", conformance_text(c, "expect.rule", NULL), NULL);
    proctree_fini(&s->tree);
    file_origins_fini(&s->origins);
    free(s);
}
