#include "agent/sensors/exec_sensor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent/sensors/connector.h"
#include "agent/sensors/proc_decode.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/thread.h"

#define FIFO_PRIORITY 10  /* above every ordinary task, below the kernel's own and other people's real-time work */
#define STOP_LOOK_MS 500  /* an idle reader wakes this often to see whether it shall stop */
#define SHARE_WINDOW_NS NS_PER_SECOND
#define SHARE_EVENTS 64   /* a reader looks at its CPU share after this many events: one system call for all of them */
#define MESSAGE_BYTES 512 /* a connector message is 76 bytes */

/* ---- what is read --------------------------------------------------------------------------------------------------- */

static bool bucket_take(struct exec_reader *r, uint64_t now_ns)
{
    const uint64_t rate = r->owner->full_per_second, full = 2 * rate * NS_PER_SECOND; /* the burst: the start of a container */
    uint64_t elapsed = now_ns > r->tokens_at_ns ? now_ns - r->tokens_at_ns : 0;
    if (elapsed > full / rate)
        r->tokens = full;
    else
        r->tokens += elapsed * rate;
    if (r->tokens > full)
        r->tokens = full;
    if (now_ns > r->tokens_at_ns)
        r->tokens_at_ns = now_ns;
    if (r->tokens >= NS_PER_SECOND) {
        r->tokens -= NS_PER_SECOND;
        return true;
    }
    /* Lean reads cost a quarter: in a storm nothing is read in full until it is over, instead of a part of it for ever. */
    r->tokens = r->tokens > NS_PER_SECOND / 4 ? r->tokens - NS_PER_SECOND / 4 : 0;
    return false;
}

static struct exec_path *path_slot(struct exec_reader *r, const struct event *ev)
{
    uint64_t h = (ev->ino ^ ev->dev << 20 ^ r->scratch.exe_mount_id << 40) * 0x9e3779b97f4a7c15ull;
    return &r->paths[h >> 32 & (LIMIT_EXEC_PATHS - 1)];
}

/* The path of the executable from the last second, if it is the same file. Not for files with several names or none: the inode does
 * not tell which one ran. */
static bool recall_exe_path(struct exec_reader *r, struct event *ev)
{
    const struct exec_path *slot = path_slot(r, ev);
    if (!r->scratch.exe_mount_id || ev->nlink != 1 || slot->mount_id != r->scratch.exe_mount_id || slot->ino != ev->ino ||
        slot->dev != ev->dev || slot->ctime_ns != ev->ctime_wall_ns || ev->time_ns - slot->read_ns >= LIMIT_EXEC_PATH_AGE_NS)
        return false;
    return event_set_text(ev, F_EXE, slot->path, slot->size);
}

static void keep_exe_path(struct exec_reader *r, const struct event *ev)
{
    struct exec_path *slot = path_slot(r, ev);
    if (!r->scratch.exe_mount_id || ev->nlink != 1 || !event_knows(ev, F_EXE) || ev->exe.len > sizeof slot->path)
        return;
    *slot = (struct exec_path){ r->scratch.exe_mount_id, ev->dev, ev->ino, ev->ctime_wall_ns, ev->time_ns, ev->exe.len, "" };
    memcpy(slot->path, event_text(ev, ev->exe), ev->exe.len);
}

/* Programs for which the descriptors decide (reverse shells and the relays beside them): also read when there is little time. A prefix
 * also covers "python3.11". */
static bool takes_commands(const char *path)
{
    static const char *const exact[] = { "sh", "bash", "dash", "zsh", "ash", "busybox", "ksh", "fish", "node", "nc", "ncat", "socat",
                                        "cat", "tee", "tail", "dd", "sed", "awk", "telnet", "openssl" };
    static const char *const prefixes[] = { "python", "perl", "ruby", "php", "lua", "nc.", "rbash", "mksh" };
    const char *name = text_basename(path);
    if (*name == '-')
        name++; /* a login shell's argv[0] */
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++)
        if (!strcmp(name, exact[i]))
            return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (text_has_prefix(name, prefixes[i]))
            return true;
    return false;
}

