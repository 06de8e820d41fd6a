#include "agent/sensors/flow_sensor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/sock_diag.h>

#include "agent/sensors/ct_decode.h"
#include "agent/sensors/ct_request.h"
#include "agent/sensors/netlink_attrs.h"
#include "agent/sensors/netns.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/log.h"

#define SLOTS 32 /* datagrams per system call */
#define DUMP_BYTES 32768
#define ROOM_EXTRA 64 /* of the ring, for each event */
#define GROUPS (1u << (NFNLGRP_CONNTRACK_NEW - 1) | 1u << (NFNLGRP_CONNTRACK_UPDATE - 1) | 1u << (NFNLGRP_CONNTRACK_DESTROY - 1))

struct flow_buffers {
    struct mmsghdr messages[SLOTS];
    struct iovec vectors[SLOTS];
    struct sockaddr_nl senders[SLOTS];
    char control[SLOTS][64] __attribute__((aligned(8)));
    uint8_t data[SLOTS][LIMIT_FLOW_DATAGRAM_BYTES] __attribute__((aligned(8)));
    uint8_t dump[DUMP_BYTES] __attribute__((aligned(8)));
};

/* ---- switches of the host's namespace ---- */

static int switch_read(int proc_fd, const char *path)
{
    char text[16];
    int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return -EIO;
    text[n] = 0;
    return atoi(text);
}

static int switch_write(int proc_fd, const char *path, int value)
{
    char text[16];
    int fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int n = snprintf(text, sizeof text, "%d\n", value), r = write(fd, text, (size_t)n) == n ? 0 : -errno;
    close(fd);
    return r;
}

/* Turns it on when it is 0. */
static int switch_on(struct flow_switch *s, int proc_fd, const char *path)
{
    s->path = path;
    s->before = -1;
    int before = switch_read(proc_fd, path);
    if (before)
        return before < 0 ? before : 0;
    int r = switch_write(proc_fd, path, 1);
    if (!r)
        s->before = before;
    return r;
}

/* Back to what it was, unless somebody has changed it since. */
static void switch_restore(const struct flow_switch *s, int proc_fd)
{
    if (s->path && s->before >= 0 && switch_read(proc_fd, s->path) == 1)
        switch_write(proc_fd, s->path, s->before);
}

/* ---- state ---- */

static void tell_state(struct flow_sensor *fs)
{
    const char *families = fs->untracked[0] ? fs->untracked[1] ? "" : "IPv4 " : "IPv6 ";
    if (fs->problem[0])
        sensor_state(fs->sensor->stats, SENSOR_DEGRADED, "%s", fs->problem);
    else if (fs->untracked[0] || fs->untracked[1])
        sensor_state(fs->sensor->stats, SENSOR_DEGRADED,
                     "nothing in the host's network namespace tracks %sconnections: its flows are not seen until a firewall, "
                     "NAT or container bridge that tracks is set up", families);
    else
        sensor_state(fs->sensor->stats, SENSOR_OK, "%s", "");
}

__attribute__((format(printf, 2, 3))) static void add_problem(struct flow_sensor *fs, const char *format, ...)
{
    size_t used = strlen(fs->problem);
    va_list args;
    if (used && used + 2 < sizeof fs->problem) {
        memcpy(fs->problem + used, "; ", 3);
        used += 2;
    }
    va_start(args, format);
    vsnprintf(fs->problem + used, sizeof fs->problem - used, format, args);
    va_end(args);
}

/* Somebody began to track: a flow of our namespace and this family came. */
static void tracking_seen(struct flow_sensor *fs, uint8_t family)
{
    bool *untracked = &fs->untracked[family == 6];
    if (*untracked) {
        *untracked = false;
        tell_state(fs);
    }
}

/* ---- open, close ---- */

static int off(struct flow_sensor *fs, int error, const char *what)
{
    sensor_state(fs->sensor->stats, SENSOR_OFF, "no network flows: %s (%s)", what, strerror(-error));
    flow_sensor_close(fs);
    return error;
}

static void open_buffers(struct flow_buffers *b)
{
    for (int i = 0; i < SLOTS; i++) {
        b->vectors[i] = (struct iovec){ b->data[i], sizeof b->data[i] };
        b->messages[i].msg_hdr = (struct msghdr){ .msg_name = &b->senders[i], .msg_iov = &b->vectors[i], .msg_iovlen = 1,
                                                  .msg_control = b->control[i] };
    }
}

static void open_switches(struct flow_sensor *fs)
{
    int r = switch_on(&fs->switches[0], fs->options.proc_fd, "sys/net/netfilter/nf_conntrack_acct");
    if (r)
        add_problem(fs, "bytes of flows are unknown: cannot set net.netfilter.nf_conntrack_acct=1 (%s)", strerror(-r));
    /* 2, the default of newer kernels, means: when somebody listens */
    r = switch_on(&fs->switches[1], fs->options.proc_fd, "sys/net/netfilter/nf_conntrack_events");
    if (r)
        add_problem(fs, "no flow events: cannot set net.netfilter.nf_conntrack_events=1 (%s)", strerror(-r));
}

