/* What the loop hands to the writer thread: a ring of these, each followed by its payload. */
#ifndef ECSGUARD_RECORD_H
#define ECSGUARD_RECORD_H

#include "common/container.h"
#include "common/event.h"
#include "common/finding.h"

enum record_kind {
    RECORD_EVENT,     /* struct record_event */
    RECORD_FINDING,   /* struct record_finding */
    RECORD_CONTAINER, /* struct record_container: insert or update by id */
    RECORD_HEALTH,    /* struct record_health: insert or update by component */
};

/* Where an event belongs. Ids are row ids, given by the pipeline in order of time, never reused. */
struct stamp {
    int64_t id;
    int64_t exec_id;   /* the row that describes the acting process' image (an exec or process event), 0 = unknown */
    int64_t parent_id; /* the row of the parent's image at fork, 0 = unknown; exec, process and exit events only */
    int32_t container; /* row of the container, 0 = the host */
    int64_t wall_offset_ns; /* add to the event's monotonic times */
};

struct record {
    uint32_t kind;
    uint32_t size;
};

struct record_event {
    struct record head;
    struct stamp stamp;
    struct event event; /* and its texts */
};

struct record_finding {
    struct record head;
    struct finding finding; /* cut to finding.size */
};

struct record_container {
    struct record head;
    struct container_facts facts;
};

struct health {
    char component[24];  /* "exec", "file", "flow", "docker", "writer", ... */
    char state[12];      /* "ok", "degraded", "off" */
    char reason[192];    /* what is not covered and why; "" when ok */
    char counters[512];  /* JSON object of counters */
    uint64_t wall_ns;
};

struct record_health {
    struct record head;
    struct health health;
};

#endif
