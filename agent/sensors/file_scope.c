#include "agent/sensors/file_scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

void file_scope_init(struct file_scope *scope, const char *const *host_paths, const char *const *log_paths)
{
    memset(scope, 0, sizeof *scope);
    scope->host_paths = host_paths;
    scope->log_paths = log_paths;
    scope->generation = 1;
}

static void overlay_fini(struct overlay *o)
{
    free(o->mount_point);
    free(o->upperdir);
    free(o->libraries);
}

void file_scope_fini(struct file_scope *scope)
{
    for (int i = 0; i < scope->n_overlays; i++)
        overlay_fini(&scope->overlays[i]);
    scope->n_overlays = 0;
}

void file_scope_begin(struct file_scope *scope)
{
    for (int i = 0; i < scope->n_overlays; i++)
        scope->overlays[i].seen = false;
}

static void overlay_remove(struct file_scope *scope, int i)
{
    overlay_fini(&scope->overlays[i]);
    scope->overlays[i] = scope->overlays[--scope->n_overlays];
    scope->generation++;
}

/* A free entry; a full table gives up what has been gone longest, else the first. */
static struct overlay *overlay_slot(struct file_scope *scope)
{
    if (scope->n_overlays == LIMIT_OVERLAYS) {
        int oldest = 0;
        for (int i = 1; i < scope->n_overlays; i++) {
            uint64_t gone = scope->overlays[i].gone_ns, best = scope->overlays[oldest].gone_ns;
            if (gone && (!best || gone < best))
                oldest = i;
        }
        overlay_remove(scope, oldest);
        scope->evicted++;
    }
    return &scope->overlays[scope->n_overlays];
}

struct overlay *file_scope_overlay(struct file_scope *scope, uint64_t dev, const char *mount_point, const char *upperdir, int32_t owner)
{
    for (int i = 0; i < scope->n_overlays; i++) {
        struct overlay *o = &scope->overlays[i];
        if (o->dev == dev && !o->gone_ns && !strcmp(o->upperdir, upperdir)) {
            o->seen = true;
            return o;
        }
    }
    struct overlay *o = overlay_slot(scope);
    *o = (struct overlay){ .dev = dev, .owner = owner, .seen = true };
    o->mount_point = strdup(mount_point);
    o->upperdir = strdup(upperdir);
    if (!o->mount_point || !o->upperdir) {
        overlay_fini(o);
        return NULL;
    }
    o->mount_point_len = strlen(mount_point);
    o->upperdir_len = strlen(upperdir);
    scope->n_overlays++;
    scope->generation++;
    return o;
}

void file_scope_end(struct file_scope *scope, uint64_t now_ns)
{
    for (int i = scope->n_overlays - 1; i >= 0; i--) {
        struct overlay *o = &scope->overlays[i];
        if (!o->seen && !o->owner && !o->gone_ns)
            o->gone_ns = now_ns;
        if (o->gone_ns && now_ns - o->gone_ns > LIMIT_OVERLAY_GRACE_NS)
            overlay_remove(scope, i);
    }
}

int overlay_add_library(struct overlay *o, uint64_t ino)
{
    int at = 0, end = o->n_libraries;
    while (at < end) {
        int middle = (at + end) / 2;
        if (o->libraries[middle] < ino)
            at = middle + 1;
        else
            end = middle;
    }
    if (at < o->n_libraries && o->libraries[at] == ino)
        return 0;
    if (o->n_libraries == LIMIT_LIBRARY_MARKS) {
        o->libraries_full = true;
        return -ENOSPC;
    }
    if (!(o->n_libraries & (o->n_libraries - 1))) { /* full at each power of two, and at first */
        uint64_t *larger = realloc(o->libraries, (o->n_libraries ? 2 * (size_t)o->n_libraries : 1) * sizeof *larger);
        if (!larger)
            return -ENOMEM;
        o->libraries = larger;
    }
    memmove(o->libraries + at + 1, o->libraries + at, (size_t)(o->n_libraries++ - at) * sizeof *o->libraries);
    o->libraries[at] = ino;
    return 1;
}

