/* How the network namespace that the calling thread is in reaches others. */
#ifndef ECSGUARD_NETNS_LINKS_H
#define ECSGUARD_NETNS_LINKS_H

#include <stdbool.h>

struct netns_links {
    int n;        /* interfaces that are not loopback */
    bool bridged; /* all of them are veth devices whose other end is in the host's namespace: all its traffic passes there */
};

/* `host_fd`: the host's namespace. 0 or -errno. */
int netns_links_look(int host_fd, struct netns_links *links);

#endif
