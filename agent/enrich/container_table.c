#include "agent/enrich/container_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

int container_table_init(struct container_table *table, uint32_t n_slots, int32_t next_id)
{
    memset(table, 0, sizeof *table);
    table->slots = calloc(n_slots, sizeof *table->slots);
    table->ids = calloc(n_slots, sizeof *table->ids);
    table->n_slots = n_slots;
    table->next_id = next_id > 0 ? next_id : 1;
    if (table->slots && table->ids)
        return 0;
    container_table_fini(table);
    return -ENOMEM;
}

void container_table_fini(struct container_table *table)
{
    free(table->slots);
    free(table->ids);
    table->slots = NULL;
    table->ids = NULL;
}

struct container_facts *container_by_id(struct container_table *table, int32_t id)
{
    for (uint32_t i = 0; id > 0 && i < table->n_used; i++)
        if (table->ids[i] == id)
            return &table->slots[i];
    return NULL;
}

/* The newest container that satisfies a condition: names and devices are reused over time. */
#define NEWEST(table, c, condition)                                               \
    struct container_facts *found = NULL;                                         \
    for (uint32_t i_ = 0; i_ < (table)->n_used; i_++) {                           \
        struct container_facts *c = &(table)->slots[i_];                          \
        if ((!found || c->id > found->id) && (condition))                         \
            found = c;                                                            \
    }                                                                             \
    return found

struct container_facts *container_by_name(struct container_table *table, const char *container_id)
{
    NEWEST(table, c, !strcmp(c->container_id, container_id));
}

struct container_facts *container_by_upperdir(struct container_table *table, const char *upperdir, size_t length)
{
    if (!length)
        return NULL;
    NEWEST(table, c, strlen(c->upperdir) == length && !memcmp(c->upperdir, upperdir, length));
}

struct container_facts *container_by_root_dev(struct container_table *table, uint64_t dev)
{
    if (!dev)
        return NULL;
    NEWEST(table, c, c->root_dev == dev && !c->ended_wall_ns);
}

struct container_facts *container_by_nsid(struct container_table *table, int32_t nsid)
{
    if (nsid < 0)
        return NULL;
    NEWEST(table, c, c->nsid == nsid && !c->ended_wall_ns);
}

struct container_facts *container_by_address(struct container_table *table, const struct address *address)
{
    if (!address->family)
        return NULL;
    NEWEST(table, c, !c->ended_wall_ns && (address_equal(&c->address, address) || address_equal(&c->address6, address)));
}

/* A free slot, or that of the container that ended first, or of the oldest. */
static struct container_facts *slot_take(struct container_table *table)
{
    if (table->n_used < table->n_slots)
        return &table->slots[table->n_used++];
    struct container_facts *victim = &table->slots[0];
    for (uint32_t i = 1; i < table->n_slots; i++) {
        struct container_facts *c = &table->slots[i];
        bool ended = c->ended_wall_ns, victim_ended = victim->ended_wall_ns;
        if (ended != victim_ended ? ended : c->id < victim->id)
            victim = c;
    }
    table->n_evicted++;
    return victim;
}

static struct container_facts *container_new(struct container_table *table, const char *container_id)
{
    struct container_facts *c = slot_take(table);
    memset(c, 0, sizeof *c);
    c->id = table->next_id++;
    c->nsid = -2;
    c->role = CONTAINER_ROLE_WORKLOAD;
    text_copy(c->container_id, sizeof c->container_id, container_id, sizeof c->container_id);
    table->ids[c - table->slots] = c->id;
    return c;
}

struct container_facts *container_enter(struct container_table *table, const struct cgroup_identity *identity, bool *created)
{
    struct container_facts *c = container_by_name(table, identity->container_id);
    *created = !c;
    if (!c)
        c = container_new(table, identity->container_id);
    if (*created) {
        text_copy(c->runtime, sizeof c->runtime, identity->runtime, sizeof c->runtime);
        text_copy(c->task_id, sizeof c->task_id, identity->task_id, sizeof identity->task_id);
    }
    return c;
}

