/* The writer thread on real files: grouping, bounds, failing disks, and death at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/writer.h"
#include "common/clock.h"
#include "storage/query.h"

static char directory[64], path[128];
static uint64_t start_ns; /* now: older rows would leave by their age */

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/test_writer.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/ecsguard.db", directory);
    return 0;
}

static void empty_directory(void)
{
    DIR *dir = opendir(directory);
    for (struct dirent *e; (e = readdir(dir));)
        unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
}

static int teardown(void **state)
{
    (void)state;
    empty_directory();
    return rmdir(directory);
}

static struct writer *open_writer(void)
{
    struct writer *w = NULL;
    assert_int_equal(writer_open(&w, path, &(struct store_options){ .host = "host-1" }, NULL), 0);
    return w;
}

static int keep_number(void *arg, const struct query_row *row)
{
    *(int64_t *)arg = query_number(row, 0);
    return 0;
}

static int64_t ask(const char *sql)
{
    struct query *q = NULL;
    char why[256] = "";
    int64_t number = -1;
    int r = query_open(&q, path, why, sizeof why);
    if (r)
        fail_msg("%s", why);
    r = query_rows(q, sql, NULL, 0, keep_number, &number);
    if (r)
        fail_msg("%s: %s", sql, query_error(q));
    query_close(q);
    return number;
}

static int put_fork(struct writer *w, int64_t id)
{
    static union event_buffer buffer;
    struct stamp stamp = { .id = id };
    event_init(&buffer.event, EVENT_FORK, SOURCE_PROC, start_ns + (uint64_t)id);
    event_set(&buffer.event, F_PID, pid, (int32_t)id);
    return writer_put_event(w, &stamp, &buffer.event);
}

static int put_finding(struct writer *w, unsigned number)
{
    static struct finding f;
    finding_init(&f);
    f.severity = SEVERITY_HIGH;
    f.wall_ns = start_ns + number;
    finding_printf(&f, FT_TYPE, "Execution:Runtime/ReverseShell");
    finding_printf(&f, FT_TITLE, "finding \x1b[31m %u", number);
    finding_identify(&f, "", "");
    snprintf(f.id, sizeof f.id, "%032u", number);
    return writer_put_finding(w, &f);
}

/* Runs `body` with standard error in a pipe and returns what was said. */
static char said[1 << 16];

static void listen_to(void (*body)(void))
{
    int p[2], before = dup(STDERR_FILENO);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    dup2(p[1], STDERR_FILENO);
    body();
    dup2(before, STDERR_FILENO);
    close(before);
    close(p[1]);
    ssize_t n = 0, got;
    while ((got = read(p[0], said + n, sizeof said - 1 - (size_t)n)) > 0)
        n += got;
    said[n] = 0;
    close(p[0]);
}

static void wait_until(struct writer *w, uint64_t rows)
{
    struct writer_stats stats;
    for (int i = 0; i < 500; i++) {
        writer_stats(w, &stats);
        if (stats.rows >= rows)
            return;
        poll(NULL, 0, 10);
    }
    fail_msg("%llu rows of %llu after 5 s: %s", (unsigned long long)stats.rows, (unsigned long long)rows, stats.reason);
}

static void close_commits_everything(void **state)
{
    (void)state;
    struct writer *w = open_writer();
    struct container_facts c = { .id = 1, .nsid = -2 };
    struct health h = { .component = "exec", .state = "ok" };
    assert_int_equal(writer_limits(w)->next_event_id, 1);
    for (int64_t id = 1; id <= 5000; id++)
        assert_int_equal(put_fork(w, id), 0);
    assert_int_equal(writer_put_container(w, &c), 0);
    assert_int_equal(writer_put_health(w, &h), 0);
    assert_int_equal(put_finding(w, 1), 0);
    writer_close(w);
    assert_int_equal(ask("SELECT count(*) FROM events"), 5000);
    assert_int_equal(ask("SELECT count(*) FROM findings"), 1);
    assert_int_equal(ask("SELECT count(*) FROM containers"), 1);
    w = open_writer();
    assert_int_equal(writer_limits(w)->next_event_id, 5001);
    writer_close(w);
}

static void plain_events_wait_for_their_group_only(void **state)
{
    (void)state;
    struct writer *w = open_writer();
    struct writer_stats stats;
    uint64_t start = clock_monotonic_ns();
    for (int64_t id = 1; id <= 100; id++)
        put_fork(w, id);
    wait_until(w, 100);
    assert_true(clock_monotonic_ns() - start < 2 * NS_PER_SECOND);
    put_fork(w, 101);
    wait_until(w, 101);
    writer_stats(w, &stats);
    assert_false(stats.degraded);
    assert_int_equal(stats.queue_bytes, 0);
    assert_true(stats.db_bytes > 0);
    writer_close(w);
}

static void say_findings(void)
{
    struct writer *w = open_writer();
    for (int i = 0; i < 25; i++)
        put_finding(w, 7);
    wait_until(w, 25);
    writer_close(w);
}

