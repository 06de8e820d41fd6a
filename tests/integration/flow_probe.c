/* Shows what the flow sensor, the nsid lookup and the socket owner lookups give, as JSON lines, for test_flow_sensor.py.
 *   flow_probe events [-b RCVBUF] [-w] [-L]   until standard input ends; -w: drain only after a first line; -L: no loopback flows
 *   flow_probe nsid PID [assign]
 *   flow_probe sockets PID
 *   flow_probe owner NETNS_PID PROTO LOCAL LPORT PEER|- PPORT CANDIDATE... */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/sensors/flow_sensor.h"
#include "agent/sensors/netns.h"
#include "agent/sensors/owner_sensor.h"
#include "agent/sensors/socket_owner.h"
#include "common/event_fields.h"

static int proc_fd;

static void show_field(const struct event *ev, int field)
{
    const struct event_field_info *f = &event_fields[field];
    const void *p = (const char *)ev + f->offset;
    char text[46];
    printf(",\"%s\":", f->name);
    switch (f->type) {
    case FIELD_ADDRESS:
        address_format(p, text);
        printf("\"%s\"", text);
        break;
    case FIELD_ENUM:
        printf("\"%s\"", f->names[*(const uint8_t *)p]);
        break;
    case FIELD_I32:
        printf("%d", *(const int32_t *)p);
        break;
    case FIELD_U8:
    case FIELD_BOOL:
        printf("%u", *(const uint8_t *)p);
        break;
    case FIELD_U16:
        printf("%u", *(const uint16_t *)p);
        break;
    case FIELD_U32:
    case FIELD_MODE:
        printf("%u", *(const uint32_t *)p);
        break;
    case FIELD_U64:
    case FIELD_TIME:
    case FIELD_WALL:
        printf("%llu", (unsigned long long)*(const uint64_t *)p);
        break;
    case FIELD_TEXT:
    case FIELD_ARGV:
        printf("\"%s\"", event_text(ev, *(const struct text *)p));
        break;
    }
}

static void show_event(const struct event *ev)
{
    printf("{\"kind\":\"%s\"", event_kind_name(ev->kind));
    for (int i = 0; i < F_MAX; i++)
        if (event_knows(ev, i))
            show_field(ev, i);
    puts("}");
}

static void show_stats(const struct flow_sensor *fs)
{
    static const char *const states[] = { "off", "degraded", "ok" };
    const struct sensor_stats *s = fs->sensor->stats;
    printf("{\"kind\":\"stats\",\"state\":\"%s\",\"reason\":\"%s\",\"events\":%llu,\"lost\":%llu,\"overflows\":%llu,\"resyncs\":%llu,"
           "\"malformed\":%llu,\"dropped\":%llu}\n", states[s->state], s->reason, (unsigned long long)s->events,
           (unsigned long long)s->lost, (unsigned long long)s->overflows, (unsigned long long)s->resyncs,
           (unsigned long long)s->malformed, (unsigned long long)fs->twins.dropped);
}

static void drain(struct flow_sensor *fs)
{
    const struct event *ev;
    size_t size;
    flow_sensor_drain(fs, 1000);
    while ((ev = ring_peek(&fs->sensor->ring, &size))) {
        if (event_check(ev, size))
            abort();
        show_event(ev);
        ring_pop(&fs->sensor->ring);
    }
    fflush(stdout);
}

static int run_events(int argc, char **argv)
{
    static struct sensor_stats stats;
    static struct sensor sensor;
    static struct flow_sensor fs;
    struct flow_options options = { .proc_fd = proc_fd };
    bool wait = false;
    char line[16];
    int o;
    while ((o = getopt(argc, argv, "b:wL")) > 0) {
        if (o == 'b')
            options.rcvbuf_bytes = atoi(optarg);
        wait |= o == 'w';
        options.drop_loopback |= o == 'L';
    }
    if (sensor_init(&sensor, SOURCE_FLOW, LIMIT_FLOW_RING_BYTES, &stats, NULL))
        return 1;
    int r = flow_sensor_open(&fs, &sensor, &options);
    show_stats(&fs);
    fflush(stdout);
    if (r)
        return 2;
    if (wait && read(0, line, sizeof line) <= 0)
        return 1;
    struct pollfd in = { 0, POLLIN, 0 };
    while (poll(&in, 1, 5) == 0)
        drain(&fs);
    drain(&fs);
    show_stats(&fs);
    flow_sensor_close(&fs);
    sensor_fini(&sensor);
    return 0;
}

static int run_nsid(int argc, char **argv)
{
    int32_t nsid;
    uint64_t inode;
    int r = netns_nsid_of(proc_fd, atoi(argv[1]), argc > 2, &nsid, &inode);
    printf("{\"result\":%d,\"nsid\":%d,\"inode\":%llu}\n", r, nsid, (unsigned long long)inode);
    return 0;
}

static int run_sockets(int argc, char **argv)
{
    struct owned_socket sockets[64];
    char local[46], peer[46];
    int n = argc > 1 ? socket_owner_list(proc_fd, atoi(argv[1]), sockets, 64) : -EINVAL;
    for (int i = 0; i < n; i++) {
        const struct owned_socket *s = &sockets[i];
        address_format(&s->local, local);
        address_format(&s->peer, peer);
        printf("{\"fd\":%d,\"proto\":%u,\"local\":\"%s\",\"lport\":%u,\"peer\":\"%s\",\"pport\":%u,\"tcp_state\":%u,\"listening\":%s}\n",
               s->fd, s->proto, local, s->lport, peer, s->pport, s->tcp_state, s->listening ? "true" : "false");
    }
    printf("{\"result\":%d}\n", n);
    return 0;
}

/* The owner sensor's answer to one question. */
static int run_owner(int argc, char **argv)
{
    static struct owner_sensor o;
    struct owner_question q = { .flow_id = 1 };
    const struct event *ev = NULL;
    size_t size;
    if (argc < 7 || owner_sensor_open(&o, proc_fd, false, NULL))
        return 1;
    q.netns_pid = atoi(argv[1]);
    q.proto = (uint8_t)atoi(argv[2]);
    address_parse(argv[3], &q.local);
    q.lport = (uint16_t)atoi(argv[4]);
    address_parse(argv[5], &q.peer);
    q.pport = (uint16_t)atoi(argv[6]);
    for (int i = 7; i < argc && q.n_candidates < OWNER_CANDIDATES; i++)
        q.candidates[q.n_candidates++] = atoi(argv[i]);
    owner_sensor_add(&o, q.netns_pid);
    owner_sensor_ask(&o, &q);
    for (int i = 0; i < 2000 && !(ev = ring_peek(&o.sensor.ring, &size)); i++)
        usleep(1000);
    printf("{\"result\":%d,\"pid\":%d}\n", ev ? event_knows(ev, F_PID) : -ETIME, ev ? ev->pid : 0);
    owner_sensor_close(&o);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = { { "events", run_events }, { "nsid", run_nsid }, { "sockets", run_sockets }, { "owner", run_owner } };
    proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "usage: flow_probe events|nsid|sockets|owner ...\n");
    return 1;
}
