/* Network flows from conntrack: one netlink socket in the host's network namespace that also hears the other namespaces
 * (NETLINK_LISTEN_ALL_NSID). Owns the sockets and the two switches of the host's namespace that it turns on. */
#ifndef ECSGUARD_FLOW_SENSOR_H
#define ECSGUARD_FLOW_SENSOR_H

#include "agent/sensors/flow_dumps.h"
#include "agent/sensors/flow_growth.h"
#include "agent/sensors/flow_twins.h"
#include "agent/sensors/nft_table.h"
#include "agent/sensors/sensor.h"

struct mnl_socket;
struct flow_buffers;

struct flow_options {
    int proc_fd;          /* /proc, borrowed until close */
    int rcvbuf_bytes;     /* 0 = LIMIT_NETLINK_RCVBUF_BYTES */
    uint64_t long_ns;     /* pause between looks at what long flows sent; 0 = LIMIT_FLOW_LONG_NS */
    bool drop_loopback;   /* leave out flows of the host's namespace from loopback to loopback */
};

/* A switch under /proc/sys/net/netfilter that we turned on, and what it was before (-1: we did not touch it). */
struct flow_switch {
    const char *path;
    int before;
};

struct flow_sensor {
    struct sensor *sensor;
    struct flow_options options;
    struct mnl_socket *events;
    struct flow_dumps dumps;
    struct flow_growth growth;
    struct flow_buffers *buffers;
    struct flow_twins twins;
    struct flow_switch switches[2]; /* accounting, events */
    char problem[192];       /* what stays uncovered while this sensor runs; "" = nothing */
    bool untracked[2];       /* nothing in the host's namespace tracks IPv4, IPv6 */
    uint32_t kernel_drops;   /* sk_drops of the socket when we last looked */
    uint64_t ring_drops;     /* stats->lost when we last looked */
    /* dumps, taken in slices: the resync of what was missed, and what long flows sent */
    enum flow_round round;
    bool resync_wanted, resync_first;
    uint32_t resync_events;
    uint64_t resync_started_ns, long_started_ns, pause_until_ns;
};

/* 0, or -errno: the sensor is off and sensor->stats says why and what to do. Needs CAP_NET_ADMIN, and CAP_NET_BROADCAST for the other
 * namespaces. Flows that exist already are told as FLOW_UPDATE by the following drains. `sensor` (source SOURCE_FLOW) stays the caller's. */
int flow_sensor_open(struct flow_sensor *fs, struct sensor *sensor, const struct flow_options *options);
void flow_sensor_close(struct flow_sensor *fs);

/* A network namespace whose flows are to be dumped, too: from any thread, which is in it; and its end. 0 or -errno. */
int flow_sensor_add(struct flow_sensor *fs, uint64_t netns, int32_t nsid);
void flow_sensor_remove(struct flow_sensor *fs, uint64_t netns);

/* There are dumps to take: drain again. And when the next look at long flows is due (CLOCK_MONOTONIC). */
bool flow_sensor_busy(struct flow_sensor *fs);
uint64_t flow_sensor_due(const struct flow_sensor *fs);

/* How the host's switches were before this sensor turned them on; -1 = it did not. */
struct nft_switches flow_sensor_switches(const struct flow_sensor *fs);
/* Readable when there is something to drain; -1 when closed. The loop need not watch it: it may drain at each tick. */
int flow_sensor_fd(const struct flow_sensor *fs);

/* Reads at most about `max` datagrams (one event each) and, after loss, one slice of the resync. Never blocks. Returns how many it read. */
int flow_sensor_drain(struct flow_sensor *fs, int max);

#endif
