#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/dir_cache.h"
#include "agent/sensors/file_scope.h"

static struct file_scope scope;
static struct dir_cache cache;
static const char *const host_paths[] = { "/etc/passwd", "/etc/cron.d", "/home/*/.ssh", NULL };
static const char *const log_paths[] = { "/var/log", "/root/.bash_history", NULL };

static int setup(void **state)
{
    (void)state;
    file_scope_init(&scope, host_paths, log_paths);
    dir_cache_init(&cache, (struct hash_key){ 1, 2 });
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    file_scope_fini(&scope);
    dir_cache_fini(&cache);
    return 0;
}

static void places(void **state)
{
    (void)state;
    struct overlay *o = file_scope_overlay(&scope, 44, "/l/a/merged", "/l/a/diff", 0);
    assert_non_null(o);
    assert_int_equal(file_scope_place(&scope, "/l/a/diff").kind, PLACE_UPPER);
    assert_ptr_equal(file_scope_place(&scope, "/l/a/diff/usr").overlay, o);
    assert_int_equal(file_scope_place(&scope, "/l/a/diffuse").kind, PLACE_NONE);
    assert_int_equal(file_scope_place(&scope, "/l/a/work/work").kind, PLACE_NONE);
    assert_int_equal(file_scope_place(&scope, "/").kind, PLACE_NONE);
    assert_int_equal(file_scope_place(&scope, "/etc").kind, PLACE_HOST);
    assert_int_equal(file_scope_place(&scope, "/etc/cron.d/x").kind, PLACE_HOST);
    assert_int_equal(file_scope_place(&scope, "/etc/ssl").kind, PLACE_NONE);
    assert_int_equal(file_scope_place(&scope, "/home").kind, PLACE_NONE);
    assert_int_equal(file_scope_place(&scope, "/home/ann").kind, PLACE_HOST);
    assert_int_equal(file_scope_place(&scope, "/home/ann/.ssh").kind, PLACE_HOST);
    assert_int_equal(file_scope_place(&scope, "/home/ann/work").kind, PLACE_NONE);
    assert_int_equal(file_scope_host(&scope, "/etc", "passwd", 6), HOST_CHANGES);
    assert_int_equal(file_scope_host(&scope, "/etc", "cron.d", 6), HOST_CHANGES);
    assert_int_equal(file_scope_host(&scope, "/etc/cron.d", "job", 3), HOST_CHANGES);
    assert_int_equal(file_scope_host(&scope, "/etc", "passwd-", 7), HOST_NONE);
    assert_int_equal(file_scope_host(&scope, "/", "etc", 3), HOST_NONE);
    assert_int_equal(file_scope_host(&scope, "/home/ann", ".ssh", 4), HOST_CHANGES);
    assert_int_equal(file_scope_host(&scope, "/home/ann/.ssh", "id_rsa", 6), HOST_CHANGES);
    assert_int_equal(file_scope_host(&scope, "/home/ann", ".sshd", 5), HOST_NONE);
    assert_int_equal(file_scope_host(&scope, "/var/log/app", "x.log", 5), HOST_LOSSES);
    assert_int_equal(file_scope_host(&scope, "/root", ".bash_history", 13), HOST_LOSSES);
}

