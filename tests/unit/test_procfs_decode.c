#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/procfs_decode.h"

#define REST "S 77 4242 66 34817 4242 4194304 2850 6587 0 0 4 2 4 5 20 0 1 0 321275 16965632 3363\n"

static void assert_stat(const char *text, const char *comm)
{
    struct procfs_stat st;
    assert_int_equal(procfs_parse_stat(text, strlen(text), &st), 0);
    assert_int_equal(st.comm_size, strlen(comm));
    assert_memory_equal(st.comm, comm, st.comm_size);
    assert_int_equal(st.ppid, 77);
    assert_int_equal(st.pgid, 4242);
    assert_int_equal(st.sid, 66);
    assert_int_equal(st.tty, 34817);
    assert_int_equal(st.start_ticks, 321275);
}

static void stat_survives_hostile_names(void **state)
{
    (void)state;
    assert_stat("4242 (bash) " REST, "bash");
    assert_stat("4242 (a b) " REST, "a b");
    assert_stat("4242 () " REST, "");
    assert_stat("4242 (a) R 1 (b c) " REST, "a) R 1 (b c");
    assert_stat("4242 () S 1 1 1 0) " REST, ") S 1 1 1 0");
    assert_stat("4242 (((\n)))) " REST, "((\n)))");
}

static void broken_stat_is_refused(void **state)
{
    (void)state;
    static const char whole[] = "4242 (a) S 77 4242 66 34817 4242 4194304 2850 6587 0 0 4 2 4 5 20 0 1 0 3";
    struct procfs_stat st;
    for (size_t n = 0; n < sizeof whole - 2; n++) {
        char *cut = malloc(n + 1);
        memcpy(cut, whole, n);
        assert_int_equal(procfs_parse_stat(cut, n, &st), -EINVAL);
        free(cut);
    }
    assert_int_equal(procfs_parse_stat(")(", 2, &st), -EINVAL);
    assert_int_equal(procfs_parse_stat("1 (a) S x 1 1 1", 15, &st), -EINVAL);
}

static void ids_come_from_their_lines(void **state)
{
    (void)state;
    static const char text[] = "Name:\tUid: 9 9\\nUid:\t8\t8\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t5\t6\t6\t6\nFDSize:\t64\n";
    struct procfs_status st;
    assert_int_equal(procfs_parse_status(text, sizeof text - 1, &st), 0);
    assert_int_equal(st.uid, 1000);
    assert_int_equal(st.euid, 0);
    assert_int_equal(st.gid, 5);
    assert_int_equal(st.egid, 6);
    assert_int_equal(st.vpid, 0);
    assert_false(st.has_capabilities);
    assert_int_equal(procfs_parse_status(text, 60, &st), -EINVAL);
    assert_int_equal(procfs_parse_status("\nUid:\t99999999999\t0\nGid:\t0\t0\n", 30, &st), -EINVAL);
}

static void status_tells_capabilities_and_inner_ids(void **state)
{
    (void)state;
    static const char text[] = "Name:\tsh\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nNStgid:\t900\t8\nNSpid:\t900\t41\t7\nNSpgid:\t1\nNSsid:\t1\n"
                               "CapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000002001\nCapBnd:\t0000000000000000\n";
    struct procfs_status st;
    assert_int_equal(procfs_parse_status(text, sizeof text - 1, &st), 0);
    assert_int_equal(st.vpid, 7);
    assert_int_equal(st.vpgid, 1);
    assert_true(st.has_capabilities);
    assert_int_equal(st.cap_inheritable, 0);
    assert_int_equal(st.cap_permitted, 0x1ffffffffff);
    assert_int_equal(st.cap_effective, 0x2001);
    static const char odd[] = "\nUid:\t0\t0\nGid:\t0\t0\nNSpid:\t99999999999999\nNSpgid:\nCapInh:\t0\nCapPrm:\t000001fffffffffg\nCapEff:\t";
    assert_int_equal(procfs_parse_status(odd, sizeof odd - 1, &st), 0);
    assert_int_equal(st.vpid, 0);
    assert_int_equal(st.vpgid, 0);
    assert_false(st.has_capabilities);
}

