#include "agent/sensors/file_scope.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"

void file_scope_init(struct file_scope *scope, const char *const *host_paths)
{
    memset(scope, 0, sizeof *scope);
    scope->host_paths = host_paths;
    scope->generation = 1;
}

static void overlay_fini(struct overlay *o)
{
    free(o->mount_point);
    free(o->upperdir);
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

struct file_place file_scope_place(const struct file_scope *scope, const char *dir)
{
    const struct overlay *o = overlay_above(scope, dir);
    if (o)
        return (struct file_place){ PLACE_UPPER, o };
    size_t dir_len = strcmp(dir, "/") ? strlen(dir) : 0;
    for (int i = 0; scope->host_paths && scope->host_paths[i]; i++) {
        const char *host = scope->host_paths[i];
        bool parent = !strncmp(host, dir, dir_len) && host[dir_len] == '/' && !strchr(host + dir_len + 1, '/');
        if (parent || path_is_below(dir, host, strlen(host)))
            return (struct file_place){ PLACE_HOST, NULL };
    }
    return (struct file_place){ PLACE_NONE, NULL };
}

bool file_scope_is_host(const struct file_scope *scope, const char *dir, const char *name, size_t name_len)
{
    size_t dir_len = strcmp(dir, "/") ? strlen(dir) : 0;
    for (int i = 0; scope->host_paths && scope->host_paths[i]; i++) {
        const char *host = scope->host_paths[i];
        if (path_is_below(dir, host, strlen(host)))
            return true;
        if (!strncmp(host, dir, dir_len) && host[dir_len] == '/' && strlen(host + dir_len + 1) == name_len &&
            !memcmp(host + dir_len + 1, name, name_len))
            return true;
    }
    return false;
}

const struct overlay *file_scope_by_dev(const struct file_scope *scope, uint64_t dev)
{
    const struct overlay *found = NULL;
    for (int i = 0; i < scope->n_overlays; i++)
        if (scope->overlays[i].dev == dev && (!found || !scope->overlays[i].gone_ns))
            found = &scope->overlays[i];
    return found;
}
