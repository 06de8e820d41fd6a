/* Hears of the end of connections in network namespaces that are not tracked, from the kernel's multicast of destroyed sockets, by one socket for all
 * namespaces: EVENT_FLOW, FLOW_END (diag_flow.h). The kernel makes these messages for every socket of the host as long as somebody
 * listens, a few microseconds each: so only while there is such a namespace. */
#ifndef ECSGUARD_DIAG_SENSOR_H
#define ECSGUARD_DIAG_SENSOR_H

#include "agent/sensors/sensor.h"

struct mnl_socket;

/* Are flows of this namespace to be told? -1 = the host's own. */
typedef bool diag_wanted(void *context, int32_t nsid);

struct diag_sensor {
    struct sensor *sensor; /* source SOURCE_FLOW; the caller's */
    struct mnl_socket *nl; /* NULL = does not listen */
    uint32_t kernel_drops;
};

/* 0 or -errno. */
int diag_sensor_open(struct diag_sensor *d, struct sensor *sensor);
void diag_sensor_close(struct diag_sensor *d);
int diag_sensor_fd(const struct diag_sensor *d);

/* Reads at most `max` datagrams (one socket each), never blocks. */
void diag_sensor_drain(struct diag_sensor *d, int max, diag_wanted *wanted, void *context);

#endif
