/* What detectors of flows share: the flow as the container (or the host) sees it, and the wait for the process that owns it. Pure. */
#ifndef ECSGUARD_FLOW_STEP_H
#define ECSGUARD_FLOW_STEP_H

#include "agent/detect/detector.h"
#include "common/address.h"

struct flow_view {
    enum flow_direction direction;
    struct address near, far;   /* far: as the near end names it, before NAT of others */
    uint16_t near_port, far_port;
    struct address far_real; /* outbound: behind destination NAT; else as `far` */
    uint16_t far_real_port;
    bool is_new;         /* its first packet */
    bool is_established; /* both sides have spoken */
    bool is_closed;      /* refused or reset */
};

/* False for what is no flow, or a row that stands for many. Where the pipeline does not know the direction, the container's addresses decide, else
 * it is taken for outbound. */
bool flow_view_of(const struct detection *d, const struct step *s, struct flow_view *out);

/* Puts a decision about this flow off until its process is known, FLOW_OWNER_NS at most; asks for it unless the event names one that
 * surely holds the socket. Then the decision has the far end in `dst`, `dport` and the near one in `src`, `sport`. */
#define FLOW_OWNER_NS 150000000ull
struct pending *flow_wait(struct detection *d, const struct detector *self, const struct step *s, const struct flow_view *view);
/* May a question be asked for a detector that looks at the flows of ordinary work: 50 a second, 20 at once. *paid_ns is its own. */
bool flow_may_ask(uint64_t *paid_ns, uint64_t now_ns);
/* When to look again at such a decision, 0 = all is known that will be. */
uint64_t flow_wait_more(const struct pending *p, uint64_t now_ns);
/* The process, or NULL; *by says how it is known. */
struct process *flow_process(struct detection *d, const struct pending *p, enum owner_by *by);
/* The container: the process', which tells those of one network namespace apart, else the flow's. */
int32_t flow_container_id(const struct pending *p, const struct process *process);

/* How the process of an event is known, as the event says; and for people. */
enum owner_by event_owner(const struct event *ev);
const char *owner_words(enum owner_by by);

/* Of an interface of this host. False when its addresses are not known. */
bool address_is_host(const struct detection *d, const struct address *address);

#endif
