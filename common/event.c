#include "common/event.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "common/event_fields.h"

void event_init(struct event *ev, enum event_kind kind, enum event_source source, uint64_t time_ns)
{
    memset(ev, 0, sizeof *ev);
    ev->size = sizeof *ev;
    ev->kind = (uint8_t)kind;
    ev->source = (uint8_t)source;
    ev->text_max = LIMIT_EVENT_TEXT_BYTES;
    ev->time_ns = time_ns;
    event_know(ev, F_SOURCE);
}

char *event_text_room(struct event *ev, size_t *room)
{
    *room = ev->text_max > ev->text_len ? (size_t)(ev->text_max - ev->text_len - 1) : 0;
    return ev->text + ev->text_len;
}

void event_text_done(struct event *ev, enum event_field field, size_t size)
{
    struct text t = { ev->text_len, (uint16_t)size };
    memcpy((char *)ev + event_fields[field].offset, &t, sizeof t);
    ev->text[ev->text_len + size] = 0;
    ev->text_len = (uint16_t)(ev->text_len + size + 1);
    ev->size = (uint32_t)((offsetof(struct event, text) + ev->text_len + 7) & ~(size_t)7);
    event_know(ev, field);
}

bool event_set_text(struct event *ev, enum event_field field, const void *data, size_t size)
{
    size_t room, want = size;
    char *to = event_text_room(ev, &room);
    if (room < 1)
        return false;
    if (size > event_fields[field].text_max)
        size = event_fields[field].text_max;
    if (size > room)
        size = room;
    memcpy(to, data, size);
    event_text_done(ev, field, size);
    return size == want;
}

static bool field_is_text(const struct event_field_info *f)
{
    return f->type == FIELD_TEXT || f->type == FIELD_ARGV;
}

int event_check(const struct event *ev, size_t size)
{
    if (size < sizeof *ev || ev->size != size || size > sizeof(union event_buffer))
        return -EINVAL;
    if (ev->kind == EVENT_NONE || ev->kind >= EVENT_KIND_MAX || offsetof(struct event, text) + ev->text_len > size)
        return -EINVAL;
    for (int i = 0; i < F_MAX; i++) {
        struct text t;
        if (!field_is_text(&event_fields[i]))
            continue;
        memcpy(&t, (const char *)ev + event_fields[i].offset, sizeof t);
        if (t.len && ((size_t)t.off + t.len >= ev->text_len || ev->text[t.off + t.len]))
            return -EINVAL;
    }
    return 0;
}

const char *event_kind_name(enum event_kind kind)
{
    static const char *const names[EVENT_KIND_MAX] = { "none",   "fork",    "exec",   "exit", "uid",  "gid",       "sid", "ptrace",
                                                       "comm",   "process", "cgroup", "sockets", "file", "flow", "container", "loss", "syscall",
                                                       "unix",   "mount",   "module", "cpu",     "hash", "dns", "listen", "netns" };
    return (unsigned)kind < EVENT_KIND_MAX ? names[kind] : "?";
}

const char *event_source_name(enum event_source source)
{
    const struct event_field_info *f = &event_fields[F_SOURCE];
    for (unsigned i = 0; f->names[i]; i++)
        if (i == (unsigned)source)
            return f->names[i];
    return "?";
}

void address_format(const struct address *address, char out[46])
{
    out[0] = 0;
    if (address->family)
        inet_ntop(address->family == 6 ? AF_INET6 : AF_INET, address->bytes, out, 46);
}

int address_parse(const char *text, struct address *address)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, address->bytes) == 1) {
        address->family = 4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, address->bytes) != 1)
        return -EINVAL;
    address->family = 6;
    if (!memcmp(address->bytes, mapped, sizeof mapped)) {
        memmove(address->bytes, address->bytes + 12, 4);
        memset(address->bytes + 4, 0, 12);
        address->family = 4;
    }
    return 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->family == b->family && !memcmp(a->bytes, b->bytes, a->family == 6 ? 16 : 4);
}
