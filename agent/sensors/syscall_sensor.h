/* System calls that are rare, and that no other sensor sees: PTRACE_TRACEME, process_vm_writev, userfaultfd, mount, setns, unshare, memfd_create,
 * bpf, init_module, finit_module. A private tracefs instance records them as they begin; the loop reads the raw per-CPU buffers.
 *
 * Filters in the kernel drop what ordinary work does (the table in the .c file says what, and why). Not seen besides: calls that seccomp
 * refuses, and calls by the 32-bit entry of a 64-bit kernel (32-bit programs, or int 0x80 on purpose). A call that is told may have failed.
 *
 * It costs every system call of every process: with any of these events on, the kernel takes its slow path at entry and exit (+40 ns measured,
 * 15 to 23 % of getppid; tests/bench/bench_syscalls.py). That is why it is off by default. */
#ifndef ECSGUARD_SYSCALL_SENSOR_H
#define ECSGUARD_SYSCALL_SENSOR_H

#include "agent/sensors/sensor.h"
#include "agent/sensors/trace_format.h"
#include "agent/sensors/tracefs.h"

#define SYSCALLS_WATCHED 10

struct syscall_cpu {
    int fd;        /* its trace_pipe_raw */
    int number;
    uint64_t lost; /* by its stats, as far as told */
};

/* How many calls of one kind were told in this second. */
struct syscall_budget {
    uint64_t second;
    unsigned used;
};

struct syscall_sensor {
    struct sensor_stats stats;
    struct sensor sensor;
    struct tracefs tracefs;
    int procdir; /* borrowed */
    int poll_fd; /* epoll(7) over the CPUs' buffers */
    int32_t own_pid;
    uint64_t host_pidns;
    uint64_t next_scan_ns;
    struct trace_layout layout;
    struct trace_format formats[SYSCALLS_WATCHED]; /* name "" = not watched */
    struct syscall_budget budgets[SYSCALLS_WATCHED];
    struct syscall_cpu *cpus;
    int n_cpus;
    uint8_t *page;
};

/* Returns 0 also when the sensor had to stay off: stats says why. -errno for lack of memory. Needs root's access to tracefs (its files
 * are root's, no capability is asked for). */
int syscall_sensor_open(struct syscall_sensor *s, int procdir, struct waker *waker);
/* Removes the instance. */
void syscall_sensor_close(struct syscall_sensor *s);

/* Readable when there is something to drain; -1 when off. */
int syscall_sensor_fd(const struct syscall_sensor *s);
/* Reads at most about `max` calls. Never blocks. Returns how many. */
unsigned syscall_sensor_drain(struct syscall_sensor *s, unsigned max);

#endif
