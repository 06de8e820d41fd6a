#include "agent/sensors/listen_sensor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/sensors/diag_socket.h"
#include "common/clock.h"
#include "common/thread.h"

struct listen_buffers {
    uint8_t dump[DIAG_BUFFER_BYTES] __attribute__((aligned(8)));
    struct listener *fresh[LIMIT_LISTEN_NEW];
    uint32_t inodes[LIMIT_LISTEN_NEW];
    bool told[LIMIT_LISTEN_NEW];
    struct diag_space before[LIMIT_DIAG_SPACES];
    union event_buffer empty;
};

/* One look at one namespace. */
struct look {
    struct listen_sensor *l;
    const struct diag_space *space;
    uint32_t round;
    bool first;
    uint8_t proto;
    uint64_t now_ns;
};

/* ---- events ------------------------------------------------------------------------------------------------------- */

static const struct diag_space *space_of(const struct listen_sensor *l, uint32_t serial)
{
    for (int i = 0; i < l->spaces.n_spaces; i++)
        if (l->spaces.spaces[i].serial == serial)
            return &l->spaces.spaces[i];
    return NULL;
}

static void set_place(struct event *ev, const struct listener *s, const struct diag_space *space)
{
    event_set(ev, F_UID, uid, s->uid);
    if (space) {
        event_set(ev, F_NETNS, netns, space->netns);
        event_set(ev, F_NSID, nsid, space->nsid);
    }
    if (!s->pid)
        return;
    event_set(ev, F_PID, pid, s->pid);
    event_set(ev, F_START_NS, start_ns, s->start_ns);
    event_set(ev, F_OWNER, owner, OWNER_SOCKET);
}

static bool put_listener(struct listen_sensor *l, const struct listener *s, const struct diag_space *space, enum listen_phase phase,
                         const struct event *from)
{
    struct event *ev = sensor_event(&l->sensor, EVENT_LISTEN, clock_monotonic_ns(), LIMIT_CGROUP_BYTES + 1);
    if (!ev)
        return false;
    set_place(ev, s, space);
    event_set(ev, F_LISTEN_PHASE, listen_phase, (uint8_t)phase);
    event_set(ev, F_PROTO, proto, s->proto);
    event_set(ev, F_SRC, src, s->address);
    event_set(ev, F_SPORT, sport, s->port);
    if (from && event_knows(from, F_CGROUP))
        event_set_text(ev, F_CGROUP, event_text(from, from->cgroup), from->cgroup.len);
    sensor_commit(&l->sensor, ev);
    return true;
}

/* As socket(2) had it: domain, type, protocol. */
static bool put_packet_socket(struct listen_sensor *l, const struct listener *s, const struct diag_space *space)
{
    static const char name[] = "socket";
    struct event *ev = sensor_event(&l->sensor, EVENT_SYSCALL, clock_monotonic_ns(), sizeof name);
    if (!ev)
        return false;
    set_place(ev, s, space);
    event_set_text(ev, F_SYSCALL, name, sizeof name - 1);
    event_set(ev, F_ARG0, arg0, AF_PACKET);
    event_set(ev, F_ARG1, arg1, s->type);
    event_set(ev, F_ARG2, arg2, htons(s->port));
    sensor_commit(&l->sensor, ev);
    return true;
}

static void put(struct listen_sensor *l, struct listener *s, const struct event *from)
{
    const struct diag_space *space = space_of(l, s->space);
    if (event_knows(from, F_PID)) {
        s->pid = from->pid;
        s->start_ns = from->start_ns;
    }
    bool told = s->proto ? put_listener(l, s, space, s->first ? LISTEN_PRESENT : LISTEN_NEW, from) : put_packet_socket(l, s, space);
    if (told) /* else at the next look */
        s->state = LISTENER_TOLD;
}

struct ending {
    struct listen_sensor *l;
    const struct diag_space *space;
};

static void put_end(void *to, struct listener *s)
{
    const struct ending *e = to;
    if (s->proto)
        put_listener(e->l, s, e->space, LISTEN_END, NULL);
}

/* ---- a look ------------------------------------------------------------------------------------------------------- */

static void see_socket(void *to, const struct inet_socket *s)
{
    struct look *k = to;
    if (listener_is(s, k->proto))
        listeners_see(&k->l->table, k->space->serial, k->round, k->first, k->proto, s, k->now_ns);
}

