#include "agent/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/sensors/netns_clean.h"
#include "agent/sensors/netns_watch.h"
#include "agent/sensors/tracefs.h"
#include "common/log.h"

/* Opening replaces an old instance, closing removes the new one. */
static int clean_tracing(void)
{
    struct tracefs t;
    char why[128];
    int r = tracefs_open(&t, why, sizeof why);
    return r == -ENOENT || r == -EACCES ? 0 : r ? r : tracefs_close(&t); /* no tracefs, no instance */
}

static int clean_namespaces(int proc_fd)
{
    struct netns_cleaned cleaned;
    int r = netns_clean(proc_fd, false, &cleaned);
    if (!r)
        log_info("cleanup", "%d network namespaces, %d nft tables of ecsguard removed", cleaned.namespaces, cleaned.tables);
    return r ? r : cleaned.failed ? -EIO : 0;
}

int cleanup_run(void)
{
    int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    int lock = proc_fd < 0 ? -1 : openat(proc_fd, NETNS_LOCK, O_RDONLY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB))
        r = errno == EWOULDBLOCK ? -EBUSY : -errno;
    if (!r) {
        int namespaces = clean_namespaces(proc_fd), tracing = clean_tracing();
        r = namespaces ? namespaces : tracing;
    }
    if (r)
        log_error("cleanup", "%s", r == -EBUSY ? "ecsguardd is running; it cleans up when it stops" : strerror(-r));
    if (lock >= 0)
        close(lock);
    if (proc_fd >= 0)
        close(proc_fd);
    return r;
}
