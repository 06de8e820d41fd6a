/* What the detectors of network behaviour cost for one event, each and together: flows of a connection pool (nothing new), flows of a crawler (each to a new
 * address), and DNS answers and queries of ordinary names. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"

#define EVENTS 100000
#define ROUNDS 7

static union event_buffer buffer;
static struct detection detection;
static struct outcome out;
static struct container_facts container = { .id = 7, .nsid = 3, .family = "shop" };

static struct event *flow(int i, bool crawler)
{
    struct event *ev = &buffer.event;
    static const enum flow_phase phases[] = { FLOW_NEW, FLOW_UPDATE, FLOW_END };
    event_init(ev, EVENT_FLOW, SOURCE_FLOW, 1000000000ull + (uint64_t)i * 20000);
    event_set(ev, F_FLOW_PHASE, flow_phase, (uint8_t)phases[i % 3]);
    event_set(ev, F_FLOW_ID, flow_id, (uint64_t)(i / 3) * 0x9e3779b97f4a7c15ull);
    event_set(ev, F_NSID, nsid, 3);
    event_set(ev, F_PROTO, proto, IPPROTO_TCP);
    event_set(ev, F_DIRECTION, direction, DIRECTION_OUT);
    ev->src = (struct address){ .family = 4, .bytes = { 172, 17, 0, 2 } };
    ev->dst = (struct address){ .family = 4, .bytes = { 198, 51, 100, 7 } };
    if (crawler)
        memcpy(ev->dst.bytes + 1, &(uint32_t){ (uint32_t)(i / 3) }, 3);
    ev->sport = (uint16_t)(32768 + i / 3 % 28000);
    ev->dport = 443;
    if (i % 3 == 1)
        event_set(ev, F_TCP_STATE, tcp_state, 1);
    if (i % 3 == 2) {
        event_set(ev, F_BYTES_OUT, bytes_out, 900);
        event_set(ev, F_PACKETS_OUT, packets_out, 6);
        event_set(ev, F_BYTES_IN, bytes_in, 4000);
        event_set(ev, F_PACKETS_IN, packets_in, 6);
    }
    return ev;
}

static struct event *pool(int i)
{
    return flow(i, false);
}

static struct event *crawler(int i)
{
    return flow(i, true);
}

static struct event *dns(int i)
{
    struct event *ev = &buffer.event;
    char name[64];
    event_init(ev, EVENT_DNS, SOURCE_DNS, 1000000000ull + (uint64_t)i * 20000);
    event_set(ev, F_NSID, nsid, 3);
    event_set(ev, F_DNS_OP, dns_op, i % 2 ? DNS_ANSWER : DNS_QUERY);
    event_set(ev, F_DNS_TYPE, dns_type, 1);
    event_set(ev, F_DNS_SIZE, dns_size, 80);
    event_set(ev, F_DNS_RCODE, dns_rcode, 0);
    snprintf(name, sizeof name, "api%d.service-example.com", i / 2 % 50);
    event_set_text(ev, F_DNS_NAME, name, strlen(name));
    return ev;
}

static double measure_once(struct event *(*make)(int), const struct detector *detector, int first)
{
    uint64_t start_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = first; i < first + EVENTS; i++) {
        struct step step = { .ev = make(i), .container = &container, .event_id = i };
        detection.out = &out;
        out.n_findings = out.n_requests = 0;
        if (detector && detector->on >> step.ev->kind & 1)
            detector->event(&detection, detector, &step);
    }
    return (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start_ns) / EVENTS;
}

/* The best of some rounds, in time of this process: the machine has other work. */
static double measure(struct event *(*make)(int), const struct detector *detector)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double ns = measure_once(make, detector, round * EVENTS);
        best = ns < best ? ns : best;
    }
    return best;
}

static void run(const char *what, struct event *(*make)(int))
{
    static const char *const names[] = { "port_scan", "udp_flood", "data_volume", "beacon", "listener_opened", "dns_tunnel", "generated_names" };
    double floor_ns = measure(make, NULL), sum = 0;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
        for (int i = 0; detectors[i]; i++) {
            if (strcmp(detectors[i]->rule, names[n]))
                continue;
            double ns = measure(make, detectors[i]) - floor_ns;
            fprintf(stderr, "%s: %s %.1f ns\n", what, names[n], ns);
            sum += ns;
        }
    printf("bench: network_%s_ns %.1f ns\n", what, sum);
}

int main(void)
{
    static struct proctree tree;
    static struct container_table containers;
    static struct file_origins origins;
    if (proctree_init(&tree, 1024, 1 << 20) || container_table_init(&containers, 16, 1) || file_origins_init(&origins, 16) || detection_init(&detection))
        return 1;
    detection.tree = &tree;
    detection.containers = &containers;
    detection.origins = &origins;
    run("pool", pool);
    run("crawler", crawler);
    run("dns", dns);
    detection_fini(&detection);
    return 0;
}