static void see_packet_socket(void *to, const struct packet_socket *s)
{
    struct look *k = to;
    listeners_see_packet(&k->l->table, k->space->serial, k->round, k->first, s, k->now_ns);
}

/* 0 when everything was seen. */
static int look_at(struct look *k)
{
    static const struct {
        uint8_t proto;
        uint32_t states;
    } kinds[] = { { IPPROTO_TCP, 1u << TCP_LISTEN }, { IPPROTO_UDP, 1u << TCP_CLOSE } };
    uint8_t *buffer = k->l->buffers->dump;
    int error = 0;
    for (int i = 0; i < 4; i++) {
        k->proto = kinds[i / 2].proto;
        int r = diag_dump(k->space->fd, i % 2 ? AF_INET6 : AF_INET, k->proto, kinds[i / 2].states, 0, buffer, see_socket, k);
        error = error ? error : r;
    }
    int r = diag_dump_packets(k->space->fd, buffer, see_packet_socket, k);
    return error ? error : r;
}

static void tell_state(struct listen_sensor *l, int error)
{
    if (error == -ENOENT)
        sensor_state(&l->stats, SENSOR_DEGRADED,
                     "not all listening and packet sockets are seen: the kernel lacks one of tcp_diag, udp_diag, af_packet_diag");
    else if (error)
        sensor_state(&l->stats, SENSOR_DEGRADED, "not all listening sockets are seen: %s", strerror(-error));
    else if (l->spaces_error)
        sensor_state(&l->stats, SENSOR_DEGRADED, "listening sockets of some containers are not seen: %s",
                     l->spaces_error == -ENOSPC ? "too many network namespaces" : strerror(-l->spaces_error));
    else if (l->table.n_refused)
        sensor_state(&l->stats, SENSOR_DEGRADED, "some listening sockets are not told: more than %d", LIMIT_LISTENERS);
    else
        sensor_state(&l->stats, SENSOR_OK, "%s", "");
}

static void look_at_all(struct listen_sensor *l, uint32_t round)
{
    uint64_t refused = l->table.n_refused;
    int error = 0;
    for (int i = 0; i < l->spaces.n_spaces && !l->stopping; i++) {
        struct look k = { .l = l, .space = &l->spaces.spaces[i], .round = round, .now_ns = clock_monotonic_ns() };
        k.first = k.space->serial >= l->looked_until;
        int r = look_at(&k);
        struct ending e = { l, k.space };
        if (!r || r == -ENOENT)
            listeners_sweep(&l->table, k.space->serial, round, put_end, &e);
        error = error ? error : r;
    }
    l->looked_until = l->spaces.next_serial;
    if (l->table.n_refused > refused)
        sensor_count(&l->stats.lost, l->table.n_refused - refused);
    tell_state(l, error);
}

/* ---- what is new -------------------------------------------------------------------------------------------------- */

static int by_inode(const void *a, const void *b)
{
    uint32_t x = (*(struct listener *const *)a)->inode, y = (*(struct listener *const *)b)->inode;
    return (x > y) - (x < y);
}

static bool holder_of(void *to, size_t which, const struct event *ev)
{
    struct listen_sensor *l = to;
    bool first = !l->buffers->told[which];
    if (first)
        put(l, l->buffers->fresh[which], ev);
    l->buffers->told[which] = true;
    return first;
}

static void tell_new(struct listen_sensor *l)
{
    struct listen_buffers *b = l->buffers;
    size_t n = 0;
    for (uint32_t i = 0; i < LIMIT_LISTENERS && n < LIMIT_LISTEN_NEW; i++)
        if (l->table.slots[i].state == LISTENER_WAITING)
            b->fresh[n++] = &l->table.slots[i];
    if (!n)
        return;
    qsort(b->fresh, n, sizeof *b->fresh, by_inode);
    for (size_t i = 0; i < n; i++) {
        b->inodes[i] = b->fresh[i]->inode;
        b->told[i] = false;
    }
    socket_holder_find_many(&l->holder, b->inodes, n, clock_monotonic_ns() + LIMIT_LISTEN_HOLDER_NS, holder_of, l);
    for (size_t i = 0; i < n; i++) {
        event_init(&b->empty.event, EVENT_LISTEN, SOURCE_LISTEN, 0);
        if (!b->told[i]) {
            socket_holder_cgroup(&l->holder, b->fresh[i]->cgroup_id, &b->empty.event);
            put(l, b->fresh[i], &b->empty.event);
        }
    }
}

