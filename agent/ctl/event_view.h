/* Shows an event on one line. */
#ifndef ECSGUARD_CTL_EVENT_VIEW_H
#define ECSGUARD_CTL_EVENT_VIEW_H

#include "agent/ctl/ctl.h"
#include "common/event.h"

void event_list_head(const struct ctl *ctl);
/* `comm`: name of the acting process, `place`: its container; the event's times are wall times. */
void event_list_row(const struct ctl *ctl, const struct event *ev, const char *comm, const char *place);

/* What happened, without who and where. */
void event_describe(const struct event *ev, struct text_out *out);

#endif
