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
    for (table->index.size = 4; table->index.size < 4 * n_slots;)
        table->index.size *= 2;
    table->index.by_address = calloc(table->index.size, sizeof *table->index.by_address);
    table->index.by_nsid = calloc(table->index.size, sizeof *table->index.by_nsid);
    if (table->slots && table->ids && table->index.by_address && table->index.by_nsid)
        return 0;
    container_table_fini(table);
    return -ENOMEM;
}

void container_table_fini(struct container_table *table)
{
    free(table->slots);
    free(table->ids);
    free(table->index.by_address);
    free(table->index.by_nsid);
    table->slots = NULL;
    table->ids = NULL;
    table->index = (struct container_index){ 0 };
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

/* ---- by network ---- */

static uint32_t mix(uint32_t h, uint32_t value)
{
    h = (h ^ value) * 0x9e3779b1u;
    return h ^ h >> 15;
}

static uint32_t address_hash(const struct address *a)
{
    uint32_t words[4], h = a->family;
    memcpy(words, a->bytes, sizeof words);
    for (int i = 0; i < 4; i++)
        h = mix(h, words[i]);
    return h;
}

static bool has_address(const struct container_facts *c, const struct address *a)
{
    return address_equal(&c->address, a) || address_equal(&c->address6, a);
}

/* The place of an address: where it stands, or the free one where it would. */
static uint16_t *address_place(struct container_table *table, const struct address *a)
{
    const struct container_index *x = &table->index;
    uint32_t i = address_hash(a) & (x->size - 1);
    while (x->by_address[i] && !has_address(&table->slots[x->by_address[i] - 1], a))
        i = (i + 1) & (x->size - 1);
    return &x->by_address[i];
}

static struct container_netns *nsid_place(struct container_table *table, int32_t nsid)
{
    const struct container_index *x = &table->index;
    uint32_t i = mix(0, (uint32_t)nsid) & (x->size - 1);
    while ((x->by_nsid[i].oldest || x->by_nsid[i].pause) && x->by_nsid[i].nsid != nsid)
        i = (i + 1) & (x->size - 1);
    return &x->by_nsid[i];
}

static void index_address(struct container_table *table, uint32_t slot, const struct address *a)
{
    if (!a->family)
        return;
    uint16_t *at = address_place(table, a);
    if (!*at || table->slots[*at - 1].id < table->slots[slot].id)
        *at = (uint16_t)(slot + 1);
}

static void index_nsid(struct container_table *table, uint32_t slot)
{
    const struct container_facts *c = &table->slots[slot];
    if (c->nsid < 0)
        return;
    struct container_netns *at = nsid_place(table, c->nsid);
    bool pause = c->role == CONTAINER_ROLE_PAUSE;
    uint16_t *place = pause ? &at->pause : &at->oldest;
    at->nsid = c->nsid;
    at->n_workloads = (uint16_t)(at->n_workloads + !pause);
    /* of two pause containers one has ended unseen: the older one */
    if (!*place || (table->slots[*place - 1].id < c->id) == pause)
        *place = (uint16_t)(slot + 1);
}

static void index_renew(struct container_table *table)
{
    struct container_index *x = &table->index;
    if (!x->is_stale)
        return;
    memset(x->by_address, 0, x->size * sizeof *x->by_address);
    memset(x->by_nsid, 0, x->size * sizeof *x->by_nsid);
    for (uint32_t i = 0; i < table->n_used; i++) {
        const struct container_facts *c = &table->slots[i];
        if (c->ended_wall_ns)
            continue;
        index_address(table, i, &c->address);
        index_address(table, i, &c->address6);
        index_nsid(table, i);
    }
    x->is_stale = false;
}

struct container_facts *container_by_nsid(struct container_table *table, int32_t nsid)
{
    if (nsid < 0)
        return NULL;
    index_renew(table);
    const struct container_netns *at = nsid_place(table, nsid);
    uint16_t slot = at->n_workloads == 1 || !at->pause ? at->oldest : at->pause;
    return slot ? &table->slots[slot - 1] : NULL;
}

struct container_facts *container_by_address(struct container_table *table, const struct address *address)
{
    if (!address->family)
        return NULL;
    index_renew(table);
    uint16_t slot = *address_place(table, address);
    return slot ? &table->slots[slot - 1] : NULL;
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
    table->index.is_stale = true; /* the slot may have been another's */
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
    TAKE_TEXT(F_MOUNTS, mounts, mounts);
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

void container_end(struct container_table *table, struct container_facts *c, uint64_t wall_ns)
{
    c->ended_wall_ns = wall_ns;
    table->index.is_stale = true;
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
    table->index.is_stale |= *changed;
    c->facts_overdue &= !*changed;
    return c;
}