static void set_options(struct flow_sensor *fs)
{
    int fd = mnl_socket_get_fd(fs->events), one = 1, bytes = fs->options.rcvbuf_bytes;
    if (!bytes)
        bytes = LIMIT_NETLINK_RCVBUF_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes))
        log_warn("flow", "cannot enlarge the netlink receive buffer: %s; bursts of flows may be lost (and are counted)", strerror(errno));
    if (setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof one))
        add_problem(fs, "only flows of the host's network namespace: listening to the others needs CAP_NET_BROADCAST (%s)",
                    strerror(errno));
}

static int open_sockets(struct flow_sensor *fs)
{
    char buffer[64] __attribute__((aligned(8)));
    fs->events = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!fs->events)
        return off(fs, -errno, "the kernel has no nfnetlink: load the module nf_conntrack_netlink");
    int r = flow_dumps_add(&fs->dumps, 0, NSID_HOST);
    if (r)
        return off(fs, r, "cannot open a netlink socket");
    r = ct_request_run(flow_dumps_host(&fs->dumps), ct_request_start(buffer, IPCTNL_MSG_CT_GET_STATS, 0, AF_UNSPEC));
    if (r == -EPERM)
        return off(fs, r, "needs CAP_NET_ADMIN");
    if (r || switch_read(fs->options.proc_fd, "sys/net/netfilter/nf_conntrack_count") < 0)
        return off(fs, r ? r : -ENOENT, "the kernel has no conntrack events: load the module nf_conntrack_netlink");
    return 0;
}

int flow_sensor_open(struct flow_sensor *fs, struct sensor *sensor, const struct flow_options *options)
{
    static const int families[2] = { AF_INET, AF_INET6 };
    memset(fs, 0, sizeof *fs);
    fs->sensor = sensor;
    fs->options = *options;
    if (!fs->options.long_ns)
        fs->options.long_ns = LIMIT_FLOW_LONG_NS;
    flow_dumps_init(&fs->dumps);
    fs->buffers = calloc(1, sizeof *fs->buffers);
    if (!fs->buffers || flow_twins_init(&fs->twins, hash_key_random()) || flow_growth_init(&fs->growth))
        return off(fs, -ENOMEM, "out of memory");
    open_buffers(fs->buffers);
    int r = open_sockets(fs);
    if (r)
        return r;
    open_switches(fs);
    for (int i = 0; i < 2; i++)
        fs->untracked[i] = ct_tracks(flow_dumps_host(&fs->dumps), families[i]) == 0; /* before anybody listens */
    set_options(fs);
    if (mnl_socket_bind(fs->events, GROUPS, MNL_SOCKET_AUTOPID) < 0)
        return off(fs, -errno, "cannot listen to conntrack events, which needs CAP_NET_ADMIN");
    fs->ring_drops = sensor->stats->lost;
    fs->resync_wanted = fs->resync_first = true;
    fs->long_started_ns = clock_monotonic_ns();
    tell_state(fs);
    return 0;
}

void flow_sensor_close(struct flow_sensor *fs)
{
    for (int i = 0; i < 2; i++)
        switch_restore(&fs->switches[i], fs->options.proc_fd);
    if (fs->events)
        mnl_socket_close(fs->events);
    flow_dumps_fini(&fs->dumps);
    flow_growth_fini(&fs->growth);
    flow_twins_fini(&fs->twins);
    free(fs->buffers);
    fs->events = NULL;
    fs->buffers = NULL;
    memset(fs->switches, 0, sizeof fs->switches);
}

struct nft_switches flow_sensor_switches(const struct flow_sensor *fs)
{
    return (struct nft_switches){ .acct = fs->switches[0].before, .events = fs->switches[1].before };
}

int flow_sensor_fd(const struct flow_sensor *fs)
{
    return fs->events ? mnl_socket_get_fd(fs->events) : -1;
}

/* ---- events ---- */

/* What ct_tracks() sends: a datagram from a socket to itself. */
static bool is_our_question(const struct event *ev)
{
    return ev->proto == IPPROTO_UDP && ev->sport == ev->dport && address_is_loopback(&ev->src) && address_equal(&ev->src, &ev->dst);
}

static bool is_told(struct flow_sensor *fs, struct event *ev, bool resync)
{
    if (is_our_question(ev))
        return false;
    if (ev->nsid == NSID_HOST) {
        tracking_seen(fs, ev->src.family);
        if (fs->options.drop_loopback && address_is_loopback(&ev->src) && address_is_loopback(&ev->dst))
            return false;
    }
    if (resync && flow_twins_knows(&fs->twins, ev))
        return false;
    return flow_twins_pass(&fs->twins, ev);
}

