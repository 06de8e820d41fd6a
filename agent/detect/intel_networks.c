#include "agent/detect/intel_networks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/intel_room.h"

/* ---- IPv4 ---- */

int intel_networks4_add(struct intel_networks4 *s, uint32_t start, unsigned prefix, uint16_t tag)
{
    if (intel_room((void **)&s->entries, s->n, &s->room, sizeof *s->entries))
        return -ENOMEM;
    uint32_t mask = ~0u << (32 - prefix);
    s->entries[s->n++] = (struct intel_entry4){ start & mask, INTEL_NONE, tag, (uint8_t)prefix };
    return 0;
}

static int compare4(const void *a, const void *b)
{
    const struct intel_entry4 *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->prefix != y->prefix ? x->prefix - y->prefix : x->tag - y->tag; /* tags count up in the order of loading */
}

static bool covers4(const struct intel_entry4 *e, uint32_t address)
{
    return (address & ~0u << (32 - e->prefix)) == e->start;
}

/* Of equal ones the first stays; each is linked to the one around it. */
static void link4(struct intel_networks4 *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        struct intel_entry4 *e = &s->entries[i];
        if (n && e->start == s->entries[n - 1].start && e->prefix == s->entries[n - 1].prefix)
            continue;
        e->parent = n ? n - 1 : INTEL_NONE;
        while (e->parent != INTEL_NONE && !covers4(&s->entries[e->parent], e->start))
            e->parent = s->entries[e->parent].parent;
        s->entries[n++] = *e;
    }
    s->n = n;
}

int intel_networks4_seal(struct intel_networks4 *s)
{
    if (!s->n)
        return 0;
    qsort(s->entries, s->n, sizeof *s->entries, compare4);
    link4(s);
    intel_room_trim((void **)&s->entries, s->n, &s->room, sizeof *s->entries);
    uint32_t bits = intel_index_bits(s->n), places = (1u << bits) + 1;
    s->shift = 32 - bits;
    s->index = intel_index_new(places);
    if (!s->index)
        return -ENOMEM;
    for (uint32_t i = 0, at = 0; i < places; i++) {
        while (at < s->n && s->entries[at].start >> s->shift < i)
            at++;
        s->index[i] = at;
    }
    return 0;
}

/* The last entry that starts at or before the address is the most specific candidate: networks are nested or apart, so whatever else
 * covers the address covers that entry too and is one of its parents. */
const struct intel_entry4 *intel_networks4_find(const struct intel_networks4 *s, uint32_t address)
{
    if (!s->index)
        return NULL;
    uint32_t place = address >> s->shift, low = s->index[place], high = s->index[place + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->entries[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t at = low ? low - 1 : INTEL_NONE;
    while (at != INTEL_NONE && !covers4(&s->entries[at], address))
        at = s->entries[at].parent;
    return at == INTEL_NONE ? NULL : &s->entries[at];
}

void intel_networks4_fini(struct intel_networks4 *s)
{
    free(s->entries);
    free(s->index);
    memset(s, 0, sizeof *s);
}

/* ---- IPv6 ---- */

static uint64_t mask64(unsigned prefix)
{
    return prefix ? ~0ull << (64 - prefix) : 0;
}

int intel_networks6_add(struct intel_networks6 *s, const uint64_t start[2], unsigned prefix, uint16_t tag)
{
    if (intel_room((void **)&s->entries, s->n, &s->room, sizeof *s->entries))
        return -ENOMEM;
    struct intel_entry6 *e = &s->entries[s->n++];
    *e = (struct intel_entry6){ .parent = INTEL_NONE, .tag = tag, .prefix = (uint8_t)prefix };
    e->start[0] = start[0] & mask64(prefix < 64 ? prefix : 64);
    e->start[1] = start[1] & mask64(prefix < 64 ? 0 : prefix - 64);
    return 0;
}

static int compare6(const void *a, const void *b)
{
    const struct intel_entry6 *x = a, *y = b;
    for (int i = 0; i < 2; i++)
        if (x->start[i] != y->start[i])
            return x->start[i] < y->start[i] ? -1 : 1;
    return x->prefix != y->prefix ? x->prefix - y->prefix : x->tag - y->tag;
}

static bool covers6(const struct intel_entry6 *e, const uint64_t address[2])
{
    if ((address[0] & mask64(e->prefix < 64 ? e->prefix : 64)) != e->start[0])
        return false;
    return e->prefix <= 64 || (address[1] & mask64(e->prefix - 64u)) == e->start[1];
}

static void link6(struct intel_networks6 *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        struct intel_entry6 *e = &s->entries[i];
        const struct intel_entry6 *last = n ? &s->entries[n - 1] : NULL;
        if (last && e->start[0] == last->start[0] && e->start[1] == last->start[1] && e->prefix == last->prefix)
            continue;
        e->parent = n ? n - 1 : INTEL_NONE;
        while (e->parent != INTEL_NONE && !covers6(&s->entries[e->parent], e->start))
            e->parent = s->entries[e->parent].parent;
        s->entries[n++] = *e;
    }
    s->n = n;
}

int intel_networks6_seal(struct intel_networks6 *s)
{
    if (!s->n)
        return 0;
    qsort(s->entries, s->n, sizeof *s->entries, compare6);
    link6(s);
    intel_room_trim((void **)&s->entries, s->n, &s->room, sizeof *s->entries);
    s->sample = calloc(s->n / INTEL_STEP + 1, sizeof *s->sample);
    if (!s->sample)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n; i += INTEL_STEP)
        memcpy(s->sample[i / INTEL_STEP], s->entries[i].start, sizeof *s->sample);
    return 0;
}

