/* Tells DNS queries and answers: EVENT_DNS, out of the packets that nft rules in watched network namespaces log to NFLOG_GROUP. One thread
 * reads the sockets of all namespaces: that of a quiet one at once, so that an answer is here before the connection that follows it; a busy one's
 * packets are gathered by the kernel, and read in intervals. */
#ifndef ECSGUARD_DNS_SENSOR_H
#define ECSGUARD_DNS_SENSOR_H

#include <pthread.h>

#include "agent/sensors/dns_decode.h"
#include "agent/sensors/sensor.h"

struct dns_buffers;

/* A network namespace whose packets we get. */
struct dns_watch {
    uint64_t netns; /* inode number, 0 = free */
    int32_t nsid;
    int fd;
    uint32_t next_seq;
    uint32_t batch;          /* packets gathered by the kernel */
    uint32_t n_packets;      /* since window_ns */
    uint64_t window_ns;
    bool has_seq;
    uint32_t drops;          /* datagrams that the kernel had dropped, when we last counted them */
    uint32_t n_provisional;  /* counted as one packet each: how many they were the next packet's number says */
};

struct dns_sensor {
    struct sensor sensor; /* its ring is what the loop reads */
    struct sensor_stats stats;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below, and of the writing end of the ring */
    bool running;
    _Atomic bool stopping;
    int epoll_fd, wake_fd;
    struct dns_buffers *buffers;
    struct dns_streams streams;
    uint32_t n_busy;
    uint16_t busy[LIMIT_DNS_NAMESPACES]; /* slots of watches with batch > 1: they are read in intervals, not when there is something */
    struct dns_watch watches[LIMIT_DNS_NAMESPACES];
};

/* 0, or -errno for lack of memory, descriptors or threads. */
int dns_sensor_open(struct dns_sensor *d, struct waker *waker);
void dns_sensor_close(struct dns_sensor *d);

/* From any thread: `fd` is of nflog_open() in that namespace, and the sensor's from now on, also when this fails. A namespace that is there
 * already gets the new socket. 0, -ENOSPC when there are too many, or -errno. */
int dns_sensor_add(struct dns_sensor *d, uint64_t netns, int32_t nsid, int fd);
/* From any thread; one that is not there is no error. */
void dns_sensor_remove(struct dns_sensor *d, uint64_t netns);

#endif
