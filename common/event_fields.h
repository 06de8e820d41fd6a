/* One table describes every field of struct event: recorded events (JSON), database columns and the documentation are made from
 * it, so that a new field is added in one place. */
#ifndef ECSGUARD_EVENT_FIELDS_H
#define ECSGUARD_EVENT_FIELDS_H

#include "common/event.h"

enum field_type {
    FIELD_I32,
    FIELD_U8,
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,
    FIELD_BOOL,    /* u8 */
    FIELD_MODE,    /* u32, octal in JSON */
    FIELD_ENUM,    /* u8 with names */
    FIELD_TIME,    /* u64 monotonic ns; wall time in JSON and database */
    FIELD_WALL,    /* u64 wall ns */
    FIELD_TEXT,    /* struct text */
    FIELD_ARGV,    /* struct text, NUL-separated; an array in JSON, one shell-quoted line in the database view */
    FIELD_ADDRESS, /* struct address */
};

struct event_field_info {
    const char *name; /* JSON key and column name */
    enum field_type type;
    uint16_t offset;        /* in struct event */
    uint16_t text_max;      /* for texts */
    uint32_t kinds;         /* bit per event_kind that can carry it */
    const char *const *names; /* for FIELD_ENUM: names[value], NULL-terminated, names[0] is "" */
    const char *doc;        /* one line */
};

extern const struct event_field_info event_fields[F_MAX];

#endif
