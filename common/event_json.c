#include "common/event_json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/event_fields.h"
#include "common/text.h"

/* Readers that keep numbers as doubles (jq, JavaScript) lose digits above this: larger ones are written as texts. */
#define EXACT_NUMBER_MAX ((1ull << 53) - 1)

/* ---- writing -------------------------------------------------------------------------------------------------------- */

/* text_escape() leaves nothing that JSON would not take but quotes and backslashes. */
static void put_text(struct text_out *out, const char *data, size_t size)
{
    static const char special[] = "\"\\";
    text_out_bytes(out, "\"", 1);
    for (size_t i = 0; i < size && !out->cut;) {
        char piece[512];
        struct text_out escaped;
        size_t n = size - i < 100 ? size - i : 100;
        /* a piece may not end inside a UTF-8 sequence, else that would be escaped */
        while (n < size - i && n > 90 && (data[i + n] & 0xc0) == 0x80)
            n--;
        text_out_init(&escaped, piece, sizeof piece);
        text_escape(&escaped, data + i, n);
        for (const char *p = piece; *p; p++) {
            if (strchr(special, *p))
                text_out_bytes(out, "\\", 1);
            text_out_bytes(out, p, 1);
        }
        i += n;
    }
    text_out_bytes(out, "\"", 1);
}

static void put_argv(struct text_out *out, const char *data, size_t size)
{
    const char *separator = "[";
    for (const char *p = data, *end = data + size; p < end;) {
        size_t n = strnlen(p, (size_t)(end - p));
        text_out_printf(out, "%s", separator);
        put_text(out, p, n);
        separator = ",";
        p += n + 1;
    }
    text_out_printf(out, "%s", size ? "]" : "[]");
}

static void put_u64(struct text_out *out, uint64_t value)
{
    const char *quote = value > EXACT_NUMBER_MAX ? "\"" : "";
    text_out_printf(out, "%s%" PRIu64 "%s", quote, value, quote);
}

static void put_time(struct text_out *out, uint64_t wall_ns)
{
    char text[32];
    text_time_ns(text, wall_ns);
    text_out_printf(out, "\"%s\"", text);
}

static const char *enum_name(const struct event_field_info *f, unsigned value)
{
    for (unsigned i = 1; f->names[i]; i++)
        if (i == value)
            return f->names[i];
    return NULL;
}

static int put_value(struct text_out *out, const struct event *ev, const struct event_field_info *f, int64_t wall_offset_ns)
{
    const char *at = (const char *)ev + f->offset;
    uint8_t u8 = (uint8_t)*at;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    struct text t;
    struct address address;
    char text[46];
    memcpy(&u16, at, sizeof u16);
    memcpy(&u32, at, sizeof u32);
    switch (f->type) {
    case FIELD_I32:
        text_out_printf(out, "%" PRId32, (int32_t)u32);
        return 0;
    case FIELD_U8:
        text_out_printf(out, "%u", u8);
        return 0;
    case FIELD_U16:
        text_out_printf(out, "%u", u16);
        return 0;
    case FIELD_U32:
        text_out_printf(out, "%" PRIu32, u32);
        return 0;
    case FIELD_U64:
        memcpy(&u64, at, sizeof u64);
        put_u64(out, u64);
        return 0;
    case FIELD_BOOL:
        text_out_printf(out, "%s", u8 ? "true" : "false");
        return 0;
    case FIELD_MODE:
        text_out_printf(out, "\"0%03" PRIo32 "\"", u32);
        return 0;
    case FIELD_ENUM:
        if (!enum_name(f, u8))
            return -EINVAL;
        text_out_printf(out, "\"%s\"", enum_name(f, u8));
        return 0;
    case FIELD_TIME:
    case FIELD_WALL:
        memcpy(&u64, at, sizeof u64);
        put_time(out, f->type == FIELD_TIME ? u64 + (uint64_t)wall_offset_ns : u64);
        return 0;
    case FIELD_TEXT:
    case FIELD_ARGV:
        memcpy(&t, at, sizeof t);
        (f->type == FIELD_TEXT ? put_text : put_argv)(out, event_text(ev, t), t.len);
        return 0;
    case FIELD_ADDRESS:
        memcpy(&address, at, sizeof address);
        address_format(&address, text);
        text_out_printf(out, "\"%s\"", text);
        return 0;
    }
    return -EINVAL;
}

