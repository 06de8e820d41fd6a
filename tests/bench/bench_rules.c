/* How many events a second one core evaluates against all rules, from memory, fields fetched from real events; and what each further rule
 * costs. The rules: the stock files of the reference (FALCO_CASES=DIR with data/), ours, and made-up ones of the same kinds up to 150, then
 * up to 600.
 *   bench_rules [FIGURE...]         all figures are printed whatever is asked for
 *   bench_rules exec|file [SECONDS]   only these events, to look at with a profiler; then the rules that were asked most */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/detect/rules/field_context.h"
#include "agent/detect/rules/program.h"
#include "agent/detect/rules/user_names.h"
#include "common/clock.h"

#define FEW 150
#define MANY 600
#define N_EVENTS 256 /* of each kind: few enough to be in the caches, as events are that were just read */
#define EVENT_BYTES 4096 /* at most; few take half of it */
#define ROUNDS 7
#define ROUND_NS 300000000ull

static uint64_t seed = 20261123;

static uint32_t below(uint32_t n) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (uint32_t)(seed * 0x2545f4914f6cdd1dull >> 32) % n;
}

/* Time that this process had: the machine has other work. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_rules: %s: %s\n", what, why);
    exit(1);
}

/* ---- rules ---------------------------------------------------------------------------------------------------------------- */

static void load(struct ruleset *set, const char *name, const char *data, size_t size)
{
    if (ruleset_load(set, name, data, size))
        die(name, set->n_errors ? set->errors[0].text : "no memory");
}

static bool file_load(struct ruleset *set, const char *path)
{
    FILE *f = fopen(path, "r");
    static char data[1 << 20];
    if (!f)
        return false;
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    load(set, path, data, size);
    return true;
}

static void stock_load(struct ruleset *set)
{
    static const char *const names[] = { "falco_rules", "falco-incubating_rules", "falco-sandbox_rules" };
    const char *dir = getenv("FALCO_CASES");
    char path[4096];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/data/%s.yaml", dir ? dir : "", names[i]);
        if (!file_load(set, path))
            fprintf(stderr, "bench_rules: %s is not there: made-up rules instead\n", path);
    }
}

static void ours_load(struct ruleset *set)
{
    glob_t found;
    if (glob(TEST_SRCDIR "/agent/rules/*.yaml", 0, NULL, &found))
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        file_load(set, found.gl_pathv[i]);
    globfree(&found);
}

/* %1$u is the number of the rule. */
static const char *const made_up[] = {
    "evt.type in (execve, execveat) and container.id != host and proc.name in (tool%1$u, tool%1$u-ng, t%1$u) and not proc.pname in (sshd, "
    "cron)",
    "evt.type in (execve, execveat) and container.id != host and proc.cmdline contains \"--option%1$u \" and proc.tty != 0",
    "evt.type in (execve, execveat) and proc.exepath startswith /opt/product%1$u/ and not proc.aname in (dpkg, rpm, apt) and not user.uid "
    "= 0",
    "evt.type in (execve, execveat) and container.id != host and proc.pname in (server%1$u, daemon%1$u) and proc.name in (sh, bash, dash) "
    "and "
    "not proc.cmdline startswith \"sh -c check%1$u\"",
    "evt.type in (execve, execveat) and proc.is_exe_upper_layer = true and container.image.repository endswith /image%1$u",
    "evt.type in (open, openat, openat2, creat) and evt.is_open_write = true and container.id != host and fd.name startswith "
    "/etc/product%1$u/ "
    "and not proc.name in (vi, sed)",
    "evt.type in (open, openat, openat2, creat) and evt.is_open_write = true and fd.name in (/root/.file%1$u, /home/app/.file%1$u)",
    "evt.type in (open, openat, openat2, creat) and evt.is_open_write = true and fd.name endswith .ext%1$u and not fd.directory = /tmp",
    "evt.type in (rename, renameat, renameat2, unlink, unlinkat) and fd.name glob \"/var/log/app%1$u/*.log\" and not proc.name = logrotate",
    "evt.type in (open, openat, openat2, creat) and evt.is_open_write = true and proc.name in (writer%1$u, w%1$u) and fd.directory = "
    "/usr/lib",
};

