#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/deliver/cursor.h"

#define DATABASE "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

static char dir[] = "/tmp/test-cursor-XXXXXX", path[64], refused[80];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/cursor", dir);
    snprintf(refused, sizeof refused, "%s/cursor.refused", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    unlink(refused);
    return rmdir(dir);
}

static void write_cursor(const void *data, size_t size)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
}

static void what_is_stored_is_loaded(void **state)
{
    (void)state;
    static const int64_t revisions[] = { 0, 1, 1795000000000, INT64_MAX };
    int64_t revision = -1;
    struct stat st;
    assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_NONE);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(cursor_store(dir, DATABASE, revisions[i]), 0);
        assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_OK);
        assert_int_equal(revision, revisions[i]);
    }
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(cursor_store(dir, "x", 1), -EINVAL);
    assert_int_equal(cursor_store(dir, DATABASE, -1), -EINVAL);
    assert_int_equal(cursor_store("/nonexistent", DATABASE, 1), -ENOENT);
    assert_int_equal(cursor_load("/nonexistent", DATABASE, &revision), -ENOENT);
}

static void every_torn_or_changed_file_is_refused(void **state)
{
    (void)state;
    char line[CURSOR_BYTES + 1], bad[CURSOR_BYTES + 1];
    int64_t revision = 77;
    int n = cursor_format(line, DATABASE, 4711);
    assert_true(n > 0);
    for (int length = 0; length < n; length++)
        assert_int_equal(cursor_parse(line, (size_t)length, DATABASE, &revision), CURSOR_DAMAGED);
    for (int i = 0; i < n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bad, line, (size_t)n);
            bad[i] = (char)(bad[i] ^ 1 << bit);
            assert_int_equal(cursor_parse(bad, (size_t)n, DATABASE, &revision), CURSOR_DAMAGED);
        }
    }
    memcpy(bad, line, (size_t)n);
    bad[n] = '\n';
    assert_int_equal(cursor_parse(bad, (size_t)n + 1, DATABASE, &revision), CURSOR_DAMAGED);
    assert_int_equal(revision, 77);
    assert_int_equal(cursor_parse(line, (size_t)n, OTHER, &revision), CURSOR_OTHER);
    assert_int_equal(cursor_parse(line, (size_t)n, DATABASE, &revision), CURSOR_OK);
}

static void refused_files_are_set_aside(void **state)
{
    (void)state;
    int64_t revision = 0;
    static const char garbage[1000] = "garbage";
    write_cursor(garbage, sizeof garbage);
    assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_DAMAGED);
    assert_int_equal(access(refused, F_OK), 0);
    assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_NONE);
    assert_int_equal(cursor_store(dir, OTHER, 5), 0);
    assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_OTHER);
    assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_NONE);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_DAMAGED);
    assert_int_equal(unlink(refused), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_DAMAGED);
    assert_int_equal(cursor_store(dir, DATABASE, 6), 0);
    assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_OK);
}

static void a_leftover_of_a_crash_is_no_obstacle(void **state)
{
    (void)state;
    char temporary[80];
    int64_t revision;
    snprintf(temporary, sizeof temporary, "%s/cursor.new", dir);
    assert_int_equal(symlink("/etc/passwd", temporary), 0);
    assert_int_equal(cursor_store(dir, DATABASE, 8), 0);
    assert_int_equal(cursor_load(dir, DATABASE, &revision), CURSOR_OK);
    assert_int_equal(revision, 8);
    assert_int_not_equal(access(temporary, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_is_loaded),
        cmocka_unit_test(every_torn_or_changed_file_is_refused),
        cmocka_unit_test(refused_files_are_set_aside),
        cmocka_unit_test(a_leftover_of_a_crash_is_no_obstacle),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
