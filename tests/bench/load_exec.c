/* Load for the exec benchmarks: LOOPS loops start PROGRAM and reap it, COUNT times each, with a serial tag as argument ("TAG-<loop>-<n>").
 * Prints the rate and the time from execve to exit (as its parent sees it), over all loops:
 *   load_exec LOOPS COUNT PAUSE_US PROGRAM
 *   execs 20000 seconds 4.10 per_second 4878 p10_us 170 p50_us 183 p90_us 240 p99_us 610 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

extern char **environ;

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Starts the program; `*start_ns` is when the child called execve(2): it has our memory until then. */
static pid_t start(char *program, char **argv, volatile uint64_t *start_ns)
{
    pid_t pid = vfork();
    if (pid == 0) {
        *start_ns = clock_monotonic_ns();
        execve(program, argv, environ);
        _exit(127);
    }
    return pid;
}

static void run_loop(long loop, long count, useconds_t pause_us, char *program, uint32_t *took_us)
{
    for (long i = 0; i < count; i++) {
        char tag[48];
        char *argv[] = { program, tag, NULL };
        volatile uint64_t start_ns = 0;
        int status = 0;
        snprintf(tag, sizeof tag, "TAG-%ld-%ld", loop, i);
        pid_t pid = start(program, argv, &start_ns);
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || WEXITSTATUS(status) == 127) {
            perror(program);
            _exit(1);
        }
        took_us[i] = (uint32_t)((clock_monotonic_ns() - start_ns) / 1000);
        if (pause_us)
            usleep(pause_us);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: load_exec LOOPS COUNT PAUSE_US PROGRAM\n");
        return 2;
    }
    long loops = atol(argv[1]), count = atol(argv[2]), n = loops * count;
    if (loops < 1 || count < 1) {
        fprintf(stderr, "load_exec: LOOPS and COUNT must be positive\n");
        return 2;
    }
    uint32_t *took_us = mmap(NULL, (size_t)n * sizeof *took_us, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (took_us == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    uint64_t start_ns = clock_monotonic_ns();
    for (long i = 0; i < loops; i++)
        if (!fork())
            run_loop(i, count, (useconds_t)atol(argv[3]), argv[4], took_us + i * count);
    int status, failed = 0;
    while (wait(&status) > 0)
        failed |= status;
    double seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    qsort(took_us, (size_t)n, sizeof *took_us, by_value);
    printf("execs %ld seconds %.2f per_second %.0f p10_us %u p50_us %u p90_us %u p99_us %u\n", n, seconds, (double)n / seconds,
           took_us[n / 10], took_us[n / 2], took_us[n * 9 / 10], took_us[n * 99 / 100]);
    return failed != 0;
}