static void made_up_load(struct ruleset *set, uint32_t up_to)
{
    size_t n_kinds = sizeof made_up / sizeof *made_up;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (uint32_t i = set->n_rules; i < up_to; i++) {
        fprintf(out, "- rule: made up %u\n  desc: d\n  priority: WARNING\n  output: o\n  condition: ", i);
        fprintf(out, made_up[i % n_kinds], i);
        fprintf(out, "\n");
    }
    if (!out || fclose(out))
        die("made-up rules", "no memory");
    if (size)
        load(set, "made-up.yaml", text, size);
    free(text);
}

static struct program *rules_compile(struct ruleset *set, uint32_t up_to)
{
    static struct event_name_set classes[CLASS_MAX];
    struct program_options options = { .classes = classes, .n_classes = CLASS_MAX, .priority_max = PRIORITY_DEBUG };
    struct program_stats stats;
    for (int i = 0; i < CLASS_MAX; i++)
        event_class_names((enum event_class)i, &classes[i]);
    made_up_load(set, up_to);
    uint64_t start = cpu_ns();
    struct program *program = program_new(set, &options);
    if (!program)
        die("program", "no memory");
    program_stats(program, &stats);
    printf("# %u rules: %u over all classes, %u of them without guard; %u checks of %u values, %u nodes, %.1f MiB, compiled in %.0f ms\n",
           set->n_rules, stats.n_rules, stats.n_unguarded, stats.n_atoms, stats.n_slots, stats.n_nodes, (double)stats.bytes / 1048576,
           (double)(cpu_ns() - start) / 1e6);
    return program;
}

/* ---- events --------------------------------------------------------------------------------------------------------------- */

/* A program as ordinary containers and hosts run it; ' ' separates its arguments, %d is the number of the instance. */
struct doing {
    const char *exe, *args;
    int container; /* 0 = the host */
    int parent;    /* index in this table, -1 = process 1 */
    uint32_t uid;
    bool is_entrypoint; /* process 1 of its container: started seldom */
};

static const struct doing doings[] = {
    { "/usr/bin/containerd-shim-runc-v2",
      "/usr/bin/containerd-shim-runc-v2 -namespace moby -id 6a1f0c -address /run/containerd/containerd.sock", 0, -1, 0 },
    { "/usr/bin/bash", "/bin/bash /docker-entrypoint.sh nginx -g daemon off;", 1, 0, 0, true },
    { "/usr/sbin/nginx", "nginx: worker process", 1, 1, 101 },
    { "/usr/bin/dash", "/bin/sh -c curl -fsS http://127.0.0.1:80%02d/healthz || exit 1", 1, 0, 0 },
    { "/usr/bin/curl", "curl -fsS http://127.0.0.1:80%02d/healthz", 1, 3, 0 },
    { "/usr/local/bin/gosu", "gosu postgres docker-entrypoint.sh postgres", 2, 0, 0, true },
    { "/usr/lib/postgresql/15/bin/postgres", "postgres: checkpointer", 2, 5, 999 },
    { "/usr/bin/pg_isready", "pg_isready -U app -d app", 2, 0, 999 },
    { "/usr/bin/python3.11", "/usr/bin/python3 /app/manage.py runserver 0.0.0.0:8000 --noreload --settings=app.settings.production", 3, 0,
      1000, true },
    { "/usr/bin/dash", "/bin/sh -c /app/bin/report.sh --date 2026-11-%02d --output /data/report.csv", 3, 8, 1000 },
    { "/usr/bin/gawk", "awk -F, {s+=$3}END{print s} /data/report.csv", 3, 9, 1000 },
    { "/usr/bin/grep", "grep -v ^# /app/config/settings.ini", 3, 9, 1000 },
    { "/usr/bin/sed", "sed -e s/a/b/ /app/templates/index.html", 3, 9, 1000 },
    { "/usr/local/bin/node", "node --max-old-space-size=512 /srv/app/server.js", 4, 0, 1000, true },
    { "/usr/bin/java", "java -Xmx512m -jar /opt/app/service.jar --spring.profiles.active=prod", 5, 0, 1000, true },
    { "/usr/sbin/cron", "/usr/sbin/CRON -f", 0, -1, 0 },
    { "/usr/bin/dash", "/bin/sh -c command -v debian-sa1 > /dev/null && debian-sa1 1 1", 0, 15, 0 },
    { "/usr/sbin/logrotate", "/usr/sbin/logrotate /etc/logrotate.conf", 0, 16, 0 },
    { "/usr/bin/gzip", "gzip -9 /var/log/syslog.1", 0, 17, 0 },
    { "/usr/bin/ls", "ls -la /var/log", 0, 16, 0 },
    { "/usr/bin/date", "date +%%Y-%%m-%%d", 3, 9, 1000 },
    { "/usr/bin/sleep", "sleep 5", 3, 9, 1000 },
    { "/usr/bin/runc", "runc --root /var/run/docker/runtime-runc/moby exec --process /tmp/runc-process123 --detach 6a1f0c%d", 0, 0, 0 },
    { "/usr/bin/redis-cli", "redis-cli ping", 6, 0, 999 },
};
#define N_DOINGS ((int)(sizeof doings / sizeof *doings))

