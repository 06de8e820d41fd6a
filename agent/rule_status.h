/* What is said about each rule and detector in force: whether it can match on this host, and what it did. */
#ifndef ECSGUARD_RULE_STATUS_H
#define ECSGUARD_RULE_STATUS_H

#include "agent/detect/detector.h"
#include "common/record.h"

/* FILL_* (agent/detect/rules/field.h) of a component of `health` that is on; 0 for one that fills no fields. */
unsigned component_fills(const char *component);
/* What the sensors fill that the configuration leaves on. */
struct config;
unsigned config_fills(const struct config *config);

/* `filled`: FILL_* of what is on; rules of lesser priority than `priority_max` are left out. Counters and times are the caller's. */
void rule_status_of(const struct rule *rule, unsigned filled, enum rule_priority priority_max, struct rule_status *out);
void detector_status_of(const struct detector *detector, unsigned filled, struct rule_status *out);

#endif
