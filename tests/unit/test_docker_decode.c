#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/docker_decode.h"
#include "tests/unit/fixture.h"

#define ID "1f0e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
#define TASK "0123456789abcdef0123456789abcdef"

static union event_buffer buffer;
static struct docker_facts facts;

static int decode(const char *name, const char *task_id)
{
    size_t size;
    char *data = fixture_read(name, &size);
    event_init(&buffer.event, EVENT_CONTAINER, SOURCE_DOCKER, 1);
    int r = docker_decode_container(data, size, ID, task_id, &buffer.event, &facts);
    free(data);
    assert_int_equal(event_check(&buffer.event, buffer.event.size), 0);
    return r;
}

#define assert_text(member, want) assert_string_equal(event_text(&buffer.event, buffer.event.member), want)

static void test_task(void **state)
{
    (void)state;
    char address[46];
    assert_int_equal(decode("docker/task.json", TASK), 0);
    assert_int_equal(buffer.event.container_phase, CONTAINER_FACTS);
    assert_text(container_id, ID);
    assert_text(runtime, "docker");
    assert_text(docker_name, "ecs-web-8-app-a1b2c3");
    assert_text(container_name, "app");
    assert_text(image, "registry.example/web:8");
    assert_text(family, "web");
    assert_text(revision, "8");
    assert_text(cluster, "prod");
    assert_text(task_id, TASK);
    assert_text(task_arn, "arn:aws:ecs:eu-central-1:123456789012:task/prod/" TASK);
    assert_text(upperdir, "/var/lib/docker/overlay2/m/diff");
    assert_int_equal(buffer.event.pid, 4242);
    assert_int_equal(buffer.event.privileged, 0);
    assert_true(event_knows(&buffer.event, F_PRIVILEGED));
    assert_int_equal(buffer.event.container_role, CONTAINER_ROLE_WORKLOAD);
    assert_true(buffer.event.started_wall_ns % 1000000000 == 250000000);
    assert_true(facts.running);
    assert_int_equal(facts.n_addresses, 3);
    address_format(&facts.addresses[0], address);
    assert_string_equal(address, "172.17.0.2");
    address_format(&facts.addresses[2], address);
    assert_string_equal(address, "2001:db8::2");
    assert_true(address_equal(&facts.addresses[0], &buffer.event.src));
}

static void test_mounts(void **state)
{
    (void)state;
    decode("docker/agent.json", "");
    assert_text(mounts, "/var/run:/var/run::false:,/var/lib/ecs/data:/data::false:,/proc:/host/proc::false:");
    decode("docker/task.json", TASK);
    assert_false(event_knows(&buffer.event, F_MOUNTS));
    decode("docker/odd_mounts.json", "");
    assert_text(mounts, "/a?b:/c?d:ro?z:true:rprivate");
}

static void test_other_task(void **state)
{
    (void)state;
    assert_int_equal(decode("docker/task.json", "ffffffffffffffffffffffffffffffff"), DOCKER_OTHER_TASK);
    assert_false(event_knows(&buffer.event, F_TASK_ARN));
    assert_false(event_knows(&buffer.event, F_FAMILY));
    assert_text(image, "registry.example/web:8");
}

static void test_other_container(void **state)
{
    (void)state;
    size_t size;
    char *data = fixture_read("docker/task.json", &size);
    event_init(&buffer.event, EVENT_CONTAINER, SOURCE_DOCKER, 1);
    assert_int_equal(docker_decode_container(data, size, TASK TASK, "", &buffer.event, &facts), DOCKER_OTHER_CONTAINER);
    assert_false(event_knows(&buffer.event, F_IMAGE));
    free(data);
}

static void test_states(void **state)
{
    (void)state;
    assert_int_equal(decode("docker/plain_privileged.json", ""), 0);
    assert_int_equal(buffer.event.privileged, 1);
    assert_text(container_name, "plain");
    assert_int_equal(facts.n_addresses, 0);
    assert_false(event_knows(&buffer.event, F_SRC));
    assert_int_equal(decode("docker/created.json", TASK), 0);
    assert_false(facts.running);
    assert_false(event_knows(&buffer.event, F_PID));
    assert_false(event_knows(&buffer.event, F_STARTED_WALL_NS));
}

static void test_roles(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum container_role role;
    } cases[] = {
        { "docker/pause.json", CONTAINER_ROLE_PAUSE },
        { "docker/pause_imitated.json", CONTAINER_ROLE_WORKLOAD },
        { "docker/agent.json", CONTAINER_ROLE_ECS_AGENT },
        { "docker/agent_imitated.json", CONTAINER_ROLE_WORKLOAD },
        { "docker/agent_without_socket.json", CONTAINER_ROLE_WORKLOAD },
        { "docker/agent_with_labels.json", CONTAINER_ROLE_WORKLOAD },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(decode(cases[i].name, ""), 0);
        if (buffer.event.container_role != cases[i].role)
            fail_msg("%s: role %d", cases[i].name, buffer.event.container_role);
    }
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(decode("docker/not_json.json", ""), -22);
    assert_int_equal(decode("docker/list.json", ""), -22);
    assert_int_equal(decode("docker/wrong_types.json", ""), 0); /* the id is right, all else is of a wrong type: as good as absent */
    assert_false(event_knows(&buffer.event, F_IMAGE));
    assert_false(event_knows(&buffer.event, F_PRIVILEGED));
    assert_false(event_knows(&buffer.event, F_DOCKER_NAME));
    event_init(&buffer.event, EVENT_CONTAINER, SOURCE_DOCKER, 1);
    assert_int_equal(docker_decode_container("", 0, ID, "", &buffer.event, &facts), -22);
    assert_int_equal(docker_decode_container("{\"Id\":\"a\\u0000b\"}", 17, ID, "", &buffer.event, &facts), -22);
}

static void on_listed(void *user, const char *id)
{
    (void)id;
    ++*(int *)user;
}

static void test_list(void **state)
{
    (void)state;
    size_t size;
    int n = 0;
    char *data = fixture_read("docker/list.json", &size);
    assert_int_equal(docker_decode_list(data, size, on_listed, &n), 2);
    assert_int_equal(n, 2);
    assert_int_equal(docker_decode_list("{}", 2, on_listed, &n), -22);
    assert_int_equal(docker_decode_list("[", 1, on_listed, &n), -22);
    assert_int_equal(n, 2);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_task),   cmocka_unit_test(test_mounts),        cmocka_unit_test(test_other_task), cmocka_unit_test(test_other_container),
                                        cmocka_unit_test(test_states), cmocka_unit_test(test_roles),      cmocka_unit_test(test_refused),
                                        cmocka_unit_test(test_list) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
