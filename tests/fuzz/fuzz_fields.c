/* Every field of an event that passed event_check(), in every class: the input is the class and a list of (offset, byte) changes to a sound
 * event. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules/field_context.h"
#include "agent/detect/rules/format.h"
#include "common/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct proctree tree;
static struct eval eval;
static struct field_context context;
static const struct container_facts container = { .id = 1, .container_id = "c0ffee0123456789", .image = "a:5/b:c@d",
                                                  .mounts = "/a:/b:ro:true:,/c" };

static struct event *event_new(void)
{
    static union event_buffer buffer;
    struct event *sound = &buffer.event;
    event_init(sound, EVENT_EXEC, SOURCE_EXEC, 1);
    event_set(sound, F_PID, pid, 7);
    event_set_text(sound, F_COMM, "sh", 2);
    event_set_text(sound, F_EXE, "/bin/sh", 7);
    event_set_text(sound, F_CMDLINE, "sh\0-c\0id", 8);
    event_set_text(sound, F_ENVIRON, "A=b\0LD=x", 8);
    event_set_text(sound, F_PATH, "/etc/passwd", 11);
    event_set_text(sound, F_STDIN, "socket:[7]", 10);
    struct event *ev = malloc(sound->size); /* no byte more: the sanitizer sees every step beyond */
    if (ev)
        memcpy(ev, sound, sound->size);
    return ev;
}

static void world_init(struct event *ev)
{
    struct image *previous;
    if (proctree_init(&tree, 16, 1 << 16) || eval_init(&eval))
        abort();
    field_context_init(&context, &eval);
    context.tree = &tree;
    context.process = proctree_apply(&tree, ev, 1, &previous);
    context.image = context.process->image;
    context.container = &container;
}

/* Every byte of a value can be read. */
static void show(const struct field_ref *ref)
{
    static char text[1 << 17];
    struct value value;
    struct text_out out;
    text_out_init(&out, text, sizeof text);
    eval_begin(&eval, &context.source);
    if (context.source.get(&context.source, ref, &value) == VALUE_GOT)
        value_print(&out, &value, ref);
}

static void fields_read(const struct rule_field *field)
{
    static const char *const arguments[] = { NULL, "0", "2", "LD", "/*", "flags", "name" };
    for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
        char error[64];
        struct field_ref ref;
        const size_t length = arguments[i] ? strlen(arguments[i]) : 0;
        if (!field_ref_init(&ref, field->name, strlen(field->name), arguments[i], length, error, sizeof error))
            show(&ref);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct event *ev = event_new();
    if (!ev || !size) {
        free(ev);
        return 0;
    }
    if (!context.tree)
        world_init(ev);
    const size_t event_size = ev->size;
    for (size_t i = 1; i + 3 <= size; i += 3)
        ((uint8_t *)ev)[(data[i] | data[i + 1] << 8) % event_size] = data[i + 2];
    context.ev = ev;
    const int own = event_check(ev, event_size) ? -1 : event_class_of(ev, &context);
    if (own >= 0) {
        context.class = data[0] < CLASS_MAX ? (enum event_class)data[0] : (enum event_class)own;
        for (size_t i = 0; i < n_rule_fields; i++)
            fields_read(&rule_fields[i]);
    }
    free(ev);
    return 0;
}
