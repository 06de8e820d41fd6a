/* What the system call sensor costs programs that it has nothing to tell of, and a load of what it does tell.
 *
 * load_syscall pairs ROUNDS SECONDS   each round runs each loop without and with the sensor, in turn; a line per loop and round: NAME NS_WITHOUT NS_WITH
 * load_syscall calls RATE SECONDS     system calls that the sensor tells of, RATE a second of each of four kinds, 0 = as fast as it goes;
 *                                     prints how many */
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sensors/procfs.h"
#include "agent/sensors/syscall_sensor.h"
#include "common/clock.h"

#define BATCH 256 /* runs between two looks at the clock: 50 us and more */
#define BATCHES 100000

static int zero, null;
static char page[4096];

static void loop_getppid(void)
{
    syscall(SYS_getppid);
}

static void loop_read(void)
{
    if (read(zero, page, 1) != 1)
        abort();
}

/* What a program that moves data does: a page read, a page written, a look at a file. */
static void loop_mixed(void)
{
    struct stat st;
    if (read(zero, page, sizeof page) < 0 || write(null, page, sizeof page) < 0 || stat("/etc/passwd", &st) > 0)
        abort();
}

static const struct {
    const char *name;
    void (*run)(void);
    int calls;
} loops[] = { { "getppid", loop_getppid, 1 }, { "read", loop_read, 1 }, { "mixed", loop_mixed, 3 } };

#define LOOPS (sizeof loops / sizeof loops[0])

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Nanoseconds per call: the median of short batches, so that other work on this CPU, which stretches some of them, does not count. */
static double measure(size_t i, double seconds)
{
    static double batches[BATCHES];
    uint64_t start = clock_monotonic_ns(), end = start + (uint64_t)(seconds * 1e9), now = start;
    size_t n = 0;
    while (n < BATCHES && now < end) {
        for (int k = 0; k < BATCH; k++)
            loops[i].run();
        uint64_t before = now;
        now = clock_monotonic_ns();
        batches[n++] = (double)(now - before);
    }
    qsort(batches, n, sizeof batches[0], by_value);
    return batches[n / 2] / (BATCH * loops[i].calls);
}

static void measure_with(double ns[LOOPS], double seconds, int procdir)
{
    static struct syscall_sensor sensor;
    if (syscall_sensor_open(&sensor, procdir, NULL) || syscall_sensor_fd(&sensor) < 0) {
        fprintf(stderr, "load_syscall: %s\n", sensor.stats.reason);
        exit(1);
    }
    for (size_t i = 0; i < LOOPS; i++)
        ns[i] = measure(i, seconds);
    syscall_sensor_close(&sensor);
}

static void pairs(int rounds, double seconds)
{
    int procdir = procfs_open("/proc");
    for (int r = 0; r < rounds; r++) {
        double without[LOOPS], with[LOOPS];
        if (r & 1) /* the order changes, so that what drifts does not count for one side */
            measure_with(with, seconds, procdir);
        for (size_t i = 0; i < LOOPS; i++)
            without[i] = measure(i, seconds);
        if (!(r & 1))
            measure_with(with, seconds, procdir);
        for (size_t i = 0; i < LOOPS; i++)
            printf("%s %.1f %.1f\n", loops[i].name, without[i], with[i]);
    }
}

static unsigned long call_each(void)
{
    int fd = (int)syscall(SYS_memfd_create, "bench", MFD_CLOEXEC);
    if (fd >= 0)
        close(fd);
    syscall(SYS_userfaultfd, -1);
    syscall(SYS_bpf, 5, NULL, 0);
    syscall(SYS_setns, -1, 0);
    return 4;
}

static void calls(double rate, double seconds)
{
    uint64_t start = clock_monotonic_ns(), end = start + (uint64_t)(seconds * 1e9), next = start;
    unsigned long n = 0;
    while (clock_monotonic_ns() < end) {
        n += call_each();
        next += rate > 0 ? (uint64_t)(1e9 / rate) : 0;
        for (uint64_t now; rate > 0 && (now = clock_monotonic_ns()) < next;)
            usleep((useconds_t)((next - now) / 1000 + 1));
    }
    printf("%lu\n", n);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (!strcmp(argv[1], "pairs"))
        pairs(atoi(argv[2]), atof(argv[3]));
    else
        calls(atof(argv[2]), atof(argv[3]));
    return 0;
}
