/* What an agent that was killed left in network namespaces: its nft table, and conntrack's switches as it set them. */
#ifndef ECSGUARD_NETNS_CLEAN_H
#define ECSGUARD_NETNS_CLEAN_H

#include <stdbool.h>

#include "agent/sensors/nft_table.h"

struct netns_cleaned {
    int namespaces; /* looked into */
    int tables;     /* removed */
    int failed;     /* could not be entered, or the table stays; each is logged */
    struct nft_switches own; /* the caller's namespace, if its switches were kept: how they were before */
};

/* Looks into the namespaces of all processes and into named ones. The calling thread goes there and comes back; no agent may run. `keep_own`: the
 * switches of the namespace that it comes from stay as they are, because an agent starts that wants them so. 0, or -errno when nothing could be
 * looked at, or the thread could not come back. */
int netns_clean(int proc_fd, bool keep_own, struct netns_cleaned *cleaned);

#endif
