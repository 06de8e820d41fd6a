/* What detectors share. A detector is one file and one line in the table of detector.c: it looks at each event with what the
 * pipeline knows about it, and may put off a decision until a fact arrives or a deadline passes. Pure. */
#ifndef ECSGUARD_DETECTOR_H
#define ECSGUARD_DETECTOR_H

#include <jansson.h>

#include "agent/detect/intel.h"
#include "agent/detect/rules_detector.h"
#include "agent/detect/sequences.h"
#include "agent/detect/signals.h"
#include "agent/detect/suppress.h"
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
    uint8_t owner;   /* enum owner_by: how the process asked for is known */
    char note[256];  /* the detector's own, */
    uint32_t number; /* ... and this */
};

/* A program started with pipes or files as standard input or output: found again by what they are. */
struct pipe_end {
    uint64_t in_hash, out_hash; /* of the links, 0 = neither pipe nor file */
    int32_t pid;
};

/* What can be set. */
struct detect_options {
    uint32_t miner_cpu_percent; /* of one CPU */
    uint64_t miner_time_ns;
    uint32_t scan_ports, scan_addresses; /* in a minute; three times as many in 6 hours */
    uint64_t data_volume_bytes; /* less in an hour is never told */
    uint64_t listen_after_ns;   /* what listens within this time of its container's start belongs to it */
};

extern const struct detect_options detect_defaults;

struct detection {
    struct proctree *tree;
    struct container_table *containers;
    struct file_origins *origins;
    struct dns_names *names;   /* of addresses, NULL = none */
    const struct intel *intel; /* NULL = no lists */
    const struct sequences *sequences; /* NULL = none */
    struct suppress *suppress;         /* NULL = none; counts its matches */
    const char *host;                  /* name of this host, "" = unknown */
    struct detect_options options;
    struct signals *signals; /* findings lately made */
    void **states;           /* of the detectors, in their order */
    size_t current;          /* whose turn it is */
    uint8_t turns[EVENT_KIND_MAX][LIMIT_DETECTORS + 1]; /* of those that look at each kind, counted from 1; 0 at the end */
    int64_t wall_offset_ns;
    uint64_t began_ns; /* time of the first event */
    uint64_t judged_ns; /* time of the event that is judged now: what waited, or was read late, is not of now */
    bool rules_only; /* the other detectors are off */
    struct pending pending[LIMIT_PENDING];
    struct pipe_end pipe_ends[LIMIT_PIPE_ENDS]; /* a circle */
    uint32_t n_pipe_ends;
    uint64_t n_forced; /* decided early because the table was full */
    uint64_t n_forgotten; /* what detectors of network behaviour remembered, and had to give up for something else */
    uint64_t n_not_compared; /* new executables not compared with tools: too many at a time, or nobody answered */
    struct rules_state rules;
    struct finding *findings; /* LIMIT_OUTCOME_FINDINGS */
    struct outcome *out;      /* of this step */
};

#define ON(kind) (1u << EVENT_##kind)

struct detector {
    const char *rule;  /* name, as rules have */
    const char *type;
    enum severity severity;
    const char *mitre; /* tactic and technique ids */
    const char *title;
    const char *advice; /* what to check next */
    const char *condition, *limits; /* for the catalogue: exactly when, and what is missed */
    uint16_t needs; /* FILL_* of the sensors without which it can find nothing, */
    uint16_t helps; /* ... and of those without which it misses a part */
    /* Looks at one event of the kinds in `on`. */
    uint32_t on; /* ON(kind), or-ed */
    void (*event)(struct detection *d, const struct detector *self, const struct step *step);
    /* A waiting decision is due (or an answer came). Returns when to look again, 0 = decided. NULL if it never waits. */
    uint64_t (*due)(struct detection *d, struct pending *p, uint64_t now_ns);
    /* A finding was made, by whomever. False when it has more findings to make than there is room for: it is then told once more, and
     * does not make again what it made. */
    bool (*signal)(struct detection *d, const struct detector *self, const struct signal *signal);
    /* What it remembers: zeroed at the start, detection_state(). */
    size_t state_bytes;
    void (*state_fini)(struct detection *d, void *state);
};