static void paths_and_patterns(void **state)
{
    static const struct {
        const char *path, *pattern;
        enum path_relation relation;
    } cases[] = {
        { "/", "/etc", PATH_PARENT },          { "/", "/etc/x", PATH_ABOVE },          { "/etc", "/etc", PATH_BELOW },
        { "/etc/x", "/etc", PATH_BELOW },      { "/etcx", "/etc", PATH_ELSEWHERE },    { "/home", "/home/*/.ssh", PATH_ABOVE },
        { "/home/a", "/home/*/.ssh", PATH_PARENT }, { "/home/a/b", "/home/*/.ssh", PATH_ELSEWHERE }, { "/home/a/.ssh/k", "/home/*/.ssh", PATH_BELOW },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(path_relate(cases[i].path, cases[i].pattern), cases[i].relation);
}

static void an_unmounted_overlay_is_kept_for_a_while(void **state)
{
    (void)state;
    file_scope_begin(&scope);
    struct overlay *o = file_scope_overlay(&scope, 44, "/l/a/merged", "/l/a/diff", 0);
    o->marked = true;
    file_scope_end(&scope, 1000);
    uint32_t generation = scope.generation;
    file_scope_begin(&scope);
    assert_true(file_scope_overlay(&scope, 44, "/l/a/merged", "/l/a/diff", 0)->marked);
    file_scope_end(&scope, 2000);
    assert_int_equal(scope.generation, generation);
    file_scope_begin(&scope);
    file_scope_end(&scope, 3000);
    assert_int_equal(file_scope_place(&scope, "/l/a/diff").kind, PLACE_UPPER);
    /* mounted again: another superblock, not marked yet, and found first */
    file_scope_begin(&scope);
    o = file_scope_overlay(&scope, 44, "/l/a/merged", "/l/a/diff", 0);
    assert_false(o->marked);
    file_scope_end(&scope, 4000);
    assert_ptr_equal(file_scope_by_dev(&scope, 44), o);
    file_scope_begin(&scope);
    file_scope_end(&scope, 5000);
    file_scope_begin(&scope);
    file_scope_end(&scope, 5001 + LIMIT_OVERLAY_GRACE_NS);
    assert_int_equal(file_scope_place(&scope, "/l/a/diff").kind, PLACE_NONE);
    assert_null(file_scope_by_dev(&scope, 44));
}

static void overlays_of_other_namespaces_stay_until_their_owner_goes(void **state)
{
    (void)state;
    file_scope_overlay(&scope, 45, "/", "/l/b/diff", 77);
    file_scope_begin(&scope);
    file_scope_end(&scope, 1000);
    assert_int_equal(scope.overlays[0].gone_ns, 0);
    file_scope_owner_gone(&scope, 77, 2000);
    assert_int_equal(scope.overlays[0].gone_ns, 2000);
}

static void a_full_table_gives_up_the_longest_gone(void **state)
{
    (void)state;
    char upper[32];
    for (int i = 0; i < LIMIT_OVERLAYS; i++) {
        snprintf(upper, sizeof upper, "/l/%d/diff", i);
        file_scope_overlay(&scope, (uint64_t)i, "/m", upper, i == 5 ? 5 : 0);
    }
    file_scope_owner_gone(&scope, 5, 10);
    file_scope_overlay(&scope, 9999, "/m", "/l/new/diff", 0);
    assert_int_equal(scope.n_overlays, LIMIT_OVERLAYS);
    assert_int_equal(scope.evicted, 1);
    assert_int_equal(file_scope_place(&scope, "/l/5/diff").kind, PLACE_NONE);
    assert_int_equal(file_scope_place(&scope, "/l/new/diff").kind, PLACE_UPPER);
}

static struct fan_entry entry_of(uint8_t *handle, uint32_t size)
{
    return (struct fan_entry){ .handle = handle, .handle_size = size, .fsid = { 1 } };
}

static void the_cache_finds_forgets_and_expires(void **state)
{
    (void)state;
    uint8_t handle[FAN_HANDLE_MAX] = { 8 };
    struct fan_entry e = entry_of(handle, 16);
    assert_null(dir_cache_find(&cache, &e, 1));
    assert_non_null(dir_cache_put(&cache, &e, "/a", 1));
    assert_string_equal(dir_cache_find(&cache, &e, 2)->path, "/a");
    handle[9] = 1;
    assert_null(dir_cache_find(&cache, &e, 2));
    handle[9] = 0;
    assert_null(dir_cache_find(&cache, &e, 1 + LIMIT_DIR_CACHE_NS));
    assert_string_equal(dir_cache_put(&cache, &e, "/b", 3)->path, "/b");
    dir_cache_flush(&cache);
    assert_null(dir_cache_find(&cache, &e, 4));
    e = entry_of(handle, FAN_HANDLE_MAX); /* too long to be kept, but it gets its answer */
    assert_string_equal(dir_cache_put(&cache, &e, "/long", 5)->path, "/long");
    assert_null(dir_cache_find(&cache, &e, 5));
}

static void the_cache_is_bounded(void **state)
{
    (void)state;
    uint8_t handle[16] = { 8 };
    struct fan_entry e = entry_of(handle, sizeof handle);
    uint32_t n = 3 * LIMIT_DIR_CACHE, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(handle + 8, &i, 4);
        dir_cache_put(&cache, &e, "/x", i);
    }
    for (uint32_t i = 0; i < n; i++) {
        memcpy(handle + 8, &i, 4);
        kept += dir_cache_find(&cache, &e, n) != NULL;
    }
    assert_true(kept > LIMIT_DIR_CACHE / 2 && kept <= LIMIT_DIR_CACHE);
    assert_non_null(dir_cache_find(&cache, &e, n)); /* the newest */
}

static void libraries_are_counted_by_file(void **state)
{
    (void)state;
    struct overlay *o = file_scope_overlay(&scope, 7, "/m", "/u", 0);
    for (uint64_t i = 0; i < LIMIT_LIBRARY_MARKS; i++) {
        uint64_t ino = 5 + i * 331 % LIMIT_LIBRARY_MARKS; /* in no order */
        assert_int_equal(overlay_add_library(o, ino), 1);
        assert_int_equal(overlay_add_library(o, ino), 0); /* written again */
    }
    assert_int_equal(file_scope_full_overlays(&scope), 0);
    assert_int_equal(overlay_add_library(o, 5), 0);
    assert_int_equal(overlay_add_library(o, 4), -ENOSPC);
    assert_int_equal(file_scope_full_overlays(&scope), 1);
    file_scope_begin(&scope);
    file_scope_end(&scope, 10);
    assert_int_equal(file_scope_full_overlays(&scope), 0); /* unmounted */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(places, setup, teardown),
        cmocka_unit_test(paths_and_patterns),
        cmocka_unit_test_setup_teardown(an_unmounted_overlay_is_kept_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(overlays_of_other_namespaces_stay_until_their_owner_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_table_gives_up_the_longest_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(libraries_are_counted_by_file, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cache_finds_forgets_and_expires, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cache_is_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
