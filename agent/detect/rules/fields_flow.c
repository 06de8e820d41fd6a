/* flow.* and the ends of flows and sockets: who is client and who is server, which of them is here. */
#include "agent/detect/rules/field_getters.h"

#include "common/event_fields.h"

#define EPHEMERAL_PORT 32768 /* ip_local_port_range begins here */

static bool is_socket(const struct field_context *c)
{
    return c->ev->kind == EVENT_SOCKETS || c->class == CLASS_DUP;
}

/* Somebody else began it, and one of ours serves it. */
static bool is_inbound(const struct field_context *c)
{
    const struct event *ev = c->ev;
    return c->class == CLASS_ACCEPT || (ev->kind == EVENT_FLOW && event_knows(ev, F_DIRECTION) && ev->direction == DIRECTION_IN);
}

bool flow_ends(const struct field_context *c, struct flow_end *client, struct flow_end *server)
{
    const struct event *ev = c->ev;
    const struct flow_end src = { &ev->src, ev->sport }, dst = { &ev->dst, ev->dport };
    if (!event_knows(ev, F_SRC) || (ev->kind != EVENT_FLOW && ev->kind != EVENT_DNS && ev->kind != EVENT_LISTEN && !is_socket(c)))
        return false;
    if (c->class == CLASS_LISTEN) {
        *client = (struct flow_end){ NULL, 0 };
        *server = src;
        return true;
    }
    if (is_socket(c)) { /* src is local; who began is told by the ports alone */
        const bool outbound = ev->sport >= EPHEMERAL_PORT;
        *client = outbound ? src : dst;
        *server = outbound ? dst : src;
        return true;
    }
    *client = src;
    *server = is_inbound(c) && event_knows(ev, F_REPLY_SRC) ? (struct flow_end){ &ev->reply_src, ev->reply_sport } : dst;
    return true;
}

bool flow_is_server(const struct field_context *c, const struct flow_end *server)
{
    if (is_socket(c))
        return server->address == &c->ev->src;
    return c->class == CLASS_LISTEN || is_inbound(c);
}

static void print_end(struct text_out *text, const struct flow_end *end)
{
    char address[46];
    address_format(end->address, address);
    text_out_printf(text, "%s:%u", address, end->port);
}

void flow_print(struct text_out *text, const struct field_context *c)
{
    struct flow_end client, server;
    if (!flow_ends(c, &client, &server))
        return;
    if (client.address) {
        print_end(text, &client);
        text_out_bytes(text, "->", 2);
    }
    print_end(text, &server);
}

/* The end that `which` means; false when there is none. */
static bool find_end(const struct field_context *c, intptr_t which, struct flow_end *end)
{
    struct flow_end client, server;
    if (!flow_ends(c, &client, &server))
        return false;
    const bool here = flow_is_server(c, &server);
    switch (which) {
    case END_CLIENT:
        *end = client;
        break;
    case END_SERVER:
        *end = server;
        break;
    case END_LOCAL:
        *end = here ? server : client;
        break;
    case END_REMOTE:
        *end = here ? client : server;
        break;
    }
    return end->address && end->address->family;
}

static void set_address(struct value *out, enum value_type type, const struct address *address)
{
    out->type = type;
    out->is_list = false;
    if (type == VALUE_IPNET)
        out->net = (struct value_net){ *address, address->family == 4 ? 32 : 128 };
    else
        out->address = *address;
}

static enum value_answer both_ends(struct field_context *c, enum value_type type, struct value *out)
{
    struct value *items = scratch_take(c, 2 * sizeof *items);
    struct flow_end end;
    uint32_t n = 0;
    for (intptr_t which = END_CLIENT; items && which <= END_SERVER; which++) {
        if (!find_end(c, which, &end))
            continue;
        items[n] = (struct value){ .type = type };
        if (type == VALUE_PORT)
            items[n].u64 = end.port;
        else
            set_address(&items[n], type, end.address);
        n++;
    }
    out->is_list = true;
    out->list.items = items;
    out->list.n = n;
    return n ? VALUE_GOT : VALUE_MISSING;
}

