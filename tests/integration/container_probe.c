/* Runs the container sensor and both clients on one loop and prints every event as a line of key=value, for
 * test_container_sensor.py. container_probe CGROUP_DIR|- DOCKER_SOCKET ECS_URL; SIGUSR1 prints the counters, SIGTERM ends it. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/sensors/container_sensor.h"
#include "agent/sensors/docker_client.h"
#include "agent/sensors/ecs_client.h"
#include "common/clock.h"
#include "common/event_fields.h"
#include "common/log.h"
#include "common/text.h"

static struct probe {
    uv_loop_t loop;
    struct waker waker;
    uv_poll_t wake;
    uv_prepare_t prepare;
    uv_signal_t term, usr1;
    struct container_sensor containers;
    struct docker_client docker;
    struct ecs_client ecs;
    struct sensor_stats container_stats, docker_stats, ecs_stats;
} probe;

static void print_field(const struct event *ev, const struct event_field_info *f)
{
    const char *at = (const char *)ev + f->offset;
    char text[9000];
    struct text_out out;
    text_out_init(&out, text, sizeof text);
    switch (f->type) {
    case FIELD_TEXT:
    case FIELD_ARGV:
        text_escape(&out, event_text(ev, *(const struct text *)(const void *)at), ((const struct text *)(const void *)at)->len);
        break;
    case FIELD_ADDRESS:
        address_format((const struct address *)(const void *)at, text);
        break;
    case FIELD_I32:
        text_out_printf(&out, "%" PRId32, *(const int32_t *)(const void *)at);
        break;
    case FIELD_U32:
    case FIELD_MODE:
        text_out_printf(&out, "%" PRIu32, *(const uint32_t *)(const void *)at);
        break;
    case FIELD_U16:
        text_out_printf(&out, "%u", *(const uint16_t *)(const void *)at);
        break;
    case FIELD_U8:
    case FIELD_BOOL:
        text_out_printf(&out, "%u", *(const uint8_t *)at);
        break;
    case FIELD_ENUM:
        text_out_printf(&out, "%s", f->names[*(const uint8_t *)at]);
        break;
    case FIELD_U64:
    case FIELD_TIME:
    case FIELD_WALL:
        text_out_printf(&out, "%" PRIu64, *(const uint64_t *)(const void *)at);
        break;
    }
    printf("\t%s=%s", f->name, text);
}

static void print_event(const struct event *ev)
{
    if (event_check(ev, ev->size)) {
        printf("broken event\n");
        return;
    }
    printf("%s\ttime=%" PRIu64 "\tsource=%s", event_kind_name(ev->kind), ev->time_ns, event_source_name(ev->source));
    for (int i = 0; i < F_MAX; i++)
        if (i != F_SOURCE && event_knows(ev, (enum event_field)i))
            print_field(ev, &event_fields[i]);
    printf("\n");
}

static bool drain(struct sensor *s)
{
    const struct event *ev;
    size_t size;
    bool any = false;
    for (; (ev = ring_peek(&s->ring, &size)); ring_pop(&s->ring), any = true) {
        print_event(ev);
        docker_client_event(&probe.docker, ev);
        ecs_client_event(&probe.ecs, ev);
    }
    return any;
}

/* Before the loop sleeps: takes everything, then says that it sleeps, then looks once more. */
static void on_prepare(uv_prepare_t *prepare)
{
    (void)prepare;
    for (int round = 0; round < 2; round++) {
        bool any = drain(&probe.containers.sensor);
        any |= drain(&probe.docker.sensor);
        any |= drain(&probe.ecs.sensor);
        if (any)
            fflush(stdout);
        atomic_store(&probe.waker.asleep, 1);
    }
}

static void on_wake(uv_poll_t *poll, int status, int events)
{
    uint64_t n;
    (void)poll, (void)status, (void)events;
    if (read(probe.waker.fd, &n, sizeof n) < 0)
        return;
}

static void print_stats(const char *name, const struct sensor_stats *s, const struct http_service *service)
{
    printf("stats\tname=%s\tstate=%d\tevents=%" PRIu64 "\tlost=%" PRIu64 "\tresyncs=%" PRIu64 "\tmalformed=%" PRIu64, name,
           atomic_load(&s->state), atomic_load(&s->events), atomic_load(&s->lost), atomic_load(&s->resyncs), atomic_load(&s->malformed));
    if (service)
        printf("\trequests=%" PRIu64 "\tfailed=%" PRIu64 "\tlying=%" PRIu64, service->requests, service->failed, service->lying);
    printf("\treason=%s\n", s->reason);
}

static void on_usr1(uv_signal_t *signal, int number)
{
    (void)signal, (void)number;
    print_stats("container", &probe.container_stats, NULL);
    print_stats("docker", &probe.docker_stats, &probe.docker.service);
    print_stats("ecs", &probe.ecs_stats, &probe.ecs.service);
    fflush(stdout);
}

static void close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_term(uv_signal_t *signal, int number)
{
    (void)number;
    docker_client_close(&probe.docker);
    ecs_client_close(&probe.ecs);
    uv_walk(signal->loop, close_handle, NULL);
}

int main(int argc, char **argv)
{
    log_open(LOG_LEVEL_INFO);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (argc != 4 || uv_loop_init(&probe.loop))
        return 2;
    probe.waker.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const struct container_sensor_options container_options = { .cgroup_dir = strcmp(argv[1], "-") ? argv[1] : NULL };
    const struct docker_client_options docker_options = { .socket_path = argv[2] };
    const struct ecs_client_options ecs_options = { .url = argv[3] };
    if (container_sensor_open(&probe.containers, &container_options, &probe.container_stats, &probe.waker)) {
        fprintf(stderr, "%s\n", probe.container_stats.reason);
        return 1;
    }
    if (docker_client_open(&probe.docker, &docker_options, &probe.loop, &probe.docker_stats, NULL) ||
        ecs_client_open(&probe.ecs, &ecs_options, &probe.loop, &probe.ecs_stats, NULL))
        return 1;
    uv_poll_init(&probe.loop, &probe.wake, probe.waker.fd);
    uv_poll_start(&probe.wake, UV_READABLE, on_wake);
    uv_prepare_init(&probe.loop, &probe.prepare);
    uv_prepare_start(&probe.prepare, on_prepare);
    uv_signal_init(&probe.loop, &probe.term);
    uv_signal_start(&probe.term, on_term, SIGTERM);
    uv_signal_init(&probe.loop, &probe.usr1);
    uv_signal_start(&probe.usr1, on_usr1, SIGUSR1);
    printf("ready\thierarchy=%s\n", probe.containers.cgroup_dir);
    fflush(stdout);
    uv_run(&probe.loop, UV_RUN_DEFAULT);
    container_sensor_close(&probe.containers);
    docker_client_fini(&probe.docker);
    ecs_client_fini(&probe.ecs);
    curl_global_cleanup();
    close(probe.waker.fd);
    return uv_loop_close(&probe.loop) ? 3 : 0;
}
