#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/sensors/cpu_decode.h"
#include "agent/sensors/cpu_sensor.h"
#include "common/clock.h"

static uint64_t ns;

static int decode(const char *text)
{
    ns = 0;
    return cpu_usage_decode(text, strlen(text), &ns);
}

static void counters_of_both_kinds_are_read(void **state)
{
    (void)state;
    assert_int_equal(decode("123456789\n"), 0);
    assert_int_equal(ns, 123456789);
    assert_int_equal(decode("usage_usec 5000\nuser_usec 1\nsystem_usec 2\n"), 0);
    assert_int_equal(ns, 5000000);
    assert_int_equal(decode("nr_periods 0\nusage_usec 7"), 0);
    assert_int_equal(ns, 7000);
    static const char *const bad[] = { "", "\n", "-1\n", "12x\n", "usage_usec", "usage_usec \n", "usage_usec x\n", "nr_periods 0\nnr_throttled 0\n",
                                       "99999999999999999999999\n", "usage_usec 18446744073709551615\n", " usage_usec 5\n" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(decode(bad[i]), -EINVAL);
}

static void the_right_hierarchy_is_found(void **state)
{
    (void)state;
    static const char v1[] = "30 29 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
                             "33 29 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
    static const char v2[] = "29 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
    static const char other[] = "29 1 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n31 1 0:3 / /x rw - cgroup cgroup rw,memory\n";
    char dir[64];
    assert_int_equal(cpu_sensor_find_cgroup(v1, sizeof v1 - 1, dir, sizeof dir), 0);
    assert_string_equal(dir, "/sys/fs/cgroup/cpu,cpuacct");
    assert_int_equal(cpu_sensor_find_cgroup(v2, sizeof v2 - 1, dir, sizeof dir), 0);
    assert_string_equal(dir, "/sys/fs/cgroup");
    assert_int_equal(cpu_sensor_find_cgroup(other, sizeof other - 1, dir, sizeof dir), -ENOENT);
}

/* ---- a hierarchy of plain files ---- */

static char root[64];

static void put(const char *group, const char *file, uint64_t value)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, group);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/%s/%s", root, group, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, strcmp(file, "cpu.stat") ? "%llu\n" : "usage_usec %llu\nuser_usec 0\n", (unsigned long long)value);
    fclose(f);
}

static void announce(struct cpu_sensor *s, const char *id, const char *group, enum container_phase phase)
{
    static union event_buffer buffer;
    event_init(&buffer.event, EVENT_CONTAINER, SOURCE_CGROUP, 1);
    buffer.event.text_max = LIMIT_EVENT_TEXT_BYTES - 1;
    event_set(&buffer.event, F_CONTAINER_PHASE, container_phase, phase);
    event_set_text(&buffer.event, F_CONTAINER_ID, id, strlen(id));
    event_set_text(&buffer.event, F_CGROUP, group, strlen(group));
    cpu_sensor_container(s, &buffer.event);
}

static const struct event *next_event(struct cpu_sensor *s, size_t *at, int wait_ms)
{
    size_t size;
    const void *record = NULL;
    for (; !(record = ring_next(&s->sensor.ring, at, &size)) && wait_ms > 0; wait_ms -= 5)
        usleep(5000);
    return record;
}

static void busy_containers_are_told_and_idle_ones_are_not(void **state)
{
    (void)state;
    struct cpu_sensor s;
    struct sensor_stats stats = { 0 };
    strcpy(root, "/tmp/test_cpu.XXXXXX");
    assert_non_null(mkdtemp(root));
    put("one", "cpu.stat", 1000);
    put("two", "cpuacct.usage", 1000);
    put("idle", "cpu.stat", 1000);
    struct cpu_sensor_options options = { .cgroup_dir = root, .interval_ns = 50 * NS_PER_MS };
    assert_int_equal(cpu_sensor_open(&s, &options, &stats, NULL), 0);
    size_t at = ring_start(&s.sensor.ring);
    announce(&s, "c1", "/one", CONTAINER_START);
    announce(&s, "c2", "/two", CONTAINER_START);
    announce(&s, "c3", "/idle", CONTAINER_START);
    announce(&s, "c4", "/gone", CONTAINER_START);
    assert_null(next_event(&s, &at, 120)); /* the first samples tell nothing */
    put("one", "cpu.stat", 1000 + 900000); /* us */
    put("two", "cpuacct.usage", 1000 + 800000000);
    const struct event *first = next_event(&s, &at, 3000), *second = next_event(&s, &at, 3000);
    assert_non_null(first);
    assert_non_null(second);
    if (strcmp(event_text(first, first->container_id), "c1")) {
        const struct event *swap = first;
        first = second;
        second = swap;
    }
    assert_string_equal(event_text(first, first->container_id), "c1");
    assert_int_equal(first->cpu_ns, 900000000);
    assert_true(first->interval_ns >= 40 * NS_PER_MS);
    assert_string_equal(event_text(second, second->container_id), "c2");
    assert_int_equal(second->cpu_ns, 800000000);
    announce(&s, "c1", "/one", CONTAINER_END);
    put("one", "cpu.stat", 9000000);
    assert_null(next_event(&s, &at, 150));
    cpu_sensor_close(&s);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

static void a_missing_hierarchy_is_said(void **state)
{
    (void)state;
    struct cpu_sensor s;
    struct sensor_stats stats = { 0 };
    struct cpu_sensor_options options = { .cgroup_dir = "/nonexistent" };
    assert_int_equal(cpu_sensor_open(&s, &options, &stats, NULL), -ENOENT);
    assert_int_equal(stats.state, SENSOR_OFF);
    assert_non_null(strstr(stats.reason, "No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_of_both_kinds_are_read),
        cmocka_unit_test(the_right_hierarchy_is_found),
        cmocka_unit_test(busy_containers_are_told_and_idle_ones_are_not),
        cmocka_unit_test(a_missing_hierarchy_is_said),
    };
    return cmocka_run_group_tests_name("cpu_sensor", tests, NULL, NULL);
}
