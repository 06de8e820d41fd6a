/* The addresses at which clouds and ECS serve metadata and credentials. Pure. */
#ifndef ECSGUARD_METADATA_H
#define ECSGUARD_METADATA_H

#include "common/event.h"

enum metadata_kind {
    METADATA_INSTANCE, /* EC2 instance metadata: the role of the host */
    METADATA_TASK,     /* the ECS agent's: metadata and credentials of a task */
    METADATA_POD,      /* pod identity: not on ECS */
};

struct metadata_service {
    enum metadata_kind kind;
    const char *address, *name;
};

/* Also for addresses mapped into IPv6 or translated by NAT64 (64:ff9b::/96). NULL = none. */
const struct metadata_service *metadata_service_find(const struct address *address);

#endif
