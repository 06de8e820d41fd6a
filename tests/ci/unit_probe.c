/* Stands in for ecsguardd under systemd/ecsguard.service: does, after privileges_drop(), each privileged thing that the agent does and some that
 * it must not be able to do, writes "NAME RESULT" lines (RESULT is "ok" or an errno name) to the file argv[1], reports itself ready
 * and feeds the watchdog until it is told to end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/privileges.h"
#include "agent/sensors/tracefs.h"

static FILE *out;
static volatile sig_atomic_t ended;

static void on_term(int number)
{
    (void)number;
    ended = 1;
}

static void result(const char *name, bool ok)
{
    int error = errno;
    fprintf(out, "%s %s\n", name, ok ? "ok" : strerrorname_np(error));
}

static void fanotify_try(void)
{
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_UNLIMITED_QUEUE, O_RDONLY);
    result("fanotify_init", fd >= 0);
    result("fanotify_mark_filesystem", fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CREATE | FAN_ONDIR, AT_FDCWD, "/tmp") == 0);
    int content = fanotify_init(FAN_CLASS_NOTIF, O_RDONLY);
    result("fanotify_mark_open_exec", fanotify_mark(content, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC, AT_FDCWD, "/tmp") == 0);
    close(fd);
    close(content);
}

static void handle_try(void)
{
    char room[sizeof(struct file_handle) + MAX_HANDLE_SZ] __attribute__((aligned(8)));
    struct file_handle *handle = (struct file_handle *)room;
    int mount_id, dir = open("/tmp", O_RDONLY | O_DIRECTORY);
    handle->handle_bytes = MAX_HANDLE_SZ;
    result("name_to_handle_at", name_to_handle_at(AT_FDCWD, "/tmp", handle, &mount_id, 0) == 0);
    int fd = open_by_handle_at(dir, handle, O_PATH);
    result("open_by_handle_at", fd >= 0);
    close(fd);
    close(dir);
}

static void socket_try(const char *name, int family, int type, int protocol)
{
    int fd = socket(family, type, protocol);
    result(name, fd >= 0);
    close(fd);
}

static void netlink_try(void)
{
    int on = 1, size = 8 << 20, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    result("netlink_all_nsid", setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof on) == 0);
    result("rcvbufforce", setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) == 0);
    close(fd);
}

static void write_try(const char *name, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0640);
    result(name, fd >= 0);
    close(fd);
}

static void proc_try(void)
{
    char text[4096];
    result("read_exe_of_1", readlink("/proc/1/exe", text, sizeof text) > 0);
    result("read_environ_of_1", access("/proc/1/environ", R_OK) == 0 && open("/proc/1/environ", O_RDONLY) >= 0);
    result("read_fd_of_1", readlink("/proc/1/fd/0", text, sizeof text) > 0);
    result("read_root_of_1", access("/proc/1/root/etc", R_OK) == 0);
}

static void tracefs_try(void)
{
    struct tracefs t;
    char why[128];
    int error = tracefs_open(&t, why, sizeof why);
    if (!error) {
        error = tracefs_write(&t, "events/syscalls/sys_enter_setns/enable", "1");
        int closed = tracefs_close(&t);
        error = error ? error : closed;
    }
    errno = -error;
    result("tracing_instance", !error);
}

static void work_try(void)
{
    fanotify_try();
    handle_try();
    netlink_try();
    proc_try();
    struct sched_param priority = { .sched_priority = 1 };
    result("sched_fifo", sched_setscheduler(0, SCHED_FIFO, &priority) == 0);
    priority.sched_priority = 0;
    sched_setscheduler(0, SCHED_OTHER, &priority);
    result("nice_-20", setpriority(PRIO_PROCESS, 0, -20) == 0);
    write_try("write_database", "/var/lib/ecsguard/probe.db");
    write_try("write_conntrack_acct", "/proc/sys/net/netfilter/nf_conntrack_acct");
    tracefs_try();
    result("read_netns_lock", open("/proc/vmallocinfo", O_RDONLY) >= 0);
    result("enter_netns", setns(open("/proc/1/ns/net", O_RDONLY), CLONE_NEWNET) == 0);
    socket_try("socket_unix", AF_UNIX, SOCK_STREAM, 0);
    socket_try("socket_inet", AF_INET, SOCK_STREAM, 0);
}

static void harm_try(void)
{
    write_try("no_write_etc", "/etc/ecsguard/probe");
    write_try("no_write_usr", "/usr/probe");
    write_try("no_write_home", "/root/probe");
    write_try("no_write_tmp", "/tmp/probe");
    write_try("no_write_sysctl", "/proc/sys/kernel/core_pattern");
    socket_try("no_packet_socket", AF_PACKET, SOCK_RAW, 0);
    socket_try("no_raw_socket", AF_INET, SOCK_RAW, 1);
    result("no_mount", mount("none", "/mnt", "tmpfs", 0, NULL) == 0);
    result("no_ptrace", syscall(SYS_ptrace, 0, 0, 0, 0) == 0);
    result("no_bpf", syscall(SYS_bpf, 0, NULL, 0) == 0);
    result("no_unshare", unshare(CLONE_NEWNS) == 0); /* network namespaces may be entered */
    result("no_setuid", setuid(1) == 0);
    result("no_executable_memory", mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

int main(int argc, char **argv)
{
    if (argc < 2 || privileges_require("unit_probe"))
        return 1;
    int lock = privileges_lock("/run/ecsguard");
    out = fopen(argv[1], "we");
    if (lock < 0 || privileges_drop() || !out)
        return 1;
    work_try();
    harm_try();
    fclose(out);
    signal(SIGTERM, on_term);
    sd_notify(0, "READY=1\nSTATUS=probed");
    while (!ended) {
        sd_notify(0, "WATCHDOG=1");
        sleep(1);
    }
    close(lock);
    return 0;
}
