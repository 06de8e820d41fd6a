/* fd.*: what the event's descriptor is: a file that was opened, a flow, a unix socket. Events on names (rename, unlink) have none. */
#include "agent/detect/rules/field_getters.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum fd_kind { FD_NONE, FD_FILE, FD_DIR, FD_INET, FD_UNIX };

static enum fd_kind fd_kind_of(const struct field_context *c)
{
    const struct event *ev = c->ev;
    struct flow_end client, server;
    if (ev->kind == EVENT_FILE && (c->class == CLASS_OPEN || c->class == CLASS_CREATE))
        return event_knows(ev, F_MODE) && S_ISDIR(ev->mode) ? FD_DIR : FD_FILE;
    if (ev->kind == EVENT_UNIX)
        return FD_UNIX;
    return flow_ends(c, &client, &server) ? FD_INET : FD_NONE;
}

static bool is_path(enum fd_kind kind)
{
    return kind == FD_FILE || kind == FD_DIR;
}

/* A directory is its own directory. */
static enum value_answer get_directory(const struct event *ev, enum fd_kind kind, struct value *out)
{
    const char *path = event_text(ev, ev->path);
    const char *slash = memrchr(path, '/', ev->path.len);
    if (kind == FD_DIR || !slash)
        return value_text(out, path, ev->path.len);
    return value_text(out, path, slash == path ? 1 : (size_t)(slash - path));
}

static enum value_answer get_filename(const struct event *ev, struct value *out)
{
    const char *path = event_text(ev, ev->path);
    const char *slash = memrchr(path, '/', ev->path.len);
    const char *name = slash ? slash + 1 : path;
    return value_text(out, name, (size_t)(path + ev->path.len - name));
}

static enum value_answer get_name(struct field_context *c, enum fd_kind kind, struct value *out)
{
    struct text_out text;
    if (kind != FD_INET)
        return value_event_text(out, c->ev, F_PATH, c->ev->path);
    scratch_begin(c, &text);
    flow_print(&text, c);
    return scratch_end(c, &text, out);
}

static enum value_answer get_type(const struct event *ev, enum fd_kind kind, bool as_char, struct value *out)
{
    static const struct {
        const char *type, *typechar;
    } names[] = { [FD_FILE] = { "file", "f" }, [FD_DIR] = { "directory", "d" }, [FD_INET] = { "ipv4", "4" }, [FD_UNIX] = { "unix", "u" } };
    if (kind == FD_INET && ev->src.family == 6)
        return value_name(out, as_char ? "6" : "ipv6");
    return value_name(out, as_char ? names[kind].typechar : names[kind].type);
}

static enum value_answer get_l4proto(const struct event *ev, enum fd_kind kind, struct value *out)
{
    if (kind != FD_INET || !event_knows(ev, F_PROTO))
        return VALUE_MISSING;
    switch (ev->proto) {
    case IPPROTO_TCP:
        return value_name(out, "tcp");
    case IPPROTO_UDP:
        return value_name(out, "udp");
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        return value_name(out, "icmp");
    }
    return value_name(out, "raw");
}

static enum value_answer with_container(struct field_context *c, enum fd_kind kind, bool directory, struct value *out)
{
    struct text_out text;
    struct value name;
    const enum value_answer answer = directory ? get_directory(c->ev, kind, &name) : get_name(c, kind, &name);
    if (answer != VALUE_GOT)
        return answer;
    scratch_begin(c, &text);
    if (c->container)
        text_out_printf(&text, "%.12s:", c->container->container_id);
    text_out_bytes(&text, name.text.data, name.text.length);
    return scratch_end(c, &text, out);
}

GETTER(fd_text)
{
    const struct event *ev = c->ev;
    const enum fd_kind kind = fd_kind_of(c);
    if (kind == FD_NONE)
        return VALUE_MISSING;
    switch (ref->field->which) {
    case FD_NAME:
        return get_name(c, kind, out);
    case FD_DIRECTORY:
        return is_path(kind) ? get_directory(ev, kind, out) : VALUE_MISSING;
    case FD_FILENAME:
        return is_path(kind) ? get_filename(ev, out) : VALUE_MISSING;
    case FD_TYPE:
    case FD_TYPECHAR:
        return get_type(ev, kind, ref->field->which == FD_TYPECHAR, out);
    case FD_L4PROTO:
        return get_l4proto(ev, kind, out);
    case FD_SOCKFAMILY:
        return is_path(kind) ? VALUE_MISSING : value_name(out, kind == FD_UNIX ? "unix" : "ip");
    case FD_CONTAINER_NAME:
        return with_container(c, kind, false, out);
    case FD_CONTAINER_DIRECTORY:
        return is_path(kind) ? with_container(c, kind, true, out) : VALUE_MISSING;
    }
    return VALUE_MISSING;
}

/* The number of a descriptor is seldom told; 0 stands for one that was given: what failed is not seen. */
GETTER(fd_number)
{
    const struct event *ev = c->ev;
    const enum fd_kind kind = fd_kind_of(c);
    if (kind == FD_NONE)
        return VALUE_MISSING;
    if (ref->field->which == FD_NUM)
        return value_int(out, !is_path(kind) && event_knows(ev, F_FD) ? ev->fd : 0);
    if (!is_path(kind) || !event_knows(ev, F_INO))
        return VALUE_MISSING;
    switch (ref->field->which) {
    case FD_DEV:
        return value_int(out, (int64_t)ev->dev);
    case FD_DEV_MAJOR:
        return value_int(out, major(ev->dev));
    case FD_DEV_MINOR:
        return value_int(out, minor(ev->dev));
    case FD_INO:
        return value_int(out, (int64_t)ev->ino);
    }
    return VALUE_MISSING;
}

GETTER(fd_flag)
{
    struct flow_end client, server;
    bool upper;
    const enum fd_kind kind = fd_kind_of(c);
    if (kind == FD_INET) {
        flow_ends(c, &client, &server);
        if (ref->field->which == FD_IS_SERVER)
            return value_bool(out, flow_is_server(c, &server));
        return ref->field->which == FD_IS_FLOW ? value_bool(out, true) : VALUE_MISSING;
    }
    if (!is_path(kind) || (ref->field->which != FD_IS_UPPER && ref->field->which != FD_IS_LOWER))
        return VALUE_MISSING;
    const enum value_answer answer = file_in_upper_layer(c, &upper);
    if (answer != VALUE_GOT || ref->field->which == FD_IS_UPPER)
        return answer == VALUE_GOT ? value_bool(out, upper) : answer;
    return value_bool(out, !upper && c->container && c->container->root_dev && c->ev->dev == c->container->root_dev);
}
