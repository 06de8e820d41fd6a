#include "agent/sensors/netns_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include "agent/sensors/netns.h"
#include "agent/sensors/netns_clean.h"
#include "agent/sensors/netns_entry.h"
#include "agent/sensors/nft_decode.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/thread.h"

#define DATAGRAM_BYTES 32768
#define DATAGRAMS 256   /* of one socket, before others get their turn */
#define READY 32
#define ENDS_DATAGRAMS 4096
#define LOCK_PAUSE_US 200000

/* What epoll tells: one of these, or MEMBER + slot for a first process that ended. */
enum { COMMANDS, CHANGES, LINKS, ENDS, MEMBER };

struct command {
    bool add; /* else the container has ended */
    int32_t pid;
    uint64_t id, netns;
};

/* Readiness of a descriptor is told as `what`. */
static int poll_add(struct netns_watch *w, int fd, uint64_t what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = what };
    return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* ---- containers and their namespaces ------------------------------------------------------------------------------ */

static struct netns_entry *find_entry(const struct netns_watch *w, uint64_t inode)
{
    for (int i = 0; i < w->n_entries; i++)
        if (w->entries[i]->inode == inode)
            return w->entries[i];
    return NULL;
}

static struct netns_entry *find_nsid(const struct netns_watch *w, int32_t nsid)
{
    for (int i = 0; i < w->n_entries; i++)
        if (w->entries[i]->nsid == nsid)
            return w->entries[i];
    return NULL;
}

static struct netns_member *find_member(struct netns_watch *w, uint64_t id)
{
    for (int i = 0; i < LIMIT_NETNS_MEMBERS; i++)
        if (w->members[i].id == id)
            return &w->members[i];
    return NULL;
}

static void entry_end(struct netns_watch *w, struct netns_entry *e, bool is_over)
{
    for (int i = 0; i < w->n_entries; i++)
        if (w->entries[i] == e)
            w->entries[i] = w->entries[--w->n_entries];
    for (int i = 0; i < LIMIT_NETNS_MEMBERS; i++)
        if (w->members[i].entry == e) {
            if (w->members[i].pidfd >= 0)
                close(w->members[i].pidfd);
            w->members[i] = (struct netns_member){ .pidfd = -1 };
        }
    netns_entry_free(w, e, is_over);
}

static void member_leave(struct netns_watch *w, struct netns_member *m)
{
    struct netns_entry *e = m->entry;
    if (m->pidfd >= 0)
        close(m->pidfd); /* epoll forgets it */
    *m = (struct netns_member){ .pidfd = -1 };
    if (--e->n_members == 0 && !e->is_host)
        entry_end(w, e, true);
}

