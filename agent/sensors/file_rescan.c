#include "agent/sensors/file_rescan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sensors/file_layers.h"
#include "agent/sensors/file_sensor.h"
#include "common/clock.h"

/* File times come from a coarser clock than ours, and ours may be set back a little. */
#define MARGIN_NS NS_PER_SECOND
#define INTERVAL_NS (5 * NS_PER_SECOND) /* a lasting flood must not keep us scanning */

static void push(struct file_sensor *fs, const char *path, const char *name, size_t root_len)
{
    struct file_rescan *r = &fs->rescan;
    size_t size = strlen(path) + strlen(name) + 2;
    char *copy = r->n_stack < LIMIT_RESCAN_DIRS && size <= LIMIT_PATH_BYTES ? malloc(size) : NULL;
    if (!copy) {
        sensor_lost(&fs->sensors[FILE_GROUP_LAYERS], 1, "a rescanned directory tree is too deep or too wide");
        return;
    }
    snprintf(copy, size, *name ? "%s/%s" : "%s%s", path, name);
    r->stack[r->n_stack++] = (struct rescan_dir){ copy, root_len };
}

static void start(struct file_sensor *fs)
{
    fs->rescan.again = false;
    fs->rescan.started_ns = clock_monotonic_ns();
    fs->rescan.since_wall_ns = fs->rescan.next_since_wall_ns;
    sensor_count(&fs->stats[FILE_GROUP_LAYERS].resyncs, 1);
    for (int i = 0; i < fs->scope.n_overlays; i++)
        if (fs->scope.overlays[i].upperdir_len && !fs->scope.overlays[i].gone_ns)
            push(fs, fs->scope.overlays[i].upperdir, "", fs->scope.overlays[i].upperdir_len);
}

void file_rescan_request(struct file_sensor *fs)
{
    if (!fs->rescan.again)
        fs->rescan.next_since_wall_ns = fs->drained_wall_ns - MARGIN_NS;
    fs->rescan.again = true;
}

/* Opens a directory of a layer without following symbolic links that a container may have put into the path meanwhile. */
static DIR *layer_opendir(const struct rescan_dir *at)
{
    char root[LIMIT_PATH_BYTES];
    snprintf(root, sizeof root, "%.*s", (int)at->root_len, at->path);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && at->path[at->root_len]) {
        struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
                                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
        int below = (int)syscall(SYS_openat2, fd, at->path + at->root_len + 1, &how, sizeof how);
        close(fd);
        fd = below;
    }
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

static void close_dir(struct file_rescan *r)
{
    if (r->dir)
        closedir(r->dir);
    free(r->at.path);
    r->dir = NULL;
    r->at.path = NULL;
}

static void emit_found(struct file_sensor *fs, const char *name, const struct stat *st)
{
    const struct rescan_dir *at = &fs->rescan.at;
    struct sensor *s = &fs->sensors[FILE_GROUP_LAYERS];
    struct event *ev = sensor_event(s, EVENT_FILE, clock_monotonic_ns(), 2 * (LIMIT_PATH_BYTES + 1));
    if (!ev)
        return; /* counted; asking for another rescan here would never end */
    event_set(ev, F_FILE_OP, file_op, FILE_CREATE);
    event_set_path(ev, F_PATH, at->path + at->root_len, name, strlen(name));
    event_set_path(ev, F_HOST_PATH, at->path, name, strlen(name));
    event_set_stat(ev, st);
    sensor_commit(s, ev);
}

static void look_at(struct file_sensor *fs, const char *name)
{
    struct file_rescan *r = &fs->rescan;
    struct stat st;
    if (!strcmp(name, ".") || !strcmp(name, "..") || fstatat(dirfd(r->dir), name, &st, AT_SYMLINK_NOFOLLOW))
        return;
    if (S_ISDIR(st.st_mode))
        push(fs, r->at.path, name, r->at.root_len);
    else if (S_ISREG(st.st_mode) && (st.st_mode & 0111) &&
             (uint64_t)st.st_ctim.tv_sec * NS_PER_SECOND + (uint64_t)st.st_ctim.tv_nsec >= r->since_wall_ns)
        emit_found(fs, name, &st);
}

bool file_rescan_step(struct file_sensor *fs)
{
    struct file_rescan *r = &fs->rescan;
    if (!r->dir && !r->n_stack && r->again && (!r->started_ns || clock_monotonic_ns() - r->started_ns > INTERVAL_NS))
        start(fs);
    for (int n = 0; n < LIMIT_RESCAN_SLICE && (r->dir || r->n_stack); n++) {
        if (!r->dir) {
            r->at = r->stack[--r->n_stack];
            r->dir = layer_opendir(&r->at);
        }
        struct dirent *entry = r->dir ? readdir(r->dir) : NULL;
        if (entry)
            look_at(fs, entry->d_name);
        else
            close_dir(r);
    }
    return r->dir || r->n_stack;
}

void file_rescan_fini(struct file_rescan *r)
{
    close_dir(r);
    while (r->n_stack)
        free(r->stack[--r->n_stack].path);
}
