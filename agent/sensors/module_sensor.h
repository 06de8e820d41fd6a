/* Tells which kernel modules are loaded after the agent started: EVENT_MODULE, from the kernel's uevents, and from /proc/modules for what
 * uevents left out (their queue was full, or they do not reach this network namespace). Who loaded one, uevents do not say. One thread. */
#ifndef ECSGUARD_MODULE_SENSOR_H
#define ECSGUARD_MODULE_SENSOR_H

#include <pthread.h>

#include "agent/sensors/sensor.h"

struct module_sensor_options {
    const char *modules_file; /* NULL: /proc/modules */
    uint64_t compare_ns;      /* how often it is compared; 0: LIMIT_MODULES_COMPARE_NS */
};

struct module_sensor {
    struct sensor sensor; /* its ring is what the loop reads */
    struct sensor_stats stats;
    struct module_sensor_options options;
    pthread_t thread;
    bool running;
    _Atomic bool stopping;
    int fd, stop_fd;
    uint64_t compared_ns;
    int n_known;
    char (*known)[64]; /* LIMIT_MODULES names, touched as needed */
    char *text;        /* LIMIT_MODULES_BYTES */
};

/* 0, or -errno for lack of memory or threads; without uevents, or on a kernel without modules, `stats` says what is not covered. */
int module_sensor_open(struct module_sensor *m, const struct module_sensor_options *options, struct waker *waker);
void module_sensor_close(struct module_sensor *m);

#endif
