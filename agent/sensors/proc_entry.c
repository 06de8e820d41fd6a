#include "agent/sensors/proc_entry.h"

#include <string.h>

#include "common/text.h"

/* The positive number that fills the path component at `text`, or 0. */
static int32_t component_pid(const char *text, size_t *length)
{
    uint64_t value;
    *length = strcspn(text, "/");
    return !text_to_u64(text, *length, &value) && value <= INT32_MAX ? (int32_t)value : 0;
}

void proc_entry_parse(const char *path, struct proc_entry *entry)
{
    *entry = (struct proc_entry){ .pid = 0, .tail = path, .file = "" };
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t n, thread;
        int32_t pid = component_pid(slash + 1, &n);
        if (!pid)
            continue;
        entry->pid = pid;
        entry->tail = slash;
        entry->file = slash[1 + n] ? slash + 2 + n : "";
        if (text_has_prefix(entry->file, "task/") && component_pid(entry->file + 5, &thread) && entry->file[5 + thread])
            entry->file += 6 + thread;
        return;
    }
}

bool proc_entry_is_own_noise(const char *file)
{
    static const char *const names[] = { "comm",       "oom_score_adj", "oom_adj", "timerslack_ns", "coredump_filter",
                                         "autogroup",  "sched",         "loginuid", "setgroups",    "clear_refs" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(file, names[i]))
            return true;
    return text_has_prefix(file, "attr/");
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(name, *names))
            return true;
    return false;
}

bool proc_entry_open_matters(const struct proc_entry *entry, bool own)
{
    static const char *const of_any[] = { "environ", "mem", NULL };
    static const char *const of_others[] = { "maps", "smaps", "pagemap", "auxv", "stack", "syscall", NULL };
    static const char *const global[] = { "/kcore", "/kallsyms", "/kmsg", "/kpagecount", "/sysrq-trigger", "/keys", "/sched_debug", "/timer_list", NULL };
    if (entry->pid)
        return is_one_of(entry->file, of_any) || (!own && is_one_of(entry->file, of_others));
    const char *name = strrchr(entry->tail, '/');
    return name && is_one_of(name, global);
}

bool cgroup_file_matters(const char *path)
{
    static const char *const names[] = { "/release_agent", "/notify_on_release", "/devices.allow", NULL };
    const char *name = strrchr(path, '/');
    return name && is_one_of(name, names);
}

bool sysfs_file_matters(const char *path)
{
    return text_has_suffix(path, "/kernel/uevent_helper");
}

int32_t proc_status_nspid(const char *status)
{
    const char *line = strstr(status, "\nNSpid:");
    if (!line)
        return 0;
    int32_t pid = 0;
    size_t end = strcspn(line + 7, "\n");
    for (size_t i = 0; i < end;) {
        size_t n = strspn(line + 7 + i, "0123456789");
        uint64_t value;
        if (n && !text_to_u64(line + 7 + i, n, &value) && value <= INT32_MAX)
            pid = (int32_t)value;
        i += n ? n : 1;
    }
    return pid;
}
