/* proc.entry: how a process came to be in its container. */
#include "agent/detect/rules/field_getters.h"

#include <string.h>

/* ECS Exec starts its agent from a mount of the host's files: the path alone could be imitated, the device cannot. */
static bool is_ecs_exec(const struct field_context *c, const struct process *p)
{
    return text_has_prefix(process_exe(p), "/ecs-execute-command-") && p->image->has_file && c->container->root_dev &&
           p->image->dev != c->container->root_dev;
}

/* Upwards as long as it is the same container: its first process started all that belongs to the task; what was put in from outside ends at
 * a process that entered. */
static const char *entry_in_container(const struct field_context *c)
{
    const struct process *p = c->process;
    bool ecs_exec = false;
    for (int i = 0; i < LIMIT_LINEAGE; i++) {
        if (p->pid == c->container->init_pid)
            return "task";
        ecs_exec |= is_ecs_exec(c, p);
        const struct process *parent = proctree_parent(c->tree, p);
        if (!parent || parent->container != p->container)
            return !p->entered ? "unknown" : ecs_exec ? "ecs_exec" : "docker_exec";
        p = parent;
    }
    return "unknown";
}

static const char *entry_of(const struct field_context *c)
{
    const struct process *p = c->process;
    if (!p || (!p->container && !p->container_known))
        return "unknown";
    if (!p->container)
        return "host";
    return c->container && c->container->id == p->container ? entry_in_container(c) : "unknown";
}

GETTER(process_entry)
{
    const char *entry = entry_of(c);
    if (ref->field->which == ENTRY_KIND)
        return value_name(out, entry);
    if (strcmp(entry, "unknown") == 0)
        return VALUE_MISSING;
    return value_bool(out, strcmp(entry, "ecs_exec") == 0 || strcmp(entry, "docker_exec") == 0);
}
