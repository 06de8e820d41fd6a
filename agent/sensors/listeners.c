#include "agent/sensors/listeners.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#define WAYS 8
#define SETS (LIMIT_LISTENERS / WAYS)
#define FIRST_PORT_BY_KERNEL 32768 /* ip_local_port_range of ip(7) */

int listeners_init(struct listeners *t, struct hash_key hash)
{
    *t = (struct listeners){ .slots = calloc(LIMIT_LISTENERS, sizeof *t->slots), .hash = hash };
    return t->slots ? 0 : -ENOMEM;
}

void listeners_fini(struct listeners *t)
{
    free(t->slots);
    t->slots = NULL;
}

bool listener_is(const struct inet_socket *s, uint8_t proto)
{
    return s->lport && (proto == IPPROTO_TCP ? s->state == TCP_LISTEN : s->state == TCP_CLOSE && !s->pport);
}

static uint64_t key_of(const struct listeners *t, const struct listener *l)
{
    uint8_t bytes[48] = { l->proto, l->type, l->address.family };
    memcpy(bytes + 4, &l->port, sizeof l->port);
    memcpy(bytes + 8, &l->space, sizeof l->space);
    memcpy(bytes + 12, &l->uid, sizeof l->uid);
    memcpy(bytes + 16, l->address.bytes, sizeof l->address.bytes);
    memcpy(bytes + 32, &l->cookie, sizeof l->cookie);
    return hash_bytes(&t->hash, bytes, sizeof bytes);
}

/* The slot of this key; a free one (its state says so) when it is not there; NULL without room. */
static struct listener *slot_of(struct listeners *t, uint64_t key)
{
    struct listener *set = &t->slots[key % SETS * WAYS], *room = NULL;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].state != LISTENER_FREE && set[i].key == key)
            return &set[i];
        if (set[i].state == LISTENER_FREE)
            room = &set[i];
    }
    return room;
}

static void see(struct listeners *t, struct listener *seen, uint64_t now_ns)
{
    seen->key = key_of(t, seen);
    struct listener *at = slot_of(t, seen->key);
    bool young = seen->proto == IPPROTO_UDP && seen->port >= FIRST_PORT_BY_KERNEL;
    if (!at) {
        t->n_refused++;
        return;
    }
    if (at->state == LISTENER_FREE) {
        seen->since_ns = now_ns;
        seen->state = young ? LISTENER_YOUNG : LISTENER_WAITING;
        *at = *seen;
    } else if (at->state == LISTENER_YOUNG && now_ns >= at->since_ns + LIMIT_LISTEN_UDP_NS) {
        at->state = LISTENER_WAITING;
    }
    at->round = seen->round;
    if (at->state != LISTENER_TOLD)
        at->inode = seen->inode; /* the present one, for who will look for its holder */
}

void listeners_see(struct listeners *t, uint32_t space, uint32_t round, bool first, uint8_t proto, const struct inet_socket *s, uint64_t now_ns)
{
    struct listener l = { .proto = proto, .first = first, .port = s->lport, .space = space, .round = round, .inode = s->inode, .uid = s->uid,
                          .address = s->local, .cgroup_id = s->cgroup_id };
    see(t, &l, now_ns);
}

void listeners_see_packet(struct listeners *t, uint32_t space, uint32_t round, bool first, const struct packet_socket *s, uint64_t now_ns)
{
    struct listener l = { .type = s->type, .first = first, .port = s->proto, .space = space, .round = round, .inode = s->inode, .uid = s->uid,
                          .cookie = s->cookie };
    see(t, &l, now_ns);
}

void listeners_sweep(struct listeners *t, uint32_t space, uint32_t round, listener_visit *ended, void *to)
{
    for (uint32_t i = 0; i < LIMIT_LISTENERS; i++) {
        struct listener *l = &t->slots[i];
        if (l->state == LISTENER_FREE || l->space != space || (round && l->round == round))
            continue;
        if (l->state == LISTENER_TOLD)
            ended(to, l);
        *l = (struct listener){ .state = LISTENER_FREE };
    }
}
