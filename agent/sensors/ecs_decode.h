/* Answers of the ECS agent's introspection API into plain structs. Pure. Members that are absent, null or of another type are "". */
#ifndef ECSGUARD_ECS_DECODE_H
#define ECSGUARD_ECS_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/event.h"

#define ECS_ADDRESSES_MAX 8

struct ecs_metadata {
    char cluster[513];
    char container_instance_arn[513]; /* "" until the instance has registered */
};

/* One container of one task; texts are valid during the callback only. */
struct ecs_container {
    const char *task_arn;  /* "" when what the answer holds is not an ARN */
    const char *task_id;   /* last component of the ARN */
    const char *family, *revision;
    const char *docker_id; /* 64 hex digits */
    const char *docker_name, *name, *image, *image_id;
    bool awsvpc; /* its addresses are those of all containers of the task */
    int n_addresses;
    struct address addresses[ECS_ADDRESSES_MAX];
};

/* GET /v1/metadata. 0 or -EINVAL. */
int ecs_decode_metadata(const char *bytes, size_t size, struct ecs_metadata *out);

/* GET /v1/tasks (a list) or /v1/tasks?dockerid= (one task): calls `each` for every container. The number of tasks and containers refused
 * (no usable id, wrong types), or -EINVAL. An empty object (unknown id) is 0. */
int ecs_decode_tasks(const char *bytes, size_t size, void (*each)(void *user, const struct ecs_container *container), void *user);

/* Sets the task's fields of `ev`, and with `own` also what is about this very container (not so for the pause container, which the API
 * does not list: it is recognised by its task). `cluster` may be "": then it is
 * taken from the ARN. */
void ecs_container_event(struct event *ev, const struct ecs_container *container, const char *cluster, bool own);

#endif
