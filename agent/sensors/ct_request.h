/* Questions to conntrack (linux/netfilter/nfnetlink_conntrack.h) on a socket of their own, so that answers never stand behind events. The
 * answer comes from the network namespace in which the socket was opened, wherever the caller is now. */
#ifndef ECSGUARD_CT_REQUEST_H
#define ECSGUARD_CT_REQUEST_H

#include <stdint.h>

struct mnl_socket;
struct nlmsghdr;

/* Begins a message in `buffer`: `type` is IPCTNL_MSG_CT_*, `family` AF_* or AF_UNSPEC. */
struct nlmsghdr *ct_request_start(char *buffer, int type, uint16_t flags, uint8_t family);

/* Sends and takes the whole answer, which the kernel has ready when sendto(2) returns. 0, or -errno. */
int ct_request_run(struct mnl_socket *socket, const struct nlmsghdr *head);

/* Does the namespace track this family (AF_INET, AF_INET6)? There is no way to ask, so: one datagram over loopback from a socket to itself and
 * a request to delete the flow it made; caller and socket must be in that namespace. 1 yes, 0 no, -errno not to be found out. */
int ct_tracks(struct mnl_socket *socket, int family);

/* How many flows the namespace holds, and how many any namespace may. 0 or -errno. */
int ct_fill(struct mnl_socket *socket, uint32_t *count, uint32_t *max);

/* Forgets all flows of the namespace. 0 or -errno. */
int ct_flush(struct mnl_socket *socket);

#endif
