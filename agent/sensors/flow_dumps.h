/* What conntrack holds, of each network namespace: a socket in each, and one dump at a time, taken in slices. The watch over namespaces adds and
 * removes them from its own thread, the flow sensor dumps. */
#ifndef ECSGUARD_FLOW_DUMPS_H
#define ECSGUARD_FLOW_DUMPS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/limits.h"

struct mnl_socket;

/* Which namespaces a round of dumps is about. */
enum flow_round {
    ROUND_NONE,
    ROUND_ALL,   /* after loss, and at the start */
    ROUND_FRESH, /* those that came since: their flows may be older than we */
    ROUND_LONG,  /* all, to see what long flows sent meanwhile */
};

struct flow_dump {
    uint64_t netns;  /* inode number, 0 = the host's */
    int32_t nsid;
    struct mnl_socket *socket;
    uint32_t done;   /* the round it was dumped in last */
    bool fresh;
};

struct flow_dumps {
    pthread_mutex_t lock; /* of all below */
    struct flow_dump list[LIMIT_NETNS + 1];
    int n;
    uint32_t number; /* of the round */
    enum flow_round round;
    bool running;
    uint64_t running_netns;
    int n_fresh;
};

void flow_dumps_init(struct flow_dumps *d);
void flow_dumps_fini(struct flow_dumps *d);

/* From any thread. Opens a socket in the calling thread's namespace. 0 or -errno. */
int flow_dumps_add(struct flow_dumps *d, uint64_t netns, int32_t nsid);
void flow_dumps_remove(struct flow_dumps *d, uint64_t netns);

/* The host's socket, for other questions while nothing is dumped; NULL when there is none. */
struct mnl_socket *flow_dumps_host(const struct flow_dumps *d);

bool flow_dumps_has_fresh(struct flow_dumps *d);
/* Begins a round; one that goes on is given up. */
void flow_dumps_begin(struct flow_dumps *d, enum flow_round round);
/* The next datagram of the round: its size with the `nsid` it is from; 0 when none has come yet; -ENODATA at the end of the round. */
ssize_t flow_dumps_read(struct flow_dumps *d, void *buffer, size_t size, int32_t *nsid);
/* The namespace that is being dumped has told everything. */
void flow_dumps_done(struct flow_dumps *d);

#endif
