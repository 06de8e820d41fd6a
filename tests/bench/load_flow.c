/* What flows cost: a thread makes distinct UDP flows at a rate in a network namespace of its own (tracking on) and deletes each from conntrack a
 * second later, so that as many flows end; the main thread drains each 5 ms as the agent's loop does, and passes them through the pipeline.
 *   load_flow [FLOWS [PER_SECOND]]
 * Or it only makes flows, in the namespace it is started in, and tells how many and how long that took:
 *   load_flow make FLOWS PER_SECOND
 *   load_flow begin FLOWS PER_SECOND       they do not end */
#include <fcntl.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "agent/pipeline.h"
#include "agent/sensors/flow_sensor.h"
#include "common/clock.h"

#define SOURCE 0xc6336401u /* 198.51.100.1 */

struct maker {
    int flows, rate;
    bool ends;
    _Atomic bool done;
    uint64_t took_ns;
    int made;
};

/* Where flow i goes: a new destination address after 50,000 ports. */
static struct sockaddr_in destination(int i)
{
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)(10000 + i % 50000)),
                                 .sin_addr.s_addr = htonl(0xc6336402 + (uint32_t)(i / 50000)) };
}

static void make_burst(struct maker *m, int s, int from, int to)
{
    for (int i = from; i < to; i++) {
        struct sockaddr_in dst = destination(i);
        m->made += sendto(s, "x", 1, MSG_DONTWAIT, (void *)&dst, sizeof dst) == 1;
    }
}

static void put_delete(struct mnl_nlmsg_batch *batch, int i, uint16_t sport)
{
    struct sockaddr_in dst = destination(i);
    struct nlmsghdr *head = mnl_nlmsg_put_header(mnl_nlmsg_batch_current(batch));
    head->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
    head->nlmsg_flags = NLM_F_REQUEST;
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(head, sizeof *nfg);
    nfg->nfgen_family = AF_INET;
    struct nlattr *tuple = mnl_attr_nest_start(head, CTA_TUPLE_ORIG), *part = mnl_attr_nest_start(head, CTA_TUPLE_IP);
    mnl_attr_put_u32(head, CTA_IP_V4_SRC, htonl(SOURCE));
    mnl_attr_put_u32(head, CTA_IP_V4_DST, dst.sin_addr.s_addr);
    mnl_attr_nest_end(head, part);
    part = mnl_attr_nest_start(head, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(head, CTA_PROTO_NUM, IPPROTO_UDP);
    mnl_attr_put_u16(head, CTA_PROTO_SRC_PORT, sport);
    mnl_attr_put_u16(head, CTA_PROTO_DST_PORT, dst.sin_port);
    mnl_attr_nest_end(head, part);
    mnl_attr_nest_end(head, tuple);
    mnl_nlmsg_batch_next(batch);
}

static void end_flows(struct mnl_socket *nl, uint16_t sport, int from, int to)
{
    static char buffer[8192] __attribute__((aligned(8)));
    while (from < to) {
        struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(buffer, 4096);
        for (int i = 0; i < 32 && from < to; i++)
            put_delete(batch, from++, sport);
        if (mnl_socket_sendto(nl, mnl_nlmsg_batch_head(batch), mnl_nlmsg_batch_size(batch)) < 0)
            perror("delete");
        mnl_nlmsg_batch_stop(batch);
    }
}

static void *make_flows(void *arg)
{
    struct maker *m = arg;
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    int s = socket(AF_INET, SOCK_DGRAM, 0), done = 0, ended = 0;
    struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(5000), .sin_addr.s_addr = htonl(SOURCE) };
    if (!nl || bind(s, (void *)&own, sizeof own))
        perror("make_flows");
    uint64_t start = clock_monotonic_ns();
    while (m->ends ? ended < m->flows : done < m->flows) {
        int due = (int)((double)(clock_monotonic_ns() - start) / 1e9 * m->rate), due_end = due - m->rate;
        due = due < m->flows ? due : m->flows;
        due_end = due_end < m->flows ? due_end : m->flows;
        make_burst(m, s, done, due);
        if (due != done && due == m->flows)
            m->took_ns = clock_monotonic_ns() - start;
        done = due;
        if (m->ends && due_end > ended)
            end_flows(nl, own.sin_port, ended, due_end);
        ended = due_end > ended ? due_end : ended;
        usleep(500);
    }
    mnl_socket_close(nl);
    close(s);
    m->done = true;
    return NULL;
}

static uint64_t cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

struct counts {
    uint64_t phases[4], loss, drain_ns, pipeline_ns, reads, stored;
};

static void count_event(struct counts *c, const struct event *ev)
{
    if (ev->kind == EVENT_FLOW)
        c->phases[ev->flow_phase]++;
    else
        c->loss += ev->count;
}

