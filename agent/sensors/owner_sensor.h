/* Which process is behind a flow. A thread of its own hears of new flows the moment the kernel makes them (conntrack, NEW only), finds the socket by
 * its addresses in the right network namespace, and the process that holds it: EVENT_SOCKETS with flow_id, in time for the flow itself, which
 * waits LIMIT_HOLD_NS to be merged. So also processes that live for some milliseconds are named. The pipeline's questions (REQUEST_OWNER) are
 * answered by the same thread.
 *
 * What nobody asked for has a budget of CPU time (LIMIT_OWNER_CPU_PERMILLE), and so many looks at flows to a destination that was looked at
 * before. When the time is spent, and in a flood of flows, the thread stops listening for some seconds. */
#ifndef ECSGUARD_OWNER_SENSOR_H
#define ECSGUARD_OWNER_SENSOR_H

#include "agent/sensors/diag_spaces.h"
#include "agent/sensors/sensor.h"
#include "agent/sensors/socket_holder.h"

#define OWNER_CANDIDATES 256
#define OWNER_FLOWS 1024   /* lately looked at: the same flow is often told by two namespaces */
#define OWNER_SOURCES 256  /* in which namespace the sockets of an address are */

struct owner_question {
    uint64_t flow_id;
    uint8_t proto;
    struct address local, peer;
    uint16_t lport, pport;
    int32_t netns_pid; /* a process in the socket's network namespace, 0 = the host's */
    uint32_t n_candidates;
    int32_t candidates[OWNER_CANDIDATES]; /* the likeliest first */
};

struct owner_seen {
    uint64_t key, until_ns;
};

struct owner_source {
    uint64_t key, until_ns;
    uint32_t serial; /* of the space, NO_SPACE = none has it */
};

/* What happened to new flows, for health: any thread may read. */
struct owner_counters {
    _Atomic uint64_t heard;    /* new flows of TCP and UDP */
    _Atomic uint64_t found;    /* ... whose process was found */
    _Atomic uint64_t gone;     /* ... whose socket or process was not */
    _Atomic uint64_t skipped;  /* ... that were not looked at, to save time; unknown while the thread does not listen */
    _Atomic uint64_t pauses;   /* times that it stopped listening */
    _Atomic uint64_t asked, answered; /* questions of the pipeline; with a process */
};

struct owner_buffers;

struct owner_sensor {
    struct sensor sensor; /* its ring is what the loop reads */
    struct sensor_stats stats;
    struct owner_counters counters;
    struct ring commands; /* of the loop */
    int wake_fd;
    int flow_fd;          /* -1: flows are not heard at present */
    bool hears, listens;  /* ... at all; at present */
    bool opened;
    pthread_t thread;
    bool running;
    _Atomic bool stopping;
    int64_t budget_ns;
    uint64_t budget_at_ns, renewed_ns;
    uint64_t flood_since_ns, flood_heard;
    bool behind; /* more flows begin than can be looked at: only new destinations are */
    uint64_t repeats_paid_ns; /* up to when looks at flows to known destinations are paid for */
    struct owner_seen flows[OWNER_FLOWS], destinations[LIMIT_OWNER_SEEN];
    struct owner_source sources[OWNER_SOURCES];
    struct diag_spaces spaces;
    struct socket_holder holder;
    struct owner_buffers *buffers;
};

/* 0, or -errno for lack of memory or threads; what else is missing is in the stats. `procdir` is borrowed. `hear_flows`: also look at flows
 * that nobody asked about. */
int owner_sensor_open(struct owner_sensor *o, int procdir, bool hear_flows, struct waker *waker);
void owner_sensor_close(struct owner_sensor *o);

/* From the loop's thread only: a container by its first process, its end, a question. 0, or -EAGAIN when too many wait (a question is then
 * counted as lost). */
int owner_sensor_add(struct owner_sensor *o, int32_t pid);
int owner_sensor_remove(struct owner_sensor *o, int32_t pid);
int owner_sensor_ask(struct owner_sensor *o, const struct owner_question *question);

#endif