static void findings_are_announced_escaped_and_repeats_seldom(void **state)
{
    (void)state;
    listen_to(say_findings);
    assert_non_null(strstr(said, "finding HIGH Execution:Runtime/ReverseShell in host: finding \\x1b[31m 7 (id 00000000000000000000000000000007)"));
    assert_non_null(strstr(said, "seen 10 times"));
    assert_null(strstr(said, "seen 9 times"));
    assert_null(strstr(said, "seen 20 times"));
}

/* The reserve: while nothing is written, plain events are refused first and findings still find room. */
static void a_full_ring_refuses_events_before_findings(void **state)
{
    (void)state;
    struct writer *w = open_writer();
    struct writer_stats stats;
    int64_t id = 0;
    int accepted = 0;
    /* faster than any disk: the ring must fill */
    static union event_buffer buffer;
    static char big[LIMIT_PATH_BYTES];
    memset(big, 'a', sizeof big);
    event_init(&buffer.event, EVENT_EXEC, SOURCE_EXEC, start_ns);
    event_set_text(&buffer.event, F_CMDLINE, big, sizeof big);
    event_set_text(&buffer.event, F_ENVIRON, big, sizeof big);
    event_set_text(&buffer.event, F_EXE, big, sizeof big);
    event_set_text(&buffer.event, F_CWD, big, sizeof big);
    do {
        struct stamp stamp = { .id = ++id };
        accepted += writer_put_event(w, &stamp, &buffer.event) == 0;
        writer_stats(w, &stats);
    } while (!stats.dropped && id < 100000);
    assert_true(stats.dropped > 0);
    assert_int_equal(put_finding(w, 1), 0);
    writer_close(w);
    assert_int_equal(ask("SELECT count(*) FROM findings"), 1);
    assert_int_equal(ask("SELECT count(*) FROM events"), accepted);
}

static void an_idle_writer_uses_no_cpu(void **state)
{
    (void)state;
    struct rusage before, after;
    struct writer *w = open_writer();
    put_fork(w, 1);
    wait_until(w, 1);
    poll(NULL, 0, 200);
    getrusage(RUSAGE_SELF, &before);
    poll(NULL, 0, 1000);
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw <= 5);
    writer_close(w);
}

static void rows_refused_for_their_own_fault_are_counted(void **state)
{
    (void)state;
    struct writer *w = open_writer();
    struct writer_stats stats;
    put_fork(w, 1);
    put_fork(w, 1);
    put_fork(w, 2);
    wait_until(w, 2);
    poll(NULL, 0, 50);
    writer_stats(w, &stats);
    assert_int_equal(stats.skipped, 1);
    writer_close(w);
    assert_int_equal(ask("SELECT count(*) FROM events"), 2);
}

/* In a child, because it takes a mount namespace of its own: a disk of 3 MiB fills up, findings wait, the disk is emptied, all are there. */
static int live_on_a_full_disk(void)
{
    char filler[160];
    struct writer_stats stats;
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", directory, "tmpfs", 0, "size=3m"))
        return 77;
    struct writer *w = open_writer();
    put_fork(w, 1);
    wait_until(w, 1);
    snprintf(filler, sizeof filler, "%s/filler", directory);
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    static char block[4096];
    while (write(fd, block, sizeof block) > 0)
        ;
    close(fd);
    for (int64_t id = 2; id <= 3000; id++)
        put_fork(w, id);
    for (unsigned i = 1; i <= 20; i++)
        if (put_finding(w, i))
            return 1;
    poll(NULL, 0, 500);
    writer_stats(w, &stats);
    if (!stats.degraded || !strstr(stats.reason, "the disk is full") || !stats.retries)
        return 2;
    fprintf(stderr, "degraded: %s\n", stats.reason);
    unlink(filler);
    wait_until(w, 3020);
    writer_stats(w, &stats);
    if (stats.degraded)
        return 3;
    writer_close(w);
    int bad = ask("SELECT count(*) FROM findings") != 20 || ask("SELECT count(*) FROM events") != 3000;
    umount(directory);
    return bad ? 4 : 0;
}

