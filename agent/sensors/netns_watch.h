/* Watches over network namespaces: knows those that hold containers (and the host's), keeps our nft table in them, and tells what happens to it
 * (EVENT_NETNS). The table sends DNS messages to NFLOG and, where a namespace tracks no connections by itself and its traffic does not pass the
 * host's (an awsvpc task), makes it track them: then the flow sensor hears of its flows. Where our tracking had to be withdrawn because
 * conntrack's table filled up, connections that end are told instead (EVENT_FLOW).
 *
 * All of it is done by a thread of its own, which goes into the namespaces (setns(2)): libnftables takes milliseconds. A socket or descriptor
 * keeps a namespace alive, with a task's network interface in it: all are closed when the last container of a namespace has ended, or no
 * process is left in it. */
#ifndef ECSGUARD_NETNS_WATCH_H
#define ECSGUARD_NETNS_WATCH_H

#include <pthread.h>

#include "agent/sensors/conntrack_guard.h"
#include "agent/sensors/diag_sensor.h"
#include "agent/sensors/nft_table.h"
#include "agent/sensors/sensor.h"
#include "common/hash.h"

/* Under /proc: who has it locked has the namespaces (flock(2)). Only root can open it. */
#define NETNS_LOCK "vmallocinfo"

struct mnl_socket;

/* For sensors that need a socket in each namespace. Both are called by the watch's thread. */
struct netns_hook {
    void *context;
    void (*opened)(void *context, uint64_t netns, int32_t nsid); /* the calling thread is in the namespace */
    void (*closed)(void *context, uint64_t netns);               /* ... is not: sockets of this namespace are to be closed now */
};

#define NETNS_HOOKS_MAX 4

struct netns_options {
    int proc_fd;           /* /proc, borrowed until close */
    bool dns;              /* DNS messages of all namespaces go to NFLOG_GROUP */
    bool track_containers; /* make namespaces of containers track connections */
    bool track_host;       /* ... and the host's, if nothing there does */
    struct guard_policy guard;
    struct nft_switches host_before; /* how conntrack's switches of the host's namespace were before another sensor of ours set them: kept with the
                                      * table there, so that they are set back even after this process was killed */
};

/* How flows of a namespace become known. */
enum netns_flows {
    NETNS_FLOWS_OFF,       /* by configuration, or it is the host's: as it is */
    NETNS_FLOWS_AWAITED,   /* it has no interface yet */
    NETNS_FLOWS_HOST,      /* its traffic passes the host's namespace, which tracks it */
    NETNS_FLOWS_THERE,     /* something else makes it track */
    NETNS_FLOWS_OURS,      /* we do */
    NETNS_FLOWS_WITHDRAWN, /* we did, but the table filled up */
    NETNS_FLOWS_REFUSED,   /* the kernel did not let us */
};

struct netns_entry {
    uint64_t inode;
    int32_t nsid;
    bool is_host;
    int fd;                 /* the namespace */
    struct mnl_socket *nl;  /* NETLINK_NETFILTER in it: questions */
    int n_members;          /* containers */
    enum netns_flows flows;
    uint64_t links_until_ns; /* an interface is awaited until then */
    uint64_t decided_ns;     /* when `flows` was last judged */
    struct nft_switches before;
    struct conntrack_guard guard;
    /* our table */
    bool installed;
    bool removed;           /* by somebody else, and not put back yet */
    struct nft_table table;
    char refused[128];      /* why the table could not be put there; "" */
    uint64_t fingerprint;
    uint32_t generation;
    uint64_t next_look_ns, retry_ns, backoff_ns, repaired_ns; /* retry_ns: 0 = nothing to try */
    uint64_t orphan_ns;     /* when to look for processes; 0 = not, the first process of a container lives */
    /* what was heard since it was last looked at */
    bool links_changed, table_changed, rules_changed;
    bool touched, filled;   /* the transaction that is being heard is about our table; about what its sets hold */
    int32_t changer_pid;
    char changer[17];
};

/* A container, in the namespace of its first process. */
struct netns_member {
    uint64_t id;            /* hash of the container id; 0 = free */
    int32_t pid;
    int pidfd;              /* -1: it has ended */
    struct netns_entry *entry;
};

struct netns_counters {
    _Atomic uint64_t namespaces, tracking, withdrawn, refused, removed, installs;
};

struct netns_watch {
    struct sensor sensor; /* its ring is what the loop reads */
    struct sensor ends;   /* ... and this one's: ends of connections where tracking is withdrawn */
    struct sensor_stats stats;
    struct diag_sensor diag;
    struct netns_counters counters;
    struct netns_options options;
    struct netns_hook hooks[NETNS_HOOKS_MAX];
    int n_hooks;
    struct hash_key key;
    struct ring commands;
    int command_fd, epoll_fd, own_fd;
    uint64_t own_inode;
    pid_t own_tid;
    struct mnl_socket *changes, *links; /* multicasts of all namespaces: nft tables, interfaces */
    pthread_t thread;
    bool running;
    _Atomic bool stopping;
    int switch_error; /* conntrack's switches cannot be set */
    bool is_lost;   /* the thread could not come back from a namespace */
    bool is_full;   /* more namespaces or containers than we can watch */
    char deaf[128]; /* which multicasts cannot be heard, and why; "" */
    int n_entries;
    struct netns_entry *entries[LIMIT_NETNS];
    struct netns_member members[LIMIT_NETNS_MEMBERS];
};

/* Prepares; hooks are added after it and before the start. 0, or -errno for lack of memory or descriptors. */
int netns_watch_open(struct netns_watch *w, const struct netns_options *options, struct waker *waker);
/* -ENOSPC when there are too many. */
int netns_watch_hook(struct netns_watch *w, const struct netns_hook *hook);
/* Starts the thread, which first removes what an agent that was killed left. 0 or -errno. */
int netns_watch_start(struct netns_watch *w);
/* Ends it: all tables are removed, all switches restored. The ring stays readable until netns_watch_fini(). */
void netns_watch_stop(struct netns_watch *w);
void netns_watch_fini(struct netns_watch *w);

/* From the loop's thread only: a container by one of its processes (again when more is known), `netns_inode` 0 if unknown; and its end. 0,
 * or -EAGAIN when too many wait: counted as lost. */
int netns_watch_container(struct netns_watch *w, const char *container_id, int32_t pid, uint64_t netns_inode);
int netns_watch_end(struct netns_watch *w, const char *container_id);

#endif
