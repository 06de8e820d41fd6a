#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/enrich/late_exec.h"
#include "common/clock.h"

#define MS NS_PER_MS
#define NOON (3600 * NS_PER_SECOND)

static struct late_exec late;
static union event_buffer buffer;

static int start(void **state)
{
    (void)state;
    return late_exec_init(&late);
}

static int stop(void **state)
{
    (void)state;
    late_exec_fini(&late);
    return 0;
}

static void opened(int32_t pid, const char *path, uint64_t time_ns)
{
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_FILE, SOURCE_OVERLAY, time_ns);
    event_set(ev, F_FILE_OP, file_op, FILE_OPEN_EXEC);
    event_set(ev, F_PID, pid, pid);
    event_set(ev, F_INO, ino, 5);
    event_set(ev, F_CTIME_WALL_NS, ctime_wall_ns, 77);
    event_set_text(ev, F_PATH, path, strlen(path));
    late_exec_see(&late, ev, 0);
}

static void executed(int32_t pid, int64_t id, uint64_t time_ns, const char *exe)
{
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_EXEC, SOURCE_EXEC, time_ns);
    event_set(ev, F_PID, pid, pid);
    if (exe)
        event_set_text(ev, F_EXE, exe, strlen(exe));
    late_exec_see(&late, ev, id);
}

/* The file of the next exec that waits, "" = not known, NULL = none waits. */
static const char *next(uint64_t now_ns, int64_t *id)
{
    static char path[LIMIT_LATE_EXEC_PATH];
    struct late_exec_wait exec;
    const struct event *file;
    if (!late_exec_next(&late, now_ns, &exec, &file))
        return NULL;
    *id = exec.exec_id;
    memset(path, 0, sizeof path);
    if (file)
        memcpy(path, event_text(file, file->exe), file->exe.len);
    assert_true(!file || (file->ino == 5 && file->ctime_wall_ns == 77));
    return path;
}

static void the_last_file_that_is_no_loader(void **state)
{
    (void)state;
    static const char *const loaders[] = { "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "/lib/ld.so.1", "/lib64/ld64.so.2" };
    int64_t id;
    for (size_t i = 0; i < 4; i++) {
        uint64_t t = NOON + i * NS_PER_SECOND;
        opened(70, "/work/script", t);
        executed(70, 9, t + MS, NULL);
        opened(70, "/bin/interpreter", t + 2 * MS);
        opened(70, loaders[i], t + 2 * MS);
        assert_null(next(t + 20 * MS, &id));
        assert_true(late_exec_due(&late) == t + MS + LIMIT_LATE_EXEC_NS);
        assert_string_equal(next(t + MS + LIMIT_LATE_EXEC_NS, &id), "/bin/interpreter");
        assert_int_equal(id, 9);
        assert_true(late_exec_due(&late) == UINT64_MAX);
    }
    assert_int_equal(late.n_found, 4);
}

static void what_does_not_fit_is_not_taken(void **state)
{
    (void)state;
    char longest[LIMIT_LATE_EXEC_PATH + 1] = "/";
    int64_t id;
    memset(longest + 1, 'a', LIMIT_LATE_EXEC_PATH - 1);
    executed(70, 1, NOON, NULL);
    assert_string_equal(next(NOON + NS_PER_SECOND, &id), ""); /* never told */
    opened(71 + LIMIT_LATE_EXEC_FILES, "/tmp/x", NOON); /* another process in its place */
    executed(71, 2, NOON, NULL);
    assert_string_equal(next(NOON + NS_PER_SECOND, &id), "");
    opened(72, "/tmp/x", NOON);
    executed(72, 3, NOON + 5 * NS_PER_SECOND, NULL); /* of an earlier life */
    assert_string_equal(next(NOON + 9 * NS_PER_SECOND, &id), "");
    executed(73, 4, NOON, NULL);
    opened(73, "/tmp/x", NOON + 2 * LIMIT_LATE_EXEC_NS); /* of a later one */
    assert_string_equal(next(NOON + 9 * NS_PER_SECOND, &id), "");
    executed(74, 5, NOON, NULL);
    opened(74, longest, NOON + MS);
    assert_string_equal(next(NOON + 9 * NS_PER_SECOND, &id), "");
    executed(75, 6, NOON, "/bin/true"); /* read in time */
    assert_null(next(NOON + 9 * NS_PER_SECOND, &id));
    assert_int_equal(late.n_lost, 5);
}

static void too_many_are_counted(void **state)
{
    (void)state;
    int64_t id;
    int n = 0;
    for (int i = 0; i < LIMIT_LATE_EXECS + 10; i++)
        executed(1000 + i, i, NOON, NULL);
    assert_int_equal(late.n_lost, 10);
    while (next(NOON + NS_PER_SECOND, &id))
        n++;
    assert_int_equal(n, LIMIT_LATE_EXECS);
    assert_int_equal(id, LIMIT_LATE_EXECS + 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_file_that_is_no_loader),
        TEST(what_does_not_fit_is_not_taken),
        TEST(too_many_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
