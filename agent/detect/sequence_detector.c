/* Makes a finding of the signals of a task that form one of the configured sequences; see sequences.h. Each new signal that fits adds itself
 * as evidence, with all the signals of the window, as long as the sequence is complete.
 *
 * Limits: what left the memory of signals (64 a container, 1024 in all) is no longer seen; after a restart of the agent a sequence begins
 * anew. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "agent/detect/sequences.h"
#include "common/clock.h"

#define SIGNALS_SHOWN 32 /* in the evidence, the latest */

/* A sequence that was found. */
struct found {
    char name[LIMIT_SEQUENCE_NAME_BYTES]; /* "" = free */
    int32_t container; /* of the first finding, which keeps its identity */
    char task_id[65];
    uint64_t last_ns, last_number; /* of the signal that was added last */
};

struct state {
    struct found found[LIMIT_SEQUENCES_FOUND];
};

static bool in_scope(const struct sequence *q, const struct signal *a, const struct signal *b)
{
    switch ((enum sequence_scope)q->scope) {
    case SEQUENCE_TASK:
        return signals_share_task(a->container, a->task_id, b->container, b->task_id);
    case SEQUENCE_CONTAINER:
        return a->container == b->container;
    case SEQUENCE_HOST:
        return true;
    }
    return false;
}

/* Not further apart than the window. What waited for a fact is told after what happened later. */
static bool in_window(const struct sequence *q, const struct signal *a, const struct signal *b)
{
    return (a->last_ns > b->last_ns ? a->last_ns - b->last_ns : b->last_ns - a->last_ns) <= q->window_ns;
}

/* The signals of the scope and window of `g` that fit a stage, by time. */
static int gather(const struct detection *d, const struct sequence *q, const struct signal *g, const struct signal **out)
{
    int n = 0;
    for (int i = 0; i < LIMIT_SIGNALS && d->signals->numbers[i]; i++) {
        const struct signal *other = &d->signals->slots[i];
        if (other->number > g->number || !in_window(q, g, other) || !in_scope(q, g, other) || !sequence_fits(d->sequences, q, other))
            continue;
        int at = n++;
        for (; at > 0 && out[at - 1]->last_ns > other->last_ns; at--)
            out[at] = out[at - 1];
        out[at] = other;
    }
    return n;
}

static bool is_found_in(const struct found *f, const struct sequence *q, const struct signal *g)
{
    switch ((enum sequence_scope)q->scope) {
    case SEQUENCE_TASK:
        return signals_share_task(f->container, f->task_id, g->container, g->task_id);
    case SEQUENCE_CONTAINER:
        return f->container == g->container;
    case SEQUENCE_HOST:
        return true;
    }
    return false;
}

/* The entry of this sequence in this scope, or NULL. */
static struct found *found_of(struct state *state, const struct sequence *q, const struct signal *g)
{
    for (int i = 0; i < LIMIT_SEQUENCES_FOUND; i++)
        if (!strcmp(state->found[i].name, q->name) && is_found_in(&state->found[i], q, g))
            return &state->found[i];
    return NULL;
}

/* In the place of the one to which nothing was added for the longest time. */
static struct found *found_new(struct state *state, const struct sequence *q, const struct signal *g)
{
    struct found *f = &state->found[0];
    for (int i = 1; i < LIMIT_SEQUENCES_FOUND; i++)
        if (state->found[i].last_ns < f->last_ns)
            f = &state->found[i];
    memset(f, 0, sizeof *f);
    memcpy(f->name, q->name, sizeof f->name);
    memcpy(f->task_id, g->task_id, sizeof f->task_id);
    f->container = g->container;
    return f;
}

static json_t *signal_json(const struct detection *d, const struct sequence *q, const struct signal *g)
{
    json_t *o = json_object(), *stages = json_array();
    uint32_t bits = sequence_fits(d->sequences, q, g);
    json_object_set_new(o, "finding", json_string(g->id));
    evidence_text(o, "type", g->type, strlen(g->type));
    json_object_set_new(o, "severity", json_string(severity_name((enum severity)g->severity)));
    evidence_time(o, "time", g->wall_ns);
    evidence_text(o, "title", g->title, strlen(g->title));
    json_object_set_new(o, "count", json_integer(g->count));
    for (uint32_t i = 0; i < q->n_stages; i++)
        if (bits >> i & 1) {
            const char *name = d->sequences->stages[q->first_stage + i].name;
            json_array_append_new(stages, json_string(name));
        }
    json_object_set_new(o, "stages", stages);
    if (g->suppressed)
        json_object_set_new(o, "suppressed", json_true());
    return o;
}

