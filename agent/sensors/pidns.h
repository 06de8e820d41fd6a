/* Which process a number means that another pid namespace gave it. Reads /proc. */
#ifndef ECSGUARD_PIDNS_H
#define ECSGUARD_PIDNS_H

#include <stdint.h>

/* The pid namespace of a process or thread (inode number), 0 if it is gone. */
uint64_t pidns_of(int32_t pid);

/* The host's number of the process whose number (or a thread's) is `nspid` in the namespace `pidns`, which `member` is in; 0 if it cannot be
 * known. Before Linux 6.11, or when the member is gone, by a look at the host's processes, for 2 % of the time at most: `*next_scan_ns` is the
 * caller's, 0 at first. */
int32_t pidns_host_pid(uint64_t pidns, int32_t member, int32_t nspid, uint64_t *next_scan_ns);

#endif