/* Where they write, and what else happens there. */
static const struct {
    const char *path;
    int doing;
    enum file_op op;
} writings[] = {
    { "/var/log/nginx/access.log", 2, FILE_CLOSE_WRITE },
    { "/var/cache/nginx/client_temp/0000000001", 2, FILE_CREATE },
    { "/var/lib/postgresql/data/base/16384/2619", 6, FILE_CLOSE_WRITE },
    { "/var/lib/postgresql/data/pg_wal/00000001000000000000002A", 6, FILE_MOVE },
    { "/var/lib/postgresql/data/pg_stat_tmp/global.tmp", 6, FILE_DELETE },
    { "/app/__pycache__/views.cpython-311.pyc", 8, FILE_CREATE },
    { "/tmp/tmpk3j2h1x9", 8, FILE_CLOSE_WRITE },
    { "/data/report.csv", 9, FILE_CLOSE_WRITE },
    { "/srv/app/.cache/webpack/0.pack", 13, FILE_CLOSE_WRITE },
    { "/srv/app/logs/server-2026-11-22.log", 13, FILE_CLOSE_WRITE },
    { "/tmp/hsperfdata_app/17", 14, FILE_CREATE },
    { "/opt/app/work/Tomcat/localhost/ROOT", 14, FILE_ATTRIB },
    { "/var/log/syslog.2.gz", 18, FILE_CREATE },
    { "/var/lib/logrotate/status.tmp", 17, FILE_MOVE },
    { "/run/docker/runtime-runc/moby/6a1f0c/state.json", 22, FILE_CLOSE_WRITE },
    { "/usr/share/app/locale/de/messages.mo", 8, FILE_CLOSE_WRITE },
};
#define N_WRITINGS ((int)(sizeof writings / sizeof *writings))

struct bench {
    struct proctree tree;
    struct file_origins origins;
    struct user_names users;
    struct eval eval;
    struct container_facts containers[8];
    char *events; /* one behind the other, as in a ring */
    struct field_context *contexts; /* N_EVENTS: exec, then as many of files */
};

static int32_t pid_of(int doing, int instance)
{
    return 1000 + instance * N_DOINGS + doing;
}

