/* The addresses of every network namespace that has a number (nsid) for the host's: rtnetlink tells which come and go, in all of them
 * (NETLINK_LISTEN_ALL_NSID), and answers for those that were there (IFA_TARGET_NETNSID). So the pipeline knows which end of a flow is a
 * container's own, also where Docker does not (awsvpc). Owns two sockets; the loop drains it. */
#ifndef ECSGUARD_ADDRESS_SENSOR_H
#define ECSGUARD_ADDRESS_SENSOR_H

#include "agent/sensors/sensor.h"

struct mnl_socket;

struct address_sensor {
    struct sensor sensor;
    struct sensor_stats stats;
    struct mnl_socket *events, *dump;
    int32_t wanted[LIMIT_NETNS_WANTED]; /* namespaces whose addresses are to be asked for */
    int n_wanted;
    bool dumping;
    uint32_t seq;
    uint64_t dump_started_ns;
};

/* 0, or -ENOMEM: other errors leave it off, stats say why. Needs CAP_NET_ADMIN for the other namespaces' addresses, and CAP_NET_BROADCAST
 * to hear of changes. */
int address_sensor_open(struct address_sensor *s, struct waker *waker);
void address_sensor_close(struct address_sensor *s);
int address_sensor_fd(const struct address_sensor *s); /* -1 when off */
/* Never blocks. */
void address_sensor_drain(struct address_sensor *s);
/* Answers are still to come: call it again. */
bool address_sensor_busy(const struct address_sensor *s);

#endif
