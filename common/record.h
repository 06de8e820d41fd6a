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
    RECORD_RULE,      /* struct record_rule: insert or update by name */
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
    char reason[640];    /* what is not covered and why; "" when ok: a rules file's error has its path, place and words */
    char counters[512];  /* JSON object of counters */
    uint64_t wall_ns;
};

struct record_health {
    struct record head;
    struct health health;
};

/* A rule or detector that is in force, and what it did so far. */
struct rule_status {
    char name[192];
    char type[96];       /* of its findings */
    char kind[12];       /* "rule", "detector" */
    char state[16];      /* "armed", "partly armed", "inert", "disabled" */
    char reason[320];    /* why not armed; "" */
    char file[256];      /* "" for detectors */
    char tags[256];      /* separated by blanks */
    uint32_t line;
    uint8_t severity;    /* enum severity */
    uint64_t evaluations, hits, cost_ns; /* since it was loaded */
    uint64_t loaded_wall_ns, wall_ns;    /* rows of earlier loads leave when a later one comes */
};

struct record_rule {
    struct record head;
    struct rule_status rule;
};

#endif