GETTER(fd_address)
{
    struct flow_end end;
    if (ref->field->which == END_EITHER)
        return both_ends(c, ref->field->type, out);
    if (!find_end(c, ref->field->which, &end))
        return VALUE_MISSING;
    set_address(out, ref->field->type, end.address);
    return VALUE_GOT;
}

GETTER(fd_port)
{
    struct flow_end end;
    struct text_out text;
    if (ref->field->which == END_EITHER)
        return both_ends(c, VALUE_PORT, out);
    if (!find_end(c, ref->field->which, &end))
        return VALUE_MISSING;
    if (ref->field->type == VALUE_PORT)
        return value_uint(out, end.port);
    scratch_begin(c, &text);
    text_out_printf(&text, "%u", end.port);
    return scratch_end(c, &text, out);
}

GETTER(flow_number)
{
    const struct event *ev = c->ev;
    switch (ref->field->which) {
    case FLOW_BYTES_IN:
        return event_knows(ev, F_BYTES_IN) ? value_uint(out, ev->bytes_in) : VALUE_MISSING;
    case FLOW_BYTES_OUT:
        return event_knows(ev, F_BYTES_OUT) ? value_uint(out, ev->bytes_out) : VALUE_MISSING;
    case FLOW_PACKETS_IN:
        return event_knows(ev, F_PACKETS_IN) ? value_uint(out, ev->packets_in) : VALUE_MISSING;
    case FLOW_PACKETS_OUT:
        return event_knows(ev, F_PACKETS_OUT) ? value_uint(out, ev->packets_out) : VALUE_MISSING;
    }
    return VALUE_MISSING;
}

static enum value_answer get_owner(const struct event *ev, struct value *out)
{
    const struct event_field_info *owner = &event_fields[F_OWNER];
    return event_knows(ev, F_OWNER) && ev->owner <= OWNER_RECENT ? value_name(out, owner->names[ev->owner]) : VALUE_MISSING;
}

GETTER(flow_text)
{
    static const char *const phases[] = { "", "new", "update", "end" };
    const struct event *ev = c->ev;
    if (ref->field->which == FLOW_TEXT_OWNER)
        return get_owner(ev, out);
    if (ev->kind != EVENT_FLOW)
        return VALUE_MISSING;
    switch (ref->field->which) {
    case FLOW_TEXT_PHASE:
        return value_name(out, phases[ev->flow_phase & 3]);
    case FLOW_TEXT_DOMAIN:
        return value_event_text(out, ev, F_DOMAIN, ev->domain);
    }
    if (event_knows(ev, F_DIRECTION) && ev->direction == DIRECTION_LOCAL)
        return value_name(out, "local");
    return value_name(out, is_inbound(c) ? "inbound" : "outbound");
}

/* The flow itself has the name of its far end; the near one's is looked for among the names that the same network namespace resolved. */
GETTER(fd_domain)
{
    struct flow_end end, far;
    if (c->ev->kind != EVENT_FLOW || !find_end(c, ref->field->which, &end) || !find_end(c, END_REMOTE, &far))
        return VALUE_MISSING;
    if (end.address == far.address)
        return value_event_text(out, c->ev, F_DOMAIN, c->ev->domain);
    const char *name = dns_names_of_flow(c->names, c->container, c->ev, end.address);
    return name ? value_name(out, name) : VALUE_MISSING;
}

GETTER(flow_real_address)
{
    const struct event *ev = c->ev;
    if (ev->kind != EVENT_FLOW)
        return VALUE_MISSING;
    set_address(out, ref->field->type, event_knows(ev, F_REPLY_SRC) ? &ev->reply_src : &ev->dst);
    return out->address.family ? VALUE_GOT : VALUE_MISSING;
}

GETTER(flow_real_port)
{
    const struct event *ev = c->ev;
    (void)ref;
    if (ev->kind != EVENT_FLOW)
        return VALUE_MISSING;
    return value_uint(out, event_knows(ev, F_REPLY_SPORT) ? ev->reply_sport : ev->dport);
}