static const char environment[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\0HOSTNAME=ip-10-0-0-1.eu-central-1.compute.internal\0HOME=/root\0"
    "AWS_EXECUTION_ENV=AWS_ECS_EC2\0AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/5f0b1c2d-3e4f-5a6b-7c8d-9e0f1a2b3c4d\0"
    "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/6a1f0c7d8e9f-1234567890\0LANG=C.UTF-8\0APP_ENV=production\0APP_PORT=8080\0"
    "DATABASE_URL=postgres://app@db.internal:5432/app\0REDIS_HOST=redis.internal\0LOG_LEVEL=info\0PWD=/\0SHLVL=1\0_=/usr/bin/env";

static void exec_fill(struct event *ev, int doing, int instance)
{
    const struct doing *d = &doings[doing];
    char argv[512];
    const char *name = strrchr(d->exe, '/') + 1;
    int n = snprintf(argv, sizeof argv, d->args, instance) + 1;
    for (int i = 0; i < n; i++)
        if (argv[i] == ' ')
            argv[i] = 0;
    event_init(ev, EVENT_EXEC, SOURCE_EXEC, 1000000000ull * (uint64_t)(instance + 10));
    event_set(ev, F_PID, pid, pid_of(doing, instance));
    event_set(ev, F_PPID, ppid, d->parent < 0 ? 1 : pid_of(d->parent, instance));
    event_set(ev, F_START_NS, start_ns, 1000000000ull * (uint64_t)(instance + 1) + (uint64_t)doing);
    event_set(ev, F_UID, uid, d->uid);
    event_set(ev, F_EUID, euid, d->uid);
    event_set(ev, F_GID, gid, d->uid);
    event_set(ev, F_EGID, egid, d->uid);
    event_set(ev, F_SID, sid, pid_of(doing, instance));
    event_set(ev, F_TTY, tty, 0);
    event_set(ev, F_VPID, vpid, d->is_entrypoint ? 1 : 7);
    event_set(ev, F_LOGINUID, loginuid, UINT32_MAX);
    event_set(ev, F_CAP_EFFECTIVE, cap_effective, d->uid ? 0 : 0xa80425fbull);
    event_set(ev, F_CAP_PERMITTED, cap_permitted, d->uid ? 0 : 0xa80425fbull);
    event_set(ev, F_DEV, dev, 66);
    event_set(ev, F_INO, ino, 5000 + (uint64_t)doing);
    event_set(ev, F_MODE, mode, 0100755);
    event_set(ev, F_FILE_UID, file_uid, 0);
    event_set(ev, F_NLINK, nlink, 1);
    event_set(ev, F_CTIME_WALL_NS, ctime_wall_ns, 1700000000000000000ull);
    event_set(ev, F_MTIME_WALL_NS, mtime_wall_ns, 1700000000000000000ull);
    event_set_text(ev, F_COMM, name, strnlen(name, 15));
    event_set_text(ev, F_EXE, d->exe, strlen(d->exe));
    event_set_text(ev, F_CMDLINE, argv, (size_t)n);
    event_set_text(ev, F_ENVIRON, environment, sizeof environment - 1);
    event_set_text(ev, F_CWD, "/", 1);
    event_set_text(ev, F_STDIN, "/dev/null", 9);
    event_set_text(ev, F_STDOUT, "pipe:[12345]", 12);
    event_set_text(ev, F_STDERR, "pipe:[12346]", 12);
}

static void file_fill(struct event *ev, int writing, int instance)
{
    event_init(ev, EVENT_FILE, SOURCE_FID, 1000000000ull * (uint64_t)(instance + 20));
    event_set(ev, F_PID, pid, pid_of(writings[writing].doing, instance));
    event_set(ev, F_FILE_OP, file_op, (uint8_t)writings[writing].op);
    event_set_text(ev, F_PATH, writings[writing].path, strlen(writings[writing].path));
    event_set(ev, F_DEV, dev, 66);
    event_set(ev, F_INO, ino, 100000 + (uint64_t)instance);
    event_set(ev, F_MODE, mode, 0100644);
    event_set(ev, F_FILE_UID, file_uid, 1000);
    event_set(ev, F_NLINK, nlink, 1);
    event_set(ev, F_SIZE, file_size, 4096);
}

static void containers_fill(struct bench *b)
{
    for (int i = 1; i < 8; i++) {
        struct container_facts *c = &b->containers[i];
        *c = (struct container_facts){ .id = i, .role = CONTAINER_ROLE_WORKLOAD, .from_docker = true, .from_ecs = true, .nsid = -2 };
        snprintf(c->container_id, sizeof c->container_id, "6a1f0c%058d", i);
        snprintf(c->name, sizeof c->name, "app-%d", i);
        snprintf(c->docker_name, sizeof c->docker_name, "ecs-app-%d", i);
        snprintf(c->image, sizeof c->image, "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app%d:1.%d", i, i);
        snprintf(c->family, sizeof c->family, "app");
        snprintf(c->cluster, sizeof c->cluster, "prod");
        snprintf(c->task_id, sizeof c->task_id, "%032d", i);
        c->root_dev = 66;
        c->started_wall_ns = 1700000600000000000ull; /* ten minutes after its image's files were put there */
        snprintf(c->upperdir, sizeof c->upperdir, "/var/lib/docker/overlay2/%064d/diff", i);
    }
}

/* All of them run, several times. */
static void tree_fill(struct bench *b, int instances)
{
    static union event_buffer buffer;
    for (int instance = 0; instance < instances; instance++)
        for (int doing = 0; doing < N_DOINGS; doing++) {
            struct image *previous;
            exec_fill(&buffer.event, doing, instance);
            struct process *p = proctree_apply(&b->tree, &buffer.event, 1, &previous);
            if (!p)
                die("process tree", "full");
            image_release(&b->tree, previous);
            p->container = doings[doing].container;
            p->container_known = true;
        }
}

static void context_fill(struct bench *b, struct field_context *c, const struct event *ev)
{
    field_context_init(c, &b->eval);
    c->ev = ev;
    c->tree = &b->tree;
    c->process = proctree_find(&b->tree, ev->pid);
    c->image = c->process ? c->process->image : NULL;
    c->container = c->process && c->process->container ? &b->containers[c->process->container] : NULL;
    c->origins = &b->origins;
    c->users = &b->users;
    c->host_name = "ip-10-0-0-1";
    c->event_number = 1;
    c->class = (enum event_class)event_class_of(ev, c);
}

/* The event's copy behind those that are there. */
static struct event *event_keep(const struct event *ev, char **at)
{
    struct event *kept = (struct event *)*at;
    memcpy(kept, ev, ev->size);
    *at += (ev->size + 15) / 16 * 16;
    return kept;
}

static void bench_init(struct bench *b)
{
    static union event_buffer buffer;
    static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\nwww:x:101:101::/:/bin/false\napp:x:1000:1000::/:/bin/sh\n";
    int instances = 64;
    char *at;
    *b = (struct bench){ 0 };
    user_names_init(&b->users);
    if (proctree_init(&b->tree, 4096, 8 << 20) || file_origins_init(&b->origins, 1024) || eval_init(&b->eval) ||
        user_names_set_users(&b->users, passwd, sizeof passwd - 1))
        die("tables", "no memory");
    b->events = malloc(2 * N_EVENTS * EVENT_BYTES);
    b->contexts = calloc(2 * N_EVENTS, sizeof *b->contexts);
    if (!b->events || !b->contexts)
        die("events", "no memory");
    at = b->events;
    containers_fill(b);
    tree_fill(b, instances);
    for (int i = 0; i < 2 * N_EVENTS; i++) {
        struct event *ev = &buffer.event;
        int doing = (int)below((uint32_t)N_DOINGS);
        while (doings[doing].is_entrypoint && below(20))
            doing = (int)below((uint32_t)N_DOINGS);
        if (i < N_EVENTS)
            exec_fill(ev, doing, (int)below((uint32_t)instances));
        else
            file_fill(ev, (int)below((uint32_t)N_WRITINGS), (int)below((uint32_t)instances));
        context_fill(b, &b->contexts[i], event_keep(ev, &at));
    }
}

/* ---- measuring ------------------------------------------------------------------------------------------------------------ */

struct result {
    double ns, hits, candidates; /* of one event */
};

static uint64_t evaluations(const struct program *program, uint32_t n_rules)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < n_rules; i++)
        n += program_counters(program, i)->n_evaluations;
    return n;
}

