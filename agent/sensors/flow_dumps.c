#include "agent/sensors/flow_dumps.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "agent/sensors/ct_request.h"
#include "common/log.h"

void flow_dumps_init(struct flow_dumps *d)
{
    memset(d, 0, sizeof *d);
    pthread_mutex_init(&d->lock, NULL);
}

void flow_dumps_fini(struct flow_dumps *d)
{
    for (int i = 0; i < d->n; i++)
        mnl_socket_close(d->list[i].socket);
    d->n = 0;
    pthread_mutex_destroy(&d->lock);
}

static struct flow_dump *dump_find(struct flow_dumps *d, uint64_t netns)
{
    for (int i = 0; i < d->n; i++)
        if (d->list[i].netns == netns)
            return &d->list[i];
    return NULL;
}

static void dump_drop(struct flow_dumps *d, struct flow_dump *dump)
{
    mnl_socket_close(dump->socket);
    d->n_fresh -= dump->fresh;
    d->running = d->running && d->running_netns != dump->netns;
    *dump = d->list[--d->n];
}

static int dump_add(struct flow_dumps *d, uint64_t netns, int32_t nsid, struct mnl_socket *socket)
{
    struct flow_dump *known = dump_find(d, netns);
    if (known)
        dump_drop(d, known);
    if (d->n == LIMIT_NETNS + 1)
        return -ENOSPC;
    d->list[d->n++] = (struct flow_dump){ .netns = netns, .nsid = nsid, .socket = socket, .done = d->number, .fresh = true };
    d->n_fresh++;
    return 0;
}

int flow_dumps_add(struct flow_dumps *d, uint64_t netns, int32_t nsid)
{
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!socket)
        return -errno;
    int r = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
    if (!r) {
        pthread_mutex_lock(&d->lock);
        r = dump_add(d, netns, nsid, socket);
        pthread_mutex_unlock(&d->lock);
    }
    if (r)
        mnl_socket_close(socket);
    return r;
}

void flow_dumps_remove(struct flow_dumps *d, uint64_t netns)
{
    pthread_mutex_lock(&d->lock);
    struct flow_dump *known = dump_find(d, netns);
    if (known)
        dump_drop(d, known);
    pthread_mutex_unlock(&d->lock);
}

struct mnl_socket *flow_dumps_host(const struct flow_dumps *d)
{
    return d->n && !d->list[0].netns ? d->list[0].socket : NULL;
}

bool flow_dumps_has_fresh(struct flow_dumps *d)
{
    pthread_mutex_lock(&d->lock);
    bool fresh = d->n_fresh > 0;
    pthread_mutex_unlock(&d->lock);
    return fresh;
}

/* What a dump that was given up still has to say must not be taken for the next one's. */
static void dump_discard(struct flow_dump *dump)
{
    char datagram[64];
    while (recv(mnl_socket_get_fd(dump->socket), datagram, sizeof datagram, MSG_DONTWAIT | MSG_TRUNC) > 0)
        ;
}

void flow_dumps_begin(struct flow_dumps *d, enum flow_round round)
{
    pthread_mutex_lock(&d->lock);
    struct flow_dump *running = d->running ? dump_find(d, d->running_netns) : NULL;
    if (running)
        dump_discard(running);
    d->running = false;
    d->round = round;
    d->number++;
    pthread_mutex_unlock(&d->lock);
}

/* Asks the next namespace of the round. */
static struct flow_dump *dump_start(struct flow_dumps *d)
{
    char buffer[64] __attribute__((aligned(8)));
    for (int i = 0; i < d->n; i++) {
        struct flow_dump *dump = &d->list[i];
        if (dump->done == d->number || (d->round == ROUND_FRESH && !dump->fresh))
            continue;
        dump->done = d->number;
        if (d->round != ROUND_LONG) {
            d->n_fresh -= dump->fresh;
            dump->fresh = false;
        }
        struct nlmsghdr *head = ct_request_start(buffer, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
        head->nlmsg_seq = d->number;
        if (mnl_socket_sendto(dump->socket, head, head->nlmsg_len) < 0) {
            log_warn("flow", "cannot dump conntrack: %s", strerror(errno));
            continue;
        }
        d->running = true;
        d->running_netns = dump->netns;
        return dump;
    }
    return NULL;
}

static ssize_t read_locked(struct flow_dumps *d, void *buffer, size_t size, int32_t *nsid)
{
    if (d->round == ROUND_NONE)
        return -ENODATA;
    struct flow_dump *dump = d->running ? dump_find(d, d->running_netns) : dump_start(d);
    if (!dump) {
        d->running = false;
        d->round = ROUND_NONE;
        return -ENODATA;
    }
    *nsid = dump->nsid;
    ssize_t n = recv(mnl_socket_get_fd(dump->socket), buffer, size, MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        d->running = false; /* the next one */
    return n > 0 ? n : 0;
}

ssize_t flow_dumps_read(struct flow_dumps *d, void *buffer, size_t size, int32_t *nsid)
{
    pthread_mutex_lock(&d->lock);
    ssize_t n = read_locked(d, buffer, size, nsid);
    pthread_mutex_unlock(&d->lock);
    return n;
}

void flow_dumps_done(struct flow_dumps *d)
{
    pthread_mutex_lock(&d->lock);
    d->running = false;
    pthread_mutex_unlock(&d->lock);
}
