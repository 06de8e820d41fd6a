#include "agent/sensors/syscall_sensor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/sensors/pidns.h"
#include "agent/sensors/procfs_decode.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#define PREFIX "sys_enter_"
#define STATUS_BYTES 4096 /* Tgid: stands in the first lines */
#define FORMAT_BYTES 8192
#define TEXT_BYTES 33 /* the name */
#define READY_CPUS 64 /* at a time */

/* $0 is the first argument. Only arguments decide: a program's name is its own choice. */
static const struct {
    const char *name;
    const char *filter; /* in the kernel; NULL = all calls */
} watched[SYSCALLS_WATCHED] = {
    { "ptrace", "$0 == 0" },      /* PTRACE_TRACEME: nothing else tells of it. An attach comes from the proc connector */
    { "process_vm_writev", NULL },
    { "userfaultfd", NULL },
    /* Runtimes and systemd mount a lot. Changes of propagation (0x1e0000) show nobody anything new, and a remount (0x20) to read-only (0x1)
     * takes rights away. */
    { "mount", "!($3 & 0x1e0000) && !(($3 & 0x20) && ($3 & 0x1))" },
    /* CLONE_NEWNET alone: dockerd, CNI plugins and monitoring go in and out of network namespaces all the time. */
    { "setns", "$1 != 0x40000000" },
    /* Without a new namespace (files, directories, semaphores) it is housekeeping of a thread. */
    { "unshare", "$0 & 0x7e020080" },
    { "memfd_create", "!($1 & 0x8)" }, /* MFD_NOEXEC_SEAL: can never be executed */
    /* BPF_PROG_LOAD (5) only: maps are used all the time by what is loaded. Bit by bit, because the kernel ignores the upper half of the register,
     * but its filter does not. */
    { "bpf", "($0 & 0x1) && ($0 & 0x4) && !($0 & 0xfffffffa)" },
    { "init_module", NULL },
    { "finit_module", NULL },
};

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static int event_write(const struct tracefs *t, const char *syscall, const char *file, const char *text)
{
    char path[96];
    snprintf(path, sizeof path, "events/syscalls/" PREFIX "%s/%s", syscall, file);
    return tracefs_write(t, path, text);
}

static int event_enable(struct syscall_sensor *s, int i)
{
    char path[96], text[FORMAT_BYTES], filter[256];
    snprintf(path, sizeof path, "events/syscalls/" PREFIX "%s/format", watched[i].name);
    ssize_t n = tracefs_read(&s->tracefs, path, text, sizeof text);
    int error = n < 0 ? (int)n : trace_format_parse(&s->formats[i], text, (size_t)n);
    if (!error)
        error = trace_filter_write(&s->formats[i], watched[i].filter ? watched[i].filter : "common_pid > 0", filter, sizeof filter);
    if (!error) { /* our own calls: the loop's here, those of other threads in call_tell() */
        snprintf(text, sizeof text, "(%s) && common_pid != %d", filter, s->own_pid);
        error = event_write(&s->tracefs, watched[i].name, "filter", text);
    }
    if (!error)
        error = event_write(&s->tracefs, watched[i].name, "enable", "1");
    if (error)
        s->formats[i].name[0] = 0;
    return error;
}

/* How many are on. In `refused` those that the kernel has, but does not let us have. */
static int events_enable(struct syscall_sensor *s, struct text_out *refused)
{
    int n = 0;
    for (int i = 0; i < SYSCALLS_WATCHED; i++) {
        int error = event_enable(s, i);
        n += !error;
        if (error == -ENOENT) /* init_module on a kernel without modules */
            log_debug("syscalls", "this kernel has no %s", watched[i].name);
        else if (error)
            text_out_printf(refused, "%s%s (%s)", refused->length ? ", " : "", watched[i].name, strerror(-error));
    }
    return n;
}