static void links_name_their_kind(void **state)
{
    (void)state;
    uint64_t n = 0;
    assert_true(procfs_parse_link("socket:[123]", 12, "socket", &n));
    assert_int_equal(n, 123);
    assert_true(procfs_parse_link("mnt:[4026531841]", 16, "mnt", &n));
    assert_true(n == 4026531841u);
    assert_false(procfs_parse_link("socket:[123]", 12, "pipe", &n));
    assert_false(procfs_parse_link("socket:[]", 9, "socket", &n));
    assert_false(procfs_parse_link("socket:[12a]", 12, "socket", &n));
    assert_false(procfs_parse_link("/tmp/socket:[1]", 15, "socket", &n));
    assert_false(procfs_parse_link("socket:[123", 11, "socket", &n));
    assert_false(procfs_parse_link("socket:[99999999999999999999]", 29, "socket", &n));
    assert_false(procfs_parse_link("", 0, "socket", &n));
}

static void short_environments_stay_whole(void **state)
{
    (void)state;
    char text[] = "A=1\0LD_PRELOAD=/x.so\0B=2";
    assert_int_equal(procfs_bound_environ(text, sizeof text), sizeof text);
    assert_int_equal(procfs_bound_environ(text, 0), 0);
}

static void long_environments_keep_the_loader_variables(void **state)
{
    (void)state;
    static char text[3 * LIMIT_ENVIRON_BYTES];
    static const char kept[] = "LD_PRELOAD=/x.so\0LD_AUDIT=/y.so";
    memset(text, 'a', sizeof text);
    text[99] = 0;
    memcpy(text + 100, "LD_PRELOAD=/x.so", 17);
    text[sizeof text - 16] = 0;
    memcpy(text + sizeof text - 15, "LD_AUDIT=/y.so", 15);
    assert_int_equal(procfs_bound_environ(text, sizeof text), sizeof kept);
    assert_memory_equal(text, kept, sizeof kept);
    memset(text, 'L', sizeof text);
    assert_int_equal(procfs_bound_environ(text, sizeof text), 0);
    memcpy(text, "LD_", 3);
    assert_int_equal(procfs_bound_environ(text, sizeof text), LIMIT_ENVIRON_BYTES);
}

static void assert_cgroup(const char *text, const char *want)
{
    const char *path;
    size_t size;
    assert_int_equal(procfs_pick_cgroup(text, strlen(text), &path, &size), 0);
    assert_int_equal(size, strlen(want));
    assert_memory_equal(path, want, size);
}

static void the_telling_cgroup_is_picked(void **state)
{
    (void)state;
#define ID "0123456789abcdef0123456789abcdef"
    assert_cgroup("0::/\n", "/");
    assert_cgroup("0::/system.slice/docker-" ID ID ".scope\n", "/system.slice/docker-" ID ID ".scope");
    assert_cgroup("9:name=systemd:/\n8:pids:/ecs/" ID "/" ID ID "\n1:cpu:/ecs/" ID "\n0::/\n", "/ecs/" ID "/" ID ID);
    assert_cgroup("5:devices:/user.slice\n4:memory:/user.slice/user-0.slice\n0::/", "/user.slice/user-0.slice");
    assert_cgroup("7:cpu,cpuacct:/a:b", "/a:b");
#undef ID
    const char *path;
    size_t size;
    assert_int_equal(procfs_pick_cgroup("", 0, &path, &size), -EINVAL);
    assert_int_equal(procfs_pick_cgroup("\n:\n::\n0:x", 9, &path, &size), -EINVAL);
}

static void pids_are_plain_numbers(void **state)
{
    (void)state;
    int32_t pid;
    assert_true(procfs_parse_pid("4242", &pid));
    assert_int_equal(pid, 4242);
    assert_false(procfs_parse_pid("self", &pid));
    assert_false(procfs_parse_pid("0", &pid));
    assert_false(procfs_parse_pid("-1", &pid));
    assert_false(procfs_parse_pid("99999999999", &pid));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_survives_hostile_names),
        cmocka_unit_test(broken_stat_is_refused),
        cmocka_unit_test(ids_come_from_their_lines),
        cmocka_unit_test(status_tells_capabilities_and_inner_ids),
        cmocka_unit_test(links_name_their_kind),
        cmocka_unit_test(short_environments_stay_whole),
        cmocka_unit_test(long_environments_keep_the_loader_variables),
        cmocka_unit_test(the_telling_cgroup_is_picked),
        cmocka_unit_test(pids_are_plain_numbers),
    };
    return cmocka_run_group_tests_name("procfs_decode", tests, NULL, NULL);
}
