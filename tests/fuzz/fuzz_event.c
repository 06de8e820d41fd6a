/* A damaged record: the input is a list of (offset, byte) changes to a sound event. What event_check() lets through can be read without
 * harm. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/event.h"
#include "common/event_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct event *event_new(void)
{
    static union event_buffer buffer;
    struct event *sound = &buffer.event;
    event_init(sound, EVENT_EXEC, SOURCE_EXEC, 1);
    event_set(sound, F_PID, pid, 7);
    event_set_text(sound, F_COMM, "sh", 2);
    event_set_text(sound, F_EXE, "/bin/sh", 7);
    event_set_text(sound, F_CMDLINE, "sh\0-c\0id", 8);
    struct event *ev = malloc(sound->size); /* no byte more: the sanitizer sees every step beyond */
    if (ev)
        memcpy(ev, sound, sound->size);
    return ev;
}

/* Every text lies inside the record and is NUL-terminated there. */
static void texts_read(const struct event *ev)
{
    for (int i = 0; i < F_MAX; i++) {
        struct text t;
        if (event_fields[i].type != FIELD_TEXT && event_fields[i].type != FIELD_ARGV)
            continue;
        memcpy(&t, (const char *)ev + event_fields[i].offset, sizeof t);
        if (strlen(event_text(ev, t)) > t.len)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct event *ev = event_new();
    if (!ev)
        return 0;
    size_t event_size = ev->size;
    for (size_t i = 0; i + 3 <= size; i += 3)
        ((uint8_t *)ev)[(data[i] | data[i + 1] << 8) % event_size] = data[i + 2];
    if (event_check(ev, event_size) == 0) {
        char address[46];
        texts_read(ev);
        address_format(&ev->src, address);
        if (!event_kind_name(ev->kind) || !event_source_name(ev->source))
            abort();
    }
    free(ev);
    return 0;
}
