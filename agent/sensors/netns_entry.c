#include "agent/sensors/netns_entry.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>

#include "agent/sensors/ct_request.h"
#include "agent/sensors/netns.h"
#include "agent/sensors/netns_links.h"
#include "agent/sensors/netns_table.h"
#include "agent/sensors/nft_look.h"
#include "common/clock.h"
#include "common/log.h"

#define WHY_BYTES 128

/* ---- there and back ----------------------------------------------------------------------------------------------- */

static int go_there(struct netns_watch *w, const struct netns_entry *e)
{
    return w->is_lost ? -EPERM : e->is_host || !setns(e->fd, CLONE_NEWNET) ? 0 : -errno;
}

static void come_back(struct netns_watch *w, const struct netns_entry *e)
{
    if (e->is_host || !setns(w->own_fd, CLONE_NEWNET))
        return;
    w->is_lost = true; /* cannot be: we came from there */
    log_error("netns", "cannot come back from network namespace %llu: %s", (unsigned long long)e->inode, strerror(errno));
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 5, 6))) static void tell(struct netns_watch *w, const struct netns_entry *e, enum netns_op op, int32_t pid,
                                                       const char *format, ...)
{
    char reason[192];
    va_list args;
    struct event *ev = sensor_event(&w->sensor, EVENT_NETNS, clock_monotonic_ns(), sizeof reason);
    if (!ev)
        return;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    event_set(ev, F_NETNS, netns, e->inode);
    event_set(ev, F_NSID, nsid, e->nsid);
    event_set(ev, F_NETNS_OP, netns_op, (uint8_t)op);
    event_set(ev, F_TRACKS, tracks, e->installed && e->table.tracks);
    if (pid)
        event_set(ev, F_PID, pid, pid);
    if (reason[0])
        event_set_text(ev, F_REASON, reason, strlen(reason));
    sensor_commit(&w->sensor, ev);
}

/* ---- how its flows become known ----------------------------------------------------------------------------------- */

/* In the namespace. Something else than our rule makes it track: for IPv4 and IPv6, or for the one that it has. */
static bool tracks_itself(const struct netns_entry *e)
{
    int v4 = ct_tracks(e->nl, AF_INET), v6 = ct_tracks(e->nl, AF_INET6);
    return (v4 > 0 && v6) || (v6 > 0 && v4);
}