static void take(char *dst, size_t size, const struct event *ev, enum event_field field, struct text t, bool *changed)
{
    if (!event_knows(ev, field) || !t.len || !strncmp(dst, event_text(ev, t), size))
        return;
    text_copy(dst, size, event_text(ev, t), t.len);
    *changed = true;
}

#define TAKE_TEXT(field, member, from) take(c->member, sizeof c->member, ev, field, ev->from, changed)
#define TAKE(field, member, value)                                \
    do {                                                          \
        if (event_knows(ev, field) && c->member != (value)) {     \
            c->member = (value);                                  \
            *changed = true;                                      \
        }                                                         \
    } while (0)

static void take_texts(struct container_facts *c, const struct event *ev, bool *changed)
{
    TAKE_TEXT(F_RUNTIME, runtime, runtime);
    TAKE_TEXT(F_TASK_ARN, task_arn, task_arn);
    TAKE_TEXT(F_CLUSTER, cluster, cluster);
    TAKE_TEXT(F_FAMILY, family, family);
    TAKE_TEXT(F_REVISION, revision, revision);
    TAKE_TEXT(F_SERVICE, service, service);
    TAKE_TEXT(F_CONTAINER_NAME, name, container_name);
    TAKE_TEXT(F_DOCKER_NAME, docker_name, docker_name);
    TAKE_TEXT(F_IMAGE, image, image);
    TAKE_TEXT(F_IMAGE_ID, image_id, image_id);
    TAKE_TEXT(F_UPPERDIR, upperdir, upperdir);
}

static void take_numbers(struct container_facts *c, const struct event *ev, bool *changed)
{
    TAKE(F_CONTAINER_ROLE, role, ev->container_role);
    TAKE(F_PRIVILEGED, privileged, ev->privileged);
    TAKE(F_ROOT_DEV, root_dev, ev->root_dev);
    TAKE(F_MNTNS, mntns, ev->mntns);
    TAKE(F_NETNS, netns, ev->netns);
    TAKE(F_PIDNS, pidns, ev->pidns);
    TAKE(F_NSID, nsid, ev->nsid);
    TAKE(F_PID, init_pid, ev->pid);
    /* The first start counts: a restart keeps the writable layer, and what was dropped into it before. */
    if (!c->started_wall_ns || ev->started_wall_ns < c->started_wall_ns)
        TAKE(F_STARTED_WALL_NS, started_wall_ns, ev->started_wall_ns);
    if (ev->container_phase == CONTAINER_START && c->ended_wall_ns) {
        c->ended_wall_ns = 0; /* restarted under the same id */
        *changed = true;
    }
    if (event_knows(ev, F_SRC) && ev->src.family) {
        struct address *at = ev->src.family == 6 ? &c->address6 : &c->address;
        *changed |= !address_equal(at, &ev->src);
        *at = ev->src;
    }
}

struct container_facts *container_apply(struct container_table *table, const struct event *ev, bool *created, bool *changed)
{
    struct cgroup_identity identity = { .runtime = "" };
    text_copy(identity.container_id, sizeof identity.container_id, event_text(ev, ev->container_id), ev->container_id.len);
    *created = *changed = false;
    if (!identity.container_id[0])
        return NULL;
    struct container_facts *c = container_enter(table, &identity, created);
    if (event_knows(ev, F_TASK_ID) && c->task_id[0] && strcmp(c->task_id, event_text(ev, ev->task_id)) && ev->source != SOURCE_CGROUP)
        table->n_conflicts++; /* a label or an answer may lie, the cgroup cannot */
    else
        TAKE_TEXT(F_TASK_ID, task_id, task_id);
    take_texts(c, ev, changed);
    take_numbers(c, ev, changed);
    if (ev->source == SOURCE_DOCKER && !c->from_docker)
        c->from_docker = *changed = true;
    if (ev->source == SOURCE_ECS && !c->from_ecs)
        c->from_ecs = *changed = true;
    *changed |= *created;
    return c;
}
