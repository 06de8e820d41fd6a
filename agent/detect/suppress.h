/* Saved filters: what they match is found and stored like everything else, but marked, and not delivered. Read from the key `suppress` of
 * the configuration file:
 *
 *   suppress:
 *     - name: nightly scan
 *       when:                                  # all of these
 *         - task_family = scanner
 *         - exe matches /opt/scan?*
 *         - severity <= medium
 *
 * A condition is COLUMN OPERATOR VALUE with a column of the view `findings`, an operator out of = != > >= < <= matches, and the rest of
 * the line as the value (nothing: the column is empty). Numbers, severities and times compare by what they mean, all else as text;
 * `matches` takes * for any characters and ? for one. Evaluated when the finding is made, with the facts about its container known
 * then. Pure. */
#ifndef ECSGUARD_SUPPRESS_H
#define ECSGUARD_SUPPRESS_H

#include "common/container.h"
#include "common/finding.h"
#include "common/text.h"

enum suppress_operator { SUPPRESS_EQ, SUPPRESS_NE, SUPPRESS_GT, SUPPRESS_GE, SUPPRESS_LT, SUPPRESS_LE, SUPPRESS_MATCHES };

struct suppress_condition {
    uint8_t column; /* in the table of suppress.c */
    uint8_t operator; /* enum suppress_operator */
    uint32_t value;   /* offset in texts */
    int64_t number;   /* of the value, for columns that are not text */
};

struct suppress_filter {
    char name[LIMIT_SUPPRESS_NAME_BYTES];
    uint32_t first, n; /* conditions */
    uint64_t n_matched;
};

struct suppress {
    uint32_t n_filters, n_conditions, n_text_bytes;
    struct suppress_filter filters[LIMIT_SUPPRESS_FILTERS];
    struct suppress_condition conditions[LIMIT_SUPPRESS_CONDITIONS];
    char texts[LIMIT_SUPPRESS_TEXT_BYTES];
};

/* Reads the filters of a configuration file, whose other keys are left alone, into `s` (overwritten). 0, or -EINVAL or -ENOMEM with one line
 * "name:line:column: what" in `error`; then `s` has no filters. */
int suppress_parse(struct suppress *s, const char *name, const char *data, size_t size, struct text_out *error);

/* What a finding is asked about besides itself. */
struct suppress_facts {
    const struct container_facts *container; /* NULL = the host */
    const char *host, *cluster;              /* cluster: of the host, where the container does not say */
};

/* The first filter that matches, counted; NULL if none does. */
const struct suppress_filter *suppress_match(struct suppress *s, const struct finding *f, const struct suppress_facts *facts);

/* After a reload: filters of the same name go on counting. */
void suppress_keep_counts(struct suppress *s, const struct suppress *before);

/* '*' any characters, '?' one. */
bool suppress_glob(const char *pattern, const char *text);

#endif
