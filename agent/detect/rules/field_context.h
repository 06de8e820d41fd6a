/* One event with what is known about it, as the getters of field.h read it. Pure. */
#ifndef ECSGUARD_RULES_FIELD_CONTEXT_H
#define ECSGUARD_RULES_FIELD_CONTEXT_H

#include "agent/detect/rules/eval.h"
#include "agent/enrich/container_table.h"
#include "agent/enrich/dns_names.h"
#include "agent/enrich/file_origin.h"
#include "agent/enrich/proctree.h"

struct user_names; /* uid -> name, gid -> name: a table that the shell reads, user_names.h */

#define HOST_ADDRESSES_MAX 64

/* What the host itself is, as the shell finds it; 0 = unknown. */
struct host_facts {
    uint64_t mntns, netns, pidns; /* of process 1 */
    uint32_t n_addresses;
    struct address addresses[HOST_ADDRESSES_MAX]; /* of its interfaces */
};

struct field_context {
    struct value_source source; /* .get = field_context_get */
    struct eval *eval;          /* for its scratch */
    const struct event *ev;
    enum event_class class;
    struct proctree *tree;
    struct process *process;    /* who acts, NULL = unknown */
    const struct image *image;  /* what it ran at that time, NULL = unknown */
    const struct image *previous; /* EVENT_EXEC: before */
    const struct container_facts *container; /* NULL = the host */
    bool facts_final;           /* do not wait: what is unknown is missing */
    const struct file_origins *origins;
    struct dns_names *names;    /* of addresses, NULL = none */
    const struct user_names *users; /* NULL = none */
    const struct host_facts *host;  /* NULL = unknown */
    uint64_t event_number;      /* evt.num */
    int64_t wall_offset_ns;
    const char *host_name;      /* NULL = unknown */
};

void field_context_init(struct field_context *c, struct eval *eval);
enum value_answer field_context_get(struct value_source *source, const struct field_ref *ref, struct value *out);

/* The class of an event (of the context's other members `container` and `host` count), or -1: no rule can be about it. */
int event_class_of(const struct event *ev, const struct field_context *c);
/* A second class that the same event is of, or -1: a program executed with an inet socket as standard input is CLASS_DUP as well. */
int event_class_also(const struct event *ev);

#endif
