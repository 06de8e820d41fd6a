/* dns.*: one query or answer. Names in lower case: clients may write them in any. */
#include "agent/detect/rules/field_getters.h"

#include <string.h>

#include "common/dns_code.h"
#include "common/dns_record.h"

static enum value_answer lower_text(struct field_context *c, const char *data, size_t length, struct value *out)
{
    char *copy = scratch_take(c, length + 1);
    if (!copy)
        return VALUE_MISSING;
    for (size_t i = 0; i < length; i++)
        copy[i] = (char)(data[i] >= 'A' && data[i] <= 'Z' ? data[i] | 0x20 : data[i]);
    copy[length] = 0;
    return value_text(out, copy, length);
}

/* What one record gives for the field `which`. */
static bool take_record(struct field_context *c, const struct dns_record *r, intptr_t which, struct value *item)
{
    switch (which) {
    case DNS_LIST_ADDRESSES:
        item->type = VALUE_IPADDR;
        return dns_record_address(r, &item->address);
    case DNS_LIST_CNAMES:
        item->type = VALUE_TEXT;
        return dns_record_is(r, "CNAME") && lower_text(c, r->data, r->data_size, item) == VALUE_GOT;
    case DNS_LIST_DATA:
        item->type = VALUE_TEXT;
        return value_text(item, r->data, r->data_size) == VALUE_GOT;
    }
    return false;
}

GETTER(dns_list)
{
    const struct event *ev = c->ev;
    struct dns_record r;
    size_t at = 0;
    uint32_t n = 0;
    if (ev->kind != EVENT_DNS || !event_knows(ev, F_DNS_ANSWERS))
        return VALUE_MISSING;
    struct value *items = scratch_take(c, LIMIT_DNS_RECORDS * sizeof *items);
    while (items && n < LIMIT_DNS_RECORDS && dns_record_next(event_text(ev, ev->dns_answers), ev->dns_answers.len, &at, &r)) {
        items[n] = (struct value){ .type = ref->field->type };
        n += take_record(c, &r, ref->field->which, &items[n]);
    }
    out->is_list = true;
    out->list.items = items;
    out->list.n = n;
    return n ? VALUE_GOT : VALUE_MISSING;
}

static enum value_answer code_name(struct field_context *c, const char *name, struct value *out)
{
    struct text_out text;
    scratch_begin(c, &text);
    text_out_printf(&text, "%s", name);
    return scratch_end(c, &text, out);
}

GETTER(dns_text)
{
    static const char *const ops[] = { "", "query", "answer" };
    const struct event *ev = c->ev;
    char other[DNS_CODE_BYTES];
    if (ev->kind != EVENT_DNS)
        return VALUE_MISSING;
    switch (ref->field->which) {
    case DNS_TEXT_OP:
        return value_name(out, ev->dns_op <= DNS_ANSWER ? ops[ev->dns_op] : "");
    case DNS_TEXT_NAME:
        return event_knows(ev, F_DNS_NAME) ? lower_text(c, event_text(ev, ev->dns_name), ev->dns_name.len, out) : VALUE_MISSING;
    case DNS_TEXT_TYPE:
        return event_knows(ev, F_DNS_TYPE) ? code_name(c, dns_type_name(ev->dns_type, other), out) : VALUE_MISSING;
    case DNS_TEXT_RCODE:
        return event_knows(ev, F_DNS_RCODE) ? code_name(c, dns_rcode_name(ev->dns_rcode, other), out) : VALUE_MISSING;
    }
    return VALUE_MISSING;
}

/* Labels of a name: as many as it has dots, and one. An escaped dot is "\046". */
static uint64_t count_labels(const char *name, size_t length)
{
    uint64_t n = length > 0 && !(length == 1 && name[0] == '.');
    for (size_t i = 0; n && i < length; i++)
        n += name[i] == '.';
    return n;
}

GETTER(dns_number)
{
    const struct event *ev = c->ev;
    if (ev->kind != EVENT_DNS)
        return VALUE_MISSING;
    switch (ref->field->which) {
    case DNS_NUMBER_ID:
        return event_knows(ev, F_DNS_ID) ? value_uint(out, ev->dns_id) : VALUE_MISSING;
    case DNS_NUMBER_CLASS:
        return event_knows(ev, F_DNS_CLASS) ? value_uint(out, ev->dns_class) : VALUE_MISSING;
    case DNS_NUMBER_SIZE:
        return event_knows(ev, F_DNS_SIZE) ? value_uint(out, ev->dns_size) : VALUE_MISSING;
    case DNS_NUMBER_LABELS:
        return event_knows(ev, F_DNS_NAME) ? value_uint(out, count_labels(event_text(ev, ev->dns_name), ev->dns_name.len)) : VALUE_MISSING;
    case DNS_NUMBER_TRUNCATED:
        return event_knows(ev, F_DNS_TRUNCATED) ? value_bool(out, ev->dns_truncated != 0) : VALUE_MISSING;
    }
    return VALUE_MISSING;
}
