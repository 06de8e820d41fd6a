#include "agent/ctl/event_view.h"

#include <inttypes.h>
#include <string.h>

#include "common/event_fields.h"
#include "common/text.h"

#define WIDE_COLUMNS 120 /* from here on there is room for the date and the container */

enum { TIME = 13, WIDE_TIME = 24, KIND = 10, PROCESS = 22, PLACE = 24 };

static const char *enum_text(enum event_field field, uint8_t value)
{
    for (unsigned i = 0; event_fields[field].names[i]; i++)
        if (i == value)
            return event_fields[field].names[i];
    return "?";
}

static void put_text(struct text_out *out, const struct event *ev, struct text t)
{
    text_escape(out, event_text(ev, t), t.len);
}

static void put_endpoint(struct text_out *out, const struct address *address, uint16_t port)
{
    char text[46];
    address_format(address, text);
    text_out_printf(out, address->family == 6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void put_protocol(struct text_out *out, uint8_t proto)
{
    if (proto == 6 || proto == 17)
        text_out_printf(out, "%s ", proto == 6 ? "tcp" : "udp");
    else
        text_out_printf(out, "protocol %u ", proto);
}

static void describe_image(const struct event *ev, struct text_out *out)
{
    char line[2 * LIMIT_CMDLINE_BYTES];
    struct text_out shell;
    text_out_init(&shell, line, sizeof line);
    text_argv(&shell, event_text(ev, ev->cmdline), ev->cmdline.len);
    if (ev->exe.len && strncmp(event_text(ev, ev->exe), line, ev->exe.len)) {
        put_text(out, ev, ev->exe);
        text_out_printf(out, ": ");
    }
    text_escape(out, line, shell.length);
    if (event_knows(ev, F_DST) && ev->dst.family) {
        text_out_printf(out, "  (fd %d: ", ev->fd);
        put_endpoint(out, &ev->dst, ev->dport);
        text_out_printf(out, ")");
    }
}

static void describe_file(const struct event *ev, struct text_out *out)
{
    text_out_printf(out, "%s ", enum_text(F_FILE_OP, ev->file_op));
    put_text(out, ev, ev->path.len ? ev->path : ev->host_path);
    if (ev->old_path.len) {
        text_out_printf(out, " from ");
        put_text(out, ev, ev->old_path);
    }
    if (event_knows(ev, F_TARGET_PID))
        text_out_printf(out, " of pid %d", ev->target_pid);
}

static void describe_flow(const struct event *ev, struct text_out *out)
{
    text_out_printf(out, "%s ", enum_text(F_FLOW_PHASE, ev->flow_phase));
    put_protocol(out, ev->proto);
    put_endpoint(out, &ev->src, ev->sport);
    text_out_printf(out, " -> ");
    put_endpoint(out, &ev->dst, ev->dport);
    if (event_knows(ev, F_BYTES_OUT))
        text_out_printf(out, "  %" PRIu64 " B out, %" PRIu64 " B in", ev->bytes_out, ev->bytes_in);
}

static void describe_sockets(const struct event *ev, struct text_out *out)
{
    if (!event_knows(ev, F_PROTO)) {
        text_out_printf(out, "no more sockets");
        return;
    }
    text_out_printf(out, "fd %d ", ev->fd);
    put_protocol(out, ev->proto);
    put_endpoint(out, &ev->src, ev->sport);
    text_out_printf(out, " -> ");
    put_endpoint(out, &ev->dst, ev->dport);
}

static void describe_container(const struct event *ev, struct text_out *out)
{
    const struct text texts[] = { ev->container_name, ev->image, ev->task_arn };
    text_out_printf(out, "%s %.12s", enum_text(F_CONTAINER_PHASE, ev->container_phase), event_text(ev, ev->container_id));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].len) {
            text_out_printf(out, " ");
            put_text(out, ev, texts[i]);
        }
}

static void describe_exit(const struct event *ev, struct text_out *out)
{
    if (ev->exit_signal)
        text_out_printf(out, "killed by signal %d", ev->exit_signal);
    else if (event_knows(ev, F_EXIT_CODE))
        text_out_printf(out, "status %d", ev->exit_code);
}

/* About an executable. */
static void describe_answer(const struct event *ev, struct text_out *out)
{
    bool on_host = event_knows(ev, F_HOST_PATH);
    put_text(out, ev, ev->sha256);
    if (!event_knows(ev, F_COUNT))
        return;
    text_out_printf(out, "compared with %" PRIu64 " tools", ev->count);
    if (!on_host && !event_knows(ev, F_PATH))
        return;
    text_out_printf(out, ": ");
    put_text(out, ev, ev->reason);
    text_out_printf(out, " as ");
    put_text(out, ev, on_host ? ev->host_path : ev->path);
    text_out_printf(out, "%s", on_host ? " of the host" : "");
}

