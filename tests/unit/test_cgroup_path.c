#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/cgroup_path.h"
#include "common/limits.h"

#define ID "1f0e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
#define ID2 "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
#define TASK "0123456789abcdef0123456789abcdef"
#define UUID "01234567-89ab-cdef-0123-456789abcdef"
#define SLICES                                                                                                     \
    "/ecstasks.slice/ecstasks-01234567.slice/ecstasks-01234567-89ab.slice/ecstasks-01234567-89ab-cdef.slice/"      \
    "ecstasks-01234567-89ab-cdef-0123.slice/ecstasks-" UUID ".slice"
#define ESCAPED "/ecstasks.slice/ecstasks-01234567\\x2d89ab\\x2dcdef\\x2d0123\\x2d456789abcdef.slice"

static const struct {
    const char *bytes;
    const char *runtime; /* NULL: not a container */
    const char *id, *task;
} cases[] = {
    /* ECS */
    { "/ecs/" TASK "/" ID, "docker", ID, TASK },
    { "4:memory:/ecs/" TASK "/" ID "\n", "docker", ID, TASK },
    { "9:name=systemd:/\n8:pids:/ecs/" TASK "/" ID "\n0::/\n", "docker", ID, TASK },
    { "2:cpu,cpuacct:/docker/" ID "\n1:memory:/ecs/" TASK "/" ID "\n", "docker", ID, TASK },
    { "0::/ecstasks.slice/ecstasks-" TASK ".slice/docker-" ID ".scope\n", "docker", ID, TASK },
    { "/ecstasks.slice/ecstasks-" TASK ".slice/docker-" ID ".scope", "docker", ID, TASK },
    { "/ecs/" UUID "/" ID, "docker", ID, UUID },
    { "0::" SLICES "/docker-" ID ".scope\n", "docker", ID, UUID },
    { "0::" ESCAPED "/docker-" ID ".scope\n", "docker", ID, UUID },
    { "0::" ESCAPED "/docker\\x2d" ID ".scope\n", "docker", ID, UUID },
    { "/sys/fs/cgroup/memory/ecs/" TASK "/" ID, "docker", ID, TASK },                       /* ECS_CGROUP_PATH: with its mount point */
    { "/cgroup/ecstasks.slice/ecstasks-" TASK ".slice/docker-" ID ".scope", "docker", ID, TASK },
    { "0::/ecs/" TASK "/" ID "\n", "docker", ID, TASK },                                    /* v2, cgroupfs driver */
    { "0::/ecstasks.slice/ecstasks-" TASK ".slice/cri-containerd-" ID ".scope\n", "containerd", ID, TASK },
    { "/ecs/" TASK "/" ID "/ecs/" UUID "/" ID2, "docker", ID, TASK },                        /* nested: the first wins */
    { "/ecs/" TASK "/" ID "/system.slice/docker-" ID2 ".scope", "docker", ID, TASK },
    { "0::/ecstasks.slice/ecstasks-" TASK ".slice/docker-" ID ".scope/init.scope\n", "docker", ID, TASK },
    { "0::/system.slice/docker-" ID ".scope/ecstasks.slice/ecstasks-" TASK ".slice/docker-" ID2 ".scope\n", "docker", ID, "" },
    { "/docker/" ID "/ecs/" TASK "/" ID2, "docker", ID, "" },
    /* Docker */
    { "/docker/" ID, "docker", ID, "" },
    { "12:devices:/docker/" ID "\n11:cpuset:/docker/" ID, "docker", ID, "" },
    { "0::/system.slice/docker-" ID ".scope\n", "docker", ID, "" },
    { "0::/system.slice/docker-" ID ".scope/kubepods/pod1/" ID2 "\n", "docker", ID, "" },
    { "0::/system.slice/docker-" ID ".scope (deleted)\n", "docker", ID, "" },
    { "/docker/" ID " (deleted)", "docker", ID, "" },
    { "/my/own/parent/" ID, "", ID, "" },
    { "/../../docker/" ID, "docker", ID, "" },
    { "//docker//" ID "//", "docker", ID, "" },
    { "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-" ID ".scope", "docker", ID, "" },
    { "/system.slice:docker:" ID, "docker", ID, "" },
    { "/mine.slice/docker-" ID, "docker", ID, "" },
    /* containerd, CRI */
    { "/default/" ID, "containerd", ID, "" },
    { "/default/web-1.a_B", "containerd", "web-1.a_B", "" },
    { "/k8s.io/" ID, "containerd", ID, "" },
    { "/k8s.io/mine", "containerd", "mine", "" },
    { "/system.slice/nerdctl-" ID ".scope", "containerd", ID, "" },
    { "/nerdctl/" ID, "containerd", ID, "" },
    { "/system.slice/containerd-" ID ".scope", "containerd", ID, "" },
    { "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-" ID ".scope", "containerd", ID, "" },
    { "/kubepods/besteffort/pod11111111-2222-3333-4444-555555555555/" ID, "", ID, "" },
    { "/kubepods-besteffort-pod1.slice:cri-containerd:" ID, "containerd", ID, "" },
    { "/kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope", "cri-o", ID, "" },
    { "/kubepods/pod1/crio-" ID, "cri-o", ID, "" },
    { "/a:b:" ID, "", ID, "" },
    /* podman */
    { "/machine.slice/libpod-" ID ".scope", "podman", ID, "" },
    { "0::/machine.slice/libpod-" ID ".scope/container", "podman", ID, "" },
    { "/libpod_parent/libpod-" ID, "podman", ID, "" },
    { "/libpod_parent/" ID, "podman", ID, "" },
    { "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", "podman", ID, "" },
    /* not containers */
    { "0::/\n", NULL, "", "" },
    { "/", NULL, "", "" },
    { "0::/init.scope\n", NULL, "", "" },
    { "/system.slice/docker.service", NULL, "", "" },
    { "/system.slice/containerd.service", NULL, "", "" },
    { "/system.slice/ecs.service", NULL, "", "" },
    { "/system.slice/docker.socket", NULL, "", "" },
    { "/ecs", NULL, "", "" },
    { "/ecs/" TASK, NULL, "", "" },
    { "/docker", NULL, "", "" },
    { "/docker/buildkit", NULL, "", "" },
    { "/ecstasks.slice", NULL, "", "" },
    { "/ecstasks.slice/ecstasks-" TASK ".slice", NULL, "", "" },
    { SLICES, NULL, "", "" },
    { "/process_api/" TASK, NULL, "", "" },
    { "/machine.slice/libpod-conmon-" ID ".scope", NULL, "", "" },
    { "/kubepods.slice/crio-conmon-" ID ".scope", NULL, "", "" },
    { "/system.slice/docker-" ID ".service", NULL, "", "" },
    { "/system.slice/docker-" ID ".mount", NULL, "", "" },
    { "/system.slice/docker-" ID "0.scope", NULL, "", "" },
    { "/system.slice/docker-0123456789ab.scope", NULL, "", "" },
    { "/system.slice/xdocker-" ID ".scope", NULL, "", "" },
    { "/docker/1F0E2D3C4B5A69788796A5B4C3D2E1F00F1E2D3C4B5A69788796A5B4C3D2E1F0", NULL, "", "" },
    { "/ecs/" TASK "/zf0e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0", NULL, "", "" },
    { "/mine/default/web", NULL, "", "" },
    { "/default/x.service", NULL, "", "" },
    { "/default", NULL, "", "" },
    { "/default/ ", NULL, "", "" },
    { "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", NULL, "", "" },
    { "/user.slice/user-1000.slice/session-2.scope", NULL, "", "" },
    { "/a:b", NULL, "", "" },
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cgroup_identity got;
        int rc = cgroup_identify(cases[i].bytes, strlen(cases[i].bytes), &got);
        if (rc || got.is_container != !!cases[i].runtime || strcmp(got.runtime, cases[i].runtime ? cases[i].runtime : "") ||
            strcmp(got.container_id, cases[i].id) || strcmp(got.task_id, cases[i].task))
            fail_msg("case %zu %s: rc %d container %d runtime '%s' id '%s' task '%s'", i, cases[i].bytes, rc, got.is_container, got.runtime,
                     got.container_id, got.task_id);
    }
}

