/* Looks for the features of command_features.h in command lines. */
#ifndef ECSGUARD_COMMAND_MATCHER_H
#define ECSGUARD_COMMAND_MATCHER_H

#include "agent/detect/command_features.h"

struct command_matcher; /* the compiled table */

struct command_matcher *command_matcher_new(void); /* NULL on lack of memory */
void command_matcher_free(struct command_matcher *m);

/* `line`: the arguments joined by blanks. Classes whose bit is in `leave_out` are not looked at. True if any feature was found. */
bool command_score_line(struct command_matcher *m, const char *line, size_t size, unsigned leave_out, struct command_score *out);

/* The kind of discovery that this one command is, or -1. */
int command_discovery(struct command_matcher *m, const char *line, size_t size);

#endif
