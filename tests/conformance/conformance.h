/* Runs cases of conformance: what the reference implementation of the rules language did with an input, compared with what we do. The
 * cases are one JSON object a line, {"id", "kind", "input", "expect", ...}, in DIR/cases/KIND.jsonl; they are not part of the project.
 *
 * To add a kind: write its function in the file of its group, declare it below, add a line to the table in conformance.c. */
#ifndef ECSGUARD_TESTS_CONFORMANCE_H
#define ECSGUARD_TESTS_CONFORMANCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* One case being run. */
struct conformance {
    const char *dir;    /* the directory with cases/ and data/ */
    const json_t *test; /* the whole object */
    char difference[4096]; /* what differs; "" = nothing. One that is too long is cut. */
};

/* Runs one case and tells the differences; none told = it agrees. */
typedef void conformance_run(struct conformance *c);

/* Adds a difference, as a line "WHAT: expected ..., got ...". NULL texts are shown as "nothing". */
void conformance_differ(struct conformance *c, const char *what, const char *expected, const char *got);
__attribute__((format(printf, 2, 3))) void conformance_differ_say(struct conformance *c, const char *format, ...);
/* Adds one if the texts are not equal. */
void conformance_compare(struct conformance *c, const char *what, const char *expected, const char *got);

/* Members of the case by path, "expect.ok", "input", "options.repeat"; NULL, "" or the given default when absent or null. */
const json_t *conformance_get(const struct conformance *c, const char *path);
const char *conformance_text(const struct conformance *c, const char *path, size_t *length);
bool conformance_bool(const struct conformance *c, const char *path, bool absent);

/* The whole of DIR/NAME, NUL behind; freed by the caller. Ends the program when it cannot be read. */
char *conformance_file(const struct conformance *c, const char *name, size_t *length);

/* loader.c */
conformance_run run_rule_load, run_stock_compile;

/* syntax.c */
conformance_run run_filter_parse, run_filter_positions, run_escape, run_unescape;

/* eval.c */
conformance_run run_filter_compile, run_filter_warning, run_filter_eval, run_path_prefix, run_format;
/* replay.c */
conformance_run run_rule_replay;

/* behaviour.c */
conformance_run run_rule_behaviour;

#endif