static void a_full_disk_is_waited_for(void **state)
{
    (void)state;
    int status;
    if (geteuid() != 0)
        skip();
    pid_t pid = fork();
    if (pid == 0)
        _exit(live_on_a_full_disk());
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int put_big_exec(struct writer *w, int64_t id)
{
    static union event_buffer buffer;
    static char big[LIMIT_PATH_BYTES];
    struct stamp stamp = { .id = id };
    memset(big, 'a', sizeof big);
    event_init(&buffer.event, EVENT_EXEC, SOURCE_EXEC, start_ns);
    event_set_text(&buffer.event, F_CMDLINE, big, sizeof big);
    return writer_put_event(w, &stamp, &buffer.event);
}

static void overwrite(const char *file)
{
    static char junk[1 << 16];
    struct stat st;
    int fd = open(file, O_WRONLY);
    assert_true(fd >= 0);
    memset(junk, 0x5a, sizeof junk);
    fstat(fd, &st);
    for (off_t at = 4096; at + (off_t)sizeof junk <= st.st_size; at += (off_t)sizeof junk)
        assert_true(pwrite(fd, junk, sizeof junk, at) > 0);
    close(fd);
}

/* The writer notices when it reads: here when the bounds make it remove old rows. */
static void a_database_damaged_in_use_is_replaced(void **state)
{
    (void)state;
    struct writer *w = NULL;
    struct writer_stats stats;
    char log[160];
    int64_t id = 1;
    assert_int_equal(writer_open(&w, path, &(struct store_options){ .max_bytes = 16u << 20 }, NULL), 0);
    for (; id <= 2500; id++)
        while (put_big_exec(w, id))
            poll(NULL, 0, 5);
    wait_until(w, 2500);
    snprintf(log, sizeof log, "%s-wal", path);
    overwrite(path);
    overwrite(log);
    do {
        for (int i = 0; i < 100; i++)
            put_big_exec(w, id++);
        poll(NULL, 0, 10);
        writer_stats(w, &stats);
    } while (!stats.replaced && id < 20000);
    assert_int_equal(stats.replaced, 1);
    assert_int_equal(put_finding(w, 1), 0);
    writer_close(w);
    assert_int_equal(ask("SELECT count(*) FROM findings"), 1);
}

/* ---- kill -9 ------------------------------------------------------------------------------------------------------------- */

static void write_until_killed(int announce_fd, unsigned first_finding)
{
    dup2(announce_fd, STDERR_FILENO);
    struct writer *w = NULL;
    if (writer_open(&w, path, &(struct store_options){ 0 }, NULL))
        _exit(1);
    int64_t id = writer_limits(w)->next_event_id;
    for (unsigned n = first_finding;; n++) {
        for (int i = 0; i < 50; i++)
            put_fork(w, id++);
        while (put_finding(w, n))
            poll(NULL, 0, 1);
        if (n % 4 == 0)
            poll(NULL, 0, 1);
    }
}

static int announced_are_there(struct query *q, char *text)
{
    int n = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        char *id = strstr(line, "(id ");
        int64_t found = 0;
        if (!id || strlen(id) < 36)
            continue;
        id[36] = 0;
        assert_int_equal(query_rows(q, "SELECT count(*) FROM findings WHERE id=?1", &(struct query_value){ id + 4, 0 }, 1, keep_number, &found), 0);
        if (found != 1)
            fail_msg("finding %s was announced and is not there", id + 4);
        n++;
    }
    return n;
}

static int keep_ok(void *arg, const struct query_row *row)
{
    *(int *)arg = !strcmp(query_text(row, 0), "ok");
    return 0;
}

static void nothing_announced_is_lost_by_kill_9(void **state)
{
    (void)state;
    unsigned seed, total = 0;
    static char text[1 << 22];
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = 1;
    printf("seed %u\n", seed);
    srand(seed);
    for (unsigned round = 0; round < 25; round++) {
        int p[2], ok = 0;
        size_t n = 0;
        ssize_t got;
        assert_int_equal(pipe(p), 0);
        pid_t pid = fork();
        if (pid == 0)
            write_until_killed(p[1], round * 1000000u);
        close(p[1]);
        struct pollfd poll_fd = { .fd = p[0], .events = POLLIN };
        if (round >= 5) /* the first are killed while they may still make the database */
            poll(&poll_fd, 1, 10000);
        uint64_t until = clock_monotonic_ns() + (uint64_t)(rand() % 180) * NS_PER_MS;
        while (clock_monotonic_ns() < until)
            if (poll(&poll_fd, 1, 1) > 0 && (got = read(p[0], text + n, sizeof text - 1 - n)) > 0)
                n += (size_t)got;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while ((got = read(p[0], text + n, sizeof text - 1 - n)) > 0)
            n += (size_t)got;
        close(p[0]);
        text[n] = 0;
        struct query *q = NULL;
        char why[256] = "";
        if (query_open(&q, path, why, sizeof why) == 0) {
            assert_int_equal(query_rows(q, "PRAGMA integrity_check", NULL, 0, keep_ok, &ok), 0);
            assert_true(ok);
            total += (unsigned)announced_are_there(q, text);
            query_close(q);
        } else if (n) {
            fail_msg("round %u: %s", round, why);
        }
    }
    printf("25 kills, %u announced findings, all there\n", total);
    assert_true(total > 0);
}

int main(void)
{
    start_ns = clock_ns(CLOCK_REALTIME);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(close_commits_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(plain_events_wait_for_their_group_only, setup, teardown),
        cmocka_unit_test_setup_teardown(findings_are_announced_escaped_and_repeats_seldom, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_ring_refuses_events_before_findings, setup, teardown),
        cmocka_unit_test_setup_teardown(an_idle_writer_uses_no_cpu, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_refused_for_their_own_fault_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_database_damaged_in_use_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_announced_is_lost_by_kill_9, setup, teardown),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
