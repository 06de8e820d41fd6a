/* What is being added up at the same time, each until it is due: a fixed number of them. Pure. */
#ifndef ECSGUARD_BURST_SET_H
#define ECSGUARD_BURST_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At the start of what is added up. */
struct burst_head {
    bool used;
    uint64_t due_ns;
};

struct burst_set {
    uint8_t *items;
    size_t size; /* of one */
    uint32_t n, n_open;
};

int burst_set_init(struct burst_set *s, uint32_t n, size_t size); /* 0 or -ENOMEM */
void burst_set_fini(struct burst_set *s);

/* The i-th; the one that is due first, NULL = none is open. */
struct burst_head *burst_set_at(const struct burst_set *s, uint32_t i);
struct burst_head *burst_set_first(const struct burst_set *s);

/* A free one, zeroed and open from now on; NULL when all are: end the first. */
struct burst_head *burst_set_open(struct burst_set *s, uint64_t due_ns);
void burst_set_close(struct burst_set *s, struct burst_head *burst);

#endif
