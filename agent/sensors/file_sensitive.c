#include "agent/sensors/file_sensitive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sensors/fan_mark.h"
#include "agent/sensors/file_sensor.h"
#include "agent/sensors/sensitive_paths.h"
#include "common/clock.h"
#include "common/log.h"

/* Called with each existing path of the list, opened with O_PATH; true stops. */
typedef bool path_visitor(void *to, int fd, const char *path, bool directory);

/* Where to look: below `root`, resolved as a process with that root would (`fd` >= 0), or with no symbolic link anywhere. */
struct place {
    const char *root;
    int fd;
    bool one_mount; /* with `fd`: nothing that is mounted there */
};

static int open_at(const struct place *place, const char *path, uint64_t flags)
{
    char full[LIMIT_PATH_BYTES + 64];
    struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
    if (place->fd >= 0) {
        how.resolve |= RESOLVE_IN_ROOT | (place->one_mount ? RESOLVE_NO_XDEV : 0);
        return (int)syscall(SYS_openat2, place->fd, path, &how, sizeof how);
    }
    how.resolve |= RESOLVE_NO_SYMLINKS;
    if ((size_t)snprintf(full, sizeof full, "%s%s", place->root, path) >= sizeof full)
        return -1;
    return (int)syscall(SYS_openat2, AT_FDCWD, full, &how, sizeof how);
}

static bool visit_path(const struct place *place, const char *path, bool directory, path_visitor *visit, void *to)
{
    int fd = open_at(place, path, O_PATH | (directory ? O_DIRECTORY : 0));
    if (fd < 0)
        return false;
    bool stop = visit(to, fd, path, directory);
    close(fd);
    return stop;
}

/* The pattern's "*" stands for each of the first entries of its directory. */
static bool visit_pattern(const struct place *place, const struct sensitive_path *s, path_visitor *visit, void *to)
{
    char path[LIMIT_PATH_BYTES];
    const char *star = strchr(s->pattern, '*');
    if (!star)
        return visit_path(place, s->pattern, s->directory, visit, to);
    snprintf(path, sizeof path, "%.*s", (int)(star - s->pattern), s->pattern);
    int fd = open_at(place, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0)
        close(fd);
    bool stop = false;
    struct dirent *entry;
    for (int n = 0; dir && !stop && n < LIMIT_SENSITIVE_HOMES && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        n++;
        snprintf(path, sizeof path, "%.*s%s%s", (int)(star - s->pattern), s->pattern, entry->d_name, star + 1);
        stop = visit_path(place, path, s->directory, visit, to);
    }
    if (dir)
        closedir(dir);
    return stop;
}

static void visit_all(const struct place *place, path_visitor *visit, void *to)
{
    for (const struct sensitive_path *s = sensitive_paths; s->pattern && !visit_pattern(place, s, visit, to); s++)
        continue;
}

static bool mark(void *to, int fd, const char *path, bool directory)
{
    struct file_sensor *fs = to;
    struct stat st;
    if (fstat(fd, &st) || !(directory || S_ISREG(st.st_mode)))
        return false;
    int error = fan_mark(fs->group_fd[FILE_GROUP_OVERLAY], 0, SENSITIVE_MASK | (directory ? FAN_EVENT_ON_CHILD : 0), fd);
    if (error)
        log_debug("file", "cannot watch opens of %s: %s", path, strerror(-error));
    else
        sensor_count(&fs->sensitive_marks, 1);
    return false;
}

void file_sensitive_mark(struct file_sensor *fs, const char *mount_point)
{
    const struct place place = { strcmp(mount_point, "/") ? mount_point : "", -1, false };
    if (fs->group_fd[FILE_GROUP_OVERLAY] >= 0)
        visit_all(&place, mark, fs);
}

void file_sensitive_mark_root(struct file_sensor *fs, const char *root, bool one_mount)
{
    const struct place place = { "", open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), one_mount };
    if (place.fd < 0)
        return;
    if (fs->group_fd[FILE_GROUP_OVERLAY] >= 0)
        visit_all(&place, mark, fs);
    close(place.fd);
}

/* Whether descriptor `name` of the directory /proc/PID/fdinfo was opened for reading. */
static bool fd_is_readable(int32_t pid, const char *name)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%.10s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *flags = strstr(text, "flags:");
    return flags && (strtoul(flags + 6, NULL, 8) & O_ACCMODE) != O_WRONLY;
}

/* The process has the file open now, for reading. */
static bool has_open(int32_t pid, const char *path)
{
    char name[40], link[LIMIT_PATH_BYTES];
    size_t length = strlen(path);
    snprintf(name, sizeof name, "/proc/%d/fd", pid);
    DIR *dir = opendir(name);
    struct dirent *entry;
    bool found = false;
    for (int n = 0; dir && !found && n < LIMIT_SOCKET_FDS && (entry = readdir(dir)); n++) {
        ssize_t size = readlinkat(dirfd(dir), entry->d_name, link, sizeof link);
        found = size == (ssize_t)length && !memcmp(link, path, length) && fd_is_readable(pid, entry->d_name);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* True if this reading was told already; else it is noted. */
static bool was_told(struct file_sensor *fs, int32_t pid, const struct stat *st, uint64_t now_ns)
{
    for (size_t i = 0; i < SENSITIVE_READS; i++) {
        struct sensitive_read *r = &fs->reads[i];
        if (r->pid == pid && r->ino == st->st_ino && r->dev == st->st_dev && now_ns - r->time_ns < NS_PER_SECOND)
            return true;
    }
    fs->reads[fs->n_reads++ % SENSITIVE_READS] = (struct sensitive_read){ st->st_dev, st->st_ino, now_ns, pid };
    return false;
}

bool file_sensitive_is_read(struct file_sensor *fs, uint64_t mask, int32_t pid, const struct opened *file, uint64_t now_ns)
{
    if (sensitive_open_is_noise(file->path))
        return false;
    return ((mask & FAN_ACCESS) || has_open(pid, file->path)) && !was_told(fs, pid, &file->st, now_ns);
}

struct find {
    uint64_t dev, ino;
    char *out;
    size_t size;
    bool found;
};

/* A file in an opened directory. */
static bool find_in(struct find *find, int fd, const char *path)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    DIR *dir = opendir(link);
    struct dirent *entry;
    struct stat st;
    for (int n = 0; dir && !find->found && n < LIMIT_SENSITIVE_ENTRIES && (entry = readdir(dir)); n++)
        if (entry->d_ino == find->ino && !fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) && st.st_dev == find->dev &&
            snprintf(find->out, find->size, "%s/%s", path, entry->d_name) > 0)
            find->found = true;
    if (dir)
        closedir(dir);
    return find->found;
}

static bool find_path(void *to, int fd, const char *path, bool directory)
{
    struct find *find = to;
    struct stat st;
    if (directory)
        return find_in(find, fd, path);
    if (fstat(fd, &st) || st.st_dev != find->dev || st.st_ino != find->ino)
        return false;
    snprintf(find->out, find->size, "%s", path);
    return find->found = true;
}

bool file_sensitive_find(const char *root, bool one_mount, uint64_t dev, uint64_t ino, char *out, size_t size)
{
    struct find find = { .dev = dev, .ino = ino, .out = out, .size = size };
    const struct place place = { "", open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), one_mount };
    if (place.fd < 0)
        return false;
    visit_all(&place, find_path, &find);
    close(place.fd);
    return find.found;
}
