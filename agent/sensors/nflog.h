/* The socket by which nft rules `log group 3781` hand us packets (linux/netfilter/nfnetlink_log.h). Such a socket belongs to the network
 * namespace in which it was opened: a thread that went there opens it, any thread may read it. */
#ifndef ECSGUARD_NFLOG_H
#define ECSGUARD_NFLOG_H

#include <stdint.h>

/* Ours, in every namespace: the tables say it, the socket binds it. Only one socket of a namespace can. */
#define NFLOG_GROUP 3781

/* A non-blocking socket in the calling thread's network namespace, bound to NFLOG_GROUP: whole datagrams of up to LIMIT_DNS_BATCH packets,
 * each of LIMIT_DNS_PACKET_BYTES at most, numbered by the kernel. The descriptor, or -errno: -EBUSY when another socket has the group,
 * -EPERM without CAP_NET_ADMIN. */
int nflog_open(void);

/* So many packets are gathered into one datagram (or those of 10 ms): 1 = each is told at once. 0 or -errno. */
int nflog_set_batch(int fd, uint32_t packets);

#endif