/* After the command line and the file: the path and, where they decide, the descriptors. */
static void read_lean(struct exec_reader *r, struct event *ev)
{
    bool has_path = recall_exe_path(r, ev);
    if (has_path && !takes_commands(event_text(ev, ev->exe)) && !takes_commands(event_text(ev, ev->cmdline)))
        return;
    int dir = procfs_open_process(r->owner->procdir, ev->pid);
    if (dir < 0)
        return;
    if (!has_path) {
        procfs_read(dir, PROCFS_EXE, ev, &r->scratch);
        keep_exe_path(r, ev);
    }
    if (takes_commands(event_text(ev, ev->exe)) || takes_commands(event_text(ev, ev->cmdline)))
        procfs_read(dir, PROCFS_STDIO | PROCFS_SOCKET | PROCFS_OWNER, ev, &r->scratch);
    close(dir);
}

static void read_full(struct exec_reader *r, struct event *ev)
{
    int dir = procfs_open_process(r->owner->procdir, ev->pid);
    if (dir < 0)
        return;
    procfs_read(dir, PROCFS_ALL & ~(unsigned)(PROCFS_CMDLINE | PROCFS_EXE_FILE), ev, &r->scratch);
    close(dir);
}

static enum exec_level choose_level(struct exec_reader *r, uint64_t now_ns)
{
    if (r->owner->level != EXEC_LEVEL_AUTO)
        return r->owner->level;
    return bucket_take(r, now_ns) ? EXEC_LEVEL_FULL : EXEC_LEVEL_LEAN;
}

static void read_process(struct exec_reader *r, struct event *ev)
{
    struct exec_sensor *x = r->owner;
    enum exec_level level = choose_level(r, ev->time_ns);
    if (level == EXEC_LEVEL_COUNT)
        return;
    if (procfs_read_image(x->procdir, ev->pid, ev, &r->scratch)) {
        sensor_count(&x->n_gone, 1);
        return;
    }
    if (level == EXEC_LEVEL_FULL)
        read_full(r, ev);
    else
        read_lean(r, ev);
    sensor_count(level == EXEC_LEVEL_FULL ? &x->n_full : &x->n_lean, 1);
    if (r->scratch.is_zombie)
        sensor_count(&x->n_zombie, 1);
}

/* ---- priority ------------------------------------------------------------------------------------------------------- */

static const char *priority_text(const struct exec_reader *r)
{
    switch (r->priority) {
    case EXEC_PRIORITY_FIFO:
        return NULL;
    case EXEC_PRIORITY_NICE:
        return "at nice -20";
    case EXEC_PRIORITY_NORMAL:
        return "at normal priority";
    }
    return NULL;
}

/* State and reason from what all readers got. Under the mutex: several readers may change at once. */
static void state_renew(struct exec_sensor *x)
{
    const struct exec_reader *worst = &x->readers[0];
    int pin_error = 0;
    for (int i = 0; i < x->n_readers; i++) {
        if (x->readers[i].priority > worst->priority)
            worst = &x->readers[i];
        if (x->readers[i].pin_error)
            pin_error = x->readers[i].pin_error;
    }
    if (worst->priority != EXEC_PRIORITY_FIFO)
        sensor_state(&x->stats, SENSOR_DEGRADED,
                     "arguments of some very short programs are missed: readers run %s, as SCHED_FIFO was refused (%s); needs CAP_SYS_NICE "
                     "and a cgroup with cpu.rt_runtime_us > 0",
                     priority_text(worst), strerror(worst->fifo_error));
    else if (pin_error)
        sensor_state(&x->stats, SENSOR_DEGRADED,
                     "arguments of some very short programs are missed: readers cannot run on every CPU (%s); remove the agent's cpuset",
                     strerror(pin_error));
    else if (x->n_lowered_now)
        sensor_state(&x->stats, SENSOR_DEGRADED,
                     "a storm of program starts: readers took over %d %% of a CPU and run at normal priority for a second",
                     LIMIT_EXEC_RT_PERCENT);
    else
        sensor_state(&x->stats, SENSOR_OK, "%s", "");
}

