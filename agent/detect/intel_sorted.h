/* Many short keys of one width, each with the number of its list: IPv4 addresses and digests. Kept as packed records in order, with an index of
 * their first bits; nothing but the records themselves takes memory. Equal keys: the lowest number stays. Pure. */
#ifndef ECSGUARD_INTEL_SORTED_H
#define ECSGUARD_INTEL_SORTED_H

#include <stdbool.h>
#include <stdint.h>

struct intel_sorted {
    uint8_t *records; /* key, and the number in two bytes, big endian: one comparison of bytes orders them */
    uint32_t n, room;
    uint32_t *index; /* where the keys with these first bits begin; one more, so that index[i + 1] is the end of i. NULL = not sealed, or empty */
    uint32_t shift;  /* of the first 32 bits, to those of the index */
};

/* `width` is that of the key, 4 to 62 bytes, the same in all calls. 0 or -ENOMEM. */
int intel_sorted_add(struct intel_sorted *s, const void *key, uint32_t width, uint16_t tag);
int intel_sorted_seal(struct intel_sorted *s, uint32_t width);
bool intel_sorted_find(const struct intel_sorted *s, const void *key, uint32_t width, uint16_t *tag);
void intel_sorted_fini(struct intel_sorted *s);

#endif
