/* Our nft table and conntrack's switches in the network namespace that the calling thread is in. Slow (libnftables, milliseconds): never
 * from the loop. */
#ifndef ECSGUARD_NETNS_TABLE_H
#define ECSGUARD_NETNS_TABLE_H

#include <stddef.h>

#include "agent/sensors/nft_table.h"

/* Puts the table there, in one transaction. 0, or -EIO with the reason in `why`. */
int netns_table_put(const struct nft_table *table, char *why, size_t why_size);

/* Removes it. 0, also when there is none, or -EIO. */
int netns_table_remove(char *why, size_t why_size);

/* Turns accounting and events of flows on; what was changed goes to `*before`. 0 or -errno of the first that could not be. */
int netns_switches_on(int proc_fd, struct nft_switches *before);

/* Back to what they were, unless somebody has changed them since; `*before` says then that there is nothing to put back. */
void netns_switches_restore(int proc_fd, struct nft_switches *before);

#endif