static int set_fifo(void)
{
    struct sched_param sp = { .sched_priority = FIFO_PRIORITY };
    return sched_setscheduler(0, SCHED_FIFO, &sp) ? errno : 0;
}

static int set_nice(int nice)
{
    return setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), nice) ? errno : 0;
}

static void reader_raise(struct exec_reader *r)
{
    r->fifo_error = r->owner->no_realtime ? EPERM : set_fifo();
    r->priority = !r->fifo_error ? EXEC_PRIORITY_FIFO : !set_nice(-20) ? EXEC_PRIORITY_NICE : EXEC_PRIORITY_NORMAL;
}

static void reader_lower(struct exec_reader *r, uint64_t now_ns)
{
    struct sched_param sp = { .sched_priority = 0 };
    sched_setscheduler(0, SCHED_OTHER, &sp);
    set_nice(0);
    r->lowered_until_ns = now_ns + NS_PER_SECOND;
    sensor_count(&r->owner->n_lowered, 1);
    pthread_mutex_lock(&r->owner->state_mutex);
    r->owner->n_lowered_now++;
    state_renew(r->owner);
    pthread_mutex_unlock(&r->owner->state_mutex);
}

static void reader_restore(struct exec_reader *r)
{
    r->lowered_until_ns = 0;
    pthread_mutex_lock(&r->owner->state_mutex);
    reader_raise(r);
    r->owner->n_lowered_now--;
    state_renew(r->owner);
    pthread_mutex_unlock(&r->owner->state_mutex);
}

/* A program that starts others in a storm must not make us starve the CPU: over the limit we give up our priority for a
 * second and lose arguments instead. */
static void reader_watch_share(struct exec_reader *r)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (r->lowered_until_ns && now_ns >= r->lowered_until_ns)
        reader_restore(r);
    r->n_unchecked = 0;
    if (now_ns - r->window_ns < SHARE_WINDOW_NS)
        return;
    uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    bool too_much = (cpu_ns - r->window_cpu_ns) * 100 > (now_ns - r->window_ns) * LIMIT_EXEC_RT_PERCENT;
    r->window_ns = now_ns;
    r->window_cpu_ns = cpu_ns;
    if (too_much && !r->lowered_until_ns)
        reader_lower(r, now_ns);
}

/* ---- the thread ----------------------------------------------------------------------------------------------------- */

static void reader_message(struct exec_reader *r, const void *data, size_t size)
{
    struct event *ev = sensor_event(&r->sensor, EVENT_EXEC, r->last_ns, LIMIT_EVENT_TEXT_BYTES);
    if (!ev)
        return;
    switch (proc_decode(data, size, ev)) {
    case PROC_DECODED_EVENT:
        break;
    case PROC_DECODED_NOTHING:
    case PROC_DECODED_ACK:
        return;
    default:
        sensor_count(&r->sensor.stats->malformed, 1);
        return;
    }
    if (ev->kind != EVENT_EXEC)
        return;
    r->last_ns = ev->time_ns;
    read_process(r, ev);
    sensor_commit(&r->sensor, ev);
}

/* Page faults would come at the worst moment. mlock(2) may be refused (RLIMIT_MEMLOCK); touched pages are the next best. */
static void reader_settle(struct exec_reader *r)
{
    volatile uint8_t *ring = r->sensor.ring.data;
    const size_t used_mostly = r->sensor.ring.size / 4;
    for (size_t i = 0; i < used_mostly; i += 4096)
        ring[i] = 0;
    memset(&r->scratch, 0, sizeof r->scratch);
    memset(r->paths, 0, sizeof r->paths);
    mlock(r->sensor.ring.data, used_mostly);
    mlock(r, sizeof *r);
}