static void take_message(struct flow_sensor *fs, const uint8_t *message, size_t size, int32_t nsid, uint64_t now_ns)
{
    struct event *ev = sensor_event(fs->sensor, EVENT_FLOW, now_ns, 0);
    if (!ev)
        return;
    int r = ct_decode(ev, message, size, nsid);
    if (r < 0)
        sensor_count(&fs->sensor->stats->malformed, 1);
    else if (r == 0 && is_told(fs, ev, false))
        sensor_commit(fs->sensor, ev);
}

static int32_t nsid_of(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID && c->cmsg_len >= CMSG_LEN(sizeof(int32_t))) {
            int32_t nsid;
            memcpy(&nsid, CMSG_DATA(c), sizeof nsid);
            return nsid;
        }
    return NSID_HOST;
}

static void take_datagram(struct flow_sensor *fs, struct mmsghdr *m, uint64_t now_ns)
{
    const struct sockaddr_nl *sender = m->msg_hdr.msg_name;
    struct bytes datagram = bytes_of(m->msg_hdr.msg_iov->iov_base, m->msg_len);
    const uint8_t *message;
    size_t size;
    int r = -EINVAL;
    /* Root of a container may multicast to our groups from its own namespace: only port 0 is the kernel. */
    if (m->msg_hdr.msg_namelen == sizeof *sender && sender->nl_pid == 0 && !(m->msg_hdr.msg_flags & MSG_TRUNC))
        while ((r = netlink_next(&datagram, &message, &size)) > 0)
            take_message(fs, message, size, nsid_of(&m->msg_hdr), now_ns);
    if (r < 0)
        sensor_count(&fs->sensor->stats->malformed, 1);
}

/* How many datagrams were read; -ENOBUFS when the kernel had no room for some. */
static int receive(struct flow_sensor *fs, int max)
{
    struct flow_buffers *b = fs->buffers;
    int slots = max < SLOTS ? max : SLOTS;
    for (int i = 0; i < slots; i++) {
        b->messages[i].msg_hdr.msg_namelen = sizeof b->senders[i];
        b->messages[i].msg_hdr.msg_controllen = sizeof b->control[i];
    }
    int n = recvmmsg(mnl_socket_get_fd(fs->events), b->messages, (unsigned)slots, MSG_DONTWAIT, NULL);
    if (n < 0)
        return -errno;
    uint64_t now_ns = clock_monotonic_ns();
    for (int i = 0; i < n; i++)
        take_datagram(fs, &b->messages[i], now_ns);
    return n;
}

/* The kernel counts exactly what it dropped on this socket; ENOBUFS says only that it did. */
static void look_for_loss(struct flow_sensor *fs, bool said)
{
    uint32_t info[SK_MEMINFO_VARS] = { 0 };
    socklen_t size = sizeof info;
    uint32_t lost = said;
    if (!getsockopt(mnl_socket_get_fd(fs->events), SOL_SOCKET, SO_MEMINFO, info, &size) && size == sizeof info) {
        lost = info[SK_MEMINFO_DROPS] - fs->kernel_drops;
        fs->kernel_drops = info[SK_MEMINFO_DROPS];
    }
    if (lost)
        sensor_lost(fs->sensor, lost, "the conntrack socket was full: the agent got too little CPU time");
    if (fs->ring_drops != fs->sensor->stats->lost) {
        fs->ring_drops = fs->sensor->stats->lost;
        fs->resync_wanted = true;
    }
}

/* ---- dumps ---- */

int flow_sensor_add(struct flow_sensor *fs, uint64_t netns, int32_t nsid)
{
    return fs->events ? flow_dumps_add(&fs->dumps, netns, nsid) : 0;
}

void flow_sensor_remove(struct flow_sensor *fs, uint64_t netns)
{
    if (fs->events)
        flow_dumps_remove(&fs->dumps, netns);
}

static bool resync_is_due(const struct flow_sensor *fs, uint64_t now_ns)
{
    return !fs->resync_started_ns || now_ns - fs->resync_started_ns >= LIMIT_FLOW_RESYNC_NS;
}

static void round_begin(struct flow_sensor *fs, enum flow_round round)
{
    fs->round = round;
    fs->resync_events = 0;
    flow_dumps_begin(&fs->dumps, round);
}

