#include "agent/sensors/trace_format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "common/text.h"

/* ---- descriptions ------------------------------------------------------------------------------------------------- */

struct line {
    const char *at;
    size_t size;
};

static bool line_next(struct line *rest, struct line *line)
{
    if (!rest->size)
        return false;
    const char *end = memchr(rest->at, '\n', rest->size);
    line->at = rest->at;
    line->size = end ? (size_t)(end - rest->at) : rest->size;
    size_t taken = line->size + (end != NULL);
    rest->at += taken;
    rest->size -= taken;
    return true;
}

static bool line_skip(struct line *line, const char *prefix)
{
    size_t n = strlen(prefix);
    if (line->size < n || memcmp(line->at, prefix, n))
        return false;
    line->at += n;
    line->size -= n;
    return true;
}

/* The number behind `key`, up to a ';' or the end of the line. */
static bool line_number(const struct line *line, const char *key, uint64_t max, uint64_t *value)
{
    const char *at = memmem(line->at, line->size, key, strlen(key));
    if (!at)
        return false;
    at += strlen(key);
    size_t left = (size_t)(line->at + line->size - at);
    const char *end = memchr(at, ';', left);
    return !text_to_u64(at, end ? (size_t)(end - at) : left, value) && *value <= max;
}

static bool type_is(const char *type, size_t size, const char *const *names)
{
    for (; *names; names++)
        if (strlen(*names) == size && !memcmp(type, *names, size))
            return true;
    return false;
}

/* "field:TYPE NAME;": the name without brackets, and what the type says. */
static bool field_declaration(struct trace_field *field, const struct line *line)
{
    static const char *const ints[] = { "int", "pid_t", "s32", "mqd_t", "key_t", "clockid_t", "timer_t", NULL };
    static const char *const unsigned_ints[] = { "unsigned int", "unsigned", "u32", "uid_t", "gid_t", "qid_t", NULL };
    const char *end = memchr(line->at, ';', line->size);
    const char *space = end ? memrchr(line->at, ' ', (size_t)(end - line->at)) : NULL;
    if (!space)
        return false;
    const char *bracket = memchr(space, '[', (size_t)(end - space));
    size_t n = (size_t)((bracket ? bracket : end) - space - 1);
    if (!n || n >= sizeof field->name)
        return false;
    memcpy(field->name, space + 1, n);
    field->name[n] = 0;
    size_t type = (size_t)(space - line->at);
    field->is_unsigned = type_is(line->at, type, unsigned_ints);
    field->is_int = field->is_unsigned || type_is(line->at, type, ints);
    return true;
}

