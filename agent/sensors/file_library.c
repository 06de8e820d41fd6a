#include "agent/sensors/file_library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "agent/sensors/elf_head.h"
#include "agent/sensors/file_mounts.h"
#include "agent/sensors/file_overlay.h"
#include "agent/sensors/file_sensor.h"
#include "agent/sensors/maps.h"
#include "common/clock.h"
#include "common/log.h"

/* The loader maps code some 20 us after it opened the file; a busy machine may take longer, and a program that only reads never does. */
static const uint64_t retry_ns[] = { 3 * NS_PER_MS, 30 * NS_PER_MS };

static bool is_loadable(const struct opened *file)
{
    uint8_t head[ELF_HEAD_BYTES];
    ssize_t n = file->st.st_size > ELF_HEAD_BYTES ? pread(file->fd, head, sizeof head, 0) : -1;
    return n > 0 && elf_head_is_loadable(head, (size_t)n, file->path);
}

/* The overlay that holds the file, or NULL; *in_container also for a tmpfs of a container. */
static struct overlay *place_of(struct file_sensor *fs, const struct opened *file, bool *in_container)
{
    struct container_mark mark;
    const struct overlay *o = file_scope_by_dev(&fs->scope, file->st.st_dev);
    *in_container = o || (file_mounts_mark_of(fs, file->st.st_dev, &mark) && mark.kind == MARK_TMPFS);
    return o ? &fs->scope.overlays[o - fs->scope.overlays] : NULL;
}

void file_library_tell_limit(struct file_sensor *fs)
{
    struct sensor_stats *stats = &fs->stats[FILE_GROUP_OVERLAY];
    int n = file_scope_full_overlays(&fs->scope);
    if (n == fs->n_full_overlays || fs->group_fd[FILE_GROUP_OVERLAY] < 0)
        return;
    fs->n_full_overlays = n;
    if (n)
        sensor_state(stats, SENSOR_DEGRADED, "more than %d libraries were written in a container, in %d now: whether further ones are loaded there is not seen",
                     LIMIT_LIBRARY_MARKS, n);
    else
        sensor_state(stats, SENSOR_OK, "%s", "");
}

void file_library_written(struct file_sensor *fs, const struct opened *file)
{
    bool in_container;
    struct overlay *o = place_of(fs, file, &in_container);
    if (!in_container || !is_loadable(file))
        return;
    if (o && overlay_add_library(o, file->st.st_ino) < 0) {
        file_library_tell_limit(fs);
        return;
    }
    if (fanotify_mark(fs->group_fd[FILE_GROUP_OVERLAY], FAN_MARK_ADD, FAN_OPEN, file->fd, NULL))
        log_debug("file", "cannot watch a new library: %s", strerror(errno));
}

bool file_library_is_new(struct file_sensor *fs, const struct opened *file)
{
    bool in_container;
    place_of(fs, file, &in_container);
    return in_container && is_loadable(file);
}

enum load { LOAD_NO, LOAD_YES, LOAD_UNKNOWN };

static enum load is_loaded(int32_t pid, const char *path)
{
    char name[40], buffer[16384];
    size_t path_length = strlen(path), left = 0, total = 0;
    snprintf(name, sizeof name, "/proc/%d/maps", pid);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return LOAD_UNKNOWN;
    enum load load = LOAD_NO;
    ssize_t n = 0;
    while (load == LOAD_NO && total < LIMIT_MAPS_BYTES && (n = read(fd, buffer + left, sizeof buffer - left)) > 0) {
        char *at = buffer, *end;
        total += (size_t)n;
        left += (size_t)n;
        while (load == LOAD_NO && (end = memchr(at, '\n', left))) {
            if (maps_line_is_code(at, (size_t)(end - at), path, path_length))
                load = LOAD_YES;
            left -= (size_t)(end + 1 - at);
            at = end + 1;
        }
        memmove(buffer, at, left);
        if (left == sizeof buffer)
            left = 0; /* no line is that long */
    }
    close(fd);
    return total ? load : LOAD_UNKNOWN; /* nothing: the process has ended */
}

static void tell(struct file_sensor *fs, struct pending_load *p, enum load load)
{
    file_overlay_tell_load(fs, p, load == LOAD_UNKNOWN ? -1 : load == LOAD_YES);
    free(p->path);
    *p = (struct pending_load){ .path = NULL };
    fs->n_loads--;
}

bool file_library_opened(struct file_sensor *fs, const struct opened *file, int32_t pid, uint64_t now_ns)
{
    struct pending_load *p = fs->loads;
    while (p < fs->loads + LIMIT_PENDING_LOADS && p->path)
        p++;
    if (p == fs->loads + LIMIT_PENDING_LOADS)
        return false;
    *p = (struct pending_load){ .pid = pid, .st = file->st, .path = strdup(file->path), .due_ns = now_ns + retry_ns[0] };
    if (!p->path)
        return false;
    fs->n_loads++;
    enum load load = is_loaded(pid, p->path);
    if (load != LOAD_NO)
        tell(fs, p, load);
    return true;
}

void file_library_step(struct file_sensor *fs, uint64_t now_ns)
{
    for (struct pending_load *p = fs->loads; fs->n_loads && p < fs->loads + LIMIT_PENDING_LOADS; p++) {
        if (!p->path || now_ns < p->due_ns)
            continue;
        enum load load = is_loaded(p->pid, p->path);
        if (load == LOAD_NO && ++p->tries < (int)(sizeof retry_ns / sizeof *retry_ns))
            p->due_ns = now_ns + retry_ns[p->tries];
        else
            tell(fs, p, load);
    }
}

void file_library_fini(struct file_sensor *fs)
{
    for (struct pending_load *p = fs->loads; p < fs->loads + LIMIT_PENDING_LOADS; p++)
        free(p->path);
}
