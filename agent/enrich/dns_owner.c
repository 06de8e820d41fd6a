#include "agent/enrich/dns_owner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NSID_HOST (-1)
#define NSID_NONE (-2)

int dns_owners_init(struct dns_owners *o, uint32_t n_slots)
{
    memset(o, 0, sizeof *o);
    o->groups = calloc(n_slots, sizeof *o->groups);
    o->nsids = calloc(n_slots, sizeof *o->nsids);
    o->n_slots = n_slots;
    if (o->groups && o->nsids)
        return 0;
    dns_owners_fini(o);
    return -ENOMEM;
}

void dns_owners_fini(struct dns_owners *o)
{
    free(o->groups);
    free(o->nsids);
    o->groups = NULL;
    o->nsids = NULL;
}

/* ---- what is kept ------------------------------------------------------------------------------------------------- */

void dns_owners_container(struct dns_owners *o, const struct container_table *table, const struct container_facts *c)
{
    uint32_t slot = (uint32_t)(c - table->slots);
    struct dns_group *g = &o->groups[slot];
    for (; o->n_used <= slot; o->n_used++)
        o->nsids[o->n_used] = NSID_NONE;
    if (g->container != c->id)
        *g = (struct dns_group){ .container = c->id }; /* the slot is another container's now */
    g->init_pid = c->init_pid;
    g->is_pause = c->role == CONTAINER_ROLE_PAUSE;
    o->nsids[slot] = c->ended_wall_ns ? NSID_NONE : c->nsid;
}

static struct dns_member *member_find(struct dns_group *g, int32_t pid)
{
    for (int i = 0; i < LIMIT_DNS_MEMBERS; i++)
        if (g->members[i].pid == pid)
            return &g->members[i];
    return NULL;
}

/* A place for a process that started: a free one, else that of the longest ended, else of who started longest ago (the init stays). */
static struct dns_member *member_new(struct dns_group *g)
{
    struct dns_member *to = NULL;
    for (int i = 0; i < LIMIT_DNS_MEMBERS; i++) {
        struct dns_member *m = &g->members[i];
        if (!m->pid)
            return m;
        if (m->pid == g->init_pid)
            continue;
        if (!to || (m->ended_ns && !to->ended_ns) ||
            (m->ended_ns && m->ended_ns < to->ended_ns) || (!m->ended_ns && !to->ended_ns && m->started_ns < to->started_ns))
            to = m;
    }
    g->n_missed += !to->ended_ns;
    return to;
}

static void member_end(struct dns_group *g, int32_t pid, uint64_t time_ns)
{
    struct dns_member *m = member_find(g, pid);
    if (m)
        m->ended_ns = time_ns;
    else if (g->n_missed)
        g->n_missed--;
}

static void member_start(struct dns_group *g, const struct event *ev, const struct process *process)
{
    struct dns_member *m = member_find(g, process->pid);
    if (!m)
        m = member_new(g);
    m->pid = process->pid;
    m->uid = process->has_ids ? process->euid : UINT32_MAX;
    m->started_ns = ev->kind == EVENT_PROCESS ? process->start_ns : ev->time_ns;
    m->ended_ns = 0;
}

void dns_owners_process(struct dns_owners *o, const struct container_table *table, const struct container_facts *c, const struct event *ev,
                        const struct process *process)
{
    uint32_t slot = (uint32_t)(c - table->slots);
    if (slot >= o->n_used || o->groups[slot].container != c->id)
        dns_owners_container(o, table, c);
    struct dns_group *g = &o->groups[slot];
    if (ev->kind == EVENT_EXIT) {
        member_end(g, process->pid, ev->time_ns);
    } else if (ev->kind == EVENT_FORK || ev->kind == EVENT_EXEC || ev->kind == EVENT_PROCESS || ev->kind == EVENT_CGROUP) {
        member_start(g, ev, process);
    } else if (ev->kind == EVENT_UID) {
        struct dns_member *m = member_find(g, process->pid);
        if (m)
            m->uid = process->euid;
    }
}

/* ---- who asked ---------------------------------------------------------------------------------------------------- */

/* What was found so far among the processes that come into question. */
struct search {
    const struct event *ev;
    int n_same, n_others; /* with the packet's user id; not an init */
    const struct dns_member *same, *other, *latest;
    const struct dns_group *same_group, *other_group, *latest_group;
    const struct dns_group *holder; /* stands for all of them: the only one, else the pause container, else the first */
    int n_groups;
    bool missed;
};

static bool lived(const struct dns_member *m, uint64_t time_ns)
{
    return m->pid && m->started_ns <= time_ns && (!m->ended_ns || time_ns < m->ended_ns + LIMIT_DNS_ENDED_NS);
}

static void search_group(struct search *s, const struct dns_group *g)
{
    const bool has_uid = event_knows(s->ev, F_UID);
    s->n_groups++;
    s->holder = s->holder ? s->holder : g;
    s->missed |= g->n_missed != 0;
    for (int i = 0; i < LIMIT_DNS_MEMBERS; i++) {
        const struct dns_member *m = &g->members[i];
        if (!lived(m, s->ev->time_ns))
            continue;
        if (m->pid != g->init_pid) {
            s->n_others++;
            s->other = m;
            s->other_group = g;
        }
        if (has_uid && m->uid != s->ev->uid)
            continue;
        s->n_same++;
        s->same = m;
        s->same_group = g;
        if (!s->latest || m->started_ns > s->latest->started_ns) {
            s->latest = m;
            s->latest_group = g;
        }
    }
}

static struct dns_owner owner(const struct dns_group *g, const struct dns_member *m, enum owner_by by)
{
    return (struct dns_owner){ .container = g->container, .pid = m->pid, .by = (uint8_t)by };
}

static struct dns_owner decide(const struct search *s)
{
    const bool has_uid = event_knows(s->ev, F_UID);
    if (!s->missed && has_uid && s->n_same == 1)
        return owner(s->same_group, s->same, OWNER_ONLY_UID);
    if (!s->missed && s->n_groups == 1 && s->n_others == 1 && (!has_uid || s->other->uid == s->ev->uid))
        return owner(s->other_group, s->other, OWNER_ONLY);
    if (s->latest && s->ev->time_ns < s->latest->started_ns + LIMIT_DNS_RECENT_NS)
        return owner(s->latest_group, s->latest, OWNER_RECENT);
    return (struct dns_owner){ .container = s->holder ? s->holder->container : 0 };
}

struct dns_owner dns_owner_find(const struct dns_owners *o, const struct event *ev)
{
    struct search s = { .ev = ev };
    const struct dns_group *pause = NULL;
    for (uint32_t i = 0; i < o->n_used && ev->nsid != NSID_HOST; i++)
        if (o->nsids[i] == ev->nsid && !o->groups[i].is_pause)
            search_group(&s, &o->groups[i]);
        else if (o->nsids[i] == ev->nsid)
            pause = &o->groups[i]; /* it asks nothing itself */
    if (pause && s.n_groups != 1)
        s.holder = pause;
    return decide(&s);
}
