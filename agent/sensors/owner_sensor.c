#include "agent/sensors/owner_sensor.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sensors/ct_decode.h"
#include "agent/sensors/diag_socket.h"
#include "agent/sensors/netlink_attrs.h"
#include "agent/sensors/netns.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/thread.h"

#define NO_SPACE UINT32_MAX
#define SAME_FLOW_NS (2 * NS_PER_SECOND)     /* in which the other namespace tells the same flow */
#define SOURCE_NS (10 * NS_PER_SECOND)       /* an address is believed to be where it was */
#define RENEW_NS (5 * NS_PER_SECOND)
#define LISTEN_AGAIN_NS (LIMIT_OWNER_CPU_BURST_NS / 2) /* saved up before it listens again */
#define PAUSE_MS 100
#define FLOOD_NS (100 * NS_PER_MS)
#define FIRST_PORT_BY_KERNEL 32768           /* ip_local_port_range(ip(7)): programs that bind choose lower ones */

enum command_kind { COMMAND_ADD, COMMAND_REMOVE, COMMAND_ASK };

struct command {
    enum command_kind kind;
    int32_t pid;
    struct owner_question question; /* COMMAND_ASK, as far as it is used */
};

struct owner_buffers {
    uint8_t datagram[LIMIT_FLOW_DATAGRAM_BYTES] __attribute__((aligned(8)));
    uint8_t dump[DIAG_BUFFER_BYTES] __attribute__((aligned(8)));
    union event_buffer answer;
};

/* ---- answers ------------------------------------------------------------------------------------------------------ */

/* What is known of the socket and, with F_PID in `from`, of its holder. */
static void put_answer(struct owner_sensor *o, uint64_t flow_id, uint64_t time_ns, const struct inet_socket *s, const struct event *from)
{
    struct event *ev = sensor_event(&o->sensor, EVENT_SOCKETS, time_ns, LIMIT_CGROUP_BYTES + 1);
    if (!ev)
        return;
    event_set(ev, F_FLOW_ID, flow_id, flow_id);
    if (s)
        event_set(ev, F_UID, uid, s->uid);
    if (event_knows(from, F_PID)) {
        event_set(ev, F_PID, pid, from->pid);
        event_set(ev, F_START_NS, start_ns, from->start_ns);
        event_set(ev, F_OWNER, owner, OWNER_SOCKET);
    }
    if (event_knows(from, F_CGROUP))
        event_set_text(ev, F_CGROUP, event_text(from, from->cgroup), from->cgroup.len);
    sensor_commit(&o->sensor, ev);
}

/* The process that holds the socket `s`: 1; without one its control group at least: 0, or -ETIME when not all could be looked at. */
static int find_holder(struct owner_sensor *o, const struct inet_socket *s, const struct holder_question *q)
{
    struct event *ev = &o->buffers->answer.event;
    int r = s->inode ? socket_holder_find(&o->holder, q, ev) : 0;
    if (r > 0)
        return r;
    event_init(ev, EVENT_SOCKETS, SOURCE_REQUEST, 0);
    socket_holder_cgroup(&o->holder, s->cgroup_id, ev);
    return r;
}

/* ---- the socket --------------------------------------------------------------------------------------------------- */

struct twins {
    uint32_t inode;
    bool several;
};

static void count_twin(void *to, const struct inet_socket *s)
{
    struct twins *t = to;
    t->several |= s->inode != t->inode;
}

/* Several UDP sockets may have one port (SO_REUSEPORT): then a lookup gives any of them. Ports that the kernel gave out are one socket's. */
static bool is_ambiguous(struct owner_sensor *o, int fd, const struct diag_question *q, const struct inet_socket *s)
{
    struct twins twins = { .inode = s->inode };
    if (q->proto != IPPROTO_UDP || s->pport || s->lport >= FIRST_PORT_BY_KERNEL)
        return false;
    for (int v6 = 0; v6 < 2; v6++)
        diag_dump(fd, v6 ? AF_INET6 : AF_INET, IPPROTO_UDP, 1u << TCP_CLOSE, s->lport, o->buffers->dump, count_twin, &twins);
    return twins.several;
}

static uint64_t key_of(const void *data, size_t size)
{
    static const struct hash_key fixed = { 0x6f776e65, 0x72736f63 }; /* what collides is looked at once less or more */
    uint64_t key = hash_bytes(&fixed, data, size);
    return key ? key : 1;
}

static const struct diag_space *space_by_serial(const struct owner_sensor *o, uint32_t serial)
{
    for (int i = 0; i < o->spaces.n_spaces; i++)
        if (o->spaces.spaces[i].serial == serial)
            return &o->spaces.spaces[i];
    return NULL;
}