static void *reader_main(void *arg)
{
    struct exec_reader *r = arg;
    char message[MESSAGE_BYTES];
    reader_settle(r);
    r->pin_error = sched_setaffinity(0, sizeof r->cpus, &r->cpus) ? errno : 0;
    reader_raise(r);
    r->last_ns = r->window_ns = r->tokens_at_ns = clock_monotonic_ns();
    r->window_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    r->tokens = 2 * r->owner->full_per_second * NS_PER_SECOND;
    sem_post(&r->owner->started);
    while (!atomic_load_explicit(&r->owner->stop, memory_order_relaxed)) {
        ssize_t n = connector_receive(r->fd, message, sizeof message);
        if (n > 0)
            reader_message(r, message, (size_t)n);
        else if (n == 0)
            sensor_count(&r->sensor.stats->malformed, 1);
        else if (n == -ENOBUFS)
            sensor_lost(&r->sensor, 1, "the kernel's queue of program starts was full");
        if (n < 0 || ++r->n_unchecked >= SHARE_EVENTS)
            reader_watch_share(r);
    }
    return NULL;
}

/* ---- open and close ------------------------------------------------------------------------------------------------- */

/* Passes the execs of reader `k`'s CPUs. Reader 0 passes all but those of the others: also of a CPU that is plugged in later. */
static unsigned short build_filter(const struct exec_sensor *x, int k, struct sock_filter *f)
{
    unsigned short n = 0;
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROC_AT_WHAT);
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(PROC_EVENT_EXEC), 1, 0);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROC_AT_CPU);
    for (int i = k ? k : 1; i < (k ? k + 1 : x->n_readers); i++) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (!CPU_ISSET(cpu, &x->readers[i].cpus))
                continue;
            f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl((uint32_t)cpu), 0, 1);
            f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, k ? 0xffffffff : 0);
        }
    }
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, k ? 0 : 0xffffffff);
    return n;
}

/* Fills `cpus` from a list such as "0-1,4". Returns how many. */
static int parse_cpu_list(const char *text, cpu_set_t *cpus)
{
    CPU_ZERO(cpus);
    while (*text >= '0' && *text <= '9') {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (unsigned long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
            CPU_SET(cpu, cpus);
        text = *end == ',' ? end + 1 : end;
    }
    return CPU_COUNT(cpus);
}

static void find_cpus(const struct exec_options *options, cpu_set_t *cpus)
{
    char text[4096] = "";
    CPU_ZERO(cpus);
    for (int i = 0; i < options->n_cpus; i++)
        CPU_SET((size_t)options->cpus[i], cpus);
    if (options->n_cpus)
        return;
    int fd = open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n > 0 && parse_cpu_list(text, cpus))
        return;
    for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN) && i < CPU_SETSIZE; i++)
        CPU_SET((size_t)i, cpus);
}

/* Neighbours share a reader: they share caches. */
static void share_cpus(struct exec_sensor *x, const cpu_set_t *cpus)
{
    int total = CPU_COUNT(cpus), seen = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, cpus))
            continue;
        CPU_SET(cpu, &x->readers[seen++ * x->n_readers / total].cpus);
    }
}

/* The reader's socket: it blocks, because asking whether there is more would cost a system call per exec. */
static int reader_listen(struct exec_sensor *x, int k, char *why, size_t why_size)
{
    static struct sock_filter filter[2 * CPU_SETSIZE + 5];
    const struct timeval look = { 0, STOP_LOOK_MS * 1000 };
    int fd = connector_open(filter, build_filter(x, k, filter), LIMIT_EXEC_RCVBUF_BYTES, why, why_size);
    if (fd < 0)
        return fd;
    if (fcntl(fd, F_SETFL, 0) || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof look)) {
        connector_close(fd);
        return -errno;
    }
    x->readers[k].fd = fd;
    return 0;
}

