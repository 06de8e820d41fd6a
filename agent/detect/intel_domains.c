#include "agent/detect/intel_domains.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/intel_room.h"
#include "common/bytes.h"

#define RECORD_HEAD 3 /* number and covers, length */
#define COVERS_SHIFT 14
#define GROW_BYTES (64u << 10)

static char lower(char c)
{
    return (char)(c + ((unsigned char)(c - 'A') < 26 ? 'a' - 'A' : 0));
}

/* ---- names ---- */

static bool is_label_byte(unsigned char c)
{
    return c >= 0x80 || c == '-' || c == '_' || (c >= '0' && c <= '9') || (unsigned char)((c | 0x20) - 'a') < 26;
}

bool intel_domain_is_valid(const char *name, size_t length)
{
    size_t label = 0;
    bool digits = true;
    if (!length || length > INTEL_DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == '.' ? !label : !is_label_byte(c) || label == 63)
            return false;
        digits = c == '.' || (digits && c >= '0' && c <= '9');
        label = c == '.' ? 0 : label + 1;
    }
    return label && !digits;
}

/* Of one label, on top of what stands behind it. */
static uint64_t hash_label(uint64_t hash, const char *text, size_t length, const struct hash_key *key)
{
    uint64_t word;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        memcpy(&word, text + i, 8);
        hash = intel_hash_word(hash, word, key);
    }
    word = 0;
    memcpy(&word, text + i, length - i);
    return intel_hash_word(hash ^ (uint64_t)length << 56, word, key);
}

void intel_domain_name_init(struct intel_domain_name *name, const struct hash_key *key, const char *text, size_t length)
{
    uint64_t hash = key->k0;
    if (length && text[length - 1] == '.')
        length--;
    name->cut = length > INTEL_DOMAIN_MAX ? length - INTEL_DOMAIN_MAX : 0;
    name->length = (uint16_t)(length - name->cut);
    name->n = 0;
    for (size_t i = 0; i < name->length; i++)
        name->text[i] = lower(text[name->cut + i]);
    for (size_t end = name->length, at = end; at-- > 0;) {
        bool is_start = at ? name->text[at - 1] == '.' : !name->cut;
        if (!is_start || name->n == 128)
            continue;
        hash = hash_label(hash, name->text + at, end - at, key);
        name->suffixes[name->n].hash = hash;
        name->suffixes[name->n++].start = (uint16_t)at;
        end = at ? at - 1 : 0;
    }
}

static uint64_t hash_name(const char *text, size_t length, const struct hash_key *key)
{
    uint64_t hash = key->k0;
    for (size_t end = length, at = end; at-- > 0;) {
        if (at && text[at - 1] != '.')
            continue;
        hash = hash_label(hash, text + at, end - at, key);
        end = at ? at - 1 : 0;
    }
    return hash;
}

/* ---- loading ---- */

static int text_room(struct intel_domains *s, uint32_t size)
{
    if (s->room - s->size >= size)
        return 0;
    uint64_t want = (uint64_t)s->room + s->room / 2 + GROW_BYTES;
    if (want >= INTEL_SLOT_FREE)
        want = INTEL_SLOT_FREE - 1;
    if (want - s->size < size)
        return -ENOSPC;
    void *bigger = realloc(s->text, want);
    if (!bigger)
        return -ENOMEM;
    s->text = bigger;
    s->room = (uint32_t)want;
    return 0;
}

int intel_domains_add(struct intel_domains *s, const char *name, size_t length, unsigned covers, uint16_t tag)
{
    int r = text_room(s, RECORD_HEAD + (uint32_t)length);
    if (r)
        return r;
    const uint16_t head = (uint16_t)(tag | covers << COVERS_SHIFT);
    uint8_t *record = s->text + s->size;
    memcpy(record, &head, sizeof head);
    record[2] = (uint8_t)length;
    for (size_t i = 0; i < length; i++)
        record[RECORD_HEAD + i] = (uint8_t)lower(name[i]);
    s->size += RECORD_HEAD + (uint32_t)length;
    s->n++;
    return 0;
}

