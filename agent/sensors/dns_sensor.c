#include "agent/sensors/dns_sensor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "agent/sensors/nflog.h"
#include "agent/sensors/nflog_decode.h"
#include "common/clock.h"
#include "common/thread.h"

#define EVENTS 64 /* namespaces told by one epoll_wait(2) */
#define WAKE UINT32_MAX
#define WINDOW_NS (100 * NS_PER_MS) /* over which a namespace's rate is measured */
#define BUSY_MS 2 /* between looks at busy namespaces: a wake costs as much as ten packets */
#define TEXT_BYTES (LIMIT_DOMAIN_BYTES + LIMIT_DNS_ANSWERS_BYTES + 8)

static const char full[] = "the NFLOG socket of a network namespace was full: the agent got too little CPU time";

struct dns_buffers {
    struct mmsghdr messages[LIMIT_DNS_READS];
    struct iovec vectors[LIMIT_DNS_READS];
    struct sockaddr_nl senders[LIMIT_DNS_READS];
    uint8_t data[LIMIT_DNS_READS][LIMIT_DNS_DATAGRAM_BYTES] __attribute__((aligned(8)));
};

/* ---- packets ------------------------------------------------------------------------------------------------------ */

/* False when the message is none. */
static bool take_question(struct dns_sensor *d, const struct dns_watch *w, const struct nflog_packet *p, const struct dns_segment *s,
                          const struct dns_message *m, unsigned question, uint64_t now_ns)
{
    struct event *ev = sensor_event(&d->sensor, EVENT_DNS, now_ns, TEXT_BYTES);
    if (!ev)
        return true; /* lost, and counted */
    if (dns_decode(ev, s, m, question)) {
        sensor_count(&d->stats.malformed, 1);
        return false;
    }
    event_set(ev, F_NETNS, netns, w->netns);
    event_set(ev, F_NSID, nsid, w->nsid);
    if (p->has_uid && ev->dns_op == DNS_QUERY)
        event_set(ev, F_UID, uid, p->uid);
    sensor_commit(&d->sensor, ev);
    return true;
}

static void take_packet(struct dns_sensor *d, const struct dns_watch *w, const struct nflog_packet *p, uint64_t now_ns)
{
    struct dns_segment segment;
    struct dns_message message;
    int r = dns_segment_decode(p->payload, &segment);
    while (r > 0 && (r = dns_message_next(&d->streams, w->netns, &segment, &message)) > 0)
        for (unsigned i = 0, n = dns_question_count(&message); i < n && take_question(d, w, p, &segment, &message, i, now_ns); i++)
            ;
    if (r < 0)
        sensor_count(&d->stats.malformed, 1);
}

/* Datagrams that the kernel dropped so far, for lack of room. */
static uint32_t drops_of(const struct dns_watch *w)
{
    uint32_t info[SK_MEMINFO_VARS] = { 0 };
    socklen_t size = sizeof info;
    return getsockopt(w->fd, SOL_SOCKET, SO_MEMINFO, info, &size) ? w->drops : info[SK_MEMINFO_DROPS];
}

/* The kernel numbers the packets: a gap is what was lost. */
static void take_number(struct dns_sensor *d, struct dns_watch *w, const struct nflog_packet *p)
{
    if (!p->has_seq)
        return;
    uint32_t gap = w->has_seq ? p->seq - w->next_seq : 0;
    if (gap) {
        if (gap > w->n_provisional)
            sensor_lost(&d->sensor, gap - w->n_provisional, full);
        w->n_provisional = 0;
        w->drops = drops_of(w);
    }
    w->has_seq = true;
    w->next_seq = p->seq + 1;
}

/* What was dropped when no packet follows that could say how many they were: each datagram held one at least. */
static void take_drops(struct dns_sensor *d, struct dns_watch *w)
{
    uint32_t drops = drops_of(w), n = drops - w->drops;
    if (!n)
        return;
    sensor_lost(&d->sensor, n, full);
    w->n_provisional += n;
    w->drops = drops;
}

