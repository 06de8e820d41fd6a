/* Recorded events out of the database, so that a replay of a part of it sees what the agent saw. */
#ifndef ECSGUARD_CTL_RECORDING_H
#define ECSGUARD_CTL_RECORDING_H

#include "agent/ctl/ctl.h"
#include "storage/query.h"

/* One line; `stamp` may be NULL. 0 or -errno. */
int recording_print(FILE *out, const struct stamp *stamp, const struct event *ev);

/* What events that match `filter` refer to and that lies before them: their containers, their processes and the ancestors of these, as
 * events of kind container and process. 0 or CTL_FAILED after a complaint. */
int recording_context(struct ctl *ctl, const struct query_events_filter *filter);

#endif
