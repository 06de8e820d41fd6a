/* Our watch over a network namespace was taken away: its nft table was removed or changed by somebody else. The kernel's message names the process; where
 * none came (it is looked at in intervals as well), a firewall tool that ran there just before is likely to be it. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define BEFORE_NS (10 * NS_PER_SECOND) /* the table is looked at in intervals where no message tells */
#define WAIT_NS (200 * NS_PER_MS)      /* the program's own event may be read later */
#define TOOLS 16

struct tool {
    uint64_t time_ns; /* 0 = free */
    int32_t pid, container;
    uint64_t start_ns, netns; /* 0 = unknown */
};

struct state {
    struct tool tools[TOOLS]; /* the latest that ran, a circle */
    uint32_t n;
};

static bool is_firewall_tool(const struct image *image)
{
    static const char *const names[] = { "nft", "iptables", "ip6tables", "iptables-restore", "ip6tables-restore", "iptables-nft",
                                         "iptables-legacy", "xtables-nft-multi",
                                         "xtables-legacy-multi", "ebtables", "ebtables-nft", "arptables", "conntrack", "firewall-cmd", "firewalld", "ufw", "nsenter" };
    char name[64];
    image_name(image, name, sizeof name);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static void note_tool(struct state *state, const struct step *s)
{
    if (!s->process || !s->process->image || !is_firewall_tool(s->process->image))
        return;
    state->tools[state->n++ % TOOLS] = (struct tool){ .time_ns = s->ev->time_ns, .pid = s->process->pid, .container = s->process->container,
        .start_ns = s->process->start_ns, .netns = s->process->image->has_namespaces ? s->process->image->netns : 0 };
}

/* The latest in that namespace, else in that container, else of all. */
static const struct tool *likely_tool(const struct state *state, uint64_t netns, int32_t container, uint64_t now_ns)
{
    const struct tool *best = NULL;
    int best_score = -1;
    for (uint32_t i = 0; i < TOOLS; i++) {
        const struct tool *t = &state->tools[(state->n + TOOLS - 1 - i) % TOOLS]; /* the latest first */
        int score = netns && t->netns == netns ? 2 : container && t->container == container;
        if (t->time_ns && t->time_ns + BEFORE_NS > now_ns && score > best_score) {
            best = t;
            best_score = score;
        }
    }
    return best;
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    if (now_ns < p->deadline_ns)
        return p->deadline_ns;
    char key[32];
    struct process *process = p->asked_pid ? proctree_find(d->tree, p->asked_pid) : NULL;
    bool sure = process != NULL;
    const struct tool *tool = p->asked_pid ? NULL : likely_tool(detection_state(d, p->detector), p->number, p->container, p->time_ns);
    if (tool && (process = proctree_find(d->tree, tool->pid)) && process->start_ns != tool->start_ns)
        process = NULL;
    struct finding *f = detection_begin(d, p->detector, process, process ? process->image : NULL, p->container, p->time_ns, p->event_id);
    finding_printf(f, FT_DESCRIPTION, "ecsguard's own nft table in the network namespace %u was removed or changed by somebody else%s%s; it is put back.",
                   p->number, !process ? "" : sure ? ", by " : ", likely by ", process ? process->comm : "");
    json_t *e = json_object();
    json_object_set_new(e, "netns", json_integer(p->number));
    if (p->note[0])
        evidence_text(e, "what", p->note, strlen(p->note));
    json_object_set_new(e, "process_known", json_boolean(process != NULL));
    if (process)
        json_object_set_new(e, "process_by", json_string(sure ? "the kernel named it" : "likely: a firewall tool that ran just before"));
    snprintf(key, sizeof key, "%u", p->number);
    detection_end(d, f, key, e);
    return 0;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    if (ev->kind == EVENT_EXEC)
        note_tool(detection_state(d, self), s);
    if (ev->kind != EVENT_NETNS || ev->netns_op != NETNS_REMOVED)
        return;
    struct pending *p = detection_wait(d, self, s, ev->time_ns + WAIT_NS);
    p->deadline_ns = p->due_ns;
    p->number = event_knows(ev, F_NETNS) ? (uint32_t)ev->netns : 0; /* the kernel numbers them in 32 bits */
    p->asked_pid = event_knows(ev, F_PID) ? ev->pid : 0;
    text_copy(p->note, sizeof p->note, event_text(ev, ev->reason), ev->reason.len);
}

const struct detector detector_monitoring_tampered = {
    .rule = "network_watch_removed",
    .type = "DefenseEvasion:Runtime/MonitoringTampered",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0005 T1562.001 T1562.004",
    .title = "ecsguard's watch over a network namespace was removed",
    .condition = "The nft table that ecsguard made in a network namespace, or a part of it, is gone or was changed, and it was not "
                 "ecsguard that did it.",
    .limits = "Where the kernel's message was lost or the namespace was only looked at, the process is likely, not sure: the latest "
              "firewall tool that ran in that namespace or "
              "container in the ten seconds before, else on the host. What happened between the removal and the repair was not seen.",
    .advice = "It needs CAP_NET_ADMIN in that namespace: which container has it (docker inspect), and who ran firewall tools there. A "
              "flush of all rules by a configuration tool does "
              "it as well (nft flush ruleset): let it leave tables alone that are not its own.",
    .needs = FILL_FLOW,
    .helps = FILL_EXEC,
    .on = ON(EXEC) | ON(NETNS),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};
