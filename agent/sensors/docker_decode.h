/* Answers of Docker's Engine API into events. Pure: bytes in, event out; every member is checked for its type, and one of another type is
 * as good as absent. */
#ifndef ECSGUARD_DOCKER_DECODE_H
#define ECSGUARD_DOCKER_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/event.h"

#define DOCKER_ADDRESSES_MAX 8
#define DOCKER_ID_BYTES 65

enum docker_answer {
    DOCKER_OTHER_CONTAINER = 1, /* the answer's Id is not the one asked for: nothing of it is believed */
    DOCKER_OTHER_TASK,          /* its labels name another task than the cgroup path: they are left out, the rest is set */
};

struct docker_facts {
    bool running; /* State.Running with a pid and a start time: there is no need to ask again */
    int n_addresses;
    struct address addresses[DOCKER_ADDRESSES_MAX]; /* IPv4 first; the first is in the event too */
};

/* GET /containers/<id>/json. `container_id` is what was asked for, `task_id` what the cgroup path says ("" when it says nothing). Sets the
 * fields of `ev`, an EVENT_CONTAINER under construction, and its phase. 0, enum docker_answer, or -EINVAL for what is not such an answer.
 *
 * Roles. The pause container: label com.amazonaws.ecs.container-name is ~internal~ecs~pause (or ~internal~ecs~pause~namespace, or
 * ~internal~ecs~pause-NAME), image repository amazon/amazon-ecs-pause, name ecs-..., not privileged. The ECS agent: name ecs-agent, image
 * repository amazon/amazon-ecs-agent, host network, no com.amazonaws.ecs label, and both the Docker socket (or /var/run) and the
 * agent's data (below /var/lib/ecs or /etc/ecs) mounted from the host. Whoever can imitate all of that can use the Docker socket. */
int docker_decode_container(const char *bytes, size_t size, const char *container_id, const char *task_id, struct event *ev,
                            struct docker_facts *facts);

/* GET /containers/json: calls `each` with every well-formed container id. The number of entries refused, or -EINVAL. */
int docker_decode_list(const char *bytes, size_t size, void (*each)(void *user, const char *container_id), void *user);

#endif
