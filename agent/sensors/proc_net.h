/* Parser of /proc/PID/net/{tcp,tcp6,udp,udp6} (proc(5)). Pure. */
#ifndef ECSGUARD_PROC_NET_H
#define ECSGUARD_PROC_NET_H

#include "common/event.h"

struct proc_net_socket {
    struct address local, peer; /* all zero bytes: any */
    uint16_t lport, pport;
    uint8_t state; /* as in tcp(7); UDP: 1 connected, 7 not */
    uint32_t uid;
    uint64_t inode; /* 0: no process has it any more */
};

/* One line without its newline. 0, or -EINVAL (also for the heading). IPv4-mapped addresses become IPv4. */
int proc_net_parse(const char *line, size_t length, struct proc_net_socket *out);

#define PROC_NET_EXACT 4 /* all of the 4-tuple is equal: nothing fits better */

/* How well `s` fits a flow that the process sees as local -> peer: 0 not at all, higher is better, at most PROC_NET_EXACT. A listening socket or an unconnected
 * UDP socket fits any peer, a socket bound to no address any local address. `peer` may be NULL. */
int proc_net_match(const struct proc_net_socket *s, const struct address *local, uint16_t lport, const struct address *peer,
                   uint16_t pport);

#endif
