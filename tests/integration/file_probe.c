/* Runs the file sensor alone for tests: prints each event as one JSON line, takes commands on standard input, one a line:
 *   add PID | remove PID | watch PATH | stats | silent | settle
 * Ends at the end of its input, with a line of counters. `silent` counts events without printing them; `settle` is answered when all marks that
 * earlier commands and events ask for are set.
 *
 * file_probe [-l LAYER_DIR]... [-p HOST_PATH]... [-g LOG_PATH]... [-w WATCH_FILE]... [-n (no cache)] [-o (no opens of /proc files)]
 *            [-s (no sensitive files)] */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/sensors/file_sensor.h"
#include "common/event_fields.h"
#include "common/text.h"

static int silent, settling;

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

static void print_field(const struct event *ev, enum event_field field)
{
    const struct event_field_info *info = &event_fields[field];
    const char *at = (const char *)ev + info->offset;
    uint64_t value = 0;
    struct text t;
    printf(",\"%s\":", info->name);
    switch (info->type) {
    case FIELD_TEXT:
        memcpy(&t, at, sizeof t);
        print_text(event_text(ev, t), t.len);
        return;
    case FIELD_ENUM:
        print_text(info->names[*(const uint8_t *)at], strlen(info->names[*(const uint8_t *)at]));
        return;
    case FIELD_I32:
    case FIELD_U32:
    case FIELD_MODE:
        memcpy(&value, at, 4);
        break;
    case FIELD_U64:
    case FIELD_TIME:
    case FIELD_WALL:
        memcpy(&value, at, 8);
        break;
    case FIELD_BOOL:
        value = *(const uint8_t *)at;
        break;
    case FIELD_U8:
    case FIELD_U16:
    case FIELD_ARGV:
    case FIELD_ADDRESS:
        break; /* not in file events */
    }
    printf("%llu", (unsigned long long)value);
}

static void print_event(const struct event *ev)
{
    printf("{\"kind\":\"%s\"", event_kind_name(ev->kind));
    for (int i = 0; i < F_MAX; i++)
        if (event_knows(ev, (enum event_field)i))
            print_field(ev, (enum event_field)i);
    printf("}\n");
}

static void print_stats(struct file_sensor *fs)
{
    static const char *const names[FILE_GROUPS] = { "fid", "overlay", "procfs" };
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    printf("{\"kind\":\"stats\",\"cpu_us\":%lld,\"resolved\":%llu,\"sensitive\":%llu",
           (long long)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec,
           (unsigned long long)fs->resolved, (unsigned long long)fs->sensitive_marks);
    for (int i = 0; i < FILE_GROUPS; i++) {
        struct sensor_stats *s = &fs->stats[i];
        printf(",\"%s\":{\"state\":%d,\"events\":%llu,\"lost\":%llu,\"overflows\":%llu,\"resyncs\":%llu,\"malformed\":%llu,\"reason\":",
               names[i], s->state, (unsigned long long)s->events, (unsigned long long)s->lost, (unsigned long long)s->overflows,
               (unsigned long long)s->resyncs, (unsigned long long)s->malformed);
        print_text(s->reason, strlen(s->reason));
        printf("}");
    }
    printf("}\n");
    fflush(stdout);
}

static void drain(struct file_sensor *fs)
{
    const struct event *ev;
    for (int i = 0; i < FILE_GROUPS; i++)
        for (size_t size; (ev = ring_peek(&fs->sensors[i].ring, &size)); ring_pop(&fs->sensors[i].ring))
            if (event_check(ev, size))
                abort();
            else if (!silent)
                print_event(ev);
    fflush(stdout);
}

static void command(struct file_sensor *fs, char *line)
{
    line[strcspn(line, "\n")] = 0;
    int error = 0;
    if (!strncmp(line, "add ", 4))
        error = file_sensor_add_container(fs, atoi(line + 4));
    else if (!strncmp(line, "remove ", 7))
        error = file_sensor_remove_container(fs, atoi(line + 7));
    else if (!strncmp(line, "watch ", 6))
        error = file_sensor_watch_path(fs, line + 6, FAN_MODIFY | FAN_CLOSE_WRITE | FAN_OPEN);
    else if (!strcmp(line, "stats"))
        print_stats(fs);
    else if (!strcmp(line, "silent"))
        silent = 1;
    else if (!strcmp(line, "settle"))
        settling = 1;
    if (error)
        fprintf(stderr, "%s: %s\n", line, strerror(-error));
}

static void settle(const struct file_sensor *fs)
{
    if (!settling || ring_used(&fs->commands) || *(const volatile int *)&fs->n_pending || *(const volatile uint64_t *)&fs->remark_ns)
        return;
    settling = 0;
    printf("{\"kind\":\"settled\"}\n");
    fflush(stdout);
}

/* False at the end of the input. */
static int commands(struct file_sensor *fs)
{
    static char buffer[8192];
    static size_t used;
    struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
    if (poll(&p, 1, 2) <= 0)
        return 1;
    ssize_t n = read(STDIN_FILENO, buffer + used, sizeof buffer - 1 - used);
    if (n <= 0)
        return 0;
    used += (size_t)n;
    buffer[used] = 0;
    char *line = buffer;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        command(fs, line);
    }
    used -= (size_t)(line - buffer);
    memmove(buffer, line, used);
    return 1;
}

int main(int argc, char **argv)
{
    static const char *layers[17], *paths[17], *watches[17], *logs[17];
    static struct file_sensor fs;
    struct file_sensor_options options = { .layer_dirs = layers, .host_paths = paths, .watch_files = watches, .log_paths = logs };
    int n_layers = 0, n_paths = 0, n_watches = 0, n_logs = 0;
    for (int option; (option = getopt(argc, argv, "l:p:g:w:nos")) > 0;)
        if (option == 'l' && n_layers < 16)
            layers[n_layers++] = optarg;
        else if (option == 'p' && n_paths < 16)
            paths[n_paths++] = optarg;
        else if (option == 'w' && n_watches < 16)
            watches[n_watches++] = optarg;
        else if (option == 'g' && n_logs < 16)
            logs[n_logs++] = optarg;
        else if (option == 's')
            options.no_sensitive = true;
        else if (option == 'n')
            options.no_cache = true;
        else if (option == 'o')
            options.no_proc_opens = true;
        else
            return 2;
    int error = file_sensor_open(&fs, &options);
    if (error) {
        fprintf(stderr, "file_sensor_open: %s\n", strerror(-error));
        return 1;
    }
    printf("{\"kind\":\"ready\"}\n");
    fflush(stdout);
    do {
        drain(&fs);
        settle(&fs);
    } while (commands(&fs));
    drain(&fs);
    print_stats(&fs);
    file_sensor_close(&fs);
    return 0;
}