/* A resync does not wait for a look at long flows. */
static void round_start(struct flow_sensor *fs, uint64_t now_ns)
{
    if (fs->resync_wanted && fs->round != ROUND_ALL && resync_is_due(fs, now_ns)) {
        fs->resync_wanted = false;
        fs->resync_started_ns = now_ns;
        round_begin(fs, ROUND_ALL);
    } else if (fs->round == ROUND_NONE && flow_dumps_has_fresh(&fs->dumps)) {
        round_begin(fs, ROUND_FRESH);
    } else if (fs->round == ROUND_NONE && now_ns - fs->long_started_ns >= fs->options.long_ns) {
        fs->long_started_ns = now_ns;
        flow_growth_round(&fs->growth);
        round_begin(fs, ROUND_LONG);
    }
}

static void round_end(struct flow_sensor *fs)
{
    if (fs->round == ROUND_ALL && !fs->resync_first)
        sensor_count(&fs->sensor->stats->resyncs, 1);
    fs->resync_first &= fs->round != ROUND_ALL;
    if (fs->resync_events >= LIMIT_FLOW_RESYNC_EVENTS)
        log_warn("flow", "conntrack holds more flows than one resync tells (%d): the rest is told as it changes", LIMIT_FLOW_RESYNC_EVENTS);
    fs->round = ROUND_NONE;
}

static bool is_dump_told(struct flow_sensor *fs, struct event *ev)
{
    if (fs->round == ROUND_LONG)
        return flow_growth_tell(&fs->growth, ev) && is_told(fs, ev, false);
    return fs->resync_events < LIMIT_FLOW_RESYNC_EVENTS && is_told(fs, ev, true);
}

static void dump_message(struct flow_sensor *fs, const uint8_t *message, size_t size, int32_t nsid, uint64_t now_ns)
{
    struct event *ev = sensor_event(fs->sensor, EVENT_FLOW, now_ns, 0);
    if (!ev)
        return;
    int r = ct_decode(ev, message, size, nsid);
    if (r < 0)
        sensor_count(&fs->sensor->stats->malformed, 1);
    if (r || !is_dump_told(fs, ev))
        return;
    sensor_commit(fs->sensor, ev);
    if (fs->round == ROUND_LONG)
        fs->pause_until_ns += LIMIT_FLOW_LONG_EACH_NS;
    else
        fs->resync_events++;
}

/* One datagram of the dump (about 100 flows), and only into a ring that has room: flows that are new go first. */
static void dump_slice(struct flow_sensor *fs, uint64_t now_ns)
{
    const uint8_t *message;
    size_t size;
    int32_t nsid;
    if (ring_used(&fs->sensor->ring) > fs->sensor->ring.size / 2 || now_ns < fs->pause_until_ns)
        return;
    ssize_t n = flow_dumps_read(&fs->dumps, fs->buffers->dump, DUMP_BYTES, &nsid);
    if (n < 0)
        round_end(fs);
    if (n <= 0)
        return;
    struct bytes datagram = bytes_of(fs->buffers->dump, (size_t)n);
    fs->pause_until_ns = now_ns;
    while (netlink_next(&datagram, &message, &size) > 0) {
        uint16_t type = load_u16(message + offsetof(struct nlmsghdr, nlmsg_type));
        if (type == NLMSG_DONE || type == NLMSG_ERROR)
            flow_dumps_done(&fs->dumps);
        else
            dump_message(fs, message, size, nsid, now_ns);
    }
}

uint64_t flow_sensor_due(const struct flow_sensor *fs)
{
    return fs->events ? fs->long_started_ns + fs->options.long_ns : UINT64_MAX;
}

bool flow_sensor_busy(struct flow_sensor *fs)
{
    return fs->events && (fs->round != ROUND_NONE || fs->resync_wanted || flow_dumps_has_fresh(&fs->dumps) ||
                          clock_monotonic_ns() >= flow_sensor_due(fs));
}

/* Events that our queue has room for: what does not fit waits in the kernel's, which is larger. A datagram holds one. */
static int room(const struct flow_sensor *fs)
{
    const struct ring *ring = &fs->sensor->ring;
    size_t events = (ring->size - ring_used(ring)) / (sizeof(struct event) + ROOM_EXTRA);
    return events > 2 ? (int)events - 2 : 0; /* the end of the ring may be too short for one, and loss is to be told */
}

int flow_sensor_drain(struct flow_sensor *fs, int max)
{
    int done = 0, n = 0;
    bool lost = false;
    if (!fs->events)
        return 0;
    while (done < max && (n = room(fs)) > 0) {
        n = receive(fs, n < max - done ? n : max - done);
        lost |= n == -ENOBUFS;
        if (n < 0 && n != -ENOBUFS && n != -EINTR)
            break;
        done += n > 0 ? n : 1;
        if (n >= 0 && n < SLOTS)
            break;
    }
    if (done)
        look_for_loss(fs, lost);
    uint64_t now_ns = clock_monotonic_ns();
    round_start(fs, now_ns);
    if (fs->round != ROUND_NONE)
        dump_slice(fs, now_ns);
    return done;
}
