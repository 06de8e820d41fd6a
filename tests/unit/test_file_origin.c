#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/enrich/file_origin.h"

static struct file_origins origins;
static union event_buffer buffer;

static int open_origins(void **state)
{
    (void)state;
    return file_origins_init(&origins, 8);
}

static int close_origins(void **state)
{
    (void)state;
    file_origins_fini(&origins);
    return 0;
}

static struct event *file(enum file_op op, int32_t pid, const char *path)
{
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_FILE, SOURCE_FID, (uint64_t)pid);
    event_set(ev, F_FILE_OP, file_op, (uint8_t)op);
    event_set(ev, F_PID, pid, pid);
    event_set_text(ev, F_PATH, path, strlen(path));
    return ev;
}

static void note(int32_t container)
{
    file_origins_note(&origins, container, &buffer.event, NULL);
}

static int32_t writer_of(int32_t container, const char *path)
{
    const struct file_origin *o = file_origins_find(&origins, container, path, strlen(path));
    return o ? o->pid : -1;
}

static void the_last_writer_is_the_origin(void **state)
{
    (void)state;
    file(FILE_CREATE, 10, "/tmp/x");
    note(1);
    file(FILE_CLOSE_WRITE, 11, "/tmp/x");
    note(1);
    file(FILE_ATTRIB, 12, "/tmp/x"); /* chmod +x by somebody else */
    note(1);
    assert_int_equal(writer_of(1, "/tmp/x"), 11);
    assert_int_equal(writer_of(2, "/tmp/x"), -1); /* another container's */
}

static void a_rename_keeps_who_wrote_the_content(void **state)
{
    (void)state;
    file(FILE_CREATE, 10, "/tmp/.part");
    note(1);
    struct event *ev = file(FILE_MOVE, 20, "/usr/bin/y");
    event_set_text(ev, F_OLD_PATH, "/tmp/.part", 10);
    note(1);
    assert_int_equal(writer_of(1, "/usr/bin/y"), 10);
    ev = file(FILE_MOVE, 21, "/usr/bin/z"); /* from where nothing is known */
    event_set_text(ev, F_OLD_PATH, "/mnt/z", 6);
    note(1);
    assert_int_equal(writer_of(1, "/usr/bin/z"), 21);
}

static void a_change_of_the_image_is_remembered(void **state)
{
    (void)state;
    struct event *ev = file(FILE_CREATE, 10, "/bin/ls");
    event_set(ev, F_COPIED_UP, copied_up, 1);
    note(1);
    file(FILE_CLOSE_WRITE, 11, "/bin/ls");
    note(1);
    assert_true(file_origins_find(&origins, 1, "/bin/ls", 7)->is_copy_up);
}

static bool never_filled(const char *path)
{
    return file_origins_find(&origins, 1, path, strlen(path))->never_filled;
}

static void closed_with(const char *path, uint64_t size)
{
    struct event *ev = file(FILE_CLOSE_WRITE, 10, path);
    event_set(ev, F_SIZE, file_size, size);
    note(1);
}

static void a_new_file_is_empty_until_it_is_filled(void **state)
{
    (void)state;
    file(FILE_CREATE, 10, "/root/.bash_history");
    note(1);
    closed_with("/root/.bash_history", 0);
    assert_true(never_filled("/root/.bash_history"));
    closed_with("/root/.bash_history", 93);
    assert_false(never_filled("/root/.bash_history"));
    closed_with("/root/.bash_history", 0);
    assert_false(never_filled("/root/.bash_history")); /* now it was emptied */
    closed_with("/var/log/syslog", 0);
    assert_false(never_filled("/var/log/syslog")); /* there before */
    struct event *ev = file(FILE_CREATE, 10, "/etc/passwd");
    event_set(ev, F_COPIED_UP, copied_up, 1);
    note(1);
    assert_false(never_filled("/etc/passwd"));
}

static void the_oldest_leave_a_full_table(void **state)
{
    (void)state;
    char path[32];
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "/tmp/%d", i);
        file(FILE_CREATE, 100 + i, path);
        note(1);
    }
    assert_int_equal(origins.n_evicted, 12);
    assert_int_equal(writer_of(1, "/tmp/11"), -1);
    assert_int_equal(writer_of(1, "/tmp/12"), 112);
    assert_int_equal(writer_of(1, "/tmp/19"), 119);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_writer_is_the_origin, open_origins, close_origins),
        cmocka_unit_test_setup_teardown(a_rename_keeps_who_wrote_the_content, open_origins, close_origins),
        cmocka_unit_test_setup_teardown(a_change_of_the_image_is_remembered, open_origins, close_origins),
        cmocka_unit_test_setup_teardown(a_new_file_is_empty_until_it_is_filled, open_origins, close_origins),
        cmocka_unit_test_setup_teardown(the_oldest_leave_a_full_table, open_origins, close_origins),
    };
    return cmocka_run_group_tests_name("file_origin", tests, NULL, NULL);
}
