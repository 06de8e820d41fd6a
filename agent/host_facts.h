/* What the host itself is, for rules: its users, namespaces and addresses. Read at start, and again now and then: users and addresses come
 * and go. */
#ifndef ECSGUARD_HOST_FACTS_H
#define ECSGUARD_HOST_FACTS_H

#include "agent/detect/rules/field_context.h"
#include "agent/detect/rules/user_names.h"

struct host_state {
    struct host_facts facts;
    struct user_names users;
};

void host_state_init(struct host_state *host);
void host_state_fini(struct host_state *host);

/* Bounded reads of small local files and of the interface list; what cannot be read stays as it was. `procdir` is from procfs_open(). */
void host_state_read(struct host_state *host, int procdir);

#endif
