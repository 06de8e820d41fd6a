#include "agent/detect/intel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/intel_room.h"
#include "common/bytes.h"
#include "common/text.h"

static const char *const category_names[INTEL_CATEGORIES] = {
    [INTEL_OTHER] = "other",
    [INTEL_CRYPTO] = "crypto",
    [INTEL_CRYPTO_REPUTATION] = "crypto-reputation",
    [INTEL_C2] = "c2",
    [INTEL_TOR_RELAY] = "tor-relay",
    [INTEL_TOR_GUARD] = "tor-guard",
    [INTEL_BLACKHOLE] = "blackhole",
    [INTEL_DROPPOINT] = "droppoint",
    [INTEL_DGA] = "dga",
    [INTEL_DRIVEBY] = "driveby",
    [INTEL_PHISHING] = "phishing",
    [INTEL_ABUSED] = "abused",
    [INTEL_MALICIOUS] = "malicious",
    [INTEL_SUSPICIOUS] = "suspicious",
    [INTEL_MALWARE] = "malware",
    [INTEL_CUSTOM] = "custom",
};

enum intel_category intel_category_find(const char *name, size_t length)
{
    for (int i = 0; i < INTEL_CATEGORIES; i++)
        if (strlen(category_names[i]) == length && !memcmp(category_names[i], name, length))
            return (enum intel_category)i;
    return INTEL_OTHER;
}

const char *intel_category_name(enum intel_category category)
{
    return category_names[category];
}

/* ---- life ---- */

void intel_init(struct intel *intel)
{
    memset(intel, 0, sizeof *intel);
    intel->key = hash_key_random();
    intel->bytes_max = LIMIT_INTEL_BYTES;
}

static void set_fini(struct intel_set *set)
{
    intel_sorted_fini(&set->hosts4);
    intel_networks4_fini(&set->networks4);
    intel_hosts6_fini(&set->hosts6);
    intel_networks6_fini(&set->networks6);
    intel_domains_fini(&set->domains);
    intel_sorted_fini(&set->hashes);
}

void intel_fini(struct intel *intel)
{
    set_fini(&intel->threats);
    set_fini(&intel->trusted);
    free(intel->tags);
    memset(intel, 0, sizeof *intel);
}

/* ---- filling ---- */

int intel_tag(struct intel *intel, const char *list, const char *category, uint16_t *tag)
{
    for (uint32_t i = intel->n_tags; i-- > 0;) /* the last one added is the likeliest */
        if (!strncmp(intel->tags[i].category, category, INTEL_CATEGORY_MAX - 1) && !strncmp(intel->tags[i].list, list, INTEL_LIST_MAX - 1)) {
            *tag = (uint16_t)i;
            return 0;
        }
    if (intel->n_tags == LIMIT_INTEL_TAGS)
        return -ENOSPC;
    if (intel_room((void **)&intel->tags, intel->n_tags, &intel->room_tags, sizeof *intel->tags))
        return -ENOMEM;
    struct intel_tag *t = &intel->tags[intel->n_tags];
    text_copy(t->list, sizeof t->list, list, strlen(list));
    text_copy(t->category, sizeof t->category, category, strlen(category));
    t->kind = intel_category_find(t->category, strlen(t->category));
    *tag = (uint16_t)intel->n_tags++;
    return 0;
}

/* Counts what an entry will take. */
static int take_bytes(struct intel *intel, size_t bytes)
{
    if (intel_count(intel) >= LIMIT_INTEL_ENTRIES || intel->bytes + bytes > intel->bytes_max) {
        intel->n_refused++;
        return -ENOSPC;
    }
    intel->bytes += bytes;
    return 0;
}

static struct intel_set *set_of(struct intel *intel, bool trusted)
{
    return trusted ? &intel->trusted : &intel->threats;
}

static int add_network4(struct intel *intel, struct intel_set *set, uint16_t tag, const struct address *a, unsigned prefix)
{
    int r = take_bytes(intel, prefix == 32 ? sizeof(uint32_t) + sizeof tag + INTEL_INDEX_BYTES : sizeof(struct intel_entry4) + INTEL_INDEX_BYTES);
    if (r)
        return r;
    return prefix == 32 ? intel_sorted_add(&set->hosts4, a->bytes, 4, tag)
                        : intel_networks4_add(&set->networks4, load_be32(a->bytes), prefix, tag);
}

static int add_network6(struct intel *intel, struct intel_set *set, uint16_t tag, const struct address *a, unsigned prefix)
{
    const uint64_t words[2] = { load_be64(a->bytes), load_be64(a->bytes + 8) };
    int r = take_bytes(intel, prefix == 128 ? sizeof(struct intel_host6) + INTEL_SLOT_BYTES : sizeof(struct intel_entry6) + INTEL_INDEX_BYTES);
    if (r)
        return r;
    return prefix == 128 ? intel_hosts6_add(&set->hosts6, words, tag) : intel_networks6_add(&set->networks6, words, prefix, tag);
}

int intel_add_network(struct intel *intel, bool trusted, uint16_t tag, const struct address *address, unsigned prefix)
{
    struct intel_set *set = set_of(intel, trusted);
    return address->family == 4 ? add_network4(intel, set, tag, address, prefix) : add_network6(intel, set, tag, address, prefix);
}

int intel_add_domain(struct intel *intel, bool trusted, uint16_t tag, const char *name, size_t length, unsigned covers)
{
    if (!intel_domain_is_valid(name, length))
        return -EINVAL;
    int r = take_bytes(intel, 3 + length + INTEL_SLOT_BYTES);
    return r ? r : intel_domains_add(&set_of(intel, trusted)->domains, name, length, covers, tag);
}

