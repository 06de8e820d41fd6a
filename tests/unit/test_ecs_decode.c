#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/ecs_decode.h"
#include "tests/unit/fixture.h"

#define ID "1f0e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
#define TASK "0123456789abcdef0123456789abcdef"

static struct {
    union event_buffer buffer; /* of the first container */
    int n;
} got;

#define assert_text(member, want) assert_string_equal(event_text(&got.buffer.event, got.buffer.event.member), want)

static void each(void *user, const struct ecs_container *container)
{
    const char *cluster = user;
    if (got.n++)
        return;
    event_init(&got.buffer.event, EVENT_CONTAINER, SOURCE_ECS, 1);
    ecs_container_event(&got.buffer.event, container, cluster, true);
    assert_string_equal(container->docker_id, ID);
}

static int decode(const char *name, const char *cluster)
{
    size_t size;
    char *data = fixture_read(name, &size);
    memset(&got, 0, sizeof got);
    int r = ecs_decode_tasks(data, size, each, (void *)(uintptr_t)cluster);
    free(data);
    return r;
}

static void test_tasks(void **state)
{
    (void)state;
    static const char *const names[] = { "ecs/tasks.json", "ecs/task.json" };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(decode(names[i], ""), 0);
        assert_int_equal(got.n, 2);
        assert_text(task_arn, "arn:aws:ecs:eu-central-1:123456789012:task/prod/" TASK);
        assert_text(task_id, TASK);
        assert_text(cluster, "prod");
        assert_text(family, "web");
        assert_text(revision, "8");
        assert_text(container_name, "app");
        assert_text(docker_name, "ecs-web-8-app-a1b2c3");
        assert_text(image, "registry.example/web:8");
        assert_int_equal(got.buffer.event.src.family, 4);
    }
    assert_int_equal(decode("ecs/tasks.json", "named"), 0);
    assert_text(cluster, "named");
    assert_int_equal(decode("ecs/old_arn.json", ""), 0);
    assert_text(task_id, "01234567-89ab-cdef-0123-456789abcdef");
    assert_text(cluster, "");
}

static void each_neighbour(void *user, const struct ecs_container *container)
{
    (void)user;
    event_init(&got.buffer.event, EVENT_CONTAINER, SOURCE_ECS, 1);
    ecs_container_event(&got.buffer.event, container, "", false);
}

static void test_neighbour(void **state)
{
    (void)state;
    size_t size;
    char *data = fixture_read("ecs/task.json", &size);
    assert_int_equal(ecs_decode_tasks(data, size, each_neighbour, NULL), 0);
    assert_text(family, "web");
    assert_text(container_name, "");
    assert_text(image, "");
    assert_int_equal(got.buffer.event.src.family, 4); /* awsvpc: one address for the whole task */
    free(data);
}

static void test_odd(void **state)
{
    (void)state;
    assert_int_equal(decode("ecs/task_t1.json", ""), 0);
    assert_int_equal(got.n, 1);
    assert_text(task_arn, "");
    assert_text(task_id, "");
    assert_text(family, "sleep");
    assert_int_equal(decode("ecs/nulls.json", ""), 5);
    assert_int_equal(got.n, 1);
    assert_text(container_name, "");
    assert_int_equal(decode("ecs/empty_task.json", ""), 0);
    assert_int_equal(got.n, 0);
    assert_int_equal(decode("ecs/empty_list.json", ""), 0);
    assert_int_equal(decode("ecs/tasks_wrong_type.json", ""), -22);
    assert_int_equal(ecs_decode_tasks("[]", 2, each, NULL), -22);
    assert_int_equal(ecs_decode_tasks("<html>", 6, each, NULL), -22);
    assert_int_equal(ecs_decode_tasks("", 0, each, NULL), -22);
}

static void test_metadata(void **state)
{
    (void)state;
    struct ecs_metadata m;
    size_t size;
    char *data = fixture_read("ecs/metadata.json", &size);
    assert_int_equal(ecs_decode_metadata(data, size, &m), 0);
    assert_string_equal(m.cluster, "prod");
    assert_string_equal(m.container_instance_arn, "arn:aws:ecs:eu-central-1:123456789012:container-instance/prod/" TASK);
    free(data);
    data = fixture_read("ecs/metadata_unregistered.json", &size);
    assert_int_equal(ecs_decode_metadata(data, size, &m), 0);
    assert_string_equal(m.container_instance_arn, "");
    free(data);
    assert_int_equal(ecs_decode_metadata("[1]", 3, &m), -22);
    assert_int_equal(ecs_decode_metadata("x", 1, &m), -22);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_tasks), cmocka_unit_test(test_neighbour), cmocka_unit_test(test_odd),
                                        cmocka_unit_test(test_metadata) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
