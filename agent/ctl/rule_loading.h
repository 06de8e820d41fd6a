/* Rules for the commands that need them: the files and directories that the user names, or those of the configuration. */
#ifndef ECSGUARD_CTL_RULE_LOADING_H
#define ECSGUARD_CTL_RULE_LOADING_H

#include "agent/ctl/ctl.h"
#include "agent/detect/rules_detector.h"
#include "agent/rule_files.h"

#define CTL_RULE_PATHS 64

struct rule_paths {
    const char *paths[CTL_RULE_PATHS]; /* files and directories, in order; none = the configured directories; one "none" = no rules */
    int n;
};

/* False when there are too many. */
bool rule_paths_add(struct rule_paths *paths, const char *path);

/* Loads into a new set and tells the listener (NULL: errors go to standard error); with `installed` the configured rules first. CTL_OK, also when files were refused (result->n_failed says how many);
 * CTL_FAILED after a complaint. */
int ctl_ruleset_load(struct ctl *ctl, const struct rule_paths *paths, bool installed, struct rule_files_listener *listener,
                     struct ruleset **set, struct rule_files_result *result);

/* The same, compiled; *rules is NULL when there are none. CTL_FAILED also when a file was refused. */
int ctl_rules_load(struct ctl *ctl, const struct rule_paths *paths, bool installed, struct rules **rules);

#endif