static void report(struct detection *d, const struct detector *self, const struct sequence *q, const struct found *found,
                   const struct signal *const *signals, int n)
{
    const struct signal *last = signals[n - 1];
    struct detector as = *self;
    struct process *process = last->pid ? proctree_find(d->tree, last->pid) : NULL;
    if (process && (process->container != last->container || (process->image && process->image->exec_id != last->exec_id)))
        process = NULL; /* it runs something else by now, or another has its pid */
    as.rule = q->name;
    as.severity = (enum severity)q->severity;
    int32_t container = q->scope == SEQUENCE_HOST ? 0 : found->container;
    struct finding *f = detection_begin(d, &as, process, process ? process->image : NULL, container, last->last_ns, last->event_id);
    json_t *e = json_object(), *list = json_array();
    json_object_set_new(e, "sequence", json_string(q->name));
    json_object_set_new(e, "scope", json_string(sequence_scope_name((enum sequence_scope)q->scope)));
    json_object_set_new(e, "window_seconds", json_integer((json_int_t)(q->window_ns / NS_PER_SECOND)));
    for (int i = n > SIGNALS_SHOWN ? n - SIGNALS_SHOWN : 0; i < n; i++)
        json_array_append_new(list, signal_json(d, q, signals[i]));
    json_object_set_new(e, "signals", list);
    finding_printf(f, FT_DESCRIPTION, "%d findings of one %s within %llu minutes form the sequence \"%s\"%s%s The latest is %s: %s.", n,
                   sequence_scope_name((enum sequence_scope)q->scope),
                   (unsigned long long)((last->last_ns - signals[0]->last_ns) / (60 * NS_PER_SECOND) + 1), q->name, q->description[0] ? ": " : ".",
                   q->description, last->type, last->title);
    detection_end(d, f, q->name, e);
}

static bool signal_seen(struct detection *d, const struct detector *self, const struct signal *g)
{
    const struct signal *signals[LIMIT_SIGNALS];
    struct state *state = detection_state(d, self);
    for (uint32_t i = 0; d->sequences && i < d->sequences->n; i++) {
        const struct sequence *q = &d->sequences->list[i];
        if (!q->enabled || !sequence_fits(d->sequences, q, g))
            continue;
        int n = gather(d, q, g, signals);
        if (!n || !sequence_complete(d->sequences, q, signals, n))
            continue;
        struct found *found = found_of(state, q, g);
        bool goes_on = found && found->last_ns + q->window_ns >= g->last_ns;
        if (found && (found->last_number == g->number || (goes_on && g->count > 1)))
            continue; /* told already, or a signal that is evidence already comes again */
        if (!detection_has_room(d))
            return false;
        if (!found)
            found = found_new(state, q, g);
        found->last_ns = g->last_ns;
        found->last_number = g->number;
        report(d, self, q, found, signals, n);
    }
    return true;
}

const struct detector detector_sequence = {
    .rule = "attack_sequence",
    .type = "AttackSequence:ECS/CompromisedTask",
    .severity = SEVERITY_CRITICAL,
    .mitre = "",
    .title = "Several findings together are an attack under way",
    .condition = "Findings of one task (or container, or host) within a window meet all stages of a configured sequence, each with a "
                 "finding type of its own, by at least as many different acts as the sequence asks for.",
    .limits = "Signals beyond 64 of a container or 1024 in all are forgotten; after a restart of the agent a sequence begins anew.",
    .advice = "Treat the task as compromised: keep its container for analysis, cut its network, change the credentials of its role. The findings "
              "named in the evidence say what was done: ecsguardctl findings ID.",
    .signal = signal_seen,
    .state_bytes = sizeof(struct state),
};