/* A field that holds a number. False for other fields, which are of no use here. */
static bool field_parse(struct trace_field *field, const struct line *line)
{
    uint64_t offset, bytes;
    memset(field, 0, sizeof *field);
    if (!field_declaration(field, line) || !line_number(line, "\toffset:", UINT16_MAX, &offset) || !line_number(line, "\tsize:", 8, &bytes))
        return false;
    field->offset = (uint16_t)offset;
    field->bytes = (uint8_t)bytes;
    return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

static bool is_named(const struct trace_field *field, const char *name)
{
    return !strcmp(field->name, name);
}

/* Arguments are what is neither common to all events nor the kernel's own ("__syscall_nr"). */
static void format_add(struct trace_format *format, const struct trace_field *field)
{
    if (is_named(field, "common_type"))
        format->type = *field;
    else if (is_named(field, "common_pid"))
        format->pid = *field;
    else if (!text_has_prefix(field->name, "common_") && !text_has_prefix(field->name, "__") && format->n_args < TRACE_ARGS)
        format->args[format->n_args++] = *field;
}

int trace_format_parse(struct trace_format *format, const char *text, size_t size)
{
    struct line rest = { text, size }, line;
    struct trace_field field;
    uint64_t id = 0;
    bool has_id = false;
    memset(format, 0, sizeof *format);
    while (line_next(&rest, &line)) {
        if (line_skip(&line, "name: "))
            text_copy(format->name, sizeof format->name, line.at, line.size);
        else if (line_skip(&line, "ID: "))
            has_id = !text_to_u64(line.at, line.size, &id) && id <= UINT16_MAX;
        else if (line_skip(&line, "\tfield:") && field_parse(&field, &line))
            format_add(format, &field);
    }
    format->id = (uint16_t)id;
    return format->name[0] && has_id && format->type.bytes && format->pid.bytes ? 0 : -EINVAL;
}

int trace_filter_write(const struct trace_format *format, const char *pattern, char *out, size_t size)
{
    struct text_out filter;
    text_out_init(&filter, out, size);
    for (const char *p = pattern; *p; p++) {
        if (*p != '$') {
            text_out_bytes(&filter, p, 1);
            continue;
        }
        int i = *++p - '0';
        if (i < 0 || i >= format->n_args)
            return -EINVAL;
        text_out_printf(&filter, "%s", format->args[i].name);
    }
    return filter.cut ? -ENOSPC : 0;
}

int trace_layout_parse(struct trace_layout *layout, const char *text, size_t size)
{
    struct line rest = { text, size }, line;
    uint64_t time = UINT64_MAX, commit = 0, commit_bytes = 0, data = 0, data_bytes = 0;
    while (line_next(&rest, &line)) {
        if (line_skip(&line, "\tfield: u64 timestamp;"))
            (void)line_number(&line, "offset:", UINT16_MAX, &time);
        else if (line_skip(&line, "\tfield: local_t commit;"))
            (void)(line_number(&line, "offset:", UINT16_MAX, &commit) && line_number(&line, "size:", 8, &commit_bytes));
        else if (line_skip(&line, "\tfield: char data;"))
            (void)(line_number(&line, "offset:", UINT16_MAX, &data) && line_number(&line, "size:", LIMIT_TRACE_PAGE_BYTES, &data_bytes));
    }
    if (time > UINT16_MAX || (commit_bytes != 4 && commit_bytes != 8) || !data_bytes || data + data_bytes > LIMIT_TRACE_PAGE_BYTES)
        return -EINVAL;
    if (time + 8 > data || commit + commit_bytes > data)
        return -EINVAL;
    *layout = (struct trace_layout){ .time = (uint16_t)time, .commit = (uint16_t)commit, .data = (uint16_t)data,
                                     .commit_bytes = (uint8_t)commit_bytes, .page_bytes = (uint32_t)(data + data_bytes) };
    return 0;
}

bool trace_stats_lost(const char *text, size_t size, uint64_t *lost)
{
    struct line rest = { text, size }, line;
    uint64_t n;
    bool found = false;
    *lost = 0;
    while (line_next(&rest, &line)) {
        if (!line_skip(&line, "overrun: ") && !line_skip(&line, "commit overrun: ") && !line_skip(&line, "dropped events: "))
            continue;
        if (text_to_u64(line.at, line.size, &n))
            return false;
        *lost += n;
        found = true;
    }
    return found;
}

/* ---- pages -------------------------------------------------------------------------------------------------------- */

/* Length codes of an event (enum ring_buffer_type); 1 to 28 are lengths in words. */
#define TYPE_LONG 0 /* the length is in the next word */
#define TYPE_PADDING 29
#define TYPE_TIME_EXTEND 30
#define TYPE_TIME_STAMP 31
/* Flags in the high bits of a page's length. */
#define COMMIT_MISSED (1u << 31)
#define COMMIT_MISSED_STORED (1u << 30) /* behind the data: how many */
#define COMMIT_LENGTH (COMMIT_MISSED_STORED - 1)
/* An absolute time has 59 bits; the higher ones are those of the time before. */
#define STAMP_BITS 59
#define DELTA_BITS 27

int trace_page_begin(struct trace_page *page, const struct trace_layout *layout, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    if (size < layout->data)
        return -EINVAL;
    uint32_t commit = layout->commit_bytes == 8 ? (uint32_t)load_u64(at + layout->commit) : load_u32(at + layout->commit);
    size_t length = commit & COMMIT_LENGTH, room = size - layout->data;
    if (length > room)
        return -EINVAL;
    *page = (struct trace_page){ .at = at + layout->data, .time_ns = load_u64(at + layout->time), .missed = commit & COMMIT_MISSED };
    page->end = page->at + length;
    if ((commit & COMMIT_MISSED_STORED) && room - length >= layout->commit_bytes)
        page->n_missed = layout->commit_bytes == 8 ? load_u64(page->end) : load_u32(page->end);
    return 0;
}

struct head {
    unsigned type;
    uint64_t delta;
};

static struct head head_read(const uint8_t *at)
{
    uint32_t word = load_u32(at); /* struct ring_buffer_event: two bit fields */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (struct head){ .type = word & 31, .delta = word >> 5 };
#else
    return (struct head){ .type = word >> DELTA_BITS, .delta = word & ((1u << DELTA_BITS) - 1) };
#endif
}

/* A record's bytes: `length` of them at `skip` behind the head. */
static int record_take(struct trace_page *page, struct trace_record *record, size_t skip, size_t length)
{
    size_t left = (size_t)(page->end - page->at);
    if (length > left || skip > left - length)
        return -EINVAL;
    *record = (struct trace_record){ .time_ns = page->time_ns, .data = page->at + skip, .size = length };
    page->at += skip + length;
    return 1;
}

/* Times and padding, of eight bytes or as long as they say. 0 or -EINVAL. */
static int page_skip(struct trace_page *page, struct head head)
{
    struct trace_record unused;
    size_t left = (size_t)(page->end - page->at);
    if (head.type == TYPE_PADDING && !head.delta) { /* the rest of the page is empty */
        page->at = page->end;
        return 0;
    }
    if (left < 8)
        return -EINVAL;
    uint64_t word = load_u32(page->at + 4);
    if (head.type == TYPE_PADDING) /* a discarded event: the kernel does not count its time either */
        return record_take(page, &unused, 4, word) < 0 ? -EINVAL : 0;
    uint64_t time = (word << DELTA_BITS) + head.delta;
    if (head.type == TYPE_TIME_EXTEND)
        page->time_ns += time;
    else
        page->time_ns = (page->time_ns >> STAMP_BITS << STAMP_BITS) | time;
    page->at += 8;
    return 0;
}

int trace_page_next(struct trace_page *page, struct trace_record *record)
{
    while (page->end - page->at >= 4) {
        struct head head = head_read(page->at);
        if (head.type >= TYPE_PADDING) {
            if (page_skip(page, head))
                return -EINVAL;
            continue;
        }
        page->time_ns += head.delta;
        if (head.type != TYPE_LONG)
            return record_take(page, record, 4, head.type * 4u);
        if (page->end - page->at < 8)
            return -EINVAL;
        uint32_t length = load_u32(page->at + 4); /* counts itself */
        return length < 4 ? -EINVAL : record_take(page, record, 8, ((size_t)length - 4 + 3) & ~(size_t)3);
    }
    return page->at == page->end ? 0 : -EINVAL;
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

static bool field_value(const struct trace_field *field, const struct trace_record *record, uint64_t *value)
{
    if ((size_t)field->offset + field->bytes > record->size)
        return false;
    const uint8_t *at = record->data + field->offset;
    switch (field->bytes) {
    case 1:
        *value = *at;
        break;
    case 2:
        *value = load_u16(at);
        break;
    case 4:
        *value = load_u32(at);
        break;
    default:
        *value = load_u64(at);
    }
    if (field->is_int)
        *value = field->is_unsigned ? (uint32_t)*value : (uint64_t)(int64_t)(int32_t)*value;
    return true;
}

int trace_record_id(const struct trace_format *format, const struct trace_record *record)
{
    uint64_t id;
    return field_value(&format->type, record, &id) && id <= UINT16_MAX ? (int)id : -1;
}

int trace_call_decode(struct trace_call *call, const struct trace_format *format, const struct trace_record *record)
{
    uint64_t tid;
    if (!field_value(&format->pid, record, &tid))
        return -EINVAL;
    call->tid = (int32_t)tid;
    call->n_args = format->n_args;
    for (int i = 0; i < format->n_args; i++)
        if (!field_value(&format->args[i], record, &call->args[i]))
            return -EINVAL;
    return 0;
}