/* A flow that the host's namespace tells: its own, or one that it forwards for a container. Then that is found by trying, and remembered. */
static const struct diag_space *search_spaces(struct owner_sensor *o, const struct diag_question *q, struct inet_socket *s, uint64_t now_ns)
{
    uint64_t key = key_of(&q->local, sizeof q->local);
    struct owner_source *source = &o->sources[key % OWNER_SOURCES];
    bool known = source->key == key && now_ns < source->until_ns;
    const struct diag_space *space = known ? space_by_serial(o, source->serial) : NULL;
    if (known && source->serial == NO_SPACE)
        return NULL;
    if (space && diag_lookup(space->fd, q, s) > 0)
        return space;
    for (int i = 0; i < o->spaces.n_spaces; i++)
        if (&o->spaces.spaces[i] != space && diag_lookup(o->spaces.spaces[i].fd, q, s) > 0) {
            *source = (struct owner_source){ .key = key, .until_ns = now_ns + SOURCE_NS, .serial = o->spaces.spaces[i].serial };
            return &o->spaces.spaces[i];
        }
    if (!space) /* where the address is known a single socket may well be gone */
        *source = (struct owner_source){ .key = key, .until_ns = now_ns + SOURCE_NS, .serial = NO_SPACE };
    return NULL;
}

/* True with the socket in *s. `began`: the flow began just now by what this socket sent, so it is not one that listens on the same port. */
static bool find_socket(struct owner_sensor *o, int32_t nsid, const struct diag_question *q, bool began, struct inet_socket *s, uint64_t now_ns)
{
    const struct diag_space *space = nsid == NSID_HOST ? search_spaces(o, q, s, now_ns) : diag_space_by_nsid(&o->spaces, nsid);
    if (!space || (nsid != NSID_HOST && diag_lookup(space->fd, q, s) <= 0))
        return false;
    if (began && q->proto == IPPROTO_TCP && !s->pport)
        return false;
    return !is_ambiguous(o, space->fd, q, s);
}

/* ---- new flows ---------------------------------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void budget_fill(struct owner_sensor *o, uint64_t now_ns)
{
    o->budget_ns += (int64_t)((now_ns - o->budget_at_ns) / 1000 * LIMIT_OWNER_CPU_PERMILLE);
    o->budget_at_ns = now_ns;
    if (o->budget_ns > (int64_t)LIMIT_OWNER_CPU_BURST_NS)
        o->budget_ns = (int64_t)LIMIT_OWNER_CPU_BURST_NS;
}

/* True when it was not in the table, into which it is put. */
static bool seen_first(struct owner_seen *table, size_t size, uint64_t key, uint64_t now_ns, uint64_t for_ns)
{
    struct owner_seen *at = &table[key % size];
    bool first = at->key != key || now_ns >= at->until_ns;
    *at = (struct owner_seen){ .key = key, .until_ns = now_ns + for_ns };
    return first;
}

static uint64_t flow_key(const struct event *ev)
{
    struct {
        struct address src, dst;
        uint16_t sport, dport;
        uint8_t proto, zero;
    } of = { .src = ev->src, .dst = ev->dst, .sport = ev->sport, .dport = ev->dport, .proto = ev->proto };
    return key_of(&of, sizeof of);
}

/* By protocol and address only: a scan of ports is one destination. */
static bool is_first_seen(struct owner_sensor *o, const struct event *ev, uint64_t now_ns)
{
    struct {
        struct address src, dst;
        uint8_t proto, zero;
    } of = { .src = ev->src, .dst = ev->dst, .proto = ev->proto };
    return seen_first(o->destinations, LIMIT_OWNER_SEEN, key_of(&of, sizeof of), now_ns, LIMIT_OWNER_SEEN_NS);
}

static bool may_repeat(struct owner_sensor *o, uint64_t now_ns)
{
    const uint64_t each_ns = NS_PER_SECOND / LIMIT_OWNER_REPEATS_PER_SECOND, start_ns = o->repeats_paid_ns > now_ns ? o->repeats_paid_ns : now_ns;
    if (start_ns + each_ns > now_ns + LIMIT_OWNER_REPEATS_AT_ONCE * each_ns)
        return false;
    o->repeats_paid_ns = start_ns + each_ns;
    return true;
}

/* Told before by the other namespace, and found? */
static bool is_known(const struct owner_sensor *o, uint64_t key, uint64_t now_ns)
{
    const struct owner_seen *at = &o->flows[key % OWNER_FLOWS];
    return at->key == key && now_ns < at->until_ns;
}

