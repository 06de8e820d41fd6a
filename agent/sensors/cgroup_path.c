#include "agent/sensors/cgroup_path.h"

#include <errno.h>
#include <string.h>

#include "common/limits.h"
#include "common/text.h"

#define NAME_BYTES 256 /* NAME_MAX and a NUL */

/* Unit and directory names that a runtime puts before the id. `libpod-conmon-` and `crio-conmon-` are the monitors on the host: they fail
 * because "conmon-..." is no id. */
static const struct {
    const char *prefix, *runtime;
} prefixes[] = {
    { "docker-", "docker" },       { "cri-containerd-", "containerd" }, { "containerd-", "containerd" },
    { "nerdctl-", "containerd" },  { "libpod-", "podman" },             { "crio-", "cri-o" },
};

/* Directories that hold a runtime's containers by their bare id. */
static const struct {
    const char *parent, *runtime;
} parents[] = {
    { "docker", "docker" },      { "ecs", "docker" },         { "k8s.io", "containerd" },      { "default", "containerd" },
    { "nerdctl", "containerd" }, { "containerd", "containerd" }, { "libpod_parent", "podman" },
};

/* What the components before the present one have told. */
struct walk {
    char name[NAME_BYTES]; /* present component, \x2d undone */
    size_t length;
    int depth;
    bool parent_is_ecs;
    bool after_ecs_task; /* the parent is a task's directory below `ecs` */
    const char *parent_runtime; /* by the table `parents`, "" for none */
    char task_id[65];
};

static bool is_hex(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

bool cgroup_is_full_id(const char *text, size_t size)
{
    return size == 64 && is_hex(text, size);
}

bool cgroup_is_task_id(const char *text, size_t size)
{
    static const size_t groups[] = { 8, 4, 4, 4, 12 };
    if (size == 32)
        return is_hex(text, size);
    if (size != 36)
        return false;
    for (size_t i = 0; i < 5; i++) {
        if (!is_hex(text, groups[i]) || (i < 4 && text[groups[i]] != '-'))
            return false;
        text += groups[i] + 1;
    }
    return true;
}

static bool ends_with(const char *text, size_t size, const char *suffix)
{
    size_t n = strlen(suffix);
    return size >= n && !memcmp(text + size - n, suffix, n);
}

static bool starts_with(const char *text, size_t size, const char *prefix)
{
    size_t n = strlen(prefix);
    return size >= n && !memcmp(text, prefix, n);
}

/* Copies one component and undoes systemd's \xHH (systemd.unit(5)). False for what is longer than a file name can be. */
static bool component_copy(struct walk *w, const char *text, size_t size)
{
    w->length = 0;
    for (size_t i = 0; i < size; i++) {
        if (w->length + 1 >= sizeof w->name)
            return false;
        if (size - i >= 4 && !memcmp(text + i, "\\x2d", 4)) {
            w->name[w->length++] = '-';
            i += 3;
        } else {
            w->name[w->length++] = text[i];
        }
    }
    w->name[w->length] = 0;
    if (ends_with(w->name, w->length, " (deleted)")) /* cgroup v2 of a process that outlives its group */
        w->name[w->length -= 10] = 0;
    return true;
}

static void identity_set(struct cgroup_identity *out, const char *runtime, const char *id, size_t size, const struct walk *w)
{
    out->is_container = true;
    out->runtime = runtime;
    text_copy(out->container_id, sizeof out->container_id, id, size);
    memcpy(out->task_id, w->task_id, sizeof out->task_id);
}

/* "docker-<id>.scope", and "libpod-<id>" where there is no systemd. */
static bool match_prefix(const struct walk *w, struct cgroup_identity *out)
{
    size_t length = w->length;
    if (ends_with(w->name, length, ".scope"))
        length -= 6;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = strlen(prefixes[i].prefix);
        if (starts_with(w->name, length, prefixes[i].prefix) && cgroup_is_full_id(w->name + n, length - n)) {
            identity_set(out, prefixes[i].runtime, w->name + n, length - n, w);
            return true;
        }
    }
    return false;
}

/* "<id>" below any parent (people use --cgroup-parent). */
static bool match_bare(const struct walk *w, struct cgroup_identity *out)
{
    if (!cgroup_is_full_id(w->name, w->length))
        return false;
    identity_set(out, w->after_ecs_task ? "docker" : w->parent_runtime, w->name, w->length, w);
    return true;
}

