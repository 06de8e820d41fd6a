/* Attack sequences: findings of several tactics in one task (or container, or on the whole host) within a window become one critical
 * finding that names them. Read from YAML:
 *
 *   - sequence: execution then impact      # its name; a later file's sequence of the same name takes the place of an earlier one
 *     description: what it means
 *     enabled: true                        # default
 *     window: 1h                           # s, m, h, d; all findings lie within it
 *     scope: task                          # task, container or host
 *     severity: critical                   # default
 *     acts: 2                              # default; how many different acts made the findings
 *     stages:                              # in any order of time
 *       - name: code was run
 *         tactics: [execution]             # one of these, and/or
 *         types: ["Execution:*"]           # one of these; * and ?
 *         min_severity: medium             # default
 *         count: 1                         # default; different findings
 *
 * So that one act which trips two rules is no sequence, every stage is met by a finding type of its own, and the findings are of at least `acts`
 * acts. Findings within 5 s about the same process (or event, where it is unknown) are one act; so are those about a program image and what
 * it started, unless there are both more processes and more finding types than stages. Pure. */
#ifndef ECSGUARD_SEQUENCES_H
#define ECSGUARD_SEQUENCES_H

#include "agent/detect/signals.h"
#include "common/text.h"

enum sequence_scope { SEQUENCE_TASK, SEQUENCE_CONTAINER, SEQUENCE_HOST };

struct sequence_stage {
    char name[LIMIT_SEQUENCE_NAME_BYTES];
    uint32_t tactics; /* bit per tactic; 0 = any */
    uint32_t first_type, n_types; /* in type_at; 0 = any */
    uint32_t count;
    uint8_t min_severity;
};

struct sequence {
    char name[LIMIT_SEQUENCE_NAME_BYTES];
    char description[512];
    bool enabled;
    uint64_t window_ns;
    uint8_t scope; /* enum sequence_scope */
    uint8_t severity;
    uint32_t acts;
    uint32_t first_stage, n_stages;
};

struct sequences {
    uint32_t n, n_stages, n_types, n_text_bytes;
    struct sequence list[LIMIT_SEQUENCES];
    struct sequence_stage stages[LIMIT_SEQUENCES * LIMIT_SEQUENCE_STAGES];
    uint32_t type_at[LIMIT_SEQUENCE_TYPES]; /* patterns, in texts */
    char texts[LIMIT_SEQUENCE_TEXT_BYTES];
};

/* Adds the sequences of one file to `s` (all zero at first). 0, or -EINVAL or -ENOMEM with "name:line:column: what" in `error`; then `s`
 * is as before. */
int sequences_parse(struct sequences *s, const char *name, const char *data, size_t size, struct text_out *error);

/* The stages (bits) of `sequence` that a signal fits. */
uint32_t sequence_fits(const struct sequences *s, const struct sequence *sequence, const struct signal *signal);

/* Is it complete? `signals` fit one of its stages each, lie in its window and are of one scope. */
bool sequence_complete(const struct sequences *s, const struct sequence *sequence, const struct signal *const *signals, int n);

const char *sequence_scope_name(enum sequence_scope scope);

#endif
