/* What one row costs the writer thread, transactions and checkpoints included: "bench: NAME VALUE us" for exec, exit and flow rows. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "storage/store.h"

enum { ROWS = 200000, GROUP = 4000 };

static union event_buffer buffer;

static void set_text(enum event_field field, const char *text)
{
    event_set_text(&buffer.event, field, text, strlen(text));
}

static void make_exec(int64_t i)
{
    static const char argv[] = "/usr/bin/python3\0-m\0http.server\0--bind\000127.0.0.1";
    static const char environ_text[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\0HOSTNAME=7f0c3a\0HOME=/root";
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_EXEC, SOURCE_EXEC, (uint64_t)i * 1000);
    event_set(ev, F_PID, pid, (int32_t)(i % 32768));
    event_set(ev, F_PPID, ppid, (int32_t)(i % 32768 - 1));
    event_set(ev, F_START_NS, start_ns, (uint64_t)i * 1000 - 500);
    event_set(ev, F_UID, uid, 0);
    event_set(ev, F_EUID, euid, 0);
    event_set(ev, F_GID, gid, 0);
    event_set(ev, F_EGID, egid, 0);
    event_set(ev, F_SID, sid, 1);
    event_set(ev, F_TTY, tty, 0);
    set_text(F_COMM, "python3");
    set_text(F_EXE, "/usr/bin/python3.11");
    event_set_text(ev, F_CMDLINE, argv, sizeof argv);
    event_set_text(ev, F_ENVIRON, environ_text, sizeof environ_text);
    set_text(F_CWD, "/srv/www");
    set_text(F_CGROUP, "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    set_text(F_STDIN, "/dev/null");
    set_text(F_STDOUT, "pipe:[123456]");
    set_text(F_STDERR, "pipe:[123457]");
    event_set(ev, F_MNTNS, mntns, 4026532301);
    event_set(ev, F_NETNS, netns, 4026532304);
    event_set(ev, F_PIDNS, pidns, 4026532303);
    event_set(ev, F_DEV, dev, 64);
    event_set(ev, F_INO, ino, 1234567);
    event_set(ev, F_MODE, mode, 0100755);
    event_set(ev, F_FILE_UID, file_uid, 0);
    event_set(ev, F_NLINK, nlink, 1);
    event_set(ev, F_SIZE, file_size, 5920000);
    event_set(ev, F_CTIME_WALL_NS, ctime_wall_ns, 1763855982123456789);
    event_set(ev, F_MTIME_WALL_NS, mtime_wall_ns, 1763855982123456789);
}

static void make_exit(int64_t i)
{
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_EXIT, SOURCE_PROC, (uint64_t)i * 1000);
    event_set(ev, F_PID, pid, (int32_t)(i % 32768));
    event_set(ev, F_PPID, ppid, (int32_t)(i % 32768 - 1));
    event_set(ev, F_START_NS, start_ns, (uint64_t)i * 1000 - 500);
    event_set(ev, F_EXIT_CODE, exit_code, 0);
    event_set(ev, F_EXIT_SIGNAL, exit_signal, 0);
}

static void make_flow(int64_t i)
{
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_FLOW, SOURCE_FLOW, (uint64_t)i * 1000);
    event_set(ev, F_FLOW_PHASE, flow_phase, i % 2 ? FLOW_END : FLOW_NEW);
    event_set(ev, F_FLOW_ID, flow_id, (uint64_t)i * 2654435761u);
    event_set(ev, F_NSID, nsid, 3);
    event_set(ev, F_PROTO, proto, 6);
    address_parse("172.17.0.2", &ev->src);
    address_parse("203.0.113.77", &ev->dst);
    address_parse("203.0.113.77", &ev->reply_src);
    address_parse("10.0.12.34", &ev->reply_dst);
    event_know(ev, F_SRC);
    event_know(ev, F_DST);
    event_know(ev, F_REPLY_SRC);
    event_know(ev, F_REPLY_DST);
    event_set(ev, F_SPORT, sport, (uint16_t)i);
    event_set(ev, F_DPORT, dport, 443);
    event_set(ev, F_REPLY_SPORT, reply_sport, 443);
    event_set(ev, F_REPLY_DPORT, reply_dport, (uint16_t)i);
    event_set(ev, F_BYTES_OUT, bytes_out, 1234);
    event_set(ev, F_BYTES_IN, bytes_in, 56789);
    event_set(ev, F_PACKETS_OUT, packets_out, 12);
    event_set(ev, F_PACKETS_IN, packets_in, 34);
    if (i % 2 && i > 1000)
        event_set(ev, F_BEGIN_ID, begin_id, (uint64_t)i - 1000);
}

static int64_t next_id = 1;

static int write_rows(struct store *s, void (*make)(int64_t))
{
    int r = 0;
    for (int i = 0; i < ROWS && !r; i++) {
        if (i % GROUP == 0)
            r = store_begin(s);
        make(next_id);
        struct stamp stamp = { .id = next_id, .exec_id = next_id - next_id % 16, .parent_id = 1, .container = 1,
                               .wall_offset_ns = 1763855982123456789 };
        if (!r)
            r = store_event(s, &stamp, &buffer.event);
        if (!r && i % GROUP == GROUP - 1)
            r = store_commit(s);
        next_id++;
    }
    return r;
}

static int measure(struct store *s, const char *name, void (*make)(int64_t))
{
    uint64_t before = store_used_bytes(s);
    uint64_t wall = clock_monotonic_ns(), start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int r = write_rows(s, make);
    wall = clock_monotonic_ns() - wall;
    start = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    if (r) {
        fprintf(stderr, "%s: %s\n", name, store_error(s));
        return r;
    }
    printf("bench: %s_us %.2f us\n", name, (double)wall / 1e3 / ROWS);
    printf("bench: %s_cpu_us %.2f us\n", name, (double)start / 1e3 / ROWS);
    printf("bench: %s_bytes %.0f bytes\n", name, (double)(store_used_bytes(s) - before) / ROWS);
    return 0;
}

int main(void)
{
    char directory[] = "/tmp/bench_store.XXXXXX", path[64];
    struct store *s = NULL;
    if (!mkdtemp(directory))
        return 1;
    snprintf(path, sizeof path, "%s/bench.db", directory);
    int r = store_open(&s, path, &(struct store_options){ 0 });
    if (!r)
        r = measure(s, "store_exec", make_exec);
    if (!r)
        r = measure(s, "store_exit", make_exit);
    if (!r)
        r = measure(s, "store_flow", make_flow);
    store_close(s);
    DIR *dir = opendir(directory);
    for (struct dirent *e; dir && (e = readdir(dir));)
        unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(directory);
    return r ? 1 : 0;
}
