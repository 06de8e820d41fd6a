/* Opens the DNS sensor in the network namespaces of processes and shows what it tells as recorded events, one JSON object a line, for
 * test_dns_sensor.py and the benchmark:
 *   dns_probe [-q] PID:NSID...    until standard input ends; -q: only count. The last line is the sensor's counters. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/sensors/dns_sensor.h"
#include "agent/sensors/nflog.h"
#include "common/clock.h"
#include "common/event_json.h"

static struct dns_sensor sensor;
static bool quiet;
static uint64_t n_queries, n_answers, n_lost;

static int watch(const char *place)
{
    char path[64];
    struct stat st;
    int pid = atoi(place), own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    const char *nsid = strchr(place, ':');
    snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (own < 0 || ns < 0 || fstat(ns, &st) || setns(ns, CLONE_NEWNET))
        return -errno;
    int fd = nflog_open();
    if (setns(own, CLONE_NEWNET))
        return -errno;
    close(own);
    close(ns);
    return fd < 0 ? fd : dns_sensor_add(&sensor, st.st_ino, nsid ? atoi(nsid + 1) : 0, fd);
}

static void show(const struct event *ev)
{
    static char line[LIMIT_EVENT_JSON_BYTES];
    if (!quiet && event_to_json(ev, NULL, 0, line, sizeof line) > 0)
        puts(line);
}

static void drain(void)
{
    const struct event *ev;
    size_t size;
    while ((ev = ring_peek(&sensor.sensor.ring, &size))) {
        if (event_check(ev, size))
            abort();
        n_queries += ev->kind == EVENT_DNS && ev->dns_op == DNS_QUERY;
        n_answers += ev->kind == EVENT_DNS && ev->dns_op == DNS_ANSWER;
        n_lost += ev->kind == EVENT_LOSS ? ev->count : 0;
        show(ev);
        ring_pop(&sensor.sensor.ring);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "q")) > 0)
        quiet = true;
    if (dns_sensor_open(&sensor, NULL))
        return 1;
    for (int i = optind; i < argc; i++) {
        int r = watch(argv[i]);
        if (r) {
            fprintf(stderr, "dns_probe: %s: %s\n", argv[i], strerror(-r));
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);
    struct pollfd in = { 0, POLLIN, 0 };
    while (poll(&in, 1, 5) == 0)
        drain();
    drain();
    const struct sensor_stats *s = &sensor.stats;
    printf("{\"kind\":\"stats\",\"events\":%llu,\"lost\":%llu,\"told_lost\":%llu,\"malformed\":%llu,\"queries\":%llu,\"answers\":%llu}\n",
           (unsigned long long)s->events, (unsigned long long)s->lost, (unsigned long long)n_lost, (unsigned long long)s->malformed,
           (unsigned long long)n_queries, (unsigned long long)n_answers);
    dns_sensor_close(&sensor);
    return 0;
}