static void new_flow(struct owner_sensor *o, const struct event *ev, uint64_t now_ns)
{
    struct inet_socket s;
    const struct diag_question q = { .proto = ev->proto, .local = ev->src, .peer = ev->dst, .lport = ev->sport, .pport = ev->dport };
    uint64_t key = flow_key(ev);
    bool first = is_first_seen(o, ev, now_ns);
    sensor_count(&o->counters.heard, 1);
    if (is_known(o, key, now_ns))
        return;
    if ((!first && (o->behind || !may_repeat(o, now_ns))) || ring_used(&o->sensor.ring) > LIMIT_OWNER_RING_BYTES / 2) {
        sensor_count(&o->counters.skipped, 1);
        return;
    }
    if (!find_socket(o, ev->nsid, &q, true, &s, now_ns)) {
        sensor_count(&o->counters.gone, 1);
        return;
    }
    const struct holder_question who = { .inode = s.inode, .uid = s.uid, .cgroup_id = s.cgroup_id, .deadline_ns = now_ns + LIMIT_OWNER_NEW_NS };
    int found = find_holder(o, &s, &who);
    sensor_count(found > 0 ? &o->counters.found : &o->counters.gone, 1);
    if (found < 0)
        return; /* it may be asked for, with more time */
    o->flows[key % OWNER_FLOWS] = (struct owner_seen){ .key = key, .until_ns = now_ns + SAME_FLOW_NS };
    put_answer(o, ev->flow_id, now_ns, &s, &o->buffers->answer.event);
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

/* One datagram of conntrack. False when there is none. */
static bool flow_read(struct owner_sensor *o)
{
    struct sockaddr_nl sender;
    char control[64] __attribute__((aligned(8)));
    struct iovec vector = { o->buffers->datagram, sizeof o->buffers->datagram };
    struct msghdr m = { .msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                        .msg_controllen = sizeof control };
    struct event ev;
    const uint8_t *message;
    size_t size;
    ssize_t n = recvmsg(o->flow_fd, &m, MSG_DONTWAIT);
    if (n < 0 && errno == ENOBUFS)
        sensor_count(&o->counters.skipped, 1);
    if (n < 0)
        return errno == ENOBUFS || errno == EINTR;
    uint64_t now_ns = clock_monotonic_ns();
    struct bytes datagram = bytes_of(o->buffers->datagram, (size_t)n);
    /* Root of a container may multicast to our group from its own namespace: only port 0 is the kernel. */
    while (sender.nl_pid == 0 && netlink_next(&datagram, &message, &size) > 0) {
        event_init(&ev, EVENT_FLOW, SOURCE_FLOW, now_ns);
        if (!ct_decode(&ev, message, size, nsid_of(&m)) && ev.flow_phase == FLOW_NEW && (ev.proto == IPPROTO_TCP || ev.proto == IPPROTO_UDP))
            new_flow(o, &ev, now_ns);
    }
    return true;
}

/* Our own ear for new flows: the flow sensor's is read in intervals, which is too late for short processes. */
static int open_flows(struct owner_sensor *o)
{
    int one = 1, bytes = LIMIT_OWNER_RCVBUF_BYTES;
    const struct sockaddr_nl name = { .nl_family = AF_NETLINK };
    o->flow_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (o->flow_fd < 0 || bind(o->flow_fd, (const void *)&name, sizeof name))
        return -errno;
    if (setsockopt(o->flow_fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
        setsockopt(o->flow_fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (setsockopt(o->flow_fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof one))
        sensor_state(&o->stats, SENSOR_DEGRADED,
                     "processes of flows are found late in containers with their own network: needs CAP_NET_BROADCAST (%s)",
                     strerror(errno));
    int group = NFNLGRP_CONNTRACK_NEW;
    if (setsockopt(o->flow_fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group))
        return -errno;
    o->listens = true;
    return 0;
}

/* What waited meanwhile is not worth a look any more: a new socket is cheaper than reading it. */
static void pause_listening(struct owner_sensor *o)
{
    sensor_count(&o->counters.pauses, 1);
    o->listens = false;
    if (o->flow_fd >= 0)
        close(o->flow_fd);
    o->flow_fd = -1;
}

/* A flood is no short connections whose processes would be found: even hearing of it costs more than it is worth, here and for who makes it. */
static void look_for_flood(struct owner_sensor *o, uint64_t now_ns, uint64_t heard)
{
    if (now_ns > o->flood_since_ns + FLOOD_NS) {
        o->flood_since_ns = now_ns;
        o->flood_heard = 0;
    }
    o->flood_heard += heard;
    if (o->flood_heard > LIMIT_OWNER_FLOOD)
        o->budget_ns = 0;
}

/* More flows begin than can be looked at. */
static bool is_behind(const struct owner_sensor *o)
{
    uint32_t info[SK_MEMINFO_VARS] = { 0 };
    socklen_t size = sizeof info;
    return !getsockopt(o->flow_fd, SOL_SOCKET, SO_MEMINFO, info, &size) && info[SK_MEMINFO_RMEM_ALLOC] > LIMIT_OWNER_BEHIND_BYTES;
}

static void flows_read(struct owner_sensor *o, uint64_t now_ns)
{
    uint64_t before_ns = cpu_ns(), heard = o->counters.heard;
    o->behind = is_behind(o);
    for (int i = 0; i < 16 && flow_read(o); i++)
        ;
    o->budget_ns -= (int64_t)(cpu_ns() - before_ns);
    look_for_flood(o, now_ns, o->counters.heard - heard);
    if (o->budget_ns <= 0)
        pause_listening(o);
}

static void listen_again(struct owner_sensor *o)
{
    if (o->listens || !o->hears || o->budget_ns < (int64_t)LISTEN_AGAIN_NS)
        return;
    if (open_flows(o))
        pause_listening(o); /* and try again */
}

/* ---- the loop's commands ------------------------------------------------------------------------------------------ */

static int32_t nsid_of_pid(const struct owner_sensor *o, int32_t pid)
{
    char path[32];
    struct stat st;
    snprintf(path, sizeof path, "%d/ns/net", pid);
    if (!pid || fstatat(o->holder.procdir, path, &st, 0))
        return NSID_HOST;
    const struct diag_space *space = diag_space_by_netns(&o->spaces, st.st_ino);
    return space ? space->nsid : NSID_UNKNOWN;
}

static void answer(struct owner_sensor *o, const struct owner_question *question)
{
    uint64_t now_ns = clock_monotonic_ns();
    struct inet_socket s = { 0 };
    const struct diag_question q = { .proto = question->proto, .local = question->local, .peer = question->peer, .lport = question->lport,
                                     .pport = question->pport };
    int32_t nsid = nsid_of_pid(o, question->netns_pid);
    struct event *ev = &o->buffers->answer.event;
    event_init(ev, EVENT_SOCKETS, SOURCE_REQUEST, 0);
    bool known = find_socket(o, nsid, &q, false, &s, now_ns);
    const struct holder_question who = { .inode = s.inode, .uid = s.uid, .cgroup_id = s.cgroup_id, .candidates = question->candidates,
                                         .n_candidates = question->n_candidates, .oldest = true, .deadline_ns = now_ns + LIMIT_OWNER_ASKED_NS };
    sensor_count(&o->counters.asked, 1);
    if (known && find_holder(o, &s, &who) > 0)
        sensor_count(&o->counters.answered, 1);
    put_answer(o, question->flow_id, clock_monotonic_ns(), known ? &s : NULL, ev);
}

static void tell_trouble(struct owner_sensor *o, int error)
{
    if (error == -ENOSPC)
        sensor_state(&o->stats, SENSOR_DEGRADED,
                     "processes of flows are not found in some containers: more than %d network namespaces", LIMIT_DIAG_SPACES);
    else if (error)
        sensor_state(&o->stats, SENSOR_DEGRADED,
                     "processes of flows are not found in some containers: %s", strerror(-error));
}

static void commands_run(struct owner_sensor *o)
{
    uint64_t count;
    size_t size;
    const struct command *c;
    if (read(o->wake_fd, &count, sizeof count) < 0)
        return; /* EAGAIN: nobody woke us */
    while ((c = ring_peek(&o->commands, &size))) {
        switch (c->kind) {
        case COMMAND_ADD:
            tell_trouble(o, diag_spaces_add(&o->spaces, c->pid));
            memset(o->sources, 0, sizeof o->sources);
            break;
        case COMMAND_REMOVE:
            diag_spaces_remove(&o->spaces, c->pid);
            break;
        case COMMAND_ASK:
            answer(o, &c->question);
            break;
        }
        ring_pop(&o->commands);
    }
}

static int command_send(struct owner_sensor *o, const struct command *command, size_t size)
{
    uint64_t one = 1;
    struct command *to = ring_reserve(&o->commands, size, 0);
    if (!to)
        return -EAGAIN;
    memcpy(to, command, size);
    ring_commit(&o->commands, size);
    if (write(o->wake_fd, &one, sizeof one) < 0)
        return 0; /* EAGAIN: it is awake already */
    return 0;
}

int owner_sensor_add(struct owner_sensor *o, int32_t pid)
{
    const struct command c = { .kind = COMMAND_ADD, .pid = pid };
    return command_send(o, &c, offsetof(struct command, question));
}

int owner_sensor_remove(struct owner_sensor *o, int32_t pid)
{
    const struct command c = { .kind = COMMAND_REMOVE, .pid = pid };
    return command_send(o, &c, offsetof(struct command, question));
}

int owner_sensor_ask(struct owner_sensor *o, const struct owner_question *question)
{
    struct command c = { .kind = COMMAND_ASK };
    uint32_t n = question->n_candidates < OWNER_CANDIDATES ? question->n_candidates : OWNER_CANDIDATES;
    memcpy(&c.question, question, offsetof(struct owner_question, candidates) + n * sizeof *question->candidates);
    c.question.n_candidates = n;
    int r = command_send(o, &c, offsetof(struct command, question.candidates) + n * sizeof *question->candidates);
    if (r)
        sensor_count(&o->stats.lost, 1);
    return r;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static void look_around(struct owner_sensor *o, uint64_t now_ns)
{
    if (now_ns < o->renewed_ns + RENEW_NS)
        return;
    o->renewed_ns = now_ns;
    diag_spaces_renew(&o->spaces);
}

static void *run(void *arg)
{
    struct owner_sensor *o = arg;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), -20); /* needs CAP_SYS_NICE; without it more is missed */
    o->budget_at_ns = clock_monotonic_ns();
    o->budget_ns = (int64_t)LIMIT_OWNER_CPU_BURST_NS;
    while (!o->stopping) {
        struct pollfd p[2] = { { o->wake_fd, POLLIN, 0 }, { o->listens ? o->flow_fd : -1, POLLIN, 0 } };
        int timeout = o->hears && !o->listens ? PAUSE_MS : (int)(RENEW_NS / NS_PER_MS);
        poll(p, 2, timeout);
        uint64_t now_ns = clock_monotonic_ns();
        budget_fill(o, now_ns);
        if (p[1].revents)
            flows_read(o, now_ns);
        if (p[0].revents)
            commands_run(o);
        listen_again(o);
        look_around(o, now_ns);
    }
    return NULL;
}

static int open_parts(struct owner_sensor *o, int procdir, bool hear_flows)
{
    int r = diag_spaces_init(&o->spaces, procdir);
    if (r) {
        sensor_state(&o->stats, SENSOR_OFF,
                     "processes of flows are not found: the kernel has no sock_diag, load the modules tcp_diag and udp_diag (%s)",
                     strerror(-r));
        return 1;
    }
    sensor_state(&o->stats, SENSOR_OK, "%s", "");
    r = hear_flows ? open_flows(o) : 0;
    o->hears = hear_flows && !r;
    if (r)
        sensor_state(&o->stats, SENSOR_DEGRADED,
                     "processes of flows are found late, those of short ones not at all: cannot listen to conntrack (%s)",
                     strerror(-r));
    return 0;
}

int owner_sensor_open(struct owner_sensor *o, int procdir, bool hear_flows, struct waker *waker)
{
    memset(o, 0, sizeof *o);
    o->wake_fd = o->flow_fd = o->spaces.own_fd = -1;
    int error = socket_holder_init(&o->holder, procdir);
    o->opened = true;
    o->buffers = calloc(1, sizeof *o->buffers);
    if (!error)
        error = sensor_init(&o->sensor, SOURCE_REQUEST, LIMIT_OWNER_RING_BYTES, &o->stats, waker);
    if (!error)
        error = !o->buffers ? -ENOMEM : ring_init(&o->commands, LIMIT_OWNER_COMMANDS_BYTES);
    o->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!error && o->wake_fd < 0)
        error = -errno;
    if (!error && open_parts(o, procdir, hear_flows) == 0) {
        error = thread_start(&o->thread, run, o, "owner");
        o->running = !error;
    }
    if (error)
        owner_sensor_close(o);
    return error;
}

void owner_sensor_close(struct owner_sensor *o)
{
    uint64_t one = 1;
    if (o->running) {
        o->stopping = true;
        if (write(o->wake_fd, &one, sizeof one) == sizeof one)
            pthread_join(o->thread, NULL);
    }
    o->running = false;
    diag_spaces_fini(&o->spaces);
    if (o->opened)
        socket_holder_fini(&o->holder);
    if (o->flow_fd >= 0)
        close(o->flow_fd);
    if (o->wake_fd >= 0)
        close(o->wake_fd);
    o->flow_fd = o->wake_fd = -1;
    ring_fini(&o->commands);
    sensor_fini(&o->sensor);
    free(o->buffers);
    o->buffers = NULL;
}
