#include "agent/detect/intel_sorted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/intel_room.h"
#include "common/bytes.h"

#define FEW 24 /* records sorted by insertion */
#define WIDTH_MAX 64

static uint32_t record_size(uint32_t width)
{
    return width + 2;
}

int intel_sorted_add(struct intel_sorted *s, const void *key, uint32_t width, uint16_t tag)
{
    if (intel_room((void **)&s->records, s->n, &s->room, record_size(width)))
        return -ENOMEM;
    uint8_t *r = s->records + (size_t)s->n++ * record_size(width);
    memcpy(r, key, width);
    r[width] = (uint8_t)(tag >> 8);
    r[width + 1] = (uint8_t)tag;
    return 0;
}

/* ---- sorting in place: qsort(3) would take as much memory again ---- */

static void insertion_sort(uint8_t *base, size_t n, size_t size, size_t from)
{
    uint8_t held[WIDTH_MAX];
    for (size_t i = 1; i < n; i++) {
        size_t at = i;
        memcpy(held, base + i * size, size);
        for (; at && memcmp(base + (at - 1) * size + from, held + from, size - from) > 0; at--)
            memcpy(base + at * size, base + (at - 1) * size, size);
        memcpy(base + at * size, held, size);
    }
}

static void swap(uint8_t *a, uint8_t *b, size_t size)
{
    uint8_t held[WIDTH_MAX];
    memcpy(held, a, size);
    memcpy(a, b, size);
    memcpy(b, held, size);
}

/* By the byte `at` of each record, then each group of equal ones by the next byte (McIlroy, Bostic, McIlroy 1993: American flag sort). As deep
 * as a record is wide. */
static void flag_sort(uint8_t *base, size_t n, size_t size, size_t at)
{
    uint32_t next[256], end[256], count[256] = { 0 };
    if (n <= FEW || at == size) {
        insertion_sort(base, n, size, at < size ? at : 0);
        return;
    }
    for (size_t i = 0; i < n; i++)
        count[base[i * size + at]]++;
    for (uint32_t b = 0, sum = 0; b < 256; b++) {
        next[b] = sum;
        end[b] = sum += count[b];
    }
    for (uint32_t b = 0; b < 256; b++) {
        while (next[b] < end[b]) {
            uint8_t *r = base + next[b] * size;
            if (r[at] == b)
                next[b]++;
            else
                swap(r, base + next[r[at]]++ * size, size);
        }
    }
    for (uint32_t b = 0; b < 256; b++)
        if (count[b] > 1)
            flag_sort(base + (end[b] - count[b]) * size, count[b], size, at + 1);
}

int intel_sorted_seal(struct intel_sorted *s, uint32_t width)
{
    size_t size = record_size(width);
    uint32_t n = 0;
    if (!s->n)
        return 0;
    flag_sort(s->records, s->n, size, 0);
    for (uint32_t i = 0; i < s->n; i++)
        if (!n || memcmp(s->records + (n - 1) * size, s->records + i * size, width))
            memmove(s->records + n++ * size, s->records + i * size, size);
    s->n = n;
    intel_room_trim((void **)&s->records, s->n, &s->room, size);
    uint32_t bits = intel_index_bits(s->n), places = (1u << bits) + 1;
    s->shift = 32 - bits;
    s->index = intel_index_new(places);
    if (!s->index)
        return -ENOMEM;
    for (uint32_t i = 0, at = 0; i < places; i++) {
        while (at < s->n && load_be32(s->records + at * size) >> s->shift < i)
            at++;
        s->index[i] = at;
    }
    return 0;
}

bool intel_sorted_find(const struct intel_sorted *s, const void *key, uint32_t width, uint16_t *tag)
{
    size_t size = record_size(width);
    if (!s->index)
        return false;
    uint32_t place = load_be32(key) >> s->shift, low = s->index[place], high = s->index[place + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const uint8_t *r = s->records + middle * size;
        int order = memcmp(r, key, width);
        if (!order) {
            *tag = load_be16(r + width);
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

void intel_sorted_fini(struct intel_sorted *s)
{
    free(s->records);
    free(s->index);
    memset(s, 0, sizeof *s);
}
