/* Networks, IPv4 and IPv6, that may lie inside each other: the most specific one that covers an address is found. And single IPv6
 * addresses. Pure. */
#ifndef ECSGUARD_INTEL_NETWORKS_H
#define ECSGUARD_INTEL_NETWORKS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/detect/intel_slots.h"

#define INTEL_NONE UINT32_MAX
#define INTEL_STEP 16

struct intel_entry4 {
    uint32_t start;
    uint32_t parent; /* index of the smallest network around this one, or INTEL_NONE */
    uint16_t tag;
    uint8_t prefix;
};

struct intel_entry6 {
    uint64_t start[2];
    uint32_t parent;
    uint16_t tag;
    uint8_t prefix;
};

/* Sorted by start, wide networks first, when sealed. */
struct intel_networks4 {
    struct intel_entry4 *entries;
    uint32_t n, room;
    uint32_t *index; /* by the first bits: where they begin; one more, so that index[i + 1] is the end of i. NULL = not sealed, or empty */
    uint32_t shift;  /* of an address, to those bits */
};

struct intel_networks6 {
    struct intel_entry6 *entries;
    uint32_t n, room;
    uint64_t (*sample)[2]; /* the start of every INTEL_STEP-th: small enough for the processor's cache */
};

int intel_networks4_add(struct intel_networks4 *s, uint32_t start, unsigned prefix, uint16_t tag);
int intel_networks4_seal(struct intel_networks4 *s);
const struct intel_entry4 *intel_networks4_find(const struct intel_networks4 *s, uint32_t address);
void intel_networks4_fini(struct intel_networks4 *s);

int intel_networks6_add(struct intel_networks6 *s, const uint64_t start[2], unsigned prefix, uint16_t tag);
int intel_networks6_seal(struct intel_networks6 *s);
const struct intel_entry6 *intel_networks6_find(const struct intel_networks6 *s, const uint64_t address[2]);
void intel_networks6_fini(struct intel_networks6 *s);

/* Their addresses crowd in few networks, so that a search by order would take many steps: a table by hash. */
struct intel_host6 {
    uint64_t address[2];
    uint16_t tag;
} __attribute__((packed));

struct intel_hosts6 {
    struct intel_host6 *hosts;
    uint32_t n, room;
    struct intel_slots slots;
};

int intel_hosts6_add(struct intel_hosts6 *s, const uint64_t address[2], uint16_t tag);
int intel_hosts6_seal(struct intel_hosts6 *s, const struct hash_key *key);
bool intel_hosts6_find(const struct intel_hosts6 *s, const struct hash_key *key, const uint64_t address[2], uint16_t *tag);
void intel_hosts6_fini(struct intel_hosts6 *s);

#endif