static int reader_start(struct exec_reader *r)
{
    int error = thread_start(&r->thread, reader_main, r, "exec");
    if (error)
        return error;
    while (sem_wait(&r->owner->started))
        ;
    return 0;
}

/* A power of two. */
static size_t ring_bytes(int n_readers)
{
    size_t bytes = LIMIT_EXEC_RING_BYTES;
    while (2 * bytes <= LIMIT_EXEC_RING_MAX_BYTES && 2 * bytes * (size_t)n_readers <= LIMIT_EXEC_RINGS_BYTES)
        bytes *= 2;
    return bytes;
}

/* Sockets first: the kernel keeps what happens until the threads run. */
static int start_readers(struct exec_sensor *x, struct waker *waker, char *why, size_t why_size)
{
    int r = 0;
    for (int i = 0; i < x->n_readers && !r; i++) {
        x->readers[i].owner = x;
        r = sensor_init(&x->readers[i].sensor, SOURCE_EXEC, ring_bytes(x->n_readers), &x->stats, waker);
        if (!r)
            r = reader_listen(x, i, why, why_size);
    }
    for (int i = 0; i < x->n_readers && !r; i++)
        r = reader_start(&x->readers[i]);
    return r;
}

int exec_sensor_open(struct exec_sensor *x, int procdir, struct waker *waker, const struct exec_options *options)
{
    cpu_set_t cpus;
    char why[192] = "the readers' threads could not be started";
    memset(x, 0, sizeof *x);
    sem_init(&x->started, 0, 0);
    pthread_mutex_init(&x->state_mutex, NULL);
    x->procdir = procdir;
    x->level = options->level;
    x->full_per_second = options->full_per_second ? options->full_per_second : LIMIT_EXEC_FULL_PER_SECOND;
    x->no_realtime = options->no_realtime;
    find_cpus(options, &cpus);
    int n = CPU_COUNT(&cpus) < LIMIT_EXEC_READERS ? CPU_COUNT(&cpus) : LIMIT_EXEC_READERS;
    x->readers = aligned_alloc(64, (size_t)n * sizeof *x->readers);
    if (!x->readers) {
        sensor_state(&x->stats, SENSOR_OFF, "no memory for the readers");
        return -ENOMEM;
    }
    memset(x->readers, 0, (size_t)n * sizeof *x->readers);
    x->n_readers = n;
    for (int i = 0; i < n; i++)
        x->readers[i].fd = -1;
    share_cpus(x, &cpus);
    if (start_readers(x, waker, why, sizeof why)) {
        exec_sensor_close(x);
        sensor_state(&x->stats, SENSOR_OFF, "%s", why);
        return 0;
    }
    pthread_mutex_lock(&x->state_mutex);
    state_renew(x);
    pthread_mutex_unlock(&x->state_mutex);
    return 0;
}

void exec_sensor_close(struct exec_sensor *x)
{
    if (!x->readers)
        return;
    atomic_store(&x->stop, true);
    for (int i = 0; i < x->n_readers; i++) {
        struct exec_reader *r = &x->readers[i];
        if (r->thread)
            pthread_join(r->thread, NULL);
        if (r->fd >= 0)
            connector_close(r->fd);
        munlock(r->sensor.ring.data, r->sensor.ring.size);
        sensor_fini(&r->sensor);
    }
    free(x->readers);
    x->readers = NULL;
    x->n_readers = 0;
    sem_destroy(&x->started);
    pthread_mutex_destroy(&x->state_mutex);
}

uint64_t exec_sensor_cpu_ns(const struct exec_sensor *x)
{
    uint64_t sum = 0;
    for (int i = 0; i < x->n_readers; i++) {
        clockid_t clock;
        if (!pthread_getcpuclockid(x->readers[i].thread, &clock))
            sum += clock_ns(clock);
    }
    return sum;
}
