/* What detectors share. A detector is one file and one line in the table of detector.c: it looks at each event with what the
 * pipeline knows about it, and may put off a decision until a fact arrives or a deadline passes. Pure. */
#ifndef ECSGUARD_DETECTOR_H
#define ECSGUARD_DETECTOR_H

#include <jansson.h>

#include "agent/detect/intel.h"
#include "agent/enrich/container_table.h"
#include "agent/enrich/file_origin.h"
#include "agent/enrich/proctree.h"
#include "agent/outcome.h"

struct detector;

/* One event with what is known about it. */
struct step {
    const struct event *ev;
    struct process *process;          /* who acts, NULL = unknown */
    const struct image *previous;     /* EVENT_EXEC: what the process ran before */
    struct container_facts *container; /* NULL = the host */
    int64_t event_id;
};

/* An inet socket, as an answer to a request or as found on a descriptor at exec. */
struct held_socket {
    int32_t fd;
    uint8_t proto, tcp_state;
    struct address local, peer;
    uint16_t local_port, peer_port;
};

#define PENDING_SOCKETS 16

/* A decision that waits. The image and process are held by identity: both may be gone when it is due. */
struct pending {
    const struct detector *detector; /* NULL = free */
    uint64_t due_ns, deadline_ns;
    int64_t event_id;
    int32_t pid, container;
    uint64_t start_ns;   /* of pid */
    uint64_t time_ns;    /* of the event */
    struct image *image; /* reference */
    int32_t asked_pid;   /* whose sockets were asked for */
    uint8_t stage;
    bool answered;
    int n_sockets;
    struct held_socket sockets[PENDING_SOCKETS];
    /* the flow, for detectors of flows */
    uint64_t flow_id;
    uint8_t proto;
    struct address src, dst;
    uint16_t sport, dport;
    char note[256]; /* the detector's own */
};

/* A program started with pipes or files as standard input or output: found again by what they are. */
struct pipe_end {
    uint64_t in_hash, out_hash; /* of the links, 0 = neither pipe nor file */
    int32_t pid;
};

struct detection {
    struct proctree *tree;
    struct container_table *containers;
    struct file_origins *origins;
    const struct intel *intel; /* NULL = no lists */
    int64_t wall_offset_ns;
    struct pending pending[LIMIT_PENDING];
    struct pipe_end pipe_ends[LIMIT_PIPE_ENDS]; /* a circle */
    uint32_t n_pipe_ends;
    uint64_t n_forced; /* decided early because the table was full */
    struct finding *findings; /* LIMIT_OUTCOME_FINDINGS */
    struct outcome *out;      /* of this step */
};

struct detector {
    const char *rule;  /* name, as rules have */
    const char *type;
    enum severity severity;
    const char *mitre; /* tactic and technique ids */
    const char *title;
    const char *advice; /* what to check next */
    /* Looks at one event. */
    void (*event)(struct detection *d, const struct detector *self, const struct step *step);
    /* A waiting decision is due (or an answer came). Returns when to look again, 0 = decided. NULL if it never waits. */
    uint64_t (*due)(struct detection *d, struct pending *p, uint64_t now_ns);
};

extern const struct detector *const detectors[]; /* NULL at the end */

int detection_init(struct detection *d); /* 0 or -ENOMEM */
void detection_fini(struct detection *d);
void detection_event(struct detection *d, const struct step *step);
/* Waiting decisions due at now_ns, as many as the outcome has room for. True if more are due. */
bool detection_tick(struct detection *d, uint64_t now_ns);
/* When the next decision is due, UINT64_MAX = none waits. */
uint64_t detection_next_due(const struct detection *d);

/* Puts a decision about this step off. Never NULL: when the table is full the oldest decision is made now. */
struct pending *detection_wait(struct detection *d, const struct detector *self, const struct step *step, uint64_t due_ns);
/* The waiting decision of this detector about a process, or NULL; and to make it now. */
struct pending *detection_pending(struct detection *d, const struct detector *self, const struct process *process);
void detection_decide(struct detection *d, struct pending *p, uint64_t now_ns);
/* The process a decision is about, if it is still known. */
struct process *pending_process(struct detection *d, const struct pending *p);
/* Asks the shell; false when this step has no room for more questions. */
bool detection_request(struct detection *d, const struct request *request);

/* ---- making findings ---- */

/* A new finding of this detector about `process` (and `image`, which may be older than what it runs now). */
struct finding *detection_begin(struct detection *d, const struct detector *self, const struct process *process,
                                const struct image *image, int32_t container, uint64_t time_ns, int64_t event_id);
/* Completes it. `key`: what makes it the same matter within type, rule and container. Takes `evidence`. */
void detection_end(struct detection *d, struct finding *f, const char *key, json_t *evidence);

/* ---- words about processes and files ---- */

/* Adds an escaped text to a JSON object. */
void evidence_text(json_t *object, const char *key, const char *text, size_t length);
void evidence_time(json_t *object, const char *key, uint64_t wall_ns);
void evidence_address(json_t *object, const char *key, const struct address *address, uint16_t port);
json_t *evidence_process(const struct detection *d, const struct process *p);
json_t *evidence_socket(const struct held_socket *s);

bool image_is_shell(const struct image *image);   /* sh, bash, ..., busybox sh */
/* In a directory of the system and root's: nobody else can have put it there. */
bool image_is_system(const struct image *image);
bool image_is_runtime(const struct image *image); /* runc and its kind, by name and place */
/* Name of the executable's file without " (deleted)", into out. */
void image_name(const struct image *image, char *out, size_t size);

/* Connected, to another port than its own. */
bool socket_is_connected(const struct held_socket *s);
/* Likely opened by us: the local port is ephemeral (ip_local_port_range starts at 32768). Sockets do not say it. */
bool socket_is_outbound(const struct held_socket *s);

#endif
