/* libyaml's events for our own small formats: one at a time, plain YAML only (no anchors, aliases, tags), and every refusal as
 * "name:line:column: what". Texts of the file stand escaped in messages. Pure. */
#ifndef ECSGUARD_YAML_READER_H
#define ECSGUARD_YAML_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <yaml.h>

#include "common/text.h"

struct yaml_reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    const char *name, *data;
    size_t size;
    struct text_out *error;
};

/* 0 or -ENOMEM; with yaml_reader_fini() after 0. What is passed in is borrowed until then. */
int yaml_reader_init(struct yaml_reader *r, const char *name, const char *data, size_t size, struct text_out *error);
void yaml_reader_fini(struct yaml_reader *r);

/* To the next event. 0 or -EINVAL. */
int yaml_reader_next(struct yaml_reader *r);

/* To the content of the only document: 0, 1 when there is none (or null), -EINVAL. */
int yaml_reader_begin(struct yaml_reader *r);
/* After the content: 0, or -EINVAL when more follows. */
int yaml_reader_end(struct yaml_reader *r);

/* Over the current node with all below it: its last event is then the current one. */
int yaml_reader_skip(struct yaml_reader *r);

/* -EINVAL, with the place of the current event, or of `mark`, in the message. */
__attribute__((format(printf, 2, 3))) int yaml_reader_refuse(struct yaml_reader *r, const char *format, ...);
__attribute__((format(printf, 3, 4))) int yaml_reader_refuse_at(struct yaml_reader *r, yaml_mark_t mark, const char *format, ...);

/* The current scalar, or NULL if it is none (or null, or holds control characters). */
const char *yaml_reader_text(const struct yaml_reader *r);
bool yaml_reader_is_null(const struct yaml_reader *r);

/* The current scalar escaped and cut, for messages. */
void yaml_reader_show(const struct yaml_reader *r, char out[128]);

#endif
