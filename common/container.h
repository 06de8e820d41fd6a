/* Facts about one container: the row that findings and events point to. */
#ifndef ECSGUARD_CONTAINER_H
#define ECSGUARD_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/event.h"

struct container_facts {
    int32_t id; /* row id */
    uint8_t role; /* enum container_role */
    uint8_t privileged;
    bool from_docker, from_ecs; /* which of the two answered */
    bool facts_overdue;         /* rules waited in vain for more; until some come, nothing waits again */
    char container_id[129];
    char runtime[33];
    char task_id[65];
    char task_arn[513];
    char cluster[257];
    char family[257];
    char revision[17];
    char service[257];
    char name[257];
    char docker_name[257];
    char image[513];
    char image_id[257];
    char upperdir[513];
    char mounts[1025]; /* bind mounts and volumes: "source:destination:mode:rw:propagation", joined by commas; those that fit */
    struct address address, address6;
    uint64_t root_dev;
    uint64_t mntns, netns, pidns;
    int32_t nsid; /* -2 = unknown */
    int32_t init_pid;
    uint64_t started_wall_ns, ended_wall_ns; /* 0 = unknown, still running */
};

#endif
