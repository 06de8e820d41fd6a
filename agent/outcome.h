/* What one step of the pipeline asks the shell to do. Bounded: a step that has more keeps the rest for the next tick. */
#ifndef ECSGUARD_OUTCOME_H
#define ECSGUARD_OUTCOME_H

#include "common/record.h"

enum request_kind {
    REQUEST_SOCKETS, /* which inet sockets does `pid` hold? Answer: EVENT_SOCKETS, one per socket, then one without F_PROTO */
    REQUEST_OWNER,   /* which process of `container` has the local socket src:sport of `flow`? Answer: EVENT_SOCKETS with flow_id */
    REQUEST_CGROUP,  /* in which cgroup is `pid`? Answer: EVENT_CGROUP */
    REQUEST_HASH,    /* SHA-256 of what `pid` runs: the file dev, ino, ctime. Answer: EVENT_HASH, without F_SHA256 if it cannot be had */
    REQUEST_TOOL,    /* is what `pid` runs a copy of a known tool? As REQUEST_HASH; answer: EVENT_HASH with F_COUNT, see copied_tool.c */
};

struct request {
    enum request_kind kind;
    int32_t pid;       /* REQUEST_OWNER: a process in the container's network namespace, 0 = the host */
    int32_t container; /* REQUEST_OWNER: whose processes may own it, 0 = the host's */
    uint64_t flow_id;
    uint8_t proto;
    struct address src, dst;
    uint16_t sport, dport;
    uint64_t dev, ino, ctime_wall_ns; /* REQUEST_HASH, REQUEST_TOOL */
    int32_t root_pid;                 /* ... a process that sees the file at `path`, should `pid` be gone; 0 = none */
    char path[256];                   /* ... "" = longer */
};

struct outcome {
    bool store;          /* `event` is to be stored with `stamp` */
    const struct event *event; /* what was given, or a copy that knows more; of a tick: an event that the pipeline made. NULL = none */
    struct stamp stamp;
    int n_containers;    /* rows to insert or update */
    const struct container_facts *containers[LIMIT_OUTCOME_CONTAINERS];
    int n_findings;
    const struct finding *findings[LIMIT_OUTCOME_FINDINGS]; /* valid until the next step */
    int n_requests;
    struct request requests[LIMIT_OUTCOME_REQUESTS];
};

#endif