static int buffers_prepare(struct syscall_sensor *s)
{
    char text[FORMAT_BYTES];
    snprintf(text, sizeof text, "%d", LIMIT_TRACE_BUFFER_KIB);
    int error = tracefs_write(&s->tracefs, "buffer_size_kb", text);
    if (!error)
        error = tracefs_write(&s->tracefs, "trace_clock", "mono"); /* CLOCK_MONOTONIC, as all our times */
    if (error)
        return error;
    (void)tracefs_write(&s->tracefs, "buffer_percent", "0"); /* wake for the first event; kernels without this file do */
    ssize_t n = tracefs_read(&s->tracefs, "events/header_page", text, sizeof text);
    return n < 0 ? (int)n : trace_layout_parse(&s->layout, text, (size_t)n);
}

static int cpu_open(struct syscall_sensor *s, int number)
{
    char path[64];
    snprintf(path, sizeof path, "per_cpu/cpu%d/trace_pipe_raw", number);
    int fd = openat(s->tracefs.fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = (uint32_t)s->n_cpus };
    if (epoll_ctl(s->poll_fd, EPOLL_CTL_ADD, fd, &event)) {
        int error = -errno;
        close(fd);
        return error;
    }
    s->cpus[s->n_cpus++] = (struct syscall_cpu){ .fd = fd, .number = number };
    return 0;
}

/* All that may come online. 0 or -errno; -E2BIG when there are more than we read. */
static int cpus_open(struct syscall_sensor *s)
{
    int fd = openat(s->tracefs.fd, "per_cpu", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    int number;
    for (struct dirent *entry; !error && (entry = readdir(dir));)
        if (sscanf(entry->d_name, "cpu%d", &number) == 1)
            error = s->n_cpus < LIMIT_TRACE_CPUS ? cpu_open(s, number) : -E2BIG;
    closedir(dir);
    return error;
}

static void state_refused(struct syscall_sensor *s, const char *what, int error)
{
    sensor_state(&s->stats, SENSOR_OFF, "rare system calls are not seen: %s: %s", what, strerror(-error));
}

/* Buffers, then readers, then events: nothing is recorded that nobody would read. True if it is on. */
static bool instance_open(struct syscall_sensor *s)
{
    char names[160];
    struct text_out refused;
    text_out_init(&refused, names, sizeof names);
    int error = buffers_prepare(s);
    if (error) {
        state_refused(s, "cannot set up the trace buffers", error);
        return false;
    }
    int cpus_error = cpus_open(s);
    if (!s->n_cpus) {
        state_refused(s, "cannot read the trace buffers", cpus_error);
        return false;
    }
    if (!events_enable(s, &refused)) {
        sensor_state(&s->stats, SENSOR_OFF, "rare system calls are not seen: %s",
                     refused.length ? names : "this kernel has no system call events (CONFIG_FTRACE_SYSCALLS)");
        return false;
    }
    if (refused.length)
        sensor_state(&s->stats, SENSOR_DEGRADED, "not seen: %s", names);
    else if (cpus_error)
        sensor_state(&s->stats, SENSOR_DEGRADED, "system calls are seen on %d CPUs only: %s", s->n_cpus, strerror(-cpus_error));
    else
        sensor_state(&s->stats, SENSOR_OK, "%s", "");
    return true;
}

/* Everything but the ring, which may still hold events. */
static void instance_close(struct syscall_sensor *s)
{
    for (int i = 0; i < s->n_cpus; i++)
        close(s->cpus[i].fd);
    s->n_cpus = 0;
    if (s->poll_fd >= 0)
        close(s->poll_fd);
    s->poll_fd = -1;
    int error = tracefs_close(&s->tracefs);
    if (error)
        log_warn("syscalls", "the tracing instance stays until the next start: %s", strerror(-error));
}

int syscall_sensor_open(struct syscall_sensor *s, int procdir, struct waker *waker)
{
    char why[128];
    memset(s, 0, sizeof *s);
    s->procdir = procdir;
    s->own_pid = getpid();
    s->host_pidns = pidns_of(s->own_pid);
    s->poll_fd = s->tracefs.fd = s->tracefs.instances_fd = -1;
    int error = sensor_init(&s->sensor, SOURCE_TRACEFS, LIMIT_MISC_RING_BYTES, &s->stats, waker);
    s->cpus = calloc(LIMIT_TRACE_CPUS, sizeof *s->cpus);
    s->page = malloc(LIMIT_TRACE_PAGE_BYTES);
    if (error || !s->cpus || !s->page)
        return -ENOMEM;
    if (tracefs_open(&s->tracefs, why, sizeof why)) {
        sensor_state(&s->stats, SENSOR_OFF, "rare system calls are not seen: %s", why);
        return 0;
    }
    s->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->poll_fd < 0)
        state_refused(s, "epoll", -errno);
    if (s->poll_fd < 0 || !instance_open(s))
        instance_close(s);
    return 0;
}

