/* Network namespaces and the numbers (nsid) by which the kernel tells the host's namespace about the others. Flow events carry them. */
#ifndef ECSGUARD_NETNS_H
#define ECSGUARD_NETNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NSID_HOST (-1)    /* the namespace we are in, as in events */
#define NSID_UNKNOWN (-2) /* it has no number: its flows are not delivered to us */

/* The nsid of the network namespace of `pid` as our own namespace numbers it (rtnetlink(7), RTM_GETNSID), and the namespace's inode
 * number (0 if unknown). With `assign`, a namespace without number gets one (needed for awsvpc tasks, whose interfaces the host does not
 * see); needs CAP_NET_ADMIN. 0, or -errno: -ENOENT or -ESRCH when the process is gone. `*nsid` is always set. */
int netns_nsid_of(int proc_fd, pid_t pid, bool assign, int32_t *nsid, uint64_t *inode);

/* The same for a descriptor of a namespace, as numbered by the namespace that the calling thread is in. Not to be asked for that one itself. */
int netns_nsid_of_fd(int ns_fd, bool assign, int32_t *nsid);

#endif
