#include "agent/sensors/fan_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/fanotify.h>

int fan_mark(int group_fd, unsigned flags, uint64_t mask, int fd)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd); /* fanotify_mark(2) does not take O_PATH descriptors themselves */
    return fanotify_mark(group_fd, FAN_MARK_ADD | flags, mask, AT_FDCWD, link) ? -errno : 0;
}

int fan_mark_ignored(int group_fd, uint64_t mask, int fd)
{
    return fan_mark(group_fd, FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, mask, fd);
}
