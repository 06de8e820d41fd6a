/* Opens both process sensors, runs a command, and prints what they saw: a line per event ("exec pid=7 exe=/bin/true ..."), then one line
 * that begins with "summary". The first line is "child pid=N". Without a command it goes on until its standard input ends. Root. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/sensors/exec_sensor.h"
#include "agent/sensors/proc_sensor.h"
#include "common/clock.h"
#include "common/event_fields.h"
#include "common/text.h"

static struct exec_sensor exec_sensor;
static struct proc_sensor proc_sensor;
static bool quiet;
static uint64_t n_exec, n_tagged, n_other;

static void print_number(struct text_out *out, const struct event *ev, const struct event_field_info *f)
{
    const char *at = (const char *)ev + f->offset;
    uint64_t n = 0;
    switch (f->type) {
    case FIELD_I32:
        text_out_printf(out, "%d", *(const int32_t *)(const void *)at);
        return;
    case FIELD_MODE:
        text_out_printf(out, "%o", *(const uint32_t *)(const void *)at);
        return;
    case FIELD_U8:
    case FIELD_BOOL:
    case FIELD_ENUM:
        n = *(const uint8_t *)at;
        break;
    case FIELD_U16:
        n = *(const uint16_t *)(const void *)at;
        break;
    case FIELD_U32:
        n = *(const uint32_t *)(const void *)at;
        break;
    case FIELD_U64:
    case FIELD_TIME:
    case FIELD_WALL:
        n = *(const uint64_t *)(const void *)at;
        break;
    case FIELD_TEXT:
    case FIELD_ARGV:
    case FIELD_ADDRESS:
        return;
    }
    text_out_printf(out, "%" PRIu64, n);
}

static void print_field(struct text_out *out, const struct event *ev, const struct event_field_info *f)
{
    const char *at = (const char *)ev + f->offset;
    char address[46];
    struct text t;
    text_out_printf(out, "\t%s=", f->name);
    switch (f->type) {
    case FIELD_TEXT:
    case FIELD_ARGV:
        memcpy(&t, at, sizeof t);
        text_escape(out, event_text(ev, t), t.len);
        return;
    case FIELD_ADDRESS:
        address_format((const struct address *)(const void *)at, address);
        text_out_printf(out, "%s", address);
        return;
    case FIELD_I32:
    case FIELD_U8:
    case FIELD_U16:
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_BOOL:
    case FIELD_MODE:
    case FIELD_ENUM:
    case FIELD_TIME:
    case FIELD_WALL:
        print_number(out, ev, f);
    }
}

static void print_event(const struct event *ev)
{
    static char line[4 * LIMIT_EVENT_TEXT_BYTES];
    struct text_out out;
    text_out_init(&out, line, sizeof line);
    text_out_printf(&out, "%s\ttime=%" PRIu64, event_kind_name(ev->kind), ev->time_ns);
    for (int i = 0; i < F_MAX; i++)
        if (event_knows(ev, (enum event_field)i))
            print_field(&out, ev, &event_fields[i]);
    puts(line);
}

static void take_ring(struct sensor *s)
{
    const struct event *ev;
    size_t size;
    while ((ev = ring_peek(&s->ring, &size))) {
        bool is_exec = ev->kind == EVENT_EXEC;
        if (event_check(ev, size))
            abort();
        n_exec += is_exec;
        n_other += !is_exec;
        n_tagged += is_exec && memmem(event_text(ev, ev->cmdline), ev->cmdline.len, "TAG-", 4);
        if (!quiet)
            print_event(ev);
        ring_pop(&s->ring);
    }
}

static void take_all(void)
{
    proc_sensor_drain(&proc_sensor, 4096);
    if (proc_sensor.scan)
        proc_sensor_scan(&proc_sensor);
    for (int i = 0; i < exec_sensor.n_readers; i++)
        take_ring(exec_sensor_ring(&exec_sensor, i));
    take_ring(&proc_sensor.sensor);
}

static bool input_ended(void)
{
    struct pollfd p = { 0, POLLIN, 0 };
    char byte;
    return poll(&p, 1, 0) == 1 && read(0, &byte, 1) <= 0;
}

static void watch(char *const *command)
{
    pid_t child = *command ? fork() : 0;
    if (*command && !child) {
        execvp(*command, command);
        _exit(127);
    }
    printf("child\tpid=%d\n", (int)child);
    for (bool over = false; !over;) {
        over = *command ? waitpid(child, NULL, WNOHANG) == child : input_ended();
        take_all();
        fflush(stdout);
        usleep(2000);
    }
    for (int i = 0; i < 50 || proc_sensor.scan; i++) {
        take_all();
        usleep(4000);
    }
}

static void print_summary(void)
{
    const struct exec_sensor *x = &exec_sensor;
    static const char *const states[] = { "off", "degraded", "ok" };
    printf("summary\texec=%" PRIu64 "\ttagged=%" PRIu64 "\tother=%" PRIu64 "\tcpu_us_per_exec=%.1f\tfull=%" PRIu64 "\tlean=%" PRIu64
           "\tgone=%" PRIu64 "\tzombie=%" PRIu64 "\tlowered=%" PRIu64 "\tlost=%" PRIu64 "\tproc_lost=%" PRIu64
           "\texec_state=%s\texec_reason=%s\tproc_state=%s\tproc_reason=%s\n",
           n_exec, n_tagged, n_other, n_exec ? (double)exec_sensor_cpu_ns(x) / 1000 / (double)n_exec : 0, x->n_full, x->n_lean, x->n_gone,
           x->n_zombie, x->n_lowered, x->stats.lost, proc_sensor.stats.lost, states[x->stats.state], x->stats.reason,
           states[proc_sensor.stats.state], proc_sensor.stats.reason);
}

static enum exec_level level_of(const char *name)
{
    static const char *const names[] = { "auto", "full", "lean", "count" };
    for (unsigned i = 0; i < 4; i++)
        if (!strcmp(name, names[i]))
            return (enum exec_level)i;
    fprintf(stderr, "level: auto, full, lean or count\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = { { "no-realtime", no_argument, NULL, 'r' }, { "level", required_argument, NULL, 'l' },
                                                  { "quiet", no_argument, NULL, 'q' },       { "scan", no_argument, NULL, 's' },
                                                  { NULL, 0, NULL, 0 } };
    struct exec_options options = { .level = EXEC_LEVEL_AUTO };
    bool scan = false;
    for (int c; (c = getopt_long(argc, argv, "+", long_options, NULL)) >= 0;) {
        switch (c) {
        case 'r':
            options.no_realtime = true;
            break;
        case 'l':
            options.level = level_of(optarg);
            break;
        case 'q':
            quiet = true;
            break;
        case 's':
            scan = true;
            break;
        default:
            return 2;
        }
    }
    int procdir = procfs_open("/proc"), own = procfs_open_own();
    if (procdir < 0 || exec_sensor_open(&exec_sensor, own < 0 ? procdir : own, NULL, &options) || proc_sensor_open(&proc_sensor, procdir, NULL)) {
        fprintf(stderr, "cannot open the sensors\n");
        return 1;
    }
    if (scan && proc_sensor_scan_start(&proc_sensor))
        return 1;
    puts("ready");
    fflush(stdout);
    watch(argv + optind);
    print_summary();
    exec_sensor_close(&exec_sensor);
    proc_sensor_close(&proc_sensor);
    close(procdir);
    if (own >= 0)
        close(own);
    return 0;
}
