/* Fork, exit, ids, session, ptrace and comm of all processes over one connector socket, and the scan of /proc that says what ran before
 * us or what a loss hid. Threads are filtered out in the kernel. Runs in the loop: nothing here blocks. */
#ifndef ECSGUARD_PROC_SENSOR_H
#define ECSGUARD_PROC_SENSOR_H

#include <dirent.h>

#include "agent/sensors/procfs.h"
#include "agent/sensors/sensor.h"

struct proc_sensor {
    struct sensor sensor;
    struct sensor_stats stats;
    int fd;               /* to poll for reading; -1 when off */
    int procdir;          /* borrowed */
    bool resync_wanted;   /* events were lost: the loop should call proc_sensor_scan_start() */
    uint64_t last_ns;     /* kernel time of the last event */
    DIR *scan;            /* NULL = no scan is running */
    uint64_t scan_start_ns;
    struct procfs_scratch scratch;
};

/* `procdir` is from procfs_open() and stays the caller's. Returns 0 also when the sensor had to stay off (stats.state, stats.reason): the
 * scan works without it. -ENOMEM. Needs CAP_NET_ADMIN. */
int proc_sensor_open(struct proc_sensor *p, int procdir, struct waker *waker);
void proc_sensor_close(struct proc_sensor *p);

/* Moves up to `max` messages from the kernel into the ring; stops early, and loses nothing, while the ring is full. Returns how many
 * were read: less than `max` means that nothing is left for now. */
unsigned proc_sensor_drain(struct proc_sensor *p, unsigned max);

/* Begins a scan, anew if one is running, and clears resync_wanted. 0 or a negative errno. */
int proc_sensor_scan_start(struct proc_sensor *p);

/* One step of the scan: an EVENT_PROCESS for each of at most LIMIT_SCAN_SLICE processes. True while there is more to do. A full ring
 * only delays it. */
bool proc_sensor_scan(struct proc_sensor *p);

#endif
