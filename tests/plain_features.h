/* The table of command_features.h asked pattern by pattern, nothing left out: what the matcher must find as well. */
#ifndef ECSGUARD_TESTS_PLAIN_FEATURES_H
#define ECSGUARD_TESTS_PLAIN_FEATURES_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "agent/detect/command_matcher.h"
#include "common/limits.h"

struct plain_features {
    pcre2_code *codes[COMMAND_FEATURES_MAX];
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static inline void plain_features_init(struct plain_features *p)
{
    p->data = pcre2_match_data_create(1, NULL);
    p->context = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(p->context, LIMIT_COMMAND_STEPS);
    pcre2_set_heap_limit(p->context, LIMIT_COMMAND_HEAP_KIB);
    for (int i = 0; i < n_command_features; i++) {
        const struct command_feature *f = &command_features[i];
        uint32_t lines = f->class == COMMAND_DISCOVERY ? 0 : PCRE2_MULTILINE;
        int error;
        PCRE2_SIZE offset;
        p->codes[i] = pcre2_compile((PCRE2_SPTR)f->pattern, PCRE2_ZERO_TERMINATED, PCRE2_DOTALL | PCRE2_NO_AUTO_CAPTURE | lines, &error, &offset,
                                    NULL);
        if (!p->codes[i])
            abort();
    }
}

static inline void plain_features_fini(struct plain_features *p)
{
    for (int i = 0; i < n_command_features; i++)
        pcre2_code_free(p->codes[i]);
    pcre2_match_data_free(p->data);
    pcre2_match_context_free(p->context);
}

/* The first feature that the line has and the matcher does not find, or that it finds and the line has not; -1 = none. */
static inline int plain_features_differ(struct plain_features *p, struct command_matcher *m, const char *line, size_t size)
{
    struct command_score score;
    int first_discovery = -1;
    command_score_line(m, line, size, 0, &score);
    for (int i = 0; i < n_command_features; i++) {
        bool is_there = size && pcre2_match(p->codes[i], (PCRE2_SPTR)line, size, 0, 0, p->data, p->context) >= 0;
        if (command_features[i].class != COMMAND_DISCOVERY) {
            if (is_there != command_has(&score, i))
                return i;
        } else if (is_there && first_discovery < 0) {
            first_discovery = i;
        }
    }
    int found = command_discovery(m, line, size);
    return found == first_discovery ? -1 : found >= 0 ? found : first_discovery;
}

#endif