void event_describe(const struct event *ev, struct text_out *out)
{
    switch ((enum event_kind)ev->kind) {
    case EVENT_EXEC:
    case EVENT_PROCESS:
        describe_image(ev, out);
        break;
    case EVENT_FORK:
        text_out_printf(out, "by pid %d", ev->ppid);
        break;
    case EVENT_EXIT:
        describe_exit(ev, out);
        break;
    case EVENT_UID:
        text_out_printf(out, "uid %u, effective %u", ev->uid, ev->euid);
        break;
    case EVENT_GID:
        text_out_printf(out, "gid %u, effective %u", ev->gid, ev->egid);
        break;
    case EVENT_SID:
        text_out_printf(out, "new session");
        break;
    case EVENT_PTRACE:
        text_out_printf(out, "traces pid %d", ev->target_pid);
        break;
    case EVENT_COMM:
        text_out_printf(out, "calls itself ");
        put_text(out, ev, ev->comm);
        break;
    case EVENT_CGROUP:
        put_text(out, ev, ev->cgroup);
        break;
    case EVENT_SOCKETS:
        describe_sockets(ev, out);
        break;
    case EVENT_FILE:
        describe_file(ev, out);
        break;
    case EVENT_FLOW:
        describe_flow(ev, out);
        break;
    case EVENT_CONTAINER:
        describe_container(ev, out);
        break;
    case EVENT_LOSS:
        text_out_printf(out, "%" PRIu64 " lost by %s: ", ev->count, event_source_name(ev->source));
        put_text(out, ev, ev->reason);
        break;
    case EVENT_SYSCALL:
        put_text(out, ev, ev->syscall);
        text_out_printf(out, "(%#" PRIx64 ", %#" PRIx64 ", %#" PRIx64 ", ...)", ev->arg0, ev->arg1, ev->arg2);
        break;
    case EVENT_UNIX:
        text_out_printf(out, "connected to ");
        put_text(out, ev, ev->path);
        break;
    case EVENT_MOUNT:
        put_text(out, ev, ev->mount_source);
        text_out_printf(out, " (");
        put_text(out, ev, ev->fs_type);
        text_out_printf(out, ") mounted on ");
        put_text(out, ev, ev->path);
        break;
    case EVENT_MODULE:
        text_out_printf(out, "kernel module loaded: ");
        put_text(out, ev, ev->module);
        break;
    case EVENT_CPU:
        text_out_printf(out, "%" PRIu64 " ms of CPU time in %" PRIu64 " ms", ev->cpu_ns / 1000000, ev->interval_ns / 1000000);
        break;
    case EVENT_HASH:
        describe_answer(ev, out);
        break;
    case EVENT_DNS:
        text_out_printf(out, "%s ", ev->dns_op == DNS_ANSWER ? "answer for" : "asks for");
        put_text(out, ev, ev->dns_name);
        break;
    case EVENT_LISTEN:
        text_out_printf(out, "%s on port %u", ev->listen_phase == LISTEN_END ? "no longer listens" : "listens", ev->sport);
        break;
    case EVENT_NETNS:
        text_out_printf(out, "network namespace: ");
        put_text(out, ev, ev->reason);
        break;
    case EVENT_NONE:
    case EVENT_KIND_MAX:
        break;
    }
}

static bool list_is_wide(const struct ctl *ctl)
{
    return !ctl->term.width || ctl->term.width >= WIDE_COLUMNS;
}

void event_list_head(const struct ctl *ctl)
{
    const struct terminal *t = &ctl->term;
    bool wide = list_is_wide(ctl);
    terminal_cell(t, STYLE_BOLD, wide ? WIDE_TIME : TIME, "TIME (UTC)");
    terminal_cell(t, STYLE_BOLD, KIND, "KIND");
    terminal_cell(t, STYLE_BOLD, PROCESS, "PROCESS");
    if (wide)
        terminal_cell(t, STYLE_BOLD, PLACE, "WHERE");
    terminal_last(t, STYLE_BOLD, wide ? WIDE_TIME + KIND + PROCESS + PLACE : TIME + KIND + PROCESS, "WHAT");
}

static enum style kind_style(enum event_kind kind)
{
    if (kind == EVENT_LOSS)
        return STYLE_RED;
    return kind == EVENT_EXEC || kind == EVENT_PROCESS ? STYLE_GREEN : kind == EVENT_FLOW ? STYLE_CYAN : STYLE_PLAIN;
}

void event_list_row(const struct ctl *ctl, const struct event *ev, const char *comm, const char *place)
{
    static char what[4 * LIMIT_EVENT_TEXT_BYTES];
    const struct terminal *t = &ctl->term;
    bool wide = list_is_wide(ctl);
    char time[32], process[64] = "-", pid[16];
    struct text_out out;
    text_time(time, ev->time_ns);
    time[10] = ' ';
    time[23] = 0;
    if (event_knows(ev, F_PID) && ev->pid) { /* the name is cut, never the number */
        int n = snprintf(pid, sizeof pid, "[%d]", ev->pid);
        snprintf(process, sizeof process, "%.*s%s", PROCESS - 1 - n, comm, pid);
    }
    text_out_init(&out, what, sizeof what);
    event_describe(ev, &out);
    terminal_cell(t, STYLE_DIM, wide ? WIDE_TIME : TIME, wide ? time : time + 11);
    terminal_cell(t, kind_style(ev->kind), KIND, event_kind_name(ev->kind));
    terminal_cell(t, STYLE_PLAIN, PROCESS - 1, process);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    if (wide) {
        terminal_cell(t, STYLE_PLAIN, PLACE - 1, place);
        terminal_cell(t, STYLE_PLAIN, 1, "");
    }
    terminal_last(t, STYLE_PLAIN, wide ? WIDE_TIME + KIND + PROCESS + PLACE : TIME + KIND + PROCESS, what);
}