int intel_add_hash(struct intel *intel, bool trusted, uint16_t tag, const uint8_t digest[INTEL_DIGEST_BYTES])
{
    int r = take_bytes(intel, INTEL_DIGEST_BYTES + sizeof tag + INTEL_INDEX_BYTES);
    return r ? r : intel_sorted_add(&set_of(intel, trusted)->hashes, digest, INTEL_DIGEST_BYTES, tag);
}

static int set_seal(struct intel_set *set, const struct hash_key *key)
{
    int r = intel_sorted_seal(&set->hosts4, 4);
    if (!r)
        r = intel_networks4_seal(&set->networks4);
    if (!r)
        r = intel_hosts6_seal(&set->hosts6, key);
    if (!r)
        r = intel_networks6_seal(&set->networks6);
    if (!r)
        r = intel_domains_seal(&set->domains, key);
    return r ? r : intel_sorted_seal(&set->hashes, INTEL_DIGEST_BYTES);
}

int intel_seal(struct intel *intel)
{
    int r = set_seal(&intel->threats, &intel->key);
    return r ? r : set_seal(&intel->trusted, &intel->key);
}

/* ---- asking ---- */

static bool find4(const struct intel_set *set, const struct address *address, uint16_t *tag, uint8_t *prefix)
{
    *prefix = 32;
    if (intel_sorted_find(&set->hosts4, address->bytes, 4, tag))
        return true;
    const struct intel_entry4 *e = intel_networks4_find(&set->networks4, load_be32(address->bytes));
    *tag = e ? e->tag : 0;
    *prefix = e ? e->prefix : 0;
    return e != NULL;
}

static bool find6(const struct intel_set *set, const struct hash_key *key, const struct address *address, uint16_t *tag, uint8_t *prefix)
{
    const uint64_t words[2] = { load_be64(address->bytes), load_be64(address->bytes + 8) };
    *prefix = 128;
    if (intel_hosts6_find(&set->hosts6, key, words, tag))
        return true;
    const struct intel_entry6 *e = intel_networks6_find(&set->networks6, words);
    *tag = e ? e->tag : 0;
    *prefix = e ? e->prefix : 0;
    return e != NULL;
}

static bool find(const struct intel *intel, const struct intel_set *set, const struct address *address, uint16_t *tag, uint8_t *prefix)
{
    if (address->family == 4)
        return find4(set, address, tag, prefix);
    return address->family == 6 && find6(set, &intel->key, address, tag, prefix);
}

/* Says what was found: true if it is a threat. */
static bool tell(const struct intel *intel, uint16_t tag, struct intel_match *match)
{
    match->list = intel->tags[tag].list;
    match->category = intel->tags[tag].category;
    match->kind = intel->tags[tag].kind;
    return !match->trusted;
}

bool intel_lookup(const struct intel *intel, const struct address *address, struct intel_match *match)
{
    uint16_t tag;
    *match = (struct intel_match){ .list = "", .category = "" };
    match->trusted = find(intel, &intel->trusted, address, &tag, &match->prefix);
    return (match->trusted || find(intel, &intel->threats, address, &tag, &match->prefix)) && tell(intel, tag, match);
}

bool intel_has_domains(const struct intel *intel)
{
    return intel->threats.domains.n > 0;
}

bool intel_lookup_domain(const struct intel *intel, const char *name, size_t length, struct intel_match *match)
{
    struct intel_domain_name parts;
    uint16_t tag, suffix;
    *match = (struct intel_match){ .list = "", .category = "" };
    if (!intel->threats.domains.n && !intel->trusted.domains.n)
        return false;
    intel_domain_name_init(&parts, &intel->key, name, length);
    match->trusted = intel_domains_find(&intel->trusted.domains, &parts, &tag, &suffix);
    if (!match->trusted && !intel_domains_find(&intel->threats.domains, &parts, &tag, &suffix))
        return false;
    match->skipped = parts.cut + parts.suffixes[suffix].start;
    return tell(intel, tag, match);
}

bool intel_has_hashes(const struct intel *intel)
{
    return intel->threats.hashes.n > 0;
}

bool intel_lookup_hash(const struct intel *intel, const uint8_t digest[INTEL_DIGEST_BYTES], struct intel_match *match)
{
    uint16_t tag;
    *match = (struct intel_match){ .list = "", .category = "" };
    match->trusted = intel_sorted_find(&intel->trusted.hashes, digest, INTEL_DIGEST_BYTES, &tag);
    return (match->trusted || intel_sorted_find(&intel->threats.hashes, digest, INTEL_DIGEST_BYTES, &tag)) && tell(intel, tag, match);
}

static uint64_t set_count(const struct intel_set *set)
{
    return (uint64_t)set->hosts4.n + set->networks4.n + set->hosts6.n + set->networks6.n + set->domains.n + set->hashes.n;
}

uint64_t intel_count(const struct intel *intel)
{
    return set_count(&intel->threats) + set_count(&intel->trusted);
}

void intel_count_kinds(const struct intel *intel, struct intel_counts *counts)
{
    const struct intel_set *a = &intel->threats, *b = &intel->trusted;
    *counts = (struct intel_counts){ .addresses4 = (uint64_t)a->hosts4.n + b->hosts4.n,
                                     .networks4 = (uint64_t)a->networks4.n + b->networks4.n,
                                     .addresses6 = (uint64_t)a->hosts6.n + b->hosts6.n,
                                     .networks6 = (uint64_t)a->networks6.n + b->networks6.n,
                                     .domains = (uint64_t)a->domains.n + b->domains.n,
                                     .hashes = (uint64_t)a->hashes.n + b->hashes.n,
                                     .trusted = set_count(b) };
}