/* ---- the thread --------------------------------------------------------------------------------------------------- */

/* Namespaces that are gone took their sockets with them. */
static void sweep_gone(struct listen_sensor *l, int n_before)
{
    for (int i = 0; i < n_before; i++) {
        const struct diag_space *space = &l->buffers->before[i];
        struct ending e = { l, space };
        if (!space_of(l, space->serial))
            listeners_sweep(&l->table, space->serial, 0, put_end, &e);
    }
}

static void containers_renew(struct listen_sensor *l)
{
    int n_before = l->spaces.n_spaces, error = 0;
    struct pid_command c;
    memcpy(l->buffers->before, l->spaces.spaces, (size_t)n_before * sizeof *l->spaces.spaces);
    while (pid_commands_next(&l->commands, &c)) {
        int r = c.add ? diag_spaces_add(&l->spaces, c.pid) : 0;
        error = error ? error : r;
        if (!c.add)
            diag_spaces_remove(&l->spaces, c.pid);
    }
    diag_spaces_renew(&l->spaces);
    sweep_gone(l, n_before);
    if (error)
        l->spaces_error = error;
}

/* When to look again, so that looks take no more than their share. */
static uint64_t next_look_ns(uint64_t now_ns, uint64_t spent_ns)
{
    uint64_t pause_ns = spent_ns * 1000 / LIMIT_LISTEN_CPU_PERMILLE;
    return now_ns + (pause_ns > LIMIT_LISTEN_INTERVAL_NS ? pause_ns : LIMIT_LISTEN_INTERVAL_NS);
}

static void *run(void *arg)
{
    struct listen_sensor *l = arg;
    uint64_t due_ns = 0;
    uint32_t round = 0;
    while (!l->stopping) {
        uint64_t now_ns = clock_monotonic_ns(), before_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        containers_renew(l);
        if (now_ns >= due_ns) {
            round += round == UINT32_MAX ? 2 : 1; /* 0 is none */
            look_at_all(l, round);
            tell_new(l);
            now_ns = clock_monotonic_ns();
            due_ns = next_look_ns(now_ns, clock_ns(CLOCK_THREAD_CPUTIME_ID) - before_ns);
        }
        struct pollfd p = { l->commands.fd, POLLIN, 0 };
        if (!l->stopping)
            poll(&p, 1, (int)((due_ns - now_ns) / NS_PER_MS) + 1);
    }
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

int listen_sensor_add(struct listen_sensor *l, int32_t pid)
{
    return pid_commands_send(&l->commands, true, pid);
}

int listen_sensor_remove(struct listen_sensor *l, int32_t pid)
{
    return pid_commands_send(&l->commands, false, pid);
}

int listen_sensor_open(struct listen_sensor *l, int procdir, struct waker *waker)
{
    memset(l, 0, sizeof *l);
    l->commands.fd = l->spaces.own_fd = -1;
    int error = socket_holder_init(&l->holder, procdir);
    l->buffers = calloc(1, sizeof *l->buffers);
    if (!error)
        error = !l->buffers ? -ENOMEM : listeners_init(&l->table, hash_key_random());
    if (!error)
        error = sensor_init(&l->sensor, SOURCE_LISTEN, LIMIT_LISTEN_RING_BYTES, &l->stats, waker);
    if (!error)
        error = pid_commands_init(&l->commands);
    int no_diag = error ? 0 : diag_spaces_init(&l->spaces, procdir);
    if (no_diag)
        sensor_state(&l->stats, SENSOR_OFF, "listening sockets are not seen: the kernel has no sock_diag (%s)", strerror(-no_diag));
    else if (!error)
        error = thread_start(&l->thread, run, l, "listen");
    l->running = !error && !no_diag;
    if (error)
        listen_sensor_close(l);
    return error;
}

void listen_sensor_close(struct listen_sensor *l)
{
    if (l->running) {
        l->stopping = true;
        pid_commands_wake(&l->commands);
        pthread_join(l->thread, NULL);
        l->running = false;
    }
    diag_spaces_fini(&l->spaces);
    socket_holder_fini(&l->holder);
    pid_commands_fini(&l->commands);
    listeners_fini(&l->table);
    sensor_fini(&l->sensor);
    free(l->buffers);
    l->buffers = NULL;
}
