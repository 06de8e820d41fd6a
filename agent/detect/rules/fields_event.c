/* evt.*: what every event has. */
#include "agent/detect/rules/field_getters.h"

#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"

GETTER(event_number)
{
    (void)ref;
    return value_uint(out, c->event_number);
}

static uint64_t wall_ns(const struct field_context *c)
{
    return c->ev->time_ns + (uint64_t)c->wall_offset_ns;
}

GETTER(event_time)
{
    char iso[32]; /* 2026-11-22T23:59:42.123456789Z */
    struct text_out text;
    text_time_ns(iso, wall_ns(c));
    const size_t length = strlen(iso);
    scratch_begin(c, &text);
    switch (ref->field->which) {
    case TIME_ISO:
        text_out_bytes(&text, iso, length);
        break;
    case TIME_OF_DAY:
        text_out_bytes(&text, iso + 11, length - 12);
        break;
    case TIME_OF_DAY_S:
        text_out_bytes(&text, iso + 11, 8);
        break;
    case TIME_DATE:
    case TIME_DATE_S:
        iso[10] = ' ';
        text_out_bytes(&text, iso, ref->field->which == TIME_DATE ? length - 1 : 19);
        break;
    }
    return scratch_end(c, &text, out);
}

GETTER(event_raw_time)
{
    const uint64_t ns = wall_ns(c);
    return value_uint(out, ref->field->which == RAW_ALL ? ns : ref->field->which == RAW_SECONDS ? ns / NS_PER_SECOND : ns % NS_PER_SECOND);
}

GETTER(event_words)
{
    static const char *const words[] = { [WORD_SYSCALL] = "syscall", [WORD_EXIT] = "<", [WORD_SUCCESS] = "SUCCESS" };
    (void)c;
    return value_name(out, words[ref->field->which]);
}

/* 0 and 1 are also false and true. */
GETTER(event_constant)
{
    (void)c;
    if (ref->field->type == VALUE_BOOL)
        return value_bool(out, ref->field->which);
    return value_uint(out, (uint64_t)ref->field->which);
}

GETTER(event_false)
{
    (void)c, (void)ref;
    return value_bool(out, false);
}

static const char *type_of(const struct field_context *c)
{
    return c->ev->kind == EVENT_SYSCALL ? event_text(c->ev, c->ev->syscall) : event_classes[c->class].events[0];
}

GETTER(event_type)
{
    (void)ref;
    return value_name(out, type_of(c));
}

GETTER(event_type_is)
{
    for (const char *const *name = event_classes[c->class].events; *name; name++)
        if (strlen(*name) == ref->argument_length && memcmp(*name, ref->argument, ref->argument_length) == 0)
            return value_uint(out, 1);
    return value_uint(out, 0);
}

GETTER(event_category)
{
    static const char *const categories[CLASS_MAX] = {
        [CLASS_EXEC] = "process",     [CLASS_OPEN] = "file",     [CLASS_CREATE] = "file",     [CLASS_MKDIR] = "file",
        [CLASS_SYMLINK] = "file",     [CLASS_LINK] = "file",     [CLASS_UNLINK] = "file",     [CLASS_RMDIR] = "file",
        [CLASS_RENAME] = "file",      [CLASS_CHMOD] = "file",    [CLASS_CONNECT] = "net",     [CLASS_ACCEPT] = "net",
        [CLASS_LISTEN] = "net",       [CLASS_SETUID] = "user",   [CLASS_SETGID] = "user",     [CLASS_SETSID] = "process",
        [CLASS_PTRACE] = "process",   [CLASS_DUP] = "IO-other",  [CLASS_CLONE] = "process",   [CLASS_EXIT] = "process",
        [CLASS_CONTAINER] = "process", [CLASS_MOUNT] = "file",   [CLASS_SETNS] = "process",   [CLASS_UNSHARE] = "process",
        [CLASS_MEMFD_CREATE] = "memory", [CLASS_BPF] = "other",  [CLASS_MODULE] = "other",    [CLASS_USERFAULTFD] = "file",
        [CLASS_VM_WRITE] = "process", [CLASS_SOCKET] = "net",    [CLASS_FLOW_END] = "net", [CLASS_DNS] = "net",
    };
    (void)ref;
    return value_name(out, categories[c->class]);
}

GETTER(event_host)
{
    (void)ref;
    return c->host_name ? value_name(out, c->host_name) : VALUE_MISSING;
}

/* The creation of a file is no writing: the close that follows tells of that. */
GETTER(event_open)
{
    const struct event *ev = c->ev;
    const bool open = c->class == CLASS_OPEN, create = c->class == CLASS_CREATE;
    switch (ref->field->which) {
    case OPEN_READ:
        return value_bool(out, open && ev->file_op == FILE_OPEN);
    case OPEN_WRITE:
        return value_bool(out, open && ev->file_op != FILE_OPEN);
    case OPEN_CREATE:
        return value_bool(out, create);
    case OPEN_EXEC:
        return value_bool(out, create && event_knows(ev, F_MODE) && S_ISREG(ev->mode) && (ev->mode & 0111));
    }
    return VALUE_MISSING;
}

/* Of dup(2) the result is known: the descriptor that is the socket now. */
GETTER(event_result)
{
    (void)ref;
    return value_int(out, c->class == CLASS_DUP ? c->ev->fd : 0);
}

GETTER(event_argument)
{
    return argument_text(c, ref->key, out);
}

GETTER(event_raw_argument)
{
    return argument_raw(c, ref->key, out);
}

/* Every argument that is known, as name=value. */
GETTER(event_arguments)
{
    struct text_out text;
    char *all = scratch_take(c, LIMIT_PATH_BYTES);
    (void)ref;
    if (!all)
        return VALUE_MISSING;
    text_out_init(&text, all, LIMIT_PATH_BYTES);
    for (enum event_argument a = ARG_NONE + 1; a < ARG_MAX; a++) {
        struct value value;
        if (argument_text(c, a, &value) != VALUE_GOT)
            continue;
        text_out_printf(&text, "%s%s=", text.length ? " " : "", event_argument_name(a));
        text_out_bytes(&text, value.text.data, value.text.length);
    }
    return text.length ? value_text(out, all, text.length) : VALUE_MISSING;
}

GETTER(event_path)
{
    const struct event *ev = c->ev;
    const bool source = ref->argument && ref->argument[0] == 's';
    if (ev->kind != EVENT_FILE || (ref->argument && c->class != CLASS_RENAME && c->class != CLASS_LINK))
        return VALUE_MISSING;
    return source ? value_event_text(out, ev, F_OLD_PATH, ev->old_path) : value_event_text(out, ev, F_PATH, ev->path);
}
