#include "agent/detect/rules/automaton.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"

#define DEAD UINT32_MAX /* no pattern goes on like this */

static void classes_set(struct automaton *a, const struct automaton_pattern *patterns, size_t n)
{
    a->n_classes = 1;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < patterns[i].length; k++) {
            unsigned char c = (unsigned char)patterns[i].data[k];
            if (!a->class_of[c])
                a->class_of[c] = (uint16_t)a->n_classes++;
        }
}

static uint32_t *next_of(const struct automaton *a, uint32_t state, unsigned char c)
{
    return &a->next[state * a->n_classes + a->class_of[c]];
}

/* Returns the state where the pattern ends. */
static uint32_t tree_add(struct automaton *a, const struct automaton_pattern *p)
{
    uint32_t state = 0;
    for (size_t i = 0; i < p->length; i++) {
        size_t at = a->kind == AUTOMATON_SUFFIXES ? p->length - 1 - i : i;
        uint32_t *next = next_of(a, state, (unsigned char)p->data[at]);
        if (*next == DEAD)
            *next = a->n_states++;
        state = *next;
    }
    return state;
}

/* Targets by state: those of the patterns that end there. */
static int targets_set(struct automaton *a, struct arena *arena, const struct automaton_pattern *patterns, const uint32_t *last_states,
                       size_t n)
{
    a->first_target = arena_new(arena, (a->n_states + 1) * sizeof *a->first_target);
    a->targets = arena_new(arena, (n + 1) * sizeof *a->targets);
    if (!a->first_target || !a->targets)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        a->first_target[last_states[i]]++;
    for (uint32_t state = 1; state <= a->n_states; state++) /* the end of each state's room, which is then filled from there */
        a->first_target[state] += a->first_target[state - 1];
    for (size_t i = n; i--;)
        a->targets[--a->first_target[last_states[i]]] = patterns[i].target;
    return 0;
}

int automaton_init(struct automaton *a, struct arena *arena, enum automaton_kind kind, const struct automaton_pattern *patterns, size_t n)
{
    size_t states_max = 1;
    *a = (struct automaton){ .kind = kind, .n_states = 1 };
    classes_set(a, patterns, n);
    for (size_t i = 0; i < n; i++)
        states_max += patterns[i].length;
    size_t bytes = states_max * a->n_classes * sizeof *a->next;
    if (bytes > LIMIT_RULE_AUTOMATON_BYTES)
        return -E2BIG;
    a->next = arena_new(arena, bytes);
    uint32_t *last_states = calloc(n + 1, sizeof *last_states);
    int err = a->next && last_states ? 0 : -ENOMEM;
    if (!err)
        memset(a->next, 0xff, bytes);
    for (size_t i = 0; i < n && !err; i++)
        last_states[i] = tree_add(a, &patterns[i]);
    if (!err)
        err = targets_set(a, arena, patterns, last_states, n);
    free(last_states);
    return err;
}

void automaton_scan(const struct automaton *a, const char *text, size_t length, uint64_t *bits)
{
    uint32_t state = 0;
    bool backwards = a->kind == AUTOMATON_SUFFIXES;
    for (size_t i = 0; state != DEAD; i++) {
        for (uint32_t n = a->first_target[state]; n < a->first_target[state + 1]; n++)
            bits[a->targets[n] / 64] |= 1ull << (a->targets[n] % 64);
        if (i == length)
            return;
        state = *next_of(a, state, (unsigned char)text[backwards ? length - 1 - i : i]);
    }
}