int file_scope_full_overlays(const struct file_scope *scope)
{
    int n = 0;
    for (int i = 0; i < scope->n_overlays; i++)
        n += scope->overlays[i].libraries_full && !scope->overlays[i].gone_ns;
    return n;
}

void file_scope_owner_gone(struct file_scope *scope, int32_t owner, uint64_t now_ns)
{
    for (int i = 0; i < scope->n_overlays; i++)
        if (scope->overlays[i].owner == owner && !scope->overlays[i].gone_ns)
            scope->overlays[i].gone_ns = now_ns;
}

bool path_is_below(const char *path, const char *dir, size_t dir_len)
{
    return !strncmp(path, dir, dir_len) && (path[dir_len] == 0 || path[dir_len] == '/');
}

static const struct overlay *overlay_above(const struct file_scope *scope, const char *dir)
{
    const struct overlay *found = NULL;
    for (int i = 0; i < scope->n_overlays; i++) {
        const struct overlay *o = &scope->overlays[i];
        if (!o->upperdir_len || !path_is_below(dir, o->upperdir, o->upperdir_len))
            continue;
        if (!found || !o->gone_ns)
            found = o;
    }
    return found;
}

enum path_relation path_relate(const char *path, const char *pattern)
{
    if (!strcmp(path, "/"))
        path++;
    while (*path == '/' && *pattern == '/') {
        size_t n = strcspn(++path, "/"), m = strcspn(++pattern, "/");
        if (!(m == 1 && *pattern == '*') && (n != m || memcmp(path, pattern, n)))
            return PATH_ELSEWHERE;
        path += n;
        pattern += m;
    }
    if (!*pattern)
        return PATH_BELOW;
    return *path ? PATH_ELSEWHERE : strchr(pattern + 1, '/') ? PATH_ABOVE : PATH_PARENT;
}

/* Whether `dir` holds entries of one of the patterns. */
static bool list_has_place(const char *const *patterns, const char *dir)
{
    for (; patterns && *patterns; patterns++) {
        enum path_relation relation = path_relate(dir, *patterns);
        if (relation == PATH_PARENT || relation == PATH_BELOW)
            return true;
    }
    return false;
}

struct file_place file_scope_place(const struct file_scope *scope, const char *dir)
{
    const struct overlay *o = overlay_above(scope, dir);
    if (o)
        return (struct file_place){ PLACE_UPPER, o };
    if (list_has_place(scope->host_paths, dir) || list_has_place(scope->log_paths, dir))
        return (struct file_place){ PLACE_HOST, NULL };
    return (struct file_place){ PLACE_NONE, NULL };
}

/* Whether dir/name matches one of the patterns or lies below a match. */
static bool list_has_entry(const char *const *patterns, const char *dir, const char *name, size_t name_len)
{
    for (; patterns && *patterns; patterns++) {
        enum path_relation relation = path_relate(dir, *patterns);
        const char *last = strrchr(*patterns, '/') + 1;
        if (relation == PATH_BELOW)
            return true;
        if (relation == PATH_PARENT && (!strcmp(last, "*") || (strlen(last) == name_len && !memcmp(last, name, name_len))))
            return true;
    }
    return false;
}

enum host_interest file_scope_host(const struct file_scope *scope, const char *dir, const char *name, size_t name_len)
{
    if (list_has_entry(scope->host_paths, dir, name, name_len))
        return HOST_CHANGES;
    return list_has_entry(scope->log_paths, dir, name, name_len) ? HOST_LOSSES : HOST_NONE;
}

const struct overlay *file_scope_by_dev(const struct file_scope *scope, uint64_t dev)
{
    const struct overlay *found = NULL;
    for (int i = 0; i < scope->n_overlays; i++)
        if (scope->overlays[i].dev == dev && (!found || !scope->overlays[i].gone_ns))
            found = &scope->overlays[i];
    return found;
}