/* "system.slice:docker:<id>": a systemd style parent given to a runtime that makes directories itself. */
static bool match_colons(const struct walk *w, struct cgroup_identity *out)
{
    const char *colon = memrchr(w->name, ':', w->length);
    if (!colon || !cgroup_is_full_id(colon + 1, w->length - (size_t)(colon + 1 - w->name)))
        return false;
    const char *before = memrchr(w->name, ':', (size_t)(colon - w->name));
    before = before ? before + 1 : w->name;
    const char *runtime = "";
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = strlen(prefixes[i].prefix) - 1;
        if ((size_t)(colon - before) == n && !memcmp(before, prefixes[i].prefix, n))
            runtime = prefixes[i].runtime;
    }
    identity_set(out, runtime, colon + 1, w->length - (size_t)(colon + 1 - w->name), w);
    return true;
}

/* "/default/<any name>": containerd's namespaces at the top, where the user of `ctr` chooses the id. */
static bool match_chosen(const struct walk *w, struct cgroup_identity *out)
{
    static const char *const units[] = { ".service", ".scope", ".slice", ".mount", ".socket", ".swap" };
    if (w->depth != 1 || strcmp(w->parent_runtime, "containerd") || w->length > 76)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (ends_with(w->name, w->length, units[i]))
            return false;
    for (size_t i = 0; i < w->length; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", w->name[i]))
            return false;
    if (w->name[0] == '.')
        return false;
    identity_set(out, "containerd", w->name, w->length, w);
    return true;
}

/* Remembers what this component says about the ones below it. */
static void walk_on(struct walk *w)
{
    size_t length = w->length;
    const char *task = NULL;
    w->after_ecs_task = false;
    if (w->parent_is_ecs && cgroup_is_task_id(w->name, length)) {
        task = w->name;
        w->after_ecs_task = true;
    } else if (starts_with(w->name, length, "ecstasks-") && ends_with(w->name, length, ".slice")) {
        task = w->name + 9;
        length -= 9 + 6;
        w->after_ecs_task = true;
    }
    if (task && cgroup_is_task_id(task, length))
        text_copy(w->task_id, sizeof w->task_id, task, length);
    w->parent_is_ecs = !strcmp(w->name, "ecs");
    w->parent_runtime = "";
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++)
        if (!strcmp(w->name, parents[i].parent))
            w->parent_runtime = parents[i].runtime;
    w->depth++;
}

static void identify_path(const char *path, size_t size, struct cgroup_identity *out)
{
    struct walk w = { .parent_runtime = "" };
    memset(out, 0, sizeof *out);
    out->runtime = "";
    out->path = path;
    out->path_size = size;
    for (size_t at = 0; at < size;) {
        const char *slash = memchr(path + at, '/', size - at);
        size_t end = slash ? (size_t)(slash - path) : size;
        if (end > at && component_copy(&w, path + at, end - at) && w.length) {
            if (match_prefix(&w, out) || match_bare(&w, out) || match_colons(&w, out) || match_chosen(&w, out)) {
                out->container_size = end;
                return;
            }
            walk_on(&w);
        }
        at = end + 1;
    }
}

/* The path of one line "N:controllers:path", or NULL. */
static const char *line_path(const char *line, size_t size, size_t *path_size)
{
    const char *end = line + size;
    const char *colon = memchr(line, ':', size);
    colon = colon ? memchr(colon + 1, ':', (size_t)(end - colon - 1)) : NULL;
    if (!colon || colon + 1 == end || colon[1] != '/')
        return NULL;
    *path_size = (size_t)(end - colon - 1);
    return colon + 1;
}

static int identify_lines(const char *bytes, size_t size, struct cgroup_identity *out)
{
    bool any = false;
    for (size_t at = 0; at < size;) {
        struct cgroup_identity one;
        const char *newline = memchr(bytes + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - bytes) : size, path_size;
        const char *path = line_path(bytes + at, end - at, &path_size);
        if (!path) {
            memset(out, 0, sizeof *out);
            out->runtime = "";
            return -EINVAL;
        }
        identify_path(path, path_size, &one);
        /* v1 has a line per controller, and not all need to be of the container; the one that knows the task says most. */
        if (!any || (one.is_container && (!out->is_container || (one.task_id[0] && !out->task_id[0]))))
            *out = one;
        any = true;
        at = end + 1;
    }
    return 0;
}

int cgroup_identify(const char *bytes, size_t size, struct cgroup_identity *out)
{
    memset(out, 0, sizeof *out);
    out->runtime = "";
    out->path = "";
    if (!size || size > LIMIT_CGROUP_FILE_BYTES || memchr(bytes, 0, size))
        return -EINVAL;
    if (bytes[0] != '/')
        return identify_lines(bytes, size, out);
    const char *newline = memchr(bytes, '\n', size);
    identify_path(bytes, newline ? (size_t)(newline - bytes) : size, out);
    return 0;
}
