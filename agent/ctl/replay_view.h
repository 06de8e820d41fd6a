/* Findings of a replay in the shape of the view `findings`, as `findings` prints them. */
#ifndef ECSGUARD_CTL_REPLAY_VIEW_H
#define ECSGUARD_CTL_REPLAY_VIEW_H

#include "agent/ctl/ctl.h"
#include "agent/replay.h"

/* Reads a file of recorded events, "-" for standard input. CTL_OK, or CTL_FAILED after a complaint. */
int replay_view_load(struct replay *r, const char *path);

void replay_view_print(struct ctl *ctl, const struct replay *r, bool verbose);

#endif
