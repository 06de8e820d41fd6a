/* Runs the mount, unix socket and module sensors for tests: prints each event as a line of JSON, takes commands on standard input, one a line:
 *   add PID | remove PID | stats
 * Ends at the end of its input. watch_probe [MODULES_FILE], which is compared every 100 ms then. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/sensors/module_sensor.h"
#include "agent/sensors/mount_sensor.h"
#include "agent/sensors/unix_sensor.h"
#include "common/clock.h"
#include "common/event_fields.h"

static struct mount_sensor mounts;
static struct unix_sensor sockets;
static struct module_sensor modules;

static void print_text(const char *data, size_t size)
{
    putchar('"');
    for (size_t i = 0; i < size; i++)
        if (data[i] == '"' || data[i] == '\\' || (unsigned char)data[i] < 0x20 || (unsigned char)data[i] > 0x7e)
            printf("\\u%04x", (unsigned char)data[i]);
        else
            putchar(data[i]);
    putchar('"');
}

static void print_event(const struct event *ev)
{
    static const enum event_field texts[] = { F_PATH, F_HOST_PATH, F_MOUNT_SOURCE, F_FS_TYPE, F_MODULE, F_REASON };
    printf("{\"kind\":\"%s\"", event_kind_name(ev->kind));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct text t;
        memcpy(&t, (const char *)ev + event_fields[texts[i]].offset, sizeof t);
        if (!event_knows(ev, texts[i]))
            continue;
        printf(",\"%s\":", event_fields[texts[i]].name);
        print_text(event_text(ev, t), t.len);
    }
    if (event_knows(ev, F_PID))
        printf(",\"pid\":%d", ev->pid);
    if (event_knows(ev, F_FD))
        printf(",\"fd\":%d", ev->fd);
    if (event_knows(ev, F_TARGET_PID))
        printf(",\"target_pid\":%d", ev->target_pid);
    printf("}\n");
}

static void print_stats(void)
{
    const struct sensor_stats *stats[] = { &mounts.stats, &sockets.stats, &modules.stats };
    static const char *const names[] = { "mounts", "unix", "modules" };
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    printf("{\"kind\":\"stats\",\"cpu_us\":%lld,\"looks\":%llu",
           (long long)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec,
           (unsigned long long)sockets.n_looks);
    for (int i = 0; i < 3; i++) {
        printf(",\"%s\":{\"state\":%d,\"events\":%llu,\"lost\":%llu,\"malformed\":%llu,\"reason\":", names[i], stats[i]->state,
               (unsigned long long)stats[i]->events, (unsigned long long)stats[i]->lost, (unsigned long long)stats[i]->malformed);
        print_text(stats[i]->reason, strlen(stats[i]->reason));
        printf("}");
    }
    printf("}\n");
}

static void drain(struct ring *ring)
{
    const struct event *ev;
    for (size_t size; (ev = ring_peek(ring, &size)); ring_pop(ring))
        if (event_check(ev, size))
            abort();
        else
            print_event(ev);
}

static void command(const char *line)
{
    if (!strncmp(line, "add ", 4)) {
        mount_sensor_add(&mounts, atoi(line + 4));
        unix_sensor_add(&sockets, atoi(line + 4));
    } else if (!strncmp(line, "remove ", 7)) {
        mount_sensor_remove(&mounts, atoi(line + 7));
        unix_sensor_remove(&sockets, atoi(line + 7));
    } else if (!strncmp(line, "stats", 5)) {
        print_stats();
    }
}

int main(int argc, char **argv)
{
    struct module_sensor_options options = { .modules_file = argc > 1 ? argv[1] : NULL, .compare_ns = argc > 1 ? 100 * NS_PER_MS : 0 };
    char line[256];
    if (mount_sensor_open(&mounts, NULL) || unix_sensor_open(&sockets, NULL) || module_sensor_open(&modules, &options, NULL))
        return 1;
    printf("{\"kind\":\"ready\"}\n");
    setvbuf(stdin, NULL, _IONBF, 0);
    for (;;) {
        struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
        drain(&mounts.sensor.ring);
        drain(&sockets.sensor.ring);
        drain(&modules.sensor.ring);
        fflush(stdout);
        if (poll(&p, 1, 5) <= 0)
            continue;
        if (!fgets(line, sizeof line, stdin))
            break;
        command(line);
    }
    module_sensor_close(&modules);
    unix_sensor_close(&sockets);
    mount_sensor_close(&mounts);
    return 0;
}
