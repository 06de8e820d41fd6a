/* The floor of what any reader of process events costs: per CPU a pinned SCHED_FIFO thread that takes the exec message and does nothing
 * with it. Runs until it is terminated. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/sensors/exec_sensor.h"

int main(void)
{
    static struct exec_sensor sensor;
    struct exec_options options = { .level = EXEC_LEVEL_COUNT };
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int procdir = procfs_open("/proc");
    if (procdir < 0 || exec_sensor_open(&sensor, procdir, NULL, &options) || sensor.stats.state == SENSOR_OFF) {
        fprintf(stderr, "load_reader: %s\n", sensor.stats.reason);
        return 1;
    }
    sigwait(&set, &number);
    exec_sensor_close(&sensor);
    close(procdir);
    return 0;
}
