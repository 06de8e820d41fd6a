/* Checks whose answer is known before any event comes. Pure. */
#ifndef ECSGUARD_RULES_CONSTANT_H
#define ECSGUARD_RULES_CONSTANT_H

#include "agent/detect/rules/atom.h"

/* Of a check of evt.num, which counts from 1: 0 never holds ("evt.num = 0", the placeholder of rules for what users add), 1 always holds,
 * -1 depends on the event, or it is another field. */
int atom_constant(const struct atom *atom);

/* Of a check of evt.type with constants: for which names it holds. False if it is of another kind. */
bool atom_event_names(const struct atom *atom, struct eval *eval, struct event_name_set *out);

#endif