static void test_path(void **state)
{
    (void)state;
    static const char bytes[] = "3:pids:/user.slice\n2:memory:/ecs/" TASK "/" ID "/inner\n0::/\n";
    struct cgroup_identity got;
    assert_int_equal(cgroup_identify(bytes, strlen(bytes), &got), 0);
    assert_int_equal(got.path_size, strlen("/ecs/" TASK "/" ID "/inner"));
    assert_memory_equal(got.path, "/ecs/" TASK "/" ID "/inner", got.path_size);
    assert_int_equal(got.container_size, strlen("/ecs/" TASK "/" ID));
    assert_int_equal(cgroup_identify("0::/user.slice\n1:a:/b\n", 21, &got), 0);
    assert_memory_equal(got.path, "/user.slice", got.path_size);
    assert_int_equal(got.container_size, 0);
}

static void refuse(const char *bytes, size_t size)
{
    struct cgroup_identity got;
    memset(&got, 0xff, sizeof got);
    assert_int_equal(cgroup_identify(bytes, size, &got), -22);
    assert_false(got.is_container);
    assert_string_equal(got.runtime, "");
    assert_int_equal(got.container_id[0], 0);
}

static void test_malformed(void **state)
{
    (void)state;
    refuse("", 0);
    refuse("docker", 6);
    refuse("1:memory\n", 9);
    refuse("1:memory:relative\n", 18);
    refuse("1::", 3);
    refuse("0::/docker/" ID "\n\n", 77);
    refuse("/docker/" ID "\0", 73);
    refuse("\x7f" "ELF\x02\x01\x01", 7);
    char *huge = malloc(LIMIT_CGROUP_FILE_BYTES + 1);
    memset(huge, 'a', LIMIT_CGROUP_FILE_BYTES + 1);
    huge[0] = '/';
    refuse(huge, LIMIT_CGROUP_FILE_BYTES + 1);
    struct cgroup_identity got; /* one component longer than any file name: skipped, not copied */
    assert_int_equal(cgroup_identify(huge, LIMIT_CGROUP_FILE_BYTES, &got), 0);
    assert_false(got.is_container);
    free(huge);
}

static void test_ids(void **state)
{
    (void)state;
    assert_true(cgroup_is_task_id(TASK, 32));
    assert_true(cgroup_is_task_id(UUID, 36));
    assert_false(cgroup_is_task_id("01234567x89ab-cdef-0123-456789abcdef", 36));
    assert_false(cgroup_is_task_id(TASK, 31));
    assert_true(cgroup_is_full_id(ID, 64));
    assert_false(cgroup_is_full_id(ID, 63));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases), cmocka_unit_test(test_path), cmocka_unit_test(test_malformed),
                                        cmocka_unit_test(test_ids) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
