/* Is a rule armed on this host? From its condition, the events our sensors can tell and who fills the fields: which alternatives can hold.
 * Pure. */
#ifndef ECSGUARD_RULES_RULE_ARM_H
#define ECSGUARD_RULES_RULE_ARM_H

#include "agent/detect/rules/ruleset.h"

enum arm_state {
    ARM_ARMED,
    ARM_PARTLY, /* some alternatives of an `or`, or some events named, can never be */
    ARM_INERT,  /* the whole can never hold */
};

struct rule_arming {
    enum arm_state state;
    char reason[2048]; /* in words, one line each, escaped; "" when armed */
};

/* `on`: FILL_* of what runs on this host. */
void rule_arm(const struct rule *rule, uint16_t on, struct rule_arming *out);

const char *arm_state_name(enum arm_state state); /* "partly armed" */

/* "file or system call": the sensors of FILL_*, for people. */
struct text_out;
void arm_print_sensors(struct text_out *out, uint16_t fill);

#endif
