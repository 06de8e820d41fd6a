#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/container_sensor.h"

#define ROOT "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
#define V1(id, where, options) #id " 23 0:" #id " / " where " rw,nosuid - cgroup cgroup rw," options "\n"
#define V2(where) "31 23 0:28 / " where " rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static const char *find(const char *mountinfo)
{
    static char out[512];
    return container_sensor_find_cgroup(mountinfo, strlen(mountinfo), out, sizeof out) ? NULL : out;
}

static void test_hierarchies(void **state)
{
    (void)state;
    assert_string_equal(find(ROOT V2("/sys/fs/cgroup")), "/sys/fs/cgroup");
    assert_string_equal(find(V1(1, "/c/pids", "pids") V1(2, "/c/memory", "memory") V2("/c/unified")), "/c/memory");
    assert_string_equal(find(V2("/c/unified") V1(2, "/c/cpu,cpuacct", "cpu,cpuacct")), "/c/cpu,cpuacct");
    assert_string_equal(find(V2("/c/unified") V1(2, "/c/systemd", "xattr,name=systemd")), "/c/systemd"); /* systemd's hybrid */
    assert_string_equal(find(V1(2, "/c/cpuset", "cpuset") V2("/c/unified")), "/c/unified"); /* "cpu" is not "cpuset" */
    assert_null(find(ROOT));
    assert_null(find(""));
    assert_null(find("31 23 0:28 /inner /c rw - cgroup2 cgroup2 rw\n")); /* not the whole hierarchy */
    assert_null(find("31 23 0:28 / /c rw - cgroup2\nnonsense - \n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_hierarchies) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
