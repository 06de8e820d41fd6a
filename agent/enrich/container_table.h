/* All containers, living and lately ended: identity from the cgroup path at once, the rest as it arrives from Docker and the
 * ECS agent. */
#ifndef ECSGUARD_CONTAINER_TABLE_H
#define ECSGUARD_CONTAINER_TABLE_H

#include "agent/sensors/cgroup_path.h"
#include "common/container.h"

struct container_table {
    struct container_facts *slots;
    uint32_t n_slots, n_used;
    int32_t next_id;
    int32_t *ids; /* of each slot, close together: looked through for every event */
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
struct container_facts *container_by_nsid(struct container_table *table, int32_t nsid);
struct container_facts *container_by_address(struct container_table *table, const struct address *address);

/* The container of a cgroup identity, made if it is new (*created). */
struct container_facts *container_enter(struct container_table *table, const struct cgroup_identity *identity, bool *created);

/* Takes over what an EVENT_CONTAINER says. NULL if it names no container; *changed says if anything is new. */
struct container_facts *container_apply(struct container_table *table, const struct event *ev, bool *created, bool *changed);

#endif
