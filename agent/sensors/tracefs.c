#include "agent/sensors/tracefs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/log.h"

#define INSTANCE "ecsguard"

/* Where systemd mounts it, and where it appears with debugfs. */
static const char *const places[] = { "/sys/kernel/tracing/instances", "/sys/kernel/debug/tracing/instances" };

/* Its directory "instances", or -errno of the first place. */
static int open_instances(void)
{
    int error = 0;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct statfs fs;
        int fd = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            error = error ? error : -errno;
            continue;
        }
        if (!fstatfs(fd, &fs) && fs.f_type == TRACEFS_MAGIC)
            return fd;
        close(fd);
        error = -ENOENT;
    }
    return error;
}

static int instance_make(struct tracefs *t)
{
    if (unlinkat(t->instances_fd, INSTANCE, AT_REMOVEDIR) == 0)
        log_info("tracefs", "removed the instance that an agent left when it was killed");
    else if (errno != ENOENT)
        return -errno;
    if (mkdirat(t->instances_fd, INSTANCE, 0700))
        return -errno;
    t->fd = openat(t->instances_fd, INSTANCE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return t->fd < 0 ? -errno : 0;
}

int tracefs_open(struct tracefs *t, char *why, size_t why_size)
{
    t->fd = -1;
    t->instances_fd = open_instances();
    if (t->instances_fd < 0) {
        int error = t->instances_fd;
        snprintf(why, why_size, error == -ENOENT ? "tracefs is not mounted at /sys/kernel/tracing" : "cannot open /sys/kernel/tracing: %s",
                 strerror(-error));
        return error;
    }
    int error = flock(t->instances_fd, LOCK_EX | LOCK_NB) ? -errno : 0;
    if (error == -EWOULDBLOCK) {
        error = -EBUSY;
        snprintf(why, why_size, "another ecsguardd on this host has the tracing instance");
    } else if (!error && (error = instance_make(t))) {
        snprintf(why, why_size, "cannot make the tracing instance " INSTANCE ": %s%s", strerror(-error),
                 error == -EBUSY ? "; somebody holds its files open" : "");
    } else if (error) {
        snprintf(why, why_size, "cannot lock the tracing instances: %s", strerror(-error));
    }
    if (error)
        tracefs_close(t);
    return error;
}

int tracefs_close(struct tracefs *t)
{
    int error = 0;
    if (t->fd >= 0) {
        close(t->fd);
        error = unlinkat(t->instances_fd, INSTANCE, AT_REMOVEDIR) ? -errno : 0;
    }
    if (t->instances_fd >= 0)
        close(t->instances_fd);
    t->fd = t->instances_fd = -1;
    return error;
}

int tracefs_write(const struct tracefs *t, const char *path, const char *text)
{
    int fd = openat(t->fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t size = strlen(text);
    ssize_t n = write(fd, text, size);
    int error = n < 0 ? -errno : (size_t)n == size ? 0 : -EIO;
    close(fd);
    return error;
}

ssize_t tracefs_read(const struct tracefs *t, const char *path, char *text, size_t size)
{
    int fd = openat(t->fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t length = 0;
    ssize_t n = 0;
    while (length < size - 1 && (n = read(fd, text + length, size - 1 - length)) > 0)
        length += (size_t)n;
    int error = errno;
    close(fd);
    text[length] = 0;
    return n < 0 ? -error : (ssize_t)length;
}