/* The best of several rounds. */
static struct result measure(struct bench *b, struct program *program, uint32_t n_rules, struct field_context *contexts, int rounds,
                             uint64_t round_ns)
{
    struct result result = { .ns = 1e9 };
    struct program_hit hits[LIMIT_RULE_HITS];
    for (int round = 0; round < rounds; round++) {
        uint64_t n = 0, n_hits = 0, before = evaluations(program, n_rules), start = cpu_ns(), now;
        do {
            for (int i = 0; i < N_EVENTS; i++) {
                struct field_context *c = &contexts[i];
                eval_begin(&b->eval, &c->source);
                n_hits += program_match(program, c->class, &b->eval, hits, LIMIT_RULE_HITS);
            }
            n += N_EVENTS;
            now = cpu_ns();
        } while (now - start < round_ns);
        double ns = (double)(now - start) / (double)n;
        if (ns < result.ns)
            result.ns = ns;
        result.hits = (double)n_hits / (double)n;
        result.candidates = (double)(evaluations(program, n_rules) - before) / (double)n;
    }
    return result;
}

static void tell(const char *what, struct result r)
{
    printf("# %s: %.0f ns an event, %.2f rules asked, %.2f hits\n", what, r.ns, r.candidates, r.hits);
}

static const struct program *sorted_by;