static void take_datagram(struct dns_sensor *d, struct dns_watch *w, const struct mmsghdr *m, uint64_t now_ns)
{
    const struct sockaddr_nl *sender = m->msg_hdr.msg_name;
    struct bytes datagram = bytes_of(m->msg_hdr.msg_iov->iov_base, m->msg_len);
    struct nflog_packet packet;
    int r = -EINVAL;
    /* Root of a container may send to our socket in its namespace: only port 0 is the kernel. */
    if (m->msg_hdr.msg_namelen == sizeof *sender && sender->nl_pid == 0 && !(m->msg_hdr.msg_flags & MSG_TRUNC))
        while ((r = nflog_decode(&datagram, &packet)) > 0) {
            take_number(d, w, &packet);
            take_packet(d, w, &packet, now_ns);
            w->n_packets++;
        }
    if (r < 0)
        sensor_count(&d->stats.malformed, 1);
}

/* ---- how many are gathered ---------------------------------------------------------------------------------------- */

static uint32_t batch_for(uint64_t per_second)
{
    uint32_t batch = 1;
    while (batch < LIMIT_DNS_BATCH && per_second >= (uint64_t)batch * 2 * LIMIT_DNS_GATHER_RATE)
        batch *= 2;
    return batch;
}

/* A busy one's socket wakes nobody. */
static void busy_set(struct dns_sensor *d, const struct dns_watch *w, bool busy)
{
    uint32_t slot = (uint32_t)(w - d->watches);
    struct epoll_event event = { .events = busy ? 0 : EPOLLIN, .data.u32 = slot };
    epoll_ctl(d->epoll_fd, EPOLL_CTL_MOD, w->fd, &event);
    if (busy) {
        d->busy[d->n_busy++] = (uint16_t)slot;
        return;
    }
    for (uint32_t i = 0; i < d->n_busy; i++)
        if (d->busy[i] == slot) {
            d->busy[i] = d->busy[--d->n_busy];
            return;
        }
}

static void batch_set(struct dns_sensor *d, struct dns_watch *w, uint32_t batch)
{
    if (batch == w->batch || nflog_set_batch(w->fd, batch))
        return;
    if ((batch > 1) != (w->batch > 1))
        busy_set(d, w, batch > 1);
    w->batch = batch;
}

static void measure(struct dns_sensor *d, struct dns_watch *w, uint64_t now_ns)
{
    uint64_t took_ns = now_ns - w->window_ns;
    if (took_ns < WINDOW_NS)
        return;
    uint32_t batch = batch_for(w->n_packets * NS_PER_SECOND / took_ns);
    w->window_ns = now_ns;
    w->n_packets = 0;
    batch_set(d, w, batch);
    if (batch == 1)
        take_drops(d, w);
}

/* ---- the thread --------------------------------------------------------------------------------------------------- */

static int receive(struct dns_sensor *d, struct dns_watch *w)
{
    struct dns_buffers *b = d->buffers;
    for (int i = 0; i < LIMIT_DNS_READS; i++)
        b->messages[i].msg_hdr.msg_namelen = sizeof b->senders[i];
    int n = recvmmsg(w->fd, b->messages, LIMIT_DNS_READS, MSG_DONTWAIT, NULL);
    if (n < 0 && errno == ENOBUFS) { /* it is looked at in intervals from now on, also for what was lost */
        if (w->batch == 1)
            batch_set(d, w, 2);
        return 0;
    }
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    uint64_t now_ns = clock_monotonic_ns();
    for (int i = 0; i < n; i++)
        take_datagram(d, w, &b->messages[i], now_ns);
    measure(d, w, now_ns);
    return n;
}

static void read_watch(struct dns_sensor *d, uint32_t slot)
{
    struct dns_watch *w = &d->watches[slot];
    for (int i = 0; i < LIMIT_DNS_READS && w->netns; i++) {
        int n = receive(d, w);
        if (n < 0 || (n > 0 && n < LIMIT_DNS_READS))
            return; /* what is left is told again */
    }
}

static void read_busy(struct dns_sensor *d)
{
    for (uint32_t i = d->n_busy; i-- > 0;) { /* one that is no longer busy leaves the list */
        uint32_t slot = d->busy[i];
        read_watch(d, slot);
        measure(d, &d->watches[slot], clock_monotonic_ns()); /* also when nothing came */
    }
}