static bool not_after(const uint64_t start[2], const uint64_t address[2])
{
    return start[0] != address[0] ? start[0] < address[0] : start[1] <= address[1];
}

const struct intel_entry6 *intel_networks6_find(const struct intel_networks6 *s, const uint64_t address[2])
{
    if (!s->sample)
        return NULL;
    uint32_t low = 0, high = s->n / INTEL_STEP + (s->n % INTEL_STEP != 0);
    while (low < high) { /* how many samples are not after the address */
        uint32_t middle = low + (high - low) / 2;
        if (not_after(s->sample[middle], address))
            low = middle + 1;
        else
            high = middle;
    }
    high = low * INTEL_STEP < s->n ? low * INTEL_STEP : s->n;
    low = low ? (low - 1) * INTEL_STEP : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (not_after(s->entries[middle].start, address))
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t at = low ? low - 1 : INTEL_NONE;
    while (at != INTEL_NONE && !covers6(&s->entries[at], address))
        at = s->entries[at].parent;
    return at == INTEL_NONE ? NULL : &s->entries[at];
}

void intel_networks6_fini(struct intel_networks6 *s)
{
    free(s->entries);
    free(s->sample);
    memset(s, 0, sizeof *s);
}

/* ---- single IPv6 addresses ---- */

int intel_hosts6_add(struct intel_hosts6 *s, const uint64_t address[2], uint16_t tag)
{
    if (intel_room((void **)&s->hosts, s->n, &s->room, sizeof *s->hosts))
        return -ENOMEM;
    s->hosts[s->n++] = (struct intel_host6){ { address[0], address[1] }, tag };
    return 0;
}

static uint64_t hash6(const struct hash_key *key, const uint64_t address[2])
{
    return intel_hash_word(intel_hash_word(key->k0, address[0], key), address[1], key);
}

static const struct intel_host6 *find_host6(const struct intel_hosts6 *s, uint64_t hash, const uint64_t address[2])
{
    for (uint32_t at = intel_slots_first(&s->slots, hash); s->slots.slots[at].at != INTEL_SLOT_FREE; at = intel_slots_next(&s->slots, at)) {
        const struct intel_slot *slot = &s->slots.slots[at];
        const struct intel_host6 *host = &s->hosts[slot->at];
        if (slot->mark == (uint16_t)hash && host->address[0] == address[0] && host->address[1] == address[1])
            return host;
    }
    return NULL;
}

int intel_hosts6_seal(struct intel_hosts6 *s, const struct hash_key *key)
{
    uint32_t n = 0;
    if (!s->n)
        return 0;
    if (intel_slots_init(&s->slots, s->n))
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n; i++) {
        const uint64_t address[2] = { s->hosts[i].address[0], s->hosts[i].address[1] };
        uint64_t hash = hash6(key, address);
        if (find_host6(s, hash, address))
            continue;
        s->hosts[n] = s->hosts[i];
        intel_slots_put(&s->slots, hash, n++);
    }
    s->n = n;
    intel_room_trim((void **)&s->hosts, s->n, &s->room, sizeof *s->hosts);
    return 0;
}

bool intel_hosts6_find(const struct intel_hosts6 *s, const struct hash_key *key, const uint64_t address[2], uint16_t *tag)
{
    const struct intel_host6 *host = s->slots.n ? find_host6(s, hash6(key, address), address) : NULL;
    if (host)
        *tag = host->tag;
    return host != NULL;
}

void intel_hosts6_fini(struct intel_hosts6 *s)
{
    free(s->hosts);
    intel_slots_fini(&s->slots);
    memset(s, 0, sizeof *s);
}
