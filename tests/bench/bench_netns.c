/* What the watch over network namespaces costs: the time to put our table into one and to take it away, and the CPU of watching 100 that track
 * because of us and do nothing. Figures: netns_install_ms, netns_remove_ms, netns_idle_cpu_pct. Needs root. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/sensors/netns_watch.h"
#include "common/clock.h"
#include "common/log.h"

#define N 100
#define IDLE_S 15

static struct netns_watch watch;
static pid_t children[N];

/* A process in a network namespace of its own, with lo only. */
static pid_t make_child(void)
{
    int ready[2];
    char byte;
    if (pipe(ready))
        return -1;
    pid_t pid = fork();
    if (!pid) {
        if (unshare(CLONE_NEWNET) || write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        pid = -1;
    close(ready[0]);
    return pid;
}

static double cpu_ms(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e3 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e3;
}

static bool wait_for(const _Atomic uint64_t *counter, uint64_t n)
{
    for (int i = 0; i < 30000; i++, usleep(1000))
        if (*counter == n)
            return true;
    fprintf(stderr, "bench_netns: %llu of %llu after 30 s: %s\n", (unsigned long long)*counter, (unsigned long long)n, watch.stats.reason);
    return false;
}

static double now_ms(void)
{
    return (double)clock_monotonic_ns() / 1e6;
}

static bool measure(void)
{
    double start = now_ms(), cpu = cpu_ms();
    for (int i = 0; i < N; i++) {
        char id[32];
        snprintf(id, sizeof id, "container-%d", i);
        netns_watch_container(&watch, id, children[i], 0);
    }
    if (!wait_for(&watch.counters.namespaces, N + 1))
        return false;
    printf("bench: netns_install_ms %.2f ms\n", (now_ms() - start) / N);
    fprintf(stderr, "install: %.2f ms of CPU each\n", (cpu_ms() - cpu) / N);
    if (!wait_for(&watch.counters.tracking, N)) /* an interface was awaited first */
        return false;
    sleep(2);
    start = now_ms();
    cpu = cpu_ms();
    sleep(IDLE_S);
    printf("bench: netns_idle_cpu_pct %.3f %%\n", (cpu_ms() - cpu) / (now_ms() - start) * 100);
    start = now_ms();
    netns_watch_stop(&watch);
    printf("bench: netns_remove_ms %.2f ms\n", (now_ms() - start) / (N + 1));
    return true;
}

int main(void)
{
    struct netns_options options = { .proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), .dns = true, .track_containers = true, .host_before = { -1, -1 },
                                     .guard = { .withdraw_percent = 80, .return_percent = 60 } };
    bool good = true;
    log_open(LOG_LEVEL_WARN);
    for (int i = 0; i < N; i++)
        good &= (children[i] = make_child()) > 0;
    good = good && !netns_watch_open(&watch, &options, NULL) && !netns_watch_start(&watch) && wait_for(&watch.counters.namespaces, 1) && measure();
    netns_watch_fini(&watch);
    for (int i = 0; i < N; i++)
        if (children[i] > 0) {
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
        }
    return !good;
}
