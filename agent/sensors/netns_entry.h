/* One watched network namespace: its life from open to close. All by the thread of the watch. */
#ifndef ECSGUARD_NETNS_ENTRY_H
#define ECSGUARD_NETNS_ENTRY_H

#include "agent/sensors/netns_watch.h"

/* Goes there, calls the hooks and puts the table. `fd` becomes the entry's. NULL and *error for lack of memory or descriptors, or a namespace
 * that cannot be entered; then `fd` stays the caller's. */
struct netns_entry *netns_entry_new(struct netns_watch *w, int fd, uint64_t inode, int *error);
/* Takes back what is ours and lets the namespace go. `is_over`: its containers have ended. */
void netns_entry_free(struct netns_watch *w, struct netns_entry *e, bool is_over);

/* Whatever is due: looks, repairs, the guard. */
void netns_entry_work(struct netns_watch *w, struct netns_entry *e, uint64_t now_ns);
/* When it has to be called next, also if nothing is heard. */
uint64_t netns_entry_due(const struct netns_entry *e);

#endif