static void drain(struct flow_sensor *fs, struct pipeline *p, struct counts *c)
{
    static struct outcome out;
    const struct event *ev;
    size_t size;
    uint64_t start = cpu_ns();
    c->reads += flow_sensor_drain(fs, 2000) > 0;
    uint64_t drained = cpu_ns();
    c->drain_ns += drained - start;
    while ((ev = ring_peek(&fs->sensor->ring, &size))) {
        count_event(c, ev);
        pipeline_event(p, ev, &out);
        c->stored += out.store;
        ring_pop(&fs->sensor->ring);
    }
    bool more = true;
    while (more) {
        more = pipeline_tick(p, clock_monotonic_ns(), &out);
        c->stored += out.store;
    }
    c->pipeline_ns += cpu_ns() - drained;
}

static int set_up(void)
{
    if (unshare(CLONE_NEWNET)) {
        perror("unshare");
        return 1;
    }
    return system("ip link set lo up && ip link add name d type veth peer name e && ip addr add 198.51.100.1/24 dev d && ip link set dev d up && "
                  "ip neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev d && ip neigh add 198.51.100.3 lladdr 02:00:00:00:00:03 dev d && "
                  "ip neigh add 198.51.100.4 lladdr 02:00:00:00:00:04 dev d && ip neigh add 198.51.100.5 lladdr 02:00:00:00:00:05 dev d && "
                  "nft 'add table ip t; add chain ip t o { type filter hook output priority 0; }; "
                  "add rule ip t o ct state new counter'");
}

static int only_make(int flows, int rate, bool ends)
{
    if (flows <= 0 || rate <= 0)
        return 2;
    struct maker m = { .flows = flows, .rate = rate, .ends = ends };
    make_flows(&m);
    printf("%d %.6f\n", m.made, (double)m.took_ns / 1e9);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return only_make(atoi(argv[2]), atoi(argv[3]), !strcmp(argv[1], "make"));
    const struct pipeline_options core = { .next_event_id = 1, .next_container_id = 1 };
    struct pipeline *pipeline = pipeline_new(&core);
    static struct sensor_stats stats;
    static struct sensor sensor;
    static struct flow_sensor fs;
    struct flow_options options = { .proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC) };
    struct maker maker = { .flows = argc > 1 ? atoi(argv[1]) : 100000, .rate = argc > 2 ? atoi(argv[2]) : 20000, .ends = true };
    struct counts c = { 0 };
    uint64_t idle_ns = 0;
    pthread_t thread;
    if (!pipeline || set_up() || sensor_init(&sensor, SOURCE_FLOW, LIMIT_FLOW_RING_BYTES, &stats, NULL) || flow_sensor_open(&fs, &sensor, &options)) {
        fprintf(stderr, "load_flow: %s\n", stats.reason);
        return 1;
    }
    for (int i = 0; i < 200; i++) { /* the first dump, and what a tick costs when nothing happens */
        idle_ns = cpu_ns();
        drain(&fs, pipeline, &c);
        idle_ns = cpu_ns() - idle_ns;
    }
    c = (struct counts){ 0 };
    pthread_create(&thread, NULL, make_flows, &maker);
    uint64_t end = 0, drained = 0;
    while (!end || (clock_monotonic_ns() < end && c.phases[FLOW_END] < (uint64_t)maker.made)) {
        uint64_t before = stats.events;
        drain(&fs, pipeline, &c);
        drained += stats.events - before;
        if (maker.done && !end)
            end = clock_monotonic_ns() + NS_PER_SECOND;
        usleep(5000);
    }
    pthread_join(thread, NULL);
    /* Each flow makes a NEW and an END; a lost message was one of them, or an UPDATE. */
    uint64_t got = c.phases[FLOW_NEW] + c.phases[FLOW_END] + stats.lost, made = 2 * (uint64_t)maker.made;
    uint64_t uncounted = got < made ? made - got : 0;
    printf("# %d flows in %.2f s = %.0f/s; new %lu update %lu end %lu lost %lu (said %lu) overflows %lu resyncs %lu\n", maker.made,
           (double)maker.took_ns / 1e9, maker.made * 1e9 / (double)maker.took_ns, c.phases[FLOW_NEW], c.phases[FLOW_UPDATE],
           c.phases[FLOW_END], stats.lost, c.loss, stats.overflows, stats.resyncs);
    printf("bench: flow_sensor_cpu_us %.2f us\n", drained ? (double)c.drain_ns / 1e3 / (double)drained : 0.0);
    printf("bench: flow_pipeline_cpu_us %.2f us\n", drained ? (double)c.pipeline_ns / 1e3 / (double)drained : 0.0);
    printf("bench: flow_rows %lu rows\n", c.stored);
    printf("bench: flow_sensor_idle_tick_us %.2f us\n", (double)idle_ns / 1e3);
    printf("bench: flow_sensor_uncounted_loss %lu events\n", uncounted);
    flow_sensor_close(&fs);
    sensor_fini(&sensor);
    pipeline_free(pipeline);
    return 0;
}
