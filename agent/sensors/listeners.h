/* The listening sockets known from the last look, to tell what is new and what ended. Pure. Bounded (LIMIT_LISTENERS): one for which there is
 * no room is not told, and counted. */
#ifndef ECSGUARD_LISTENERS_H
#define ECSGUARD_LISTENERS_H

#include "agent/sensors/inet_diag_decode.h"
#include "common/hash.h"

enum listener_state {
    LISTENER_FREE,
    LISTENER_YOUNG,   /* a UDP socket that is probably a client's: not told yet */
    LISTENER_WAITING, /* to be told */
    LISTENER_TOLD,
};

struct listener {
    uint8_t state; /* enum listener_state */
    uint8_t proto; /* IPPROTO_TCP, IPPROTO_UDP; 0 = a packet socket */
    uint8_t type;  /* of a packet socket: SOCK_RAW, SOCK_DGRAM */
    bool first;    /* was there when the namespace was looked at for the first time */
    uint16_t port; /* of a packet socket: ETH_P_* */
    uint32_t space; /* serial of its namespace */
    uint32_t round; /* the last look that saw it */
    uint32_t inode; /* of one of its sockets */
    uint32_t uid;
    struct address address;
    int32_t pid;      /* 0 = not found */
    uint64_t start_ns; /* of pid */
    uint64_t cgroup_id, cookie; /* cookie: of a packet socket, else 0 */
    uint64_t since_ns, key;
};

struct listeners {
    struct listener *slots; /* LIMIT_LISTENERS */
    struct hash_key hash;
    uint64_t n_refused; /* found no room */
};

int listeners_init(struct listeners *t, struct hash_key hash); /* 0 or -ENOMEM */
void listeners_fini(struct listeners *t);

/* Does this socket listen? */
bool listener_is(const struct inet_socket *s, uint8_t proto);

/* Look number `round` at namespace `space` found this; `first` as above. */
void listeners_see(struct listeners *t, uint32_t space, uint32_t round, bool first, uint8_t proto, const struct inet_socket *s, uint64_t now_ns);
void listeners_see_packet(struct listeners *t, uint32_t space, uint32_t round, bool first, const struct packet_socket *s, uint64_t now_ns);

/* Each of the namespace that look `round` did not see is given to `ended` and forgotten, if it was told; all of them with round 0. */
typedef void listener_visit(void *to, struct listener *l);
void listeners_sweep(struct listeners *t, uint32_t space, uint32_t round, listener_visit *ended, void *to);

#endif
