#include "agent/rule_status.h"

#include <string.h>

#include "agent/detect/rules/rule_arm.h"
#include "common/config.h"
#include "common/text.h"

static const struct {
    const char *component;
    unsigned fills;
} components[] = {
    { "exec", FILL_EXEC },     { "proc", FILL_PROC },    { "layers", FILL_FILE }, { "overlay", FILL_FILE },
    { "procfs", FILL_FILE },   { "flow", FILL_FLOW },    { "dns", FILL_DNS },        { "listen", FILL_LISTEN },
    { "docker", FILL_FACTS },  { "ecs", FILL_FACTS },
    { "containers", FILL_CGROUP }, { "syscalls", FILL_TRACEFS }, { "unix", FILL_OTHER }, { "mounts", FILL_OTHER },
    { "modules", FILL_OTHER },
};

#define N_COMPONENTS (sizeof components / sizeof components[0])

unsigned component_fills(const char *component)
{
    for (size_t i = 0; i < N_COMPONENTS; i++)
        if (!strcmp(component, components[i].component))
            return components[i].fills;
    return 0;
}

unsigned config_fills(const struct config *config)
{
    unsigned fills = FILL_ALWAYS | FILL_CGROUP;
    fills |= config->sensors.exec ? FILL_EXEC : 0;
    fills |= config->sensors.proc ? FILL_PROC : 0;
    fills |= config->sensors.file ? FILL_FILE | FILL_OTHER : 0;
    fills |= config->sensors.flow ? FILL_FLOW : 0;
    fills |= config->sensors.dns ? FILL_DNS : 0;
    fills |= config->sensors.listen ? FILL_LISTEN : 0;
    fills |= config->sensors.syscalls ? FILL_TRACEFS : 0;
    return fills | (config->docker.socket[0] || config->ecs.introspection_url[0] ? FILL_FACTS : 0);
}

#define PUT(out, member, text) text_copy((out)->member, sizeof (out)->member, (text), strlen(text))

/* Whether it can match: `state` and `reason`. */
static void put_state(const struct rule *rule, unsigned filled, enum rule_priority priority_max, struct rule_status *out)
{
    struct rule_arming arming;
    if (!rule->enabled) {
        PUT(out, state, "disabled");
        PUT(out, reason, "enabled: false");
    } else if (rule->priority > priority_max) {
        PUT(out, state, "disabled");
        PUT(out, reason, "its priority is below rules.priority of the configuration");
    } else {
        rule_arm(rule, (uint16_t)filled, &arming);
        PUT(out, state, arm_state_name(arming.state));
        PUT(out, reason, arming.reason);
    }
}

void rule_status_of(const struct rule *rule, unsigned filled, enum rule_priority priority_max, struct rule_status *out)
{
    struct text_out tags;
    *out = (struct rule_status){ .line = rule->line, .severity = (uint8_t)rule_priority_severity(rule->priority) };
    put_state(rule, filled, priority_max, out);
    PUT(out, kind, "rule");
    PUT(out, name, rule->name);
    PUT(out, type, rule_finding_type(rule));
    PUT(out, file, rule->file ? rule->file : "");
    text_out_init(&tags, out->tags, sizeof out->tags);
    for (uint32_t i = 0; i < rule->n_tags; i++)
        text_out_printf(&tags, "%s%s", i ? " " : "", rule->tags[i]);
}

/* All of `needs` are needed; where there are none, one of `helps`. */
static void put_detector_state(const struct detector *detector, unsigned filled, struct rule_status *out)
{
    struct text_out reason;
    unsigned missing = detector->needs & ~filled, less = detector->helps & ~filled;
    bool inert = missing || (!detector->needs && less && less == detector->helps);
    PUT(out, state, inert ? "inert" : less ? "partly armed" : "armed");
    text_out_init(&reason, out->reason, sizeof out->reason);
    if (!missing && !less)
        return;
    text_out_printf(&reason, "%s what a sensor that is off would tell: ", inert ? "needs" : "goes without");
    arm_print_sensors(&reason, (uint16_t)(missing ? missing : less));
}

void detector_status_of(const struct detector *detector, unsigned filled, struct rule_status *out)
{
    *out = (struct rule_status){ .severity = (uint8_t)detector->severity };
    put_detector_state(detector, filled, out);
    PUT(out, kind, "detector");
    PUT(out, name, detector->rule);
    PUT(out, type, detector->type);
    PUT(out, tags, detector->mitre);
}
