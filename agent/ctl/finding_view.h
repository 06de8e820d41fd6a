/* Shows findings: rows of the view `findings`, or what a replay found in the same shape. */
#ifndef ECSGUARD_CTL_FINDING_VIEW_H
#define ECSGUARD_CTL_FINDING_VIEW_H

#include "agent/ctl/ctl.h"

/* One finding in a list: a line, or two where the terminal is narrow. */
void finding_list_head(const struct ctl *ctl);
void finding_list_row(const struct ctl *ctl, const json_t *finding);

/* Everything. `evidence`: array of rows of the view `evidence`, newest first; may be empty. */
void finding_show(const struct ctl *ctl, const json_t *finding, const json_t *evidence);

/* "container (task)" in the shortest form that a person recognises; "host" outside containers. */
void finding_place(const json_t *row, char *to, size_t size);

#endif
