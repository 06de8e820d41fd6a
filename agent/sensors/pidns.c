#include "agent/sensors/pidns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/sensors/proc_entry.h"
#include "common/clock.h"
#include "common/limits.h"

#define SCAN_SHARE 50 /* a scan may take tens of ms, on the loop's thread: 2 % of its time at most */
#ifndef NS_GET_TGID_FROM_PIDNS
#define NS_GET_TGID_FROM_PIDNS _IOR(0xb7, 0x7, int) /* Linux 6.11 */
#endif

uint64_t pidns_of(int32_t pid)
{
    char path[40];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", pid);
    return stat(path, &st) ? 0 : st.st_ino;
}

static int32_t nspid_of(int32_t pid)
{
    char path[40], status[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
    if (fd >= 0)
        close(fd);
    status[n > 0 ? n : 0] = 0;
    return proc_status_nspid(status);
}

/* By the kernel: 0 if there is no such process, -1 if it cannot. */
static int32_t translate_by_kernel(int32_t member, int32_t nspid)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/ns/pid", member);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int host = ioctl(fd, NS_GET_TGID_FROM_PIDNS, nspid);
    bool gone = host < 0 && errno == ESRCH;
    close(fd);
    return host > 0 ? host : gone ? 0 : -1;
}

/* By looking at the host's processes. Whoever asks for numbers that nobody has makes each scan a long one. */
static int32_t translate_by_scan(uint64_t pidns, int32_t nspid, uint64_t *next_ns)
{
    struct dirent *entry;
    int32_t found = 0;
    uint64_t begin_ns = clock_monotonic_ns();
    DIR *proc = begin_ns >= *next_ns ? opendir("/proc") : NULL;
    for (int n = 0; proc && !found && n < LIMIT_PID_SCAN && (entry = readdir(proc));) {
        int32_t pid = atoi(entry->d_name);
        if (pid <= 0)
            continue;
        n++;
        if (nspid_of(pid) == nspid && pidns_of(pid) == pidns)
            found = pid;
    }
    if (proc) {
        closedir(proc);
        uint64_t end_ns = clock_monotonic_ns();
        *next_ns = end_ns + (end_ns - begin_ns) * SCAN_SHARE;
    }
    return found;
}

int32_t pidns_host_pid(uint64_t pidns, int32_t member, int32_t nspid, uint64_t *next_scan_ns)
{
    if (pidns_of(member) == pidns) {
        int32_t pid = translate_by_kernel(member, nspid);
        if (pid >= 0)
            return pid;
        if (nspid_of(member) == nspid)
            return member;
    }
    return translate_by_scan(pidns, nspid, next_scan_ns);
}