extern const struct detector *const detectors[]; /* NULL at the end */

/* Detectors that work together. */
extern const struct detector detector_command_execution, detector_command_evasion, detector_command_persistence, detector_command_privilege,
    detector_command_discovery, detector_sensitive_evasion, detector_sensitive_persistence, detector_sensitive_privilege,
    detector_malicious_file, detector_malicious_custom;

/* Does a pending decision about a program that was executed concern a file that came or changed since its container started? 1 or 0; -1: not
 * known before *again_ns. See new_binary.c. */
int new_binary_is(const struct detection *d, const struct pending *p, uint64_t now_ns, uint64_t *again_ns);
/* A program was executed in a container, and its file is not plainly the image's. */
bool new_binary_may_be(const struct detection *d, const struct step *s);
/* To make programs and run them is the work of these task families; the shipped rules say which (00-lists.yaml). */
bool container_builds(const struct detection *d, const struct container_facts *c);

int detection_init(struct detection *d); /* 0 or -ENOMEM */
void detection_fini(struct detection *d);
void detection_event(struct detection *d, const struct step *step);
/* Waiting decisions due at now_ns, as many as the outcome has room for. True if more are due. */
bool detection_tick(struct detection *d, uint64_t now_ns);
/* When the next decision is due, UINT64_MAX = none waits. */
uint64_t detection_next_due(const struct detection *d);

/* What this detector remembers. */
void *detection_state(const struct detection *d, const struct detector *self);
/* Room for one more finding in this step. */
bool detection_has_room(const struct detection *d);

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
/* Completes it; the one place that all findings pass: filters are asked, and it becomes a signal. `key`: what makes it the same matter
 * within type, rule and container. Takes `evidence`. */
void detection_end(struct detection *d, struct finding *f, const char *key, json_t *evidence);

/* ---- words about processes and files ---- */

/* Adds an escaped text to a JSON object. */
void evidence_text(json_t *object, const char *key, const char *text, size_t length);
void evidence_time(json_t *object, const char *key, uint64_t wall_ns);
void evidence_address(json_t *object, const char *key, const struct address *address, uint16_t port);
json_t *evidence_process(const struct detection *d, const struct process *p);
json_t *evidence_socket(const struct held_socket *s);

/* What an ancestor ran when that happened which is judged now. NULL = unknown. */
const struct image *image_then(const struct detection *d, const struct process *p);

/* A system call of this name began. */
bool step_is_syscall(const struct step *step, const char *name);

bool image_is_shell(const struct image *image);   /* sh, bash, ..., busybox sh */
/* In a directory of the system and root's: nobody else can have put it there. */
bool image_is_system(const struct image *image);
bool image_is_runtime(const struct image *image); /* runc and its kind, by name and place */
/* stat times come from the kernel's coarse clock, start times from 10 ms ticks. */
#define IMAGE_CLOCK_SLACK_NS (20 * NS_PER_MS)

/* The file was made or changed after the container started; `origin`: who wrote it, NULL = not seen. */
bool image_is_new(const struct container_facts *c, const struct image *image, const struct file_origin *origin);
/* ... of a container by its id; who wrote it is looked up. */
bool image_is_new_in(const struct detection *d, int32_t container, const struct image *image);
/* Runs from memory, or its file was deleted. */
bool image_is_fileless(const struct image *image);
/* Name of the executable's file without " (deleted)", into out. */
void image_name(const struct image *image, char *out, size_t size);

/* Connected, to another port than its own. */
bool socket_is_connected(const struct held_socket *s);
/* Likely opened by us: the local port is ephemeral (ip_local_port_range starts at 32768). Sockets do not say it. */
bool socket_is_outbound(const struct held_socket *s);

#endif
