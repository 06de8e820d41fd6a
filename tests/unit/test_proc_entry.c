#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/proc_entry.h"

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int32_t pid;
        const char *tail, *file;
    } cases[] = {
        { "/proc/123/mem", 123, "/123/mem", "mem" },
        { "/123/mem", 123, "/123/mem", "mem" },
        { "/mnt/proc/7/attr/current", 7, "/7/attr/current", "attr/current" },
        { "/proc/7/task/9/comm", 7, "/7/task/9/comm", "comm" },
        { "/proc/7/task/9", 7, "/7/task/9", "task/9" },
        { "/proc/7/task/x/comm", 7, "/7/task/x/comm", "task/x/comm" },
        { "/proc/7", 7, "/7", "" },
        { "/proc/sys/kernel/core_pattern", 0, "/proc/sys/kernel/core_pattern", "" },
        { "/proc/99999999999/mem", 0, "/proc/99999999999/mem", "" },
        { "", 0, "", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct proc_entry entry;
        proc_entry_parse(cases[i].path, &entry);
        assert_int_equal(entry.pid, cases[i].pid);
        assert_string_equal(entry.tail, cases[i].tail);
        assert_string_equal(entry.file, cases[i].file);
    }
}

static void noise(void **state)
{
    (void)state;
    assert_true(proc_entry_is_own_noise("comm"));
    assert_true(proc_entry_is_own_noise("attr/exec"));
    assert_false(proc_entry_is_own_noise("mem"));
    assert_false(proc_entry_is_own_noise("uid_map"));
    assert_false(proc_entry_is_own_noise(""));
}

static bool open_matters(const char *path, bool own)
{
    struct proc_entry entry;
    proc_entry_parse(path, &entry);
    return proc_entry_open_matters(&entry, own);
}

static void opens_that_tell_secrets(void **state)
{
    (void)state;
    assert_true(open_matters("/proc/1/environ", false));
    assert_true(open_matters("/proc/7/task/9/environ", true));
    assert_true(open_matters("/proc/7/maps", false));
    assert_false(open_matters("/proc/7/maps", true));
    assert_false(open_matters("/proc/7/stat", false));
    assert_false(open_matters("/proc/7/cwd/environ", false));
    assert_true(open_matters("/proc/kcore", false));
    assert_true(open_matters("/proc/sysrq-trigger", false));
    assert_false(open_matters("/proc/meminfo", false));
    assert_false(open_matters("", false));
}

static void files_that_lead_out(void **state)
{
    (void)state;
    assert_true(cgroup_file_matters("/sys/fs/cgroup/rdma/release_agent"));
    assert_true(cgroup_file_matters("/tmp/cg/x/notify_on_release"));
    assert_false(cgroup_file_matters("/sys/fs/cgroup/memory/x/cgroup.procs"));
    assert_false(cgroup_file_matters("release_agent"));
    assert_true(sysfs_file_matters("/sys/kernel/uevent_helper"));
    assert_false(sysfs_file_matters("/sys/class/net/eth0/mtu"));
}

static void nspid(void **state)
{
    (void)state;
    assert_int_equal(proc_status_nspid("Name:\tx\nPid:\t900\nNSpid:\t900\t12\t3\nVmPeak:\t77\n"), 3);
    assert_int_equal(proc_status_nspid("Name:\tx\nNSpid:\t900\n"), 900);
    assert_int_equal(proc_status_nspid("Name:\tx\nNSpid:\t900"), 900);
    assert_int_equal(proc_status_nspid("Name:\tx\n"), 0);
    assert_int_equal(proc_status_nspid(""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(paths), cmocka_unit_test(noise), cmocka_unit_test(opens_that_tell_secrets),
                                        cmocka_unit_test(files_that_lead_out), cmocka_unit_test(nspid) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