static void put_stamp(struct text_out *out, const struct stamp *stamp)
{
    text_out_printf(out, ",\"id\":%" PRId64 ",\"exec_id\":%" PRId64 ",\"parent_id\":%" PRId64 ",\"container\":%" PRId32, stamp->id,
                    stamp->exec_id, stamp->parent_id, stamp->container);
}

int event_to_json(const struct event *ev, const struct stamp *stamp, int64_t wall_offset_ns, char *buf, size_t size)
{
    struct text_out out;
    text_out_init(&out, buf, size);
    text_out_printf(&out, "{\"time\":");
    put_time(&out, ev->time_ns + (uint64_t)wall_offset_ns);
    text_out_printf(&out, ",\"kind\":\"%s\",\"source\":", event_kind_name(ev->kind));
    if (ev->kind == EVENT_NONE || ev->kind >= EVENT_KIND_MAX || put_value(&out, ev, &event_fields[F_SOURCE], 0))
        return -EINVAL;
    for (int i = 0; i < F_MAX; i++) {
        if (i == F_SOURCE || !event_knows(ev, (enum event_field)i))
            continue;
        text_out_printf(&out, ",\"%s\":", event_fields[i].name);
        if (put_value(&out, ev, &event_fields[i], wall_offset_ns))
            return -EINVAL;
    }
    if (stamp)
        put_stamp(&out, stamp);
    text_out_printf(&out, "}");
    return out.cut ? -ENOSPC : (int)out.length;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

struct reader {
    union event_buffer *to;
    int64_t wall_offset_ns;
    struct text_out error;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *r, const char *key, const char *format, ...)
{
    char why[192];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (key) {
        text_out_printf(&r->error, "\"");
        text_escape(&r->error, key, strnlen(key, 64));
        text_out_printf(&r->error, "\": ");
    }
    text_escape(&r->error, why, strlen(why));
    return -EINVAL;
}

/* An integer, or decimal digits in a text (large numbers). */
static int value_to_u64(const json_t *value, uint64_t *number)
{
    if (json_is_string(value))
        return text_to_u64(json_string_value(value), json_string_length(value), number);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return -EINVAL;
    *number = (uint64_t)json_integer_value(value);
    return 0;
}

static int read_number(struct reader *r, const char *key, const json_t *value, int64_t min, int64_t max, void *at, size_t size)
{
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
        return refuse(r, key, "needs a whole number from %" PRId64 " to %" PRId64, min, max);
    uint8_t u8 = (uint8_t)json_integer_value(value);
    uint16_t u16 = (uint16_t)json_integer_value(value);
    uint32_t u32 = (uint32_t)json_integer_value(value);
    memcpy(at, size == 1 ? (void *)&u8 : size == 2 ? (void *)&u16 : (void *)&u32, size);
    return 0;
}

static int read_wall(struct reader *r, const char *key, const json_t *value, int64_t offset_ns, uint64_t *at)
{
    uint64_t wall_ns;
    if (!json_is_string(value) || text_to_time(json_string_value(value), &wall_ns) || wall_ns > INT64_MAX)
        return refuse(r, key, "needs a time as \"2026-11-22T23:59:42.123456789Z\"");
    if (offset_ns > 0 && wall_ns < (uint64_t)offset_ns)
        return refuse(r, key, "is before the start of this host's clock");
    *at = wall_ns - (uint64_t)offset_ns;
    return 0;
}

/* Unescapes into the event's own room. `n` is what is there already (arguments of the same field). */
static int read_piece(struct reader *r, const struct event_field_info *f, const json_t *value, char *room, size_t free_bytes, size_t n)
{
    size_t max = f->text_max < free_bytes ? f->text_max : free_bytes;
    if (!json_is_string(value))
        return refuse(r, f->name, f->type == FIELD_ARGV ? "needs an array of texts" : "needs a text");
    int got = text_unescape(json_string_value(value), json_string_length(value), room + n, n < max ? max - n : 0);
    if (got == -ENOSPC)
        return refuse(r, f->name, "is longer than %zu bytes", max);
    if (got < 0)
        return refuse(r, f->name, "has a backslash that begins neither \\\\ nor \\xHH");
    return got;
}

static int read_text(struct reader *r, enum event_field field, const json_t *value)
{
    size_t free_bytes;
    char *room = event_text_room(&r->to->event, &free_bytes);
    int n = read_piece(r, &event_fields[field], value, room, free_bytes, 0);
    if (n < 0)
        return n;
    event_text_done(&r->to->event, field, (size_t)n);
    return 0;
}

static int read_argv(struct reader *r, enum event_field field, const json_t *value)
{
    const struct event_field_info *f = &event_fields[field];
    size_t free_bytes, n = 0;
    char *room = event_text_room(&r->to->event, &free_bytes);
    if (!json_is_array(value))
        return refuse(r, f->name, "needs an array of texts");
    for (size_t i = 0; i < json_array_size(value); i++) {
        int got = read_piece(r, f, json_array_get(value, i), room, free_bytes, n);
        if (got < 0)
            return got;
        if (memchr(room + n, 0, (size_t)got))
            return refuse(r, f->name, "has a NUL byte inside an argument");
        n += (size_t)got;
        /* the kernel ends every argument with a NUL; only the last one's may be cut off */
        if (n < f->text_max && n < free_bytes)
            room[n++] = 0;
        else if (i + 1 < json_array_size(value))
            return refuse(r, f->name, "is longer than %u bytes", f->text_max);
    }
    event_text_done(&r->to->event, field, n);
    return 0;
}

static int read_enum(struct reader *r, const struct event_field_info *f, const json_t *value, uint8_t *at)
{
    char known[160];
    struct text_out list;
    text_out_init(&list, known, sizeof known);
    for (unsigned i = 1; f->names[i]; i++) {
        if (json_is_string(value) && !strcmp(json_string_value(value), f->names[i])) {
            *at = (uint8_t)i;
            return 0;
        }
        text_out_printf(&list, "%s%s", i > 1 ? ", " : "", f->names[i]);
    }
    return refuse(r, f->name, "needs one of: %s", known);
}

static int read_mode(struct reader *r, const char *key, const json_t *value, uint32_t *at)
{
    const char *text = json_string_value(value);
    uint64_t mode = 0;
    size_t n = text ? strspn(text, "01234567") : 0;
    for (size_t i = 0; i < n && mode <= UINT32_MAX; i++)
        mode = mode << 3 | (uint64_t)(text[i] - '0');
    if (!n || text[n] || mode > UINT32_MAX)
        return refuse(r, key, "needs octal digits in a text, as \"0755\"");
    *at = (uint32_t)mode;
    return 0;
}

static int read_address(struct reader *r, const char *key, const json_t *value, struct address *at)
{
    if (!json_is_string(value) || (json_string_length(value) && address_parse(json_string_value(value), at)))
        return refuse(r, key, "needs an IPv4 or IPv6 address");
    return 0;
}

static int read_field(struct reader *r, enum event_field field, const json_t *value)
{
    const struct event_field_info *f = &event_fields[field];
    void *at = (char *)r->to + f->offset;
    uint64_t u64;
    switch (f->type) {
    case FIELD_I32:
        return read_number(r, f->name, value, INT32_MIN, INT32_MAX, at, 4);
    case FIELD_U8:
        return read_number(r, f->name, value, 0, UINT8_MAX, at, 1);
    case FIELD_U16:
        return read_number(r, f->name, value, 0, UINT16_MAX, at, 2);
    case FIELD_U32:
        return read_number(r, f->name, value, 0, UINT32_MAX, at, 4);
    case FIELD_U64:
        if (value_to_u64(value, &u64))
            return refuse(r, f->name, "needs a whole number from 0 to %" PRIu64, UINT64_MAX);
        memcpy(at, &u64, sizeof u64);
        return 0;
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            return refuse(r, f->name, "needs true or false");
        *(uint8_t *)at = json_is_true(value);
        return 0;
    case FIELD_MODE:
        return read_mode(r, f->name, value, at);
    case FIELD_ENUM:
        return read_enum(r, f, value, at);
    case FIELD_TIME:
        return read_wall(r, f->name, value, r->wall_offset_ns, at);
    case FIELD_WALL:
        return read_wall(r, f->name, value, 0, at);
    case FIELD_TEXT:
        return read_text(r, field, value);
    case FIELD_ARGV:
        return read_argv(r, field, value);
    case FIELD_ADDRESS:
        return read_address(r, f->name, value, at);
    }
    return -EINVAL;
}

/* Row ids of the database that the line came from: for people; of no use in a replay. */
static bool key_is_stamp(const char *key)
{
    static const char *const keys[] = { "id", "exec_id", "parent_id", "container" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!strcmp(key, keys[i]))
            return true;
    return false;
}

static int read_key(struct reader *r, const char *key, const json_t *value)
{
    if (!strcmp(key, "time") || !strcmp(key, "kind"))
        return 0; /* read first, by read_head() */
    if (key_is_stamp(key))
        return json_is_integer(value) ? 0 : refuse(r, key, "needs a whole number");
    for (int i = 0; i < F_MAX; i++) {
        if (strcmp(key, event_fields[i].name))
            continue;
        int error = read_field(r, (enum event_field)i, value);
        if (!error)
            event_know(&r->to->event, (enum event_field)i);
        return error;
    }
    return refuse(r, key, "unknown key");
}

static int read_head(struct reader *r, const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "kind"));
    uint64_t time_ns;
    int kind = 0;
    for (int i = 1; name && i < EVENT_KIND_MAX; i++)
        if (!strcmp(name, event_kind_name((enum event_kind)i)))
            kind = i;
    if (!kind)
        return refuse(r, "kind", name ? "is no kind of event" : "is missing or no text");
    if (!json_object_get(object, "source"))
        return refuse(r, "source", "is missing");
    if (read_wall(r, "time", json_object_get(object, "time"), r->wall_offset_ns, &time_ns))
        return -EINVAL;
    event_init(&r->to->event, (enum event_kind)kind, SOURCE_EXEC, time_ns);
    return 0;
}

int event_from_json(const char *line, size_t length, union event_buffer *to, int64_t wall_offset_ns, char *error, size_t error_size)
{
    struct reader r = { .to = to, .wall_offset_ns = wall_offset_ns };
    json_error_t problem;
    const char *key;
    json_t *value;
    text_out_init(&r.error, error, error_size);
    if (length > LIMIT_EVENT_JSON_BYTES)
        return refuse(&r, NULL, "is longer than %d bytes", LIMIT_EVENT_JSON_BYTES);
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, &problem);
    if (!object)
        return json_error_code(&problem) == json_error_out_of_memory ? -ENOMEM : refuse(&r, NULL, "not JSON: %s", problem.text);
    int result = json_is_object(object) ? read_head(&r, object) : refuse(&r, NULL, "needs a JSON object");
    if (!result) {
        json_object_foreach(object, key, value) {
            result = read_key(&r, key, value);
            if (result)
                break;
        }
    }
    json_decref(object);
    return result;
}