static void *run(void *arg)
{
    struct dns_sensor *d = arg;
    struct epoll_event events[EVENTS];
    int wait_ms = -1;
    while (!d->stopping) {
        int n = epoll_wait(d->epoll_fd, events, EVENTS, wait_ms);
        pthread_mutex_lock(&d->lock);
        for (int i = 0; i < n; i++)
            if (events[i].data.u32 != WAKE)
                read_watch(d, events[i].data.u32);
        read_busy(d);
        wait_ms = d->n_busy ? BUSY_MS : -1;
        pthread_mutex_unlock(&d->lock);
    }
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static void watch_end(struct dns_sensor *d, struct dns_watch *w)
{
    take_drops(d, w);
    if (w->batch > 1)
        busy_set(d, w, false);
    close(w->fd); /* leaves the epoll set with it: nobody else holds it */
    memset(w, 0, sizeof *w);
}

static struct dns_watch *watch_find(struct dns_sensor *d, uint64_t netns)
{
    for (uint32_t i = 0; i < LIMIT_DNS_NAMESPACES; i++)
        if (d->watches[i].netns == netns)
            return &d->watches[i];
    return NULL;
}

static int watch_begin(struct dns_sensor *d, uint64_t netns, int32_t nsid, int fd)
{
    struct dns_watch *w = watch_find(d, netns);
    if (w)
        watch_end(d, w);
    else
        w = watch_find(d, 0);
    if (!w || !netns) {
        sensor_state(&d->stats, SENSOR_DEGRADED, "DNS of some containers is not seen: there are more than %d network namespaces",
                     LIMIT_DNS_NAMESPACES);
        return -ENOSPC;
    }
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = (uint32_t)(w - d->watches) };
    if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        return -errno;
    *w = (struct dns_watch){ .netns = netns, .nsid = nsid, .fd = fd, .batch = 1, .window_ns = clock_monotonic_ns() };
    return 0;
}

int dns_sensor_add(struct dns_sensor *d, uint64_t netns, int32_t nsid, int fd)
{
    pthread_mutex_lock(&d->lock);
    int r = watch_begin(d, netns, nsid, fd);
    pthread_mutex_unlock(&d->lock);
    if (r)
        close(fd);
    return r;
}

void dns_sensor_remove(struct dns_sensor *d, uint64_t netns)
{
    pthread_mutex_lock(&d->lock);
    struct dns_watch *w = netns ? watch_find(d, netns) : NULL;
    if (w) {
        read_watch(d, (uint32_t)(w - d->watches)); /* what still waits */
        watch_end(d, w);
    }
    pthread_mutex_unlock(&d->lock);
}

static int open_descriptors(struct dns_sensor *d)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = WAKE };
    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->epoll_fd < 0 || d->wake_fd < 0 || epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->wake_fd, &event))
        return -errno;
    return 0;
}

static int open_buffers(struct dns_sensor *d)
{
    struct dns_buffers *b = d->buffers = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    for (int i = 0; i < LIMIT_DNS_READS; i++) {
        b->vectors[i] = (struct iovec){ b->data[i], sizeof b->data[i] };
        b->messages[i].msg_hdr = (struct msghdr){ .msg_name = &b->senders[i], .msg_iov = &b->vectors[i], .msg_iovlen = 1 };
    }
    return 0;
}

int dns_sensor_open(struct dns_sensor *d, struct waker *waker)
{
    memset(d, 0, sizeof *d);
    pthread_mutex_init(&d->lock, NULL);
    d->epoll_fd = d->wake_fd = -1;
    int error = sensor_init(&d->sensor, SOURCE_DNS, LIMIT_DNS_RING_BYTES, &d->stats, waker);
    if (!error)
        error = open_buffers(d);
    if (!error)
        error = open_descriptors(d);
    if (!error) {
        sensor_state(&d->stats, SENSOR_OK, "%s", "");
        error = thread_start(&d->thread, run, d, "dns");
    }
    d->running = !error;
    if (error)
        dns_sensor_close(d);
    return error;
}

void dns_sensor_close(struct dns_sensor *d)
{
    uint64_t one = 1;
    if (d->running) {
        d->stopping = true;
        if (write(d->wake_fd, &one, sizeof one) == sizeof one)
            pthread_join(d->thread, NULL);
        d->running = false;
    }
    for (uint32_t i = 0; i < LIMIT_DNS_NAMESPACES; i++)
        if (d->watches[i].netns)
            watch_end(d, &d->watches[i]);
    if (d->epoll_fd >= 0)
        close(d->epoll_fd);
    if (d->wake_fd >= 0)
        close(d->wake_fd);
    free(d->buffers);
    sensor_fini(&d->sensor);
    pthread_mutex_destroy(&d->lock);
    d->epoll_fd = d->wake_fd = -1;
    d->buffers = NULL;
}
