/* Reads the rules files (*.yaml, *.yml) of directories, in the order of their names: the shipped ones first, then the administrator's, which
 * can append to and override them. */
#ifndef ECSGUARD_RULE_FILES_H
#define ECSGUARD_RULE_FILES_H

#include "agent/detect/rules/ruleset.h"

struct rule_files_result {
    uint32_t n_files, n_failed; /* failed: not read, or refused as a whole */
    uint32_t n_warnings;
    char first_error[512]; /* one line, "" = none: for `health` */
};

/* Is told every error and warning, in order. */
struct rule_files_listener {
    void (*message)(struct rule_files_listener *listener, const struct rule_message *message);
};

/* Adds every rules file of `directory` to `set`. A file that cannot be read or is refused is told, counted and left out. 0, also when the
 * directory does not exist; -errno when it cannot be read; -ENOMEM. `result` is added to. */
int rule_files_load(struct ruleset *set, const char *directory, struct rule_files_listener *listener, struct rule_files_result *result);

/* A directory is named, but it is not there: for the shipped rules, which somebody then misses. */
bool rule_files_missing(const char *directory);

/* One file; 0, -EINVAL when it is refused, or the errno of reading it; all but 0 and -ENOMEM are told. */
int rule_file_load(struct ruleset *set, const char *path, struct rule_files_listener *listener, struct rule_files_result *result);

/* After the last file: lists and macros that nothing uses. */
void rule_files_tell_unused(const struct ruleset *set, struct rule_files_listener *listener, struct rule_files_result *result);

/* "file:7:3: LOAD_ERR_VALIDATE in rule 'x': text", and the snippet below it, escaped. */
void rule_message_print(struct text_out *out, const struct rule_message *message);

#endif