/* Its descriptor is readable when the process ends. -1 if it has ended. */
static int watch_process(struct netns_watch *w, int32_t pid, size_t slot)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = MEMBER + slot };
    if (fd >= 0 && epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The namespace that the process is in: a new one is watched from now on. NULL when the process is gone or too many are watched. */
static struct netns_entry *entry_of(struct netns_watch *w, int32_t pid)
{
    char path[32];
    struct stat st;
    int error = 0;
    snprintf(path, sizeof path, "%d/ns/net", pid);
    int fd = openat(w->options.proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct netns_entry *e = find_entry(w, st.st_ino);
    if (!e && w->n_entries == LIMIT_NETNS)
        w->is_full = true;
    if (!e && w->n_entries < LIMIT_NETNS && (e = netns_entry_new(w, fd, st.st_ino, &error))) {
        w->entries[w->n_entries++] = e;
        return e;
    }
    if (error)
        log_warn("netns", "cannot watch the network namespace of process %d: %s", pid, strerror(-error));
    close(fd);
    return e;
}

static void container_add(struct netns_watch *w, const struct command *c)
{
    struct netns_member *m = find_member(w, c->id);
    if (m && m->pid == c->pid && m->pidfd >= 0 && c->netns == m->entry->inode)
        return;
    struct netns_entry *e = entry_of(w, c->pid);
    if (!e)
        return;
    if (!m && !(m = find_member(w, 0))) {
        w->is_full = true;
        if (!e->n_members && !e->is_host)
            entry_end(w, e, true);
        return;
    }
    e->n_members++; /* before it leaves another: that may be the same */
    if (m->id)
        member_leave(w, m);
    *m = (struct netns_member){ .id = c->id, .pid = c->pid, .entry = e, .pidfd = watch_process(w, c->pid, (size_t)(m - w->members)) };
    e->orphan_ns = m->pidfd >= 0 ? 0 : clock_monotonic_ns();
}

static void run_commands(struct netns_watch *w)
{
    uint64_t count;
    size_t size;
    const struct command *next;
    if (read(w->command_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        log_warn("netns", "cannot read: %s", strerror(errno));
    while (!w->stopping && (next = ring_peek(&w->commands, &size))) {
        struct command c = *next;
        ring_pop(&w->commands);
        struct netns_member *m = c.add ? NULL : find_member(w, c.id);
        if (c.add)
            container_add(w, &c);
        else if (m)
            member_leave(w, m);
    }
}

/* Is there any process in the namespace? */
static bool has_process(const struct netns_watch *w, const struct netns_entry *e)
{
    char path[32];
    struct stat st;
    bool found = false;
    int fd = openat(w->options.proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "%.10s/ns/net", entry->d_name);
        found = !fstatat(w->options.proc_fd, path, &st, 0) && st.st_ino == e->inode;
    }
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    return found;
}

/* The first process of a container ended. Its end is told later, or was missed: the namespace may be empty. */
static void process_ended(struct netns_watch *w, size_t slot)
{
    struct netns_member *m = &w->members[slot];
    if (m->pidfd < 0)
        return;
    close(m->pidfd);
    m->pidfd = -1;
    for (int i = 0; i < LIMIT_NETNS_MEMBERS; i++)
        if (w->members[i].entry == m->entry && w->members[i].pidfd >= 0)
            return;
    if (!m->entry->is_host)
        m->entry->orphan_ns = clock_monotonic_ns();
}

/* ---- what is heard ------------------------------------------------------------------------------------------------ */

/* The namespace of a multicast. The kernel only: root of a container may multicast from its own namespace. */
static struct netns_entry *sender_of(const struct netns_watch *w, struct msghdr *message)
{
    const struct sockaddr_nl *from = message->msg_name;
    int32_t nsid = NSID_HOST;
    if (message->msg_namelen != sizeof *from || from->nl_pid != 0 || message->msg_flags & MSG_TRUNC)
        return NULL;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID && c->cmsg_len >= CMSG_LEN(sizeof nsid))
            memcpy(&nsid, CMSG_DATA(c), sizeof nsid);
    return find_nsid(w, nsid);
}

static void hear_nft_message(struct netns_watch *w, struct netns_entry *e, const struct nft_message *m)
{
    if (m->type != NFT_MSG_NEWGEN) {
        bool ours = m->family == NFPROTO_INET && !strcmp(m->table, NFT_TABLE);
        e->touched |= ours;
        e->filled |= ours && (m->type == NFT_MSG_NEWSETELEM || m->type == NFT_MSG_DELSETELEM);
        return;
    }
    /* the end of the transaction, and who made it: the thread, which is the process unless it has several. Whoever looked at the table before it
     * would find the change, but not its maker. */
    bool is_own = m->pid == w->own_tid;
    e->rules_changed |= !is_own;
    e->table_changed |= e->touched;
    if (e->touched && !is_own) {
        e->changer_pid = m->pid;
        memcpy(e->changer, m->comm, sizeof e->changer);
    }
    if (e->filled && !is_own) /* the kernel does that without a transaction, for packets: this was somebody who hides an address */
        e->fingerprint = 0;
    e->touched = e->filled = false;
}

static void hear_nft(struct netns_watch *w, struct netns_entry *e, struct bytes datagram)
{
    struct nft_message m;
    int r;
    while ((r = nft_decode_next(&datagram, &m)) == NFT_MESSAGE)
        hear_nft_message(w, e, &m);
    if (r < 0)
        sensor_count(&w->stats.malformed, 1);
}

/* Something was lost: look at everything. */
static void heard_not(struct netns_watch *w)
{
    sensor_count(&w->stats.overflows, 1);
    sensor_count(&w->stats.resyncs, 1);
    for (int i = 0; i < w->n_entries; i++) {
        w->entries[i]->next_look_ns = 1;
        w->entries[i]->touched = w->entries[i]->filled = false;
        w->entries[i]->links_changed = w->entries[i]->rules_changed = true;
    }
}

static void hear(struct netns_watch *w, struct mnl_socket *nl, bool is_nft)
{
    static _Thread_local char data[DATAGRAM_BYTES] __attribute__((aligned(8)));
    for (int i = 0; i < DATAGRAMS; i++) {
        char control[64] __attribute__((aligned(8)));
        struct sockaddr_nl from;
        struct iovec vector = { data, sizeof data };
        struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                                  .msg_controllen = sizeof control };
        ssize_t n = recvmsg(mnl_socket_get_fd(nl), &message, MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS)
            heard_not(w);
        if (n <= 0)
            return;
        struct netns_entry *e = sender_of(w, &message);
        if (e && is_nft)
            hear_nft(w, e, bytes_of(data, (size_t)n));
        else if (e)
            e->links_changed = true;
    }
}

/* ---- where tracking is not ------------------------------------------------------------------------------------------ */

static bool is_untracked(const struct netns_entry *e)
{
    return e->flows == NETNS_FLOWS_WITHDRAWN || e->flows == NETNS_FLOWS_REFUSED;
}

static bool are_ends_wanted(void *context, int32_t nsid)
{
    const struct netns_entry *e = find_nsid(context, nsid);
    return e && is_untracked(e);
}

static void listen_to_ends(struct netns_watch *w)
{
    bool wanted = false;
    for (int i = 0; i < w->n_entries && !wanted; i++)
        wanted = is_untracked(w->entries[i]);
    if (!wanted)
        diag_sensor_close(&w->diag);
    if (!wanted || w->diag.nl)
        return;
    int r = diag_sensor_open(&w->diag, &w->ends);
    if (!r)
        r = poll_add(w, diag_sensor_fd(&w->diag), ENDS);
    if (r)
        snprintf(w->deaf, sizeof w->deaf, "ends of connections are not seen where they are not tracked: %s", strerror(-r));
}

/* ---- the thread --------------------------------------------------------------------------------------------------- */

static void count_entries(struct netns_watch *w)
{
    uint64_t tracking = 0, withdrawn = 0, refused = 0, removed = 0;
    for (int i = 0; i < w->n_entries; i++) {
        const struct netns_entry *e = w->entries[i];
        tracking += e->flows == NETNS_FLOWS_OURS && e->installed;
        withdrawn += e->flows == NETNS_FLOWS_WITHDRAWN;
        refused += e->refused[0] != 0;
        removed += e->removed;
    }
    atomic_store(&w->counters.namespaces, (uint64_t)w->n_entries);
    atomic_store(&w->counters.tracking, tracking);
    atomic_store(&w->counters.withdrawn, withdrawn);
    atomic_store(&w->counters.refused, refused);
    if (removed)
        sensor_state(&w->stats, SENSOR_DEGRADED, "our nft table was removed in %llu network namespaces again and again: no DNS, and flows of awsvpc "
                     "tasks, are seen there until it is back", (unsigned long long)removed);
    else if (withdrawn)
        sensor_state(&w->stats, SENSOR_DEGRADED, "conntrack fills up in %llu network namespaces: only the ends of connections are seen there; "
                     "raise net.netfilter.nf_conntrack_max", (unsigned long long)withdrawn);
    else if (refused)
        sensor_state(&w->stats, SENSOR_DEGRADED, "our nft table could not be put into %llu network namespaces: see the log for why",
                     (unsigned long long)refused);
    else if (w->is_full)
        sensor_state(&w->stats, SENSOR_DEGRADED, "more than %d network namespaces or %d containers: DNS and flows of some are not seen",
                     LIMIT_NETNS,
                     LIMIT_NETNS_MEMBERS);
    else if (w->switch_error)
        sensor_state(&w->stats, SENSOR_DEGRADED, "bytes of awsvpc tasks' flows are unknown: cannot set net.netfilter.nf_conntrack_acct=1 (%s)",
                     strerror(-w->switch_error));
    else if (w->deaf[0])
        sensor_state(&w->stats, SENSOR_DEGRADED, "%s", w->deaf);
    else
        sensor_state(&w->stats, SENSOR_OK, "%s", "");
}

static uint64_t work(struct netns_watch *w, uint64_t now_ns)
{
    uint64_t due_ns = UINT64_MAX;
    for (int i = w->n_entries - 1; i >= 0 && !w->is_lost && !w->stopping; i--) {
        struct netns_entry *e = w->entries[i];
        if (e->orphan_ns && now_ns >= e->orphan_ns) {
            if (!has_process(w, e)) {
                entry_end(w, e, true);
                continue;
            }
            e->orphan_ns = now_ns + LIMIT_NETNS_ORPHAN_NS;
        }
        netns_entry_work(w, e, now_ns);
        uint64_t entry_due_ns = netns_entry_due(e);
        if (e->orphan_ns && e->orphan_ns < entry_due_ns)
            entry_due_ns = e->orphan_ns;
        if (entry_due_ns < due_ns)
            due_ns = entry_due_ns;
    }
    listen_to_ends(w);
    count_entries(w);
    return due_ns;
}

static void wait_for_more(struct netns_watch *w, uint64_t due_ns)
{
    struct epoll_event ready[READY];
    uint64_t now_ns = clock_monotonic_ns(), wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    int timeout_ms = due_ns == UINT64_MAX ? -1 : wait_ns > 3600 * NS_PER_SECOND ? 3600000 : (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS);
    int n = epoll_wait(w->epoll_fd, ready, READY, timeout_ms);
    for (int i = 0; i < n; i++)
        if (ready[i].data.u64 >= MEMBER)
            process_ended(w, (size_t)(ready[i].data.u64 - MEMBER));
    for (int i = 0; i < n; i++) {
        if (ready[i].data.u64 == COMMANDS)
            run_commands(w);
        else if (ready[i].data.u64 == CHANGES)
            hear(w, w->changes, true);
        else if (ready[i].data.u64 == LINKS)
            hear(w, w->links, false);
        else if (ready[i].data.u64 == ENDS && w->diag.nl)
            diag_sensor_drain(&w->diag, ENDS_DATAGRAMS, are_ends_wanted, w);
    }
}

/* One agent of a host has the namespaces: two would take each other's tables for manipulated. The lock is on a file that only root can open, and
 * goes with the process. Waits for it. The descriptor, or -errno. */
static int take_lock(struct netns_watch *w)
{
    int fd = openat(w->options.proc_fd, NETNS_LOCK, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        sensor_state(&w->stats, SENSOR_OFF, "DNS and flows of awsvpc tasks are not seen: another ecsguardd on this host watches the network namespaces");
        if (w->stopping) {
            close(fd);
            return -EBUSY;
        }
        usleep(LOCK_PAUSE_US);
    }
    return fd;
}

/* What the one before us set and could not set back is ours to set back. */
static void take_over(int *before, int left)
{
    if (*before < 0)
        *before = left;
}

static void clean_up(struct netns_watch *w)
{
    struct netns_cleaned cleaned;
    int r = netns_clean(w->options.proc_fd, true, &cleaned);
    take_over(&w->options.host_before.acct, cleaned.own.acct);
    take_over(&w->options.host_before.events, cleaned.own.events);
    if (r)
        log_warn("netns", "cannot look for what an agent left that was killed: %s", strerror(-r));
    else if (cleaned.tables)
        log_info("netns", "removed the nft tables that an agent left in %d network namespaces when it was killed", cleaned.tables);
}

static void add_host(struct netns_watch *w)
{
    int error, fd = fcntl(w->own_fd, F_DUPFD_CLOEXEC, 0);
    struct netns_entry *e = fd < 0 ? NULL : netns_entry_new(w, fd, w->own_inode, &error);
    if (e)
        w->entries[w->n_entries++] = e;
    else if (fd >= 0)
        close(fd);
}

static void *run(void *arg)
{
    struct netns_watch *w = arg;
    uint64_t due_ns = 0;
    w->own_tid = gettid();
    int lock = take_lock(w);
    if (lock >= 0) {
        clean_up(w);
        add_host(w);
    }
    while (lock >= 0 && !w->stopping && !w->is_lost) {
        wait_for_more(w, due_ns);
        due_ns = work(w, clock_monotonic_ns());
    }
    if (w->is_lost)
        sensor_state(&w->stats, SENSOR_OFF, "DNS and flows of awsvpc tasks are not seen: the thread could not come back from a network namespace");
    else if (lock < 0 && lock != -EBUSY)
        sensor_state(&w->stats, SENSOR_OFF, "DNS and flows of awsvpc tasks are not seen: cannot lock /proc/" NETNS_LOCK ": %s", strerror(-lock));
    while (w->n_entries)
        entry_end(w, w->entries[w->n_entries - 1], false);
    diag_sensor_close(&w->diag);
    if (lock >= 0)
        close(lock);
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

/* A socket that hears a multicast group in all namespaces that have a number. NULL: deaf, `deaf` says so. */
static struct mnl_socket *listen_to(struct netns_watch *w, int bus, unsigned group, uint64_t what, const char *about)
{
    int one = 1, bytes = LIMIT_NETNS_NETLINK_BYTES;
    struct mnl_socket *nl = mnl_socket_open2(bus, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int fd = nl ? mnl_socket_get_fd(nl) : -1;
    if (nl)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    if (!nl || mnl_socket_bind(nl, 1u << (group - 1), MNL_SOCKET_AUTOPID) < 0 || poll_add(w, fd, what)) {
        snprintf(w->deaf, sizeof w->deaf, "%s are not told, only looked at in intervals: %s", about, strerror(errno));
        if (nl)
            mnl_socket_close(nl);
        return NULL;
    }
    if (setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof one))
        snprintf(w->deaf, sizeof w->deaf, "%s in containers are only looked at in intervals: needs CAP_NET_BROADCAST", about);
    return nl;
}

int netns_watch_open(struct netns_watch *w, const struct netns_options *options, struct waker *waker)
{
    struct stat st;
    memset(w, 0, sizeof *w);
    w->options = *options;
    w->key = hash_key_random();
    w->command_fd = w->epoll_fd = w->own_fd = -1;
    for (int i = 0; i < LIMIT_NETNS_MEMBERS; i++)
        w->members[i].pidfd = -1;
    int error = sensor_init(&w->sensor, SOURCE_NETNS, LIMIT_SMALL_RING_BYTES, &w->stats, waker);
    if (!error)
        error = sensor_init(&w->ends, SOURCE_FLOW, LIMIT_NETNS_ENDS_RING_BYTES, &w->stats, waker);
    if (!error)
        error = ring_init(&w->commands, LIMIT_NETNS_COMMANDS_BYTES);
    if (error)
        return error;
    w->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->own_fd = openat(options->proc_fd, "self/ns/net", O_RDONLY | O_CLOEXEC);
    if (w->command_fd < 0 || w->epoll_fd < 0 || w->own_fd < 0 || fstat(w->own_fd, &st) || poll_add(w, w->command_fd, COMMANDS))
        return -errno;
    w->own_inode = st.st_ino;
    w->changes = listen_to(w, NETLINK_NETFILTER, NFNLGRP_NFTABLES, CHANGES, "changes of nft tables");
    w->links = listen_to(w, NETLINK_ROUTE, RTNLGRP_LINK, LINKS, "interfaces");
    return 0;
}

int netns_watch_hook(struct netns_watch *w, const struct netns_hook *hook)
{
    if (w->n_hooks == NETNS_HOOKS_MAX)
        return -ENOSPC;
    w->hooks[w->n_hooks++] = *hook;
    return 0;
}

int netns_watch_start(struct netns_watch *w)
{
    int error = thread_start(&w->thread, run, w, "netns");
    w->running = !error;
    return error;
}

static void wake(struct netns_watch *w)
{
    uint64_t one = 1;
    if (write(w->command_fd, &one, sizeof one) < 0)
        return; /* EAGAIN: it is awake already */
}

void netns_watch_stop(struct netns_watch *w)
{
    if (!w->running)
        return;
    w->stopping = true;
    wake(w);
    pthread_join(w->thread, NULL);
    w->running = false;
}

void netns_watch_fini(struct netns_watch *w)
{
    const int fds[] = { w->command_fd, w->epoll_fd, w->own_fd };
    netns_watch_stop(w);
    if (w->changes)
        mnl_socket_close(w->changes);
    if (w->links)
        mnl_socket_close(w->links);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    w->changes = w->links = NULL;
    w->command_fd = w->epoll_fd = w->own_fd = -1;
    ring_fini(&w->commands);
    sensor_fini(&w->sensor);
    sensor_fini(&w->ends);
}

static int send_command(struct netns_watch *w, const struct command *command)
{
    struct command *c = ring_reserve(&w->commands, sizeof *c, 0);
    if (!c) {
        sensor_count(&w->stats.lost, 1);
        return -EAGAIN;
    }
    *c = *command;
    ring_commit(&w->commands, sizeof *c);
    wake(w);
    return 0;
}

static uint64_t id_of(const struct netns_watch *w, const char *container_id)
{
    uint64_t id = hash_bytes(&w->key, container_id, strlen(container_id));
    return id ? id : 1;
}

int netns_watch_container(struct netns_watch *w, const char *container_id, int32_t pid, uint64_t netns_inode)
{
    return send_command(w, &(struct command){ .add = true, .pid = pid, .id = id_of(w, container_id), .netns = netns_inode });
}

int netns_watch_end(struct netns_watch *w, const char *container_id)
{
    return send_command(w, &(struct command){ .id = id_of(w, container_id) });
}