void syscall_sensor_close(struct syscall_sensor *s)
{
    instance_close(s);
    free(s->cpus);
    free(s->page);
    s->cpus = NULL;
    s->page = NULL;
    sensor_fini(&s->sensor);
}

int syscall_sensor_fd(const struct syscall_sensor *s)
{
    return s->poll_fd;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* The process of a thread; the thread's own number when it is gone, which is right unless it was not the first one. */
static int32_t process_of(const struct syscall_sensor *s, int32_t tid)
{
    char name[32], status[STATUS_BYTES];
    snprintf(name, sizeof name, "%d/status", tid);
    int fd = openat(s->procdir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof status);
    if (fd >= 0)
        close(fd);
    int32_t pid = n > 0 ? procfs_parse_tgid(status, (size_t)n) : 0;
    return pid ? pid : tid;
}

/* Whom process_vm_writev(2) writes to: its caller says it in its own pid namespace. 0 if it cannot be known. */
static int32_t target_of(struct syscall_sensor *s, int32_t tid, uint64_t number)
{
    uint64_t pidns = pidns_of(tid);
    if (!pidns || number > INT32_MAX)
        return 0;
    return pidns == s->host_pidns ? process_of(s, (int32_t)number) : pidns_host_pid(pidns, tid, (int32_t)number, &s->next_scan_ns);
}

/* False when this second's share is used up. */
static bool budget_take(struct syscall_budget *b, uint64_t time_ns)
{
    if (b->second != time_ns / NS_PER_SECOND)
        *b = (struct syscall_budget){ .second = time_ns / NS_PER_SECOND };
    return b->used < LIMIT_SYSCALLS_PER_SECOND && ++b->used;
}

static void call_tell(struct syscall_sensor *s, int i, const struct trace_call *call, uint64_t time_ns)
{
    if (!budget_take(&s->budgets[i], time_ns)) { /* said with the next event */
        sensor_count(&s->stats.lost, 1);
        s->sensor.unreported++;
        s->sensor.unreported_reason = "more of one system call in a second than are told";
        return;
    }
    int32_t pid = process_of(s, call->tid);
    struct event *ev = pid == s->own_pid ? NULL : sensor_event(&s->sensor, EVENT_SYSCALL, time_ns, TEXT_BYTES);
    if (!ev)
        return;
    event_set(ev, F_PID, pid, pid);
    event_set_text(ev, F_SYSCALL, watched[i].name, strlen(watched[i].name));
    uint64_t *const args[TRACE_ARGS] = { &ev->arg0, &ev->arg1, &ev->arg2, &ev->arg3, &ev->arg4, &ev->arg5 };
    for (int n = 0; n < call->n_args; n++) {
        *args[n] = call->args[n];
        event_know(ev, (enum event_field)(F_ARG0 + n));
    }
    int32_t target = !strcmp(watched[i].name, "process_vm_writev") ? target_of(s, call->tid, call->args[0]) : 0;
    if (target)
        event_set(ev, F_TARGET_PID, target_pid, target);
    sensor_commit(&s->sensor, ev);
}

static void take_record(struct syscall_sensor *s, const struct trace_record *record, uint64_t now_ns)
{
    struct trace_call call;
    for (int i = 0; i < SYSCALLS_WATCHED; i++) {
        const struct trace_format *format = &s->formats[i];
        if (!format->name[0] || trace_record_id(format, record) != format->id)
            continue;
        if (trace_call_decode(&call, format, record))
            break;
        call_tell(s, i, &call, record->time_ns < now_ns ? record->time_ns : now_ns);
        return;
    }
    sensor_count(&s->stats.malformed, 1);
}

/* The page says that there is a gap, not always how long it is; the counters of the buffer do. */
static void take_loss(struct syscall_sensor *s, struct syscall_cpu *cpu, uint64_t n)
{
    char path[64], text[512];
    uint64_t lost;
    snprintf(path, sizeof path, "per_cpu/cpu%d/stats", cpu->number);
    ssize_t size = tracefs_read(&s->tracefs, path, text, sizeof text);
    if (size > 0 && trace_stats_lost(text, (size_t)size, &lost)) {
        n = lost - cpu->lost;
        cpu->lost = lost;
    } else if (!n) {
        n = 1;
    }
    if (n)
        sensor_lost(&s->sensor, n, "the kernel's buffer of system calls was full");
}

/* What does not fit waits in the kernel's buffer, where newer events replace it, and are counted. */
static bool has_room(const struct syscall_sensor *s)
{
    const struct ring *ring = &s->sensor.ring;
    return ring_used(ring) < ring->size / 2;
}

/* One page. False if it makes no sense. */
static bool page_drain(struct syscall_sensor *s, struct syscall_cpu *cpu, size_t size, unsigned *n)
{
    struct trace_page page;
    struct trace_record record;
    uint64_t now_ns = clock_monotonic_ns(); /* no event is of the future */
    int more;
    if (trace_page_begin(&page, &s->layout, s->page, size))
        return false;
    if (page.missed)
        take_loss(s, cpu, page.n_missed);
    while ((more = trace_page_next(&page, &record)) > 0) {
        take_record(s, &record, now_ns);
        ++*n;
    }
    return more == 0;
}

/* Does not look at this CPU any more: it would be reported as ready for ever. */
static void cpu_leave(struct syscall_sensor *s, const struct syscall_cpu *cpu)
{
    epoll_ctl(s->poll_fd, EPOLL_CTL_DEL, cpu->fd, NULL);
}

static unsigned cpu_drain(struct syscall_sensor *s, struct syscall_cpu *cpu, unsigned max)
{
    unsigned n = 0;
    while (n < max && has_room(s)) {
        ssize_t size = read(cpu->fd, s->page, s->layout.page_bytes);
        if (size < 0 && errno != EAGAIN && errno != EINTR) {
            sensor_state(&s->stats, SENSOR_DEGRADED, "system calls on CPU %d are not seen: %s", cpu->number, strerror(errno));
            cpu_leave(s, cpu);
        }
        if (size <= 0)
            break;
        if (!page_drain(s, cpu, (size_t)size, &n))
            sensor_count(&s->stats.malformed, 1);
    }
    return n;
}

unsigned syscall_sensor_drain(struct syscall_sensor *s, unsigned max)
{
    struct epoll_event ready[READY_CPUS];
    unsigned n = 0;
    int n_ready = s->poll_fd < 0 ? 0 : epoll_wait(s->poll_fd, ready, READY_CPUS, 0);
    for (int i = 0; i < n_ready && n < max; i++) {
        struct syscall_cpu *cpu = &s->cpus[ready[i].data.u32];
        if (ready[i].events & EPOLLIN)
            n += cpu_drain(s, cpu, max - n);
        else
            cpu_leave(s, cpu); /* it was never online and has no buffer */
    }
    return n;
}
