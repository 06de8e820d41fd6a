/* Sees every program start with its arguments, also of programs that exit at once: one connector socket per CPU, whose filter passes only
 * the execs of that CPU, read by a thread that is pinned there under SCHED_FIFO. The kernel sends the message from the exec'ing
 * task itself, so the reader runs before the new program's first instruction.
 *
 * Needs CAP_NET_ADMIN to open; CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH to read what belongs to others; CAP_SYS_NICE for
 * SCHED_FIFO, also later: a reader that lowered itself in a storm raises itself again. */
#ifndef ECSGUARD_EXEC_SENSOR_H
#define ECSGUARD_EXEC_SENSOR_H

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "agent/sensors/procfs.h"
#include "agent/sensors/sensor.h"

/* How much is read of each exec. */
enum exec_level {
    EXEC_LEVEL_AUTO,  /* everything while the reader's token bucket lasts, then the lean set */
    EXEC_LEVEL_FULL,  /* the rest are for measuring */
    EXEC_LEVEL_LEAN,  /* command line, executable; descriptors of shells and interpreters */
    EXEC_LEVEL_COUNT, /* nothing: the floor that any reader costs */
};

struct exec_options {
    const int *cpus; /* CPU numbers to read; NULL = all that are online */
    int n_cpus;
    bool no_realtime; /* as if SCHED_FIFO were refused */
    enum exec_level level;
    unsigned full_per_second; /* execs that each reader reads in full; 0 = LIMIT_EXEC_FULL_PER_SECOND */
};

enum exec_priority {
    EXEC_PRIORITY_FIFO,
    EXEC_PRIORITY_NICE,   /* SCHED_FIFO refused: nice -20 */
    EXEC_PRIORITY_NORMAL, /* that refused too */
};

/* The path of a program that ran a moment ago. */
struct exec_path {
    uint64_t mount_id, dev, ino, ctime_ns, read_ns;
    uint16_t size;
    char path[256];
};

struct exec_reader {
    struct sensor sensor;
    struct exec_sensor *owner;
    pthread_t thread;
    int fd;
    cpu_set_t cpus;
    enum exec_priority priority; /* what it got when it started */
    int pin_error, fifo_error;
    uint64_t last_ns;            /* kernel time of the last event */
    uint64_t tokens, tokens_at_ns; /* in billionths of a token */
    uint64_t lowered_until_ns;   /* 0 = at its own priority */
    uint64_t window_ns, window_cpu_ns; /* start of the current look at the CPU share */
    unsigned n_unchecked;
    struct exec_path paths[LIMIT_EXEC_PATHS];
    struct procfs_scratch scratch;
};

struct exec_sensor {
    struct sensor_stats stats;
    _Atomic uint64_t n_full, n_lean;
    _Atomic uint64_t n_gone, n_zombie; /* the process was over before we read it: arguments unknown */
    _Atomic uint64_t n_lowered;        /* how often a reader gave up its priority for a second */
    struct exec_reader *readers;
    int n_readers;
    int procdir; /* borrowed */
    enum exec_level level;
    uint64_t full_per_second;
    bool no_realtime;
    _Atomic bool stop;
    sem_t started;
    pthread_mutex_t state_mutex; /* for the rare changes of stats.state */
    int n_lowered_now;
};

/* Starts the readers. `procdir` is from procfs_open() and stays the caller's. Returns 0 also when the sensor had to stay off or
 * degraded (stats.state, stats.reason); -ENOMEM. */
int exec_sensor_open(struct exec_sensor *x, int procdir, struct waker *waker, const struct exec_options *options);
void exec_sensor_close(struct exec_sensor *x);

/* The rings, for the loop: reader `i` of x->n_readers. */
static inline struct sensor *exec_sensor_ring(struct exec_sensor *x, int i)
{
    return &x->readers[i].sensor;
}

/* CPU time that all readers used so far. */
uint64_t exec_sensor_cpu_ns(const struct exec_sensor *x);

#endif