static bool is_name(const uint8_t *record, const char *name, size_t length)
{
    return record[2] == length && !memcmp(record + RECORD_HEAD, name, length);
}

/* What of the name is covered already, by earlier records. */
static unsigned covered(const struct intel_domains *s, uint64_t hash, const char *name, size_t length)
{
    unsigned covers = 0;
    for (uint32_t at = intel_slots_first(&s->slots, hash); s->slots.slots[at].at != INTEL_SLOT_FREE; at = intel_slots_next(&s->slots, at)) {
        const struct intel_slot *slot = &s->slots.slots[at];
        if (slot->mark == (uint16_t)hash && is_name(s->text + slot->at, name, length))
            covers |= load_u16(s->text + slot->at) >> COVERS_SHIFT;
    }
    return covers;
}

/* Of a name that is listed twice the later record keeps only what the earlier one does not cover; if nothing, the records behind it move up. */
int intel_domains_seal(struct intel_domains *s, const struct hash_key *key)
{
    uint32_t size = 0;
    if (!s->n)
        return 0;
    if (intel_slots_init(&s->slots, s->n))
        return -ENOMEM;
    s->n = 0;
    for (uint32_t from = 0; from < s->size;) {
        uint8_t *record = s->text + from;
        uint32_t length = RECORD_HEAD + record[2];
        uint16_t head = load_u16(record);
        const char *name = (const char *)record + RECORD_HEAD;
        uint64_t hash = hash_name(name, record[2], key);
        from += length;
        head &= (uint16_t)~(covered(s, hash, name, record[2]) << COVERS_SHIFT);
        if (!(head >> COVERS_SHIFT))
            continue;
        memcpy(record, &head, sizeof head);
        memmove(s->text + size, record, length);
        intel_slots_put(&s->slots, hash, size);
        size += length;
        s->n++;
    }
    s->size = size;
    intel_room_trim((void **)&s->text, s->size, &s->room, 1);
    return 0;
}

/* ---- lookup ---- */

static bool find_suffix(const struct intel_domains *s, const struct intel_domain_name *name, uint16_t suffix, unsigned covers, uint16_t *tag)
{
    uint64_t hash = name->suffixes[suffix].hash;
    const char *text = name->text + name->suffixes[suffix].start;
    size_t length = (size_t)name->length - name->suffixes[suffix].start;
    for (uint32_t at = intel_slots_first(&s->slots, hash); s->slots.slots[at].at != INTEL_SLOT_FREE; at = intel_slots_next(&s->slots, at)) {
        const struct intel_slot *slot = &s->slots.slots[at];
        const uint8_t *record = s->text + slot->at;
        if (slot->mark != (uint16_t)hash || !is_name(record, text, length) || !(load_u16(record) >> COVERS_SHIFT & covers))
            continue;
        *tag = load_u16(record) & INTEL_DOMAIN_TAG_MAX;
        return true;
    }
    return false;
}

bool intel_domains_find(const struct intel_domains *s, const struct intel_domain_name *name, uint16_t *tag, uint16_t *suffix)
{
    if (!s->slots.n)
        return false;
    for (uint16_t i = 0; i < name->n; i++) /* memory answers all of them at the same time */
        __builtin_prefetch(&s->slots.slots[intel_slots_first(&s->slots, name->suffixes[i].hash)]);
    for (*suffix = name->n; (*suffix)-- > 0;) {
        bool is_whole = !name->cut && !name->suffixes[*suffix].start;
        if (find_suffix(s, name, *suffix, is_whole ? INTEL_COVERS_SELF : INTEL_COVERS_BELOW, tag))
            return true;
    }
    return false;
}

void intel_domains_fini(struct intel_domains *s)
{
    free(s->text);
    intel_slots_fini(&s->slots);
    memset(s, 0, sizeof *s);
}