/* In the namespace. */
static enum netns_flows decide(const struct netns_watch *w, const struct netns_entry *e, uint64_t now_ns)
{
    struct netns_links links = { 0 };
    if (e->is_host ? !w->options.track_host : !w->options.track_containers)
        return NETNS_FLOWS_OFF;
    if (!e->is_host) {
        int r = netns_links_look(w->own_fd, &links);
        if (!r && links.bridged)
            return NETNS_FLOWS_HOST;
        if (!r && !links.n && now_ns < e->links_until_ns)
            return NETNS_FLOWS_AWAITED;
    }
    if (e->flows == NETNS_FLOWS_OURS || e->flows == NETNS_FLOWS_WITHDRAWN)
        return e->flows; /* with our rule there it cannot be told whether others track as well */
    return tracks_itself(e) ? NETNS_FLOWS_THERE : NETNS_FLOWS_OURS;
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

static uint64_t next_backoff(struct netns_entry *e)
{
    uint64_t longer_ns = e->backoff_ns * 2;
    e->backoff_ns = !e->backoff_ns ? LIMIT_NETNS_RETRY_NS : longer_ns < LIMIT_NETNS_RETRY_MAX_NS ? longer_ns : LIMIT_NETNS_RETRY_MAX_NS;
    return e->backoff_ns;
}

/* In the namespace. What it is like now is what it has to be like. */
static int remember(struct netns_entry *e)
{
    struct nft_found found;
    int r = nft_look_generation(e->nl, &e->generation);
    if (!r)
        r = nft_look_table(e->nl, &found);
    if (!r && !found.ours)
        r = -ENOENT; /* removed already: the next look tells it */
    e->fingerprint = r ? 0 : found.fingerprint;
    e->next_look_ns = clock_monotonic_ns() + (r ? LIMIT_NETNS_RETRY_NS : LIMIT_NETNS_LOOK_NS);
    return r;
}

/* In the namespace. Conntrack's switches before the table, whose comment tells how they were. The host's are the flow sensor's. */
static void set_switches(struct netns_watch *w, struct netns_entry *e)
{
    if (e->is_host)
        return;
    bool on = e->flows == NETNS_FLOWS_OURS || e->flows == NETNS_FLOWS_THERE;
    int r = on ? netns_switches_on(w->options.proc_fd, &e->before) : 0;
    if (!on)
        netns_switches_restore(w->options.proc_fd, &e->before);
    if (r && !w->switch_error)
        w->switch_error = r;
}

/* In the namespace. 0, or -errno with the reason. */
static int put(struct netns_watch *w, struct netns_entry *e, char *why, size_t why_size)
{
    struct nft_found found;
    uint32_t count, max;
    if (e->flows == NETNS_FLOWS_OURS && ct_fill(e->nl, &count, &max)) {
        snprintf(why, why_size, "conntrack does not tell how many flows there are: tracking without a guard would be a risk");
        return -EOPNOTSUPP;
    }
    if (!e->installed && !e->removed && !nft_look_table(e->nl, &found) && found.exists && !found.ours) {
        snprintf(why, why_size, "there is a table inet " NFT_TABLE " that is not ours");
        return -EEXIST;
    }
    set_switches(w, e);
    bool tracks = e->flows == NETNS_FLOWS_OURS;
    e->table = (struct nft_table){ .dns = w->options.dns, .tracks = tracks, .holds_back = tracks && !e->is_host, .before = e->before };
    bool wanted = e->table.dns || e->table.tracks;
    int r = wanted ? netns_table_put(&e->table, why, why_size) : e->installed ? netns_table_remove(why, why_size) : 0;
    if (r && e->table.holds_back) { /* a kernel without limits in sets, or an old library */
        char refused[WHY_BYTES];
        text_copy(refused, sizeof refused, why, strlen(why));
        e->table.holds_back = false;
        why[0] = 0;
        r = netns_table_put(&e->table, why, why_size);
        if (!r)
            log_info("netns", "the kernel cannot hold back what it tells of floods of flows, so all is told: %s", refused);
    }
    if (!r) {
        e->installed = wanted;
        e->removed = false;
        sensor_count(&w->counters.installs, wanted);
        remember(e);
    }
    return r;
}

/* In the namespace. Puts the table as it has to be and tells `op`; if the kernel refuses to track, then at least for DNS. */
__attribute__((format(printf, 4, 5))) static void apply(struct netns_watch *w, struct netns_entry *e, enum netns_op op, const char *format, ...)
{
    char why[WHY_BYTES] = "", reason[WHY_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    uint64_t now_ns = clock_monotonic_ns();
    int r = put(w, e, why, sizeof why);
    e->retry_ns = r ? now_ns + next_backoff(e) : 0;
    if (r && e->flows == NETNS_FLOWS_OURS && r != -EEXIST) {
        e->flows = NETNS_FLOWS_REFUSED;
        if (w->options.dns)
            put(w, e, reason, sizeof reason); /* told as refused all the same, with the reason of the other half */
    }
    if (why[0]) {
        if (strcmp(e->refused, why))
            tell(w, e, NETNS_REFUSED, 0, "%s", why);
        text_copy(e->refused, sizeof e->refused, why, strlen(why));
        return;
    }
    e->refused[0] = 0;
    if (e->installed || op == NETNS_WITHDRAWN)
        tell(w, e, op, 0, "%s", reason);
}

/* In the namespace. */
static void decide_and_apply(struct netns_watch *w, struct netns_entry *e, uint64_t now_ns)
{
    e->links_changed = e->rules_changed = false;
    e->decided_ns = now_ns;
    enum netns_flows before = e->flows, flows = decide(w, e, now_ns);
    bool first = !e->installed && !e->removed;
    if (flows == before && !first)
        return;
    bool was_ours = before == NETNS_FLOWS_OURS;
    e->flows = flows;
    if (flows == NETNS_FLOWS_OURS)
        conntrack_guard_init(&e->guard, now_ns);
    if (was_ours)
        apply(w, e, NETNS_WITHDRAWN, "its traffic passes the host's network namespace now");
    else if (first || flows == NETNS_FLOWS_OURS)
        apply(w, e, NETNS_WATCHED, "%s", "");
    else if (before == NETNS_FLOWS_THERE || flows == NETNS_FLOWS_THERE)
        set_switches(w, e);
}

/* ---- somebody else's changes -------------------------------------------------------------------------------------- */

static void tell_removed(struct netns_watch *w, struct netns_entry *e, const struct nft_found *found)
{
    const char *what = !found->exists ? "the nft table inet " NFT_TABLE " was removed" :
                       !found->ours   ? "the nft table inet " NFT_TABLE " was replaced" : "the nft table inet " NFT_TABLE " was changed";
    if (e->changer_pid)
        tell(w, e, NETNS_REMOVED, e->changer_pid, "%s by process %d (%s)", what, e->changer_pid, e->changer);
    else
        tell(w, e, NETNS_REMOVED, 0, "%s; it is not known by whom", what);
    e->changer_pid = 0; /* the next change has a maker of its own */
}

/* Is our table as it has to be? Put back at once, but not again and again against somebody who removes it: then ever more seldom. */
static void look_at_table(struct netns_watch *w, struct netns_entry *e, uint64_t now_ns)
{
    struct nft_found found;
    uint32_t generation;
    bool told = e->table_changed;
    e->table_changed = false;
    e->next_look_ns = now_ns + LIMIT_NETNS_LOOK_NS;
    if (e->removed) /* known, and to be put back in any case: whoever goes on changing it costs us nothing */
        return;
    int r = nft_look_generation(e->nl, &generation);
    if (!r && !told && generation == e->generation)
        return;
    if (!r)
        r = nft_look_table(e->nl, &found);
    if (r) {
        e->next_look_ns = now_ns + LIMIT_NETNS_RETRY_NS / 10; /* somebody changed something just then */
        return;
    }
    e->generation = generation;
    if (found.fingerprint == e->fingerprint)
        return;
    e->removed = true;
    tell_removed(w, e, &found);
    sensor_count(&w->counters.removed, 1);
    if (now_ns - e->repaired_ns > LIMIT_NETNS_CALM_NS)
        e->backoff_ns = 0;
    e->retry_ns = now_ns + (e->repaired_ns && now_ns - e->repaired_ns < LIMIT_NETNS_CALM_NS ? next_backoff(e) : 0);
    if (!e->retry_ns)
        e->retry_ns = 1;
}

/* In the namespace. */
static void try_again(struct netns_watch *w, struct netns_entry *e, uint64_t now_ns)
{
    if (e->removed) {
        e->repaired_ns = now_ns;
        apply(w, e, NETNS_RESTORED, "%s", "");
    } else {
        if (e->flows == NETNS_FLOWS_REFUSED) {
            e->flows = NETNS_FLOWS_OURS;
            conntrack_guard_init(&e->guard, now_ns);
        }
        apply(w, e, NETNS_WATCHED, "%s", "");
    }
}

/* ---- the guard ---------------------------------------------------------------------------------------------------- */

static void guard_look(struct netns_watch *w, struct netns_entry *e, uint64_t now_ns)
{
    uint32_t count = 0, max = 0;
    int r = ct_fill(e->nl, &count, &max);
    enum guard_advice advice = r ? GUARD_STAY : conntrack_guard_look(&e->guard, &w->options.guard, count, max, now_ns);
    if (r)
        e->guard.next_ns = now_ns + LIMIT_GUARD_IDLE_NS;
    if (advice != GUARD_STAY && go_there(w, e)) {
        e->guard.withdrawn = e->flows == NETNS_FLOWS_WITHDRAWN; /* as it was: again at the next look */
        e->guard.next_ns = now_ns + LIMIT_GUARD_IDLE_NS;
        return;
    }
    if (advice == GUARD_STAY)
        return;
    unsigned percent = (unsigned)(count * 100ull / (max ? max : 1));
    if (advice == GUARD_WITHDRAW) {
        e->flows = NETNS_FLOWS_WITHDRAWN;
        apply(w, e, NETNS_WITHDRAWN, "conntrack holds %u of %u flows (%u %%): a full table would lose packets", count, max, percent);
    } else if (advice == GUARD_RETURN) {
        e->flows = NETNS_FLOWS_OURS;
        apply(w, e, NETNS_WATCHED, "conntrack holds %u of %u flows (%u %%) again", count, max, percent);
    } else if (!tracks_itself(e)) {
        ct_flush(e->nl); /* flows that nobody follows: no packet is looked up there */
    }
    come_back(w, e);
}

static bool is_guarded(const struct netns_entry *e)
{
    return e->flows == NETNS_FLOWS_OURS || e->flows == NETNS_FLOWS_WITHDRAWN;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

/* When how its flows become known has to be judged anew; 0 = it has not. Whoever changes interfaces or rules all the time does not keep us busy. */
static uint64_t decision_due(const struct netns_entry *e)
{
    if (e->links_changed)
        return e->decided_ns + LIMIT_NETNS_DECIDE_NS;
    if (e->rules_changed && e->flows == NETNS_FLOWS_THERE) /* what made it track may be gone */
        return e->decided_ns + 10 * LIMIT_NETNS_DECIDE_NS;
    return e->flows == NETNS_FLOWS_AWAITED ? e->links_until_ns : 0;
}

uint64_t netns_entry_due(const struct netns_entry *e)
{
    uint64_t due_ns = e->installed ? e->next_look_ns : UINT64_MAX;
    const uint64_t others_ns[] = { is_guarded(e) ? e->guard.next_ns : 0, decision_due(e), e->retry_ns };
    for (size_t i = 0; i < sizeof others_ns / sizeof others_ns[0]; i++)
        if (others_ns[i] && others_ns[i] < due_ns)
            due_ns = others_ns[i];
    return due_ns;
}

/* The namespace cannot be entered. */
static void postpone(struct netns_entry *e, uint64_t now_ns)
{
    e->links_changed = e->rules_changed = false;
    e->links_until_ns = now_ns + LIMIT_NETNS_RETRY_MAX_NS;
    if (e->retry_ns)
        e->retry_ns = now_ns + next_backoff(e);
}

void netns_entry_work(struct netns_watch *w, struct netns_entry *e, uint64_t now_ns)
{
    if (e->installed && (e->table_changed || now_ns >= e->next_look_ns))
        look_at_table(w, e, now_ns);
    uint64_t decision_ns = decision_due(e);
    bool decision = decision_ns && now_ns >= decision_ns, retry = e->retry_ns && now_ns >= e->retry_ns;
    if (decision || retry) {
        if (go_there(w, e)) {
            postpone(e, now_ns);
            return;
        }
        if (decision)
            decide_and_apply(w, e, now_ns);
        if (e->retry_ns && now_ns >= e->retry_ns)
            try_again(w, e, now_ns);
        come_back(w, e);
    }
    if (is_guarded(e) && now_ns >= e->guard.next_ns)
        guard_look(w, e, now_ns);
}

/* In the namespace: its socket for questions, the hooks' sockets, the table. */
static int move_in(struct netns_watch *w, struct netns_entry *e)
{
    e->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!e->nl || mnl_socket_bind(e->nl, 0, MNL_SOCKET_AUTOPID) < 0)
        return -errno;
    for (int i = 0; i < w->n_hooks; i++)
        w->hooks[i].opened(w->hooks[i].context, e->inode, e->nsid);
    decide_and_apply(w, e, clock_monotonic_ns());
    return 0;
}

struct netns_entry *netns_entry_new(struct netns_watch *w, int fd, uint64_t inode, int *error)
{
    struct netns_entry *e = calloc(1, sizeof *e);
    *error = -ENOMEM;
    if (!e)
        return NULL;
    *e = (struct netns_entry){ .inode = inode, .fd = fd, .is_host = inode == w->own_inode, .nsid = NSID_HOST, .before = { -1, -1 } };
    if (e->is_host)
        e->before = w->options.host_before;
    e->links_until_ns = clock_monotonic_ns() + LIMIT_NETNS_LINKS_NS;
    if (!e->is_host)
        netns_nsid_of_fd(fd, true, &e->nsid); /* without a number its changes and flows are not heard */
    *error = go_there(w, e);
    if (!*error) {
        *error = move_in(w, e);
        come_back(w, e);
    }
    if (!*error)
        return e;
    if (e->nl)
        mnl_socket_close(e->nl);
    free(e);
    return NULL;
}

void netns_entry_free(struct netns_watch *w, struct netns_entry *e, bool is_over)
{
    char why[WHY_BYTES];
    struct nft_found found;
    bool was_watched = e->installed;
    if (is_over && e->flows == NETNS_FLOWS_OURS)
        ct_flush(e->nl); /* or the flows that are left would end without a word, with the namespace */
    if (!go_there(w, e)) {
        bool there = e->installed && !nft_look_table(e->nl, &found) && found.ours;
        if (there && netns_table_remove(why, sizeof why))
            log_warn("netns", "the table in network namespace %llu stays until the next start: %s", (unsigned long long)e->inode, why);
        netns_switches_restore(w->options.proc_fd, &e->before);
        come_back(w, e);
    }
    e->installed = false;
    for (int i = 0; i < w->n_hooks; i++)
        w->hooks[i].closed(w->hooks[i].context, e->inode);
    if (was_watched)
        tell(w, e, NETNS_END, 0, "%s", "");
    mnl_socket_close(e->nl);
    close(e->fd);
    free(e);
}