static int asked_order(const void *a, const void *b)
{
    uint64_t x = program_counters(sorted_by, *(const uint32_t *)a)->n_evaluations,
             y = program_counters(sorted_by, *(const uint32_t *)b)->n_evaluations;
    return (x < y) - (x > y);
}

static void tell_asked(const struct ruleset *set, const struct program *program)
{
    static uint32_t order[LIMIT_RULES];
    uint64_t all = evaluations(program, set->n_rules);
    for (uint32_t i = 0; i < set->n_rules; i++)
        order[i] = i;
    sorted_by = program;
    qsort(order, set->n_rules, sizeof *order, asked_order);
    for (uint32_t i = 0; i < 30 && i < set->n_rules; i++) {
        const struct rule_counters *c = program_counters(program, order[i]);
        printf("# %5.1f %% of the questions, %5.1f %% of these hits, %6.0f ns each: %s\n", 100.0 * (double)c->n_evaluations / (double)all,
               100.0 * (double)c->n_hits / (double)(c->n_evaluations + !c->n_evaluations),
               (double)c->ns / (double)(c->n_evaluations + !c->n_evaluations), set->rules[order[i]].name);
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct ruleset *set = ruleset_new();
    if (!set)
        die("rules", "no memory");
    bench_init(&b);
    stock_load(set);
    ours_load(set);
    struct program *few = rules_compile(set, FEW);
    uint32_t n_few = set->n_rules;
    if (argc > 1 && (!strcmp(argv[1], "exec") || !strcmp(argv[1], "file"))) {
        uint64_t ns = argc > 2 ? strtoull(argv[2], NULL, 10) * 1000000000ull : 10000000000ull;
        program_set_clock(few, clock_monotonic_ns);
        tell(argv[1], measure(&b, few, n_few, b.contexts + (argv[1][0] == 'f' ? N_EVENTS : 0), 1, ns));
        tell_asked(set, few);
        return 0;
    }
    struct result exec_few = measure(&b, few, n_few, b.contexts, ROUNDS, ROUND_NS);
    struct result file_few = measure(&b, few, n_few, b.contexts + N_EVENTS, ROUNDS, ROUND_NS);
    program_free(few);
    struct program *many = rules_compile(set, MANY);
    uint32_t n_added = set->n_rules - n_few;
    struct result exec_many = measure(&b, many, set->n_rules, b.contexts, ROUNDS, ROUND_NS);
    struct result file_many = measure(&b, many, set->n_rules, b.contexts + N_EVENTS, ROUNDS, ROUND_NS);
    program_free(many);
    tell("exec events, few rules", exec_few);
    tell("exec events, many rules", exec_many);
    tell("file events, few rules", file_few);
    tell("file events, many rules", file_many);
    printf("bench: rules_exec_per_s %.0f events/s\n", 1e9 / exec_few.ns);
    printf("bench: rules_file_per_s %.0f events/s\n", 1e9 / file_few.ns);
    if (n_added)
        printf("bench: rules_added_rule_ns %.3f ns\n", (exec_many.ns - exec_few.ns + file_many.ns - file_few.ns) / 2 / n_added);
    ruleset_free(set);
    return 0;
}
