/* Domain names, each for itself, for the names below it, or for both. Names stand in one text, one behind the other, and a table by hash finds
 * them. Pure. */
#ifndef ECSGUARD_INTEL_DOMAINS_H
#define ECSGUARD_INTEL_DOMAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/detect/intel_slots.h"

#define INTEL_DOMAIN_MAX 253 /* bytes of a name as text (RFC 1035 §2.3.4: 255 on the wire) */
#define INTEL_COVERS_SELF 1u
#define INTEL_COVERS_BELOW 2u
#define INTEL_DOMAIN_TAG_MAX 0x3fff /* two bits of 16 say what is covered */

struct intel_domains {
    uint8_t *text; /* records: number and what is covered in two bytes, length, name */
    uint32_t size, room, n;
    struct intel_slots slots;
};

/* A name of a question, taken apart once: hashes of itself and of what stands behind each of its dots. */
struct intel_domain_name {
    char text[INTEL_DOMAIN_MAX]; /* lower case; the end of it, if it is longer */
    size_t cut;                  /* bytes that stand before it in the question */
    uint16_t length, n;
    struct {
        uint64_t hash;
        uint16_t start; /* in text */
    } suffixes[128];    /* the shortest first; the last is the whole name, unless it was cut */
};

/* Is this a name that a list may hold? Labels of 1 to 63 bytes, which are letters, digits, "-", "_" or above 0x7f, the last of them not only of digits. */
bool intel_domain_is_valid(const char *name, size_t length);

/* A valid name. 0, -ENOMEM or -ENOSPC (4 GiB of text). */
int intel_domains_add(struct intel_domains *s, const char *name, size_t length, unsigned covers, uint16_t tag);
int intel_domains_seal(struct intel_domains *s, const struct hash_key *key);

void intel_domain_name_init(struct intel_domain_name *name, const struct hash_key *key, const char *text, size_t length);
/* The most specific name that covers it: true, with its number and the suffix it is. */
bool intel_domains_find(const struct intel_domains *s, const struct intel_domain_name *name, uint16_t *tag, uint16_t *suffix);
void intel_domains_fini(struct intel_domains *s);

#endif
