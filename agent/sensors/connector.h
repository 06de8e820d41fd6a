/* A socket of the process events connector, with a filter of our own in the kernel. */
#ifndef ECSGUARD_CONNECTOR_H
#define ECSGUARD_CONNECTOR_H

#include <linux/filter.h>
#include <stddef.h>
#include <sys/types.h>

/* Opens a non-blocking socket whose queue takes `rcvbuf_bytes`, checks that the kernel really sends, then attaches `filter`. Returns the
 * descriptor, or a negative errno: -ENOSYS when the kernel accepts us but never answers (no PROC_EVENTS, or we are
 * not in the host's namespaces). `why`, at least 192 bytes, then says what to do. */
int connector_open(const struct sock_filter *filter, unsigned short n_filter, int rcvbuf_bytes, char *why, size_t why_size);

/* Also tells the kernel to stop sending when nobody else listens. */
void connector_close(int fd);

/* One datagram from the kernel: its size, 0 for one that someone else sent (do not trust it), or a negative errno. */
ssize_t connector_receive(int fd, void *buf, size_t size);

#endif
