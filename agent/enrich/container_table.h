/* All containers, living and lately ended: identity from the cgroup path at once, the rest as it arrives from Docker and the
 * ECS agent. */
#ifndef ECSGUARD_CONTAINER_TABLE_H
#define ECSGUARD_CONTAINER_TABLE_H

#include "agent/sensors/cgroup_path.h"
#include "common/container.h"

/* The living containers of one network namespace. */
struct container_netns {
    int32_t nsid;
    uint16_t pause, oldest; /* slot + 1 of its pause container, and of the workload that was there first; 0 = none */
    uint16_t n_workloads;
};

/* Who has an address, who is in a network namespace: asked for every flow, so it is made anew after a change instead of walking the slots. */
struct container_index {
    bool is_stale;
    uint32_t size;        /* of both, a power of two; open addressing, at most half full */
    uint16_t *by_address; /* slot + 1, 0 = free; two for a container with two addresses */
    struct container_netns *by_nsid;
};

struct container_table {
    struct container_facts *slots;
    uint32_t n_slots, n_used;
    int32_t next_id;
    int32_t *ids; /* of each slot, close together: looked through for every event */
    struct container_index index;
    uint64_t n_evicted;
    uint64_t n_conflicts; /* two sources disagree about the task: the cgroup path wins */
};

int container_table_init(struct container_table *table, uint32_t n_slots, int32_t next_id); /* 0 or -ENOMEM */
void container_table_fini(struct container_table *table);

struct container_facts *container_by_id(struct container_table *table, int32_t id); /* NULL for 0 and unknown */
struct container_facts *container_by_name(struct container_table *table, const char *container_id);
/* The one whose overlay's writable layer is `upperdir` (bytes, no NUL needed). */
struct container_facts *container_by_upperdir(struct container_table *table, const char *upperdir, size_t length);
struct container_facts *container_by_root_dev(struct container_table *table, uint64_t dev);
/* The living container that stands for a network namespace (not the host's): its only workload; where several share it, the one that holds it,
 * which is the pause container of an awsvpc task and else the one that was there first. */
struct container_facts *container_by_nsid(struct container_table *table, int32_t nsid);
/* The newest living one with this address. */
struct container_facts *container_by_address(struct container_table *table, const struct address *address);

/* The container of a cgroup identity, made if it is new (*created). */
struct container_facts *container_enter(struct container_table *table, const struct cgroup_identity *identity, bool *created);

/* Its last process is gone. */
void container_end(struct container_table *table, struct container_facts *c, uint64_t wall_ns);

/* Takes over what an EVENT_CONTAINER says. NULL if it names no container; *changed says if anything is new. */
struct container_facts *container_apply(struct container_table *table, const struct event *ev, bool *created, bool *changed);

#endif
