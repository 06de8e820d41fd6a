#include "agent/sensors/dns_decode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "common/dns_code.h"
#include "common/hash.h"

#define HEADER_BYTES 12
#define NAME_BYTES 255  /* RFC 1035, 2.3.4 */
#define LABEL_BYTES 63
#define DNS_PORT 53
#define EXTENSIONS 8    /* IPv6 extension headers: senders use one or two */

/* ---- packets ------------------------------------------------------------------------------------------------------ */

static void address_set(struct address *a, uint8_t family, const uint8_t *bytes)
{
    memset(a, 0, sizeof *a);
    a->family = family;
    memcpy(a->bytes, bytes, family == 6 ? 16 : 4);
}

/* Behind an IP header: `length` bytes as it says (0 = it does not), of which some are here. */
static void payload_bound(struct dns_segment *s, struct bytes b, size_t length)
{
    s->length = length ? length : b.left;
    s->data = bytes_of(b.at, b.left < s->length ? b.left : s->length);
}

static int take_ipv4(struct bytes b, struct dns_segment *s)
{
    const uint8_t *head = bytes_take(&b, 20);
    if (!head)
        return -EINVAL;
    size_t size = (size_t)(head[0] & 15) * 4, total = load_be16(head + 2);
    uint16_t fragment = load_be16(head + 6);
    if (size < 20 || !bytes_take(&b, size - 20) || (total && total < size))
        return -EINVAL;
    if (fragment & 0x1fff)
        return 0;
    s->fragment = fragment & 0x2000;
    s->proto = head[9];
    address_set(&s->src, 4, head + 12);
    address_set(&s->dst, 4, head + 16);
    payload_bound(s, b, total ? total - size : 0); /* 0: a segment of more than 64 KiB before it is cut up */
    return 1;
}

/* Goes past one extension header. 1; 0 for a later fragment; -EINVAL. */
static int skip_extension(struct bytes *b, uint8_t *next, bool *fragment)
{
    const uint8_t *head = bytes_take(b, 8);
    if (!head)
        return -EINVAL;
    size_t more = *next == IPPROTO_AH ? ((size_t)head[1] + 2) * 4 - 8 : (size_t)head[1] * 8;
    if (*next == IPPROTO_FRAGMENT) {
        if (load_be16(head + 2) & 0xfff8)
            return 0;
        *fragment = head[3] & 1;
        more = 0;
    }
    *next = head[0];
    return bytes_take(b, more) ? 1 : -EINVAL;
}

static int take_ipv6(struct bytes b, struct dns_segment *s)
{
    const uint8_t *head = bytes_take(&b, 40);
    if (!head)
        return -EINVAL;
    payload_bound(s, b, load_be16(head + 4));
    uint8_t next = head[6];
    address_set(&s->src, 6, head + 8);
    address_set(&s->dst, 6, head + 24);
    for (int i = 0; next != IPPROTO_UDP && next != IPPROTO_TCP; i++) {
        const size_t before = s->data.left;
        if (i == EXTENSIONS || (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT &&
                                next != IPPROTO_AH))
            return -EINVAL;
        int r = skip_extension(&s->data, &next, &s->fragment);
        if (r <= 0)
            return r;
        s->length -= before - s->data.left;
    }
    s->proto = next;
    return 1;
}

static int take_udp(struct dns_segment *s)
{
    const uint8_t *head = bytes_take(&s->data, 8);
    if (!head)
        return -EINVAL;
    size_t length = load_be16(head + 4);
    s->sport = load_be16(head);
    s->dport = load_be16(head + 2);
    s->length -= 8;
    if (length && length < 8)
        return -EINVAL;
    if (length && length - 8 < s->length)
        payload_bound(s, s->data, length - 8);
    return 1;
}

static int take_tcp(struct dns_segment *s)
{
    const uint8_t *head = bytes_take(&s->data, 20);
    if (!head)
        return -EINVAL;
    size_t size = (size_t)(head[12] >> 4) * 4;
    s->sport = load_be16(head);
    s->dport = load_be16(head + 2);
    s->seq = load_be32(head + 4) + (head[13] >> 1 & 1); /* SYN counts as one */
    if (size < 20 || size > s->length || !bytes_take(&s->data, size - 20))
        return -EINVAL;
    s->length -= size;
    return s->length > 0;
}

int dns_segment_decode(struct bytes packet, struct dns_segment *s)
{
    memset(s, 0, sizeof *s);
    if (!packet.left)
        return -EINVAL;
    int version = *packet.at >> 4, r = version == 4 ? take_ipv4(packet, s) : version == 6 ? take_ipv6(packet, s) : -EINVAL;
    if (r <= 0)
        return r;
    return s->proto == IPPROTO_UDP ? take_udp(s) : s->proto == IPPROTO_TCP ? take_tcp(s) : -EINVAL;
}

/* ---- messages over TCP -------------------------------------------------------------------------------------------- */

static uint64_t stream_key(uint64_t scope, const struct dns_segment *s)
{
    static const struct hash_key key = { 0x65637367, 0x646e7374 };
    uint8_t bytes[48] = { 0 };
    memcpy(bytes, s->src.bytes, 16);
    memcpy(bytes + 16, s->dst.bytes, 16);
    memcpy(bytes + 32, &s->sport, 2);
    memcpy(bytes + 34, &s->dport, 2);
    memcpy(bytes + 36, &scope, 8);
    bytes[44] = s->src.family;
    uint64_t h = hash_bytes(&key, bytes, sizeof bytes);
    return h ? h : 1;
}

static void stream_put(struct dns_streams *streams, uint64_t scope, const struct dns_segment *s, size_t at, uint16_t expected)
{
    struct dns_stream *to = &streams->streams[0];
    for (struct dns_stream *t = to; t < streams->streams + LIMIT_DNS_STREAMS; t++)
        if (!t->key || t->used < to->used)
            to = t;
    *to = (struct dns_stream){ .key = stream_key(scope, s), .next_seq = s->seq + (uint32_t)at, .expected = expected, .used = ++streams->clock };
}

/* Takes up what was remembered of the connection: where in this segment a message begins. False when in none of it. */
static bool stream_take(struct dns_streams *streams, uint64_t scope, struct dns_segment *s)
{
    uint64_t key = stream_key(scope, s);
    for (struct dns_stream *t = streams->streams; t < streams->streams + LIMIT_DNS_STREAMS; t++) {
        if (t->key != key)
            continue;
        uint32_t skip = t->next_seq - s->seq;
        t->used = ++streams->clock;
        if (skip >= s->length && skip < 1u << 17)
            return false; /* still within the message before */
        if (skip < s->length) {
            s->at = skip;
            s->expected = t->expected;
        } /* else another connection with these ports */
        t->key = 0;
        t->used = 0;
        return true;
    }
    return true;
}

static int take_length(struct dns_streams *streams, uint64_t scope, struct dns_segment *s)
{
    if (s->at + 2 > s->data.left)
        return s->at + 2 > s->length ? -EINVAL : 0; /* split in its middle; or not copied */
    s->expected = load_be16(s->data.at + s->at);
    s->at += 2;
    if (s->expected < HEADER_BYTES)
        return -EINVAL;
    if (s->at < s->length)
        return 1;
    stream_put(streams, scope, s, s->at, s->expected); /* the message itself is in the next segment */
    return 0;
}

int dns_message_next(struct dns_streams *streams, uint64_t scope, struct dns_segment *s, struct dns_message *m)
{
    if (s->proto == IPPROTO_UDP) {
        *m = (struct dns_message){ s->data, s->length };
        bool more = !s->begun;
        s->begun = true;
        return more;
    }
    if (!s->begun && !stream_take(streams, scope, s))
        return 0;
    s->begun = true;
    if (s->at >= s->length || s->at >= s->data.left)
        return 0;
    int r = s->expected ? 1 : take_length(streams, scope, s);
    if (r <= 0 || s->at >= s->data.left)
        return r < 0 ? r : 0;
    size_t here = s->data.left - s->at, size = s->expected;
    *m = (struct dns_message){ bytes_of(s->data.at + s->at, here < size ? here : size), size };
    s->at += size;
    s->expected = 0;
    if (s->at > s->length)
        stream_put(streams, scope, s, s->at, 0);
    return 1;
}

/* ---- text of names and records ------------------------------------------------------------------------------------ */

struct out {
    char *at, *end;
    bool full;
};

static void put_bytes(struct out *o, const char *data, size_t size)
{
    if (o->full || (size_t)(o->end - o->at) < size) {
        o->full = true; /* and stays so: nothing shorter may fill the gap */
        return;
    }
    memcpy(o->at, data, size);
    o->at += size;
}

static void put_char(struct out *o, char c)
{
    put_bytes(o, &c, 1);
}

static void put_text(struct out *o, const char *text)
{
    put_bytes(o, text, strlen(text));
}

static void put_number(struct out *o, uint32_t value)
{
    char digits[10];
    int i = sizeof digits;
    do
        digits[--i] = (char)('0' + value % 10);
    while (value /= 10);
    put_bytes(o, digits + i, sizeof digits - (size_t)i);
}

static void put_escaped(struct out *o, uint8_t c)
{
    const char text[4] = { '\\', (char)('0' + c / 100), (char)('0' + c / 10 % 10), (char)('0' + c % 10) };
    put_bytes(o, text, sizeof text);
}

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static void put_label(struct out *o, const uint8_t *label, size_t size)
{
    if (o->full || (size_t)(o->end - o->at) < size * 4) {
        o->full = true;
        return;
    }
    for (size_t i = 0; i < size; i++)
        if (is_plain(label[i]))
            *o->at++ = (char)label[i];
        else
            put_escaped(o, label[i]);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

/* Where a decoder is in its message: the bytes that are here; reading behind them fails. */
struct cursor {
    const uint8_t *data;
    size_t left; /* of data: bytes that are here */
    size_t at;
};

/* A name, to `o` (NULL: it is only passed over). Pointers must lead to what stands before the label they continue, so each name ends. False when
 * it is broken or not all here. */
static bool take_name(struct cursor *c, struct out *o)
{
    size_t at = c->at, begin = c->at, wire = 1;
    bool jumped = false, first = true;
    for (;;) {
        if (at >= c->left)
            return false;
        uint8_t size = c->data[at];
        if (size == 0)
            break;
        if (size >= 0xc0) {
            if (at + 1 >= c->left)
                return false;
            size_t to = (size_t)(size & 0x3f) << 8 | c->data[at + 1];
            if (!jumped)
                c->at = at + 2;
            jumped = true;
            if (to >= begin || to < HEADER_BYTES)
                return false;
            at = begin = to;
            continue;
        }
        wire += size + 1u;
        if (size > LABEL_BYTES || wire > NAME_BYTES || at + 1 + size > c->left)
            return false;
        if (o) {
            if (!first)
                put_char(o, '.');
            put_label(o, c->data + at + 1, size);
        }
        first = false;
        at += size + 1u;
    }
    if (!jumped)
        c->at = at + 1;
    if (o && first)
        put_char(o, '.');
    return true;
}

/* `size` bytes, or NULL. */
static const uint8_t *take(struct cursor *c, size_t size)
{
    if (c->left - c->at < size)
        return NULL;
    c->at += size;
    return c->data + c->at - size;
}

/* ---- data of records ---------------------------------------------------------------------------------------------- */

/* Each puts the data that begin at `c`, `size` bytes; false when they are not as their type wants them. */
typedef bool put_data(struct out *o, struct cursor *c, size_t size);

static bool put_address(struct out *o, const uint8_t *bytes, int family)
{
    char text[46];
    if (family == AF_INET6) {
        inet_ntop(AF_INET6, bytes, text, sizeof text);
        put_text(o, text);
        return true;
    }
    for (int i = 0; i < 4; i++) {
        if (i)
            put_char(o, '.');
        put_number(o, bytes[i]);
    }
    return true;
}

static bool put_a(struct out *o, struct cursor *c, size_t size)
{
    return size == 4 && put_address(o, take(c, 4), AF_INET);
}

static bool put_aaaa(struct out *o, struct cursor *c, size_t size)
{
    return size == 16 && put_address(o, take(c, 16), AF_INET6);
}

static bool put_name(struct out *o, struct cursor *c, size_t size)
{
    size_t end = c->at + size;
    return take_name(c, o) && c->at == end;
}

/* Numbers of 16 bits and a name: MX has one, SRV three. */
static bool put_numbers_name(struct out *o, struct cursor *c, size_t size, int n)
{
    if (size < (size_t)n * 2)
        return false;
    for (int i = 0; i < n; i++) {
        put_number(o, load_be16(take(c, 2)));
        put_char(o, ' ');
    }
    return put_name(o, c, size - (size_t)n * 2);
}

static bool put_mx(struct out *o, struct cursor *c, size_t size)
{
    return put_numbers_name(o, c, size, 1);
}

static bool put_srv(struct out *o, struct cursor *c, size_t size)
{
    return put_numbers_name(o, c, size, 3);
}

static void put_quoted(struct out *o, const uint8_t *data, size_t size)
{
    put_char(o, '"');
    for (size_t i = 0; i < size; i++)
        if (data[i] >= ' ' && data[i] < 0x7f && data[i] != '"' && data[i] != '\\')
            put_char(o, (char)data[i]);
        else
            put_escaped(o, data[i]);
    put_char(o, '"');
}

static bool put_txt(struct out *o, struct cursor *c, size_t size)
{
    const size_t end = c->at + size, start = c->at;
    while (c->at < end) {
        size_t length = *take(c, 1);
        if (length > end - c->at)
            return false;
        if (c->at - start >= LIMIT_DNS_TXT_BYTES) {
            put_text(o, " ...");
            break;
        }
        if (c->at - 1 > start)
            put_char(o, ' ');
        put_quoted(o, take(c, length), length);
    }
    return true;
}

static bool put_hints(struct out *o, const uint8_t *data, size_t size, int family)
{
    const size_t each = family == AF_INET ? 4 : 16;
    put_text(o, family == AF_INET ? " ipv4hint=" : " ipv6hint=");
    for (size_t i = 0; i + each <= size; i += each) {
        if (i)
            put_char(o, ',');
        put_address(o, data + i, family);
    }
    return size && size % each == 0;
}

static bool put_alpn(struct out *o, const uint8_t *data, size_t size)
{
    put_text(o, " alpn=");
    for (size_t i = 0; i < size; i += data[i] + 1u) {
        if (i + 1 + data[i] > size)
            return false;
        if (i)
            put_char(o, ',');
        put_label(o, data + i + 1, data[i]);
    }
    return true;
}

static bool put_port(struct out *o, const uint8_t *data, size_t size)
{
    if (size != 2)
        return false;
    put_text(o, " port=");
    put_number(o, load_be16(data));
    return true;
}

/* Parameters of SVCB and HTTPS: those that say where a client connects. */
static bool put_parameter(struct out *o, uint16_t key, const uint8_t *data, size_t size)
{
    switch (key) {
    case 1:
        return put_alpn(o, data, size);
    case 3:
        return put_port(o, data, size);
    case 4:
        return put_hints(o, data, size, AF_INET);
    case 6:
        return put_hints(o, data, size, AF_INET6);
    }
    return true;
}

static bool put_svcb(struct out *o, struct cursor *c, size_t size)
{
    const size_t end = c->at + size;
    const uint8_t *priority = size >= 2 ? take(c, 2) : NULL;
    if (!priority)
        return false;
    put_number(o, load_be16(priority));
    put_char(o, ' ');
    if (!take_name(c, o))
        return false;
    while (c->at < end) {
        const uint8_t *head = end - c->at >= 4 ? take(c, 4) : NULL;
        size_t length = head ? load_be16(head + 2) : 0;
        if (!head || length > end - c->at || !put_parameter(o, load_be16(head), take(c, length), length))
            return false;
    }
    return c->at == end;
}

/* As RFC 3597 writes what it does not know: "\# LENGTH HEX". */
static bool put_unknown(struct out *o, struct cursor *c, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *data = take(c, size);
    put_text(o, "\\# ");
    put_number(o, (uint32_t)size);
    for (size_t i = 0; i < size && i < LIMIT_DNS_TXT_BYTES / 4; i++) {
        if (!i)
            put_char(o, ' ');
        put_char(o, digits[data[i] >> 4]);
        put_char(o, digits[data[i] & 15]);
    }
    return true;
}

static put_data *data_of(uint16_t type)
{
    switch (type) {
    case DNS_A:
        return put_a;
    case DNS_AAAA:
        return put_aaaa;
    case DNS_NS:
    case DNS_CNAME:
    case DNS_PTR:
    case DNS_DNAME:
        return put_name;
    case DNS_MX:
        return put_mx;
    case DNS_SRV:
        return put_srv;
    case DNS_TXT:
        return put_txt;
    case DNS_SVCB:
    case DNS_HTTPS:
        return put_svcb;
    }
    return put_unknown;
}

/* "NAME TYPE TTL DATA". Data that are not as their type wants them are told as bytes. False when the record is broken, not all here, or there
 * is no room. */
static bool put_record(struct out *o, struct cursor *c)
{
    char number[16];
    const uint8_t *head;
    if (!take_name(c, o) || !(head = take(c, 10)))
        return false;
    size_t size = load_be16(head + 8), end = c->at + size;
    if (size > c->left - c->at)
        return false;
    put_char(o, ' ');
    put_text(o, dns_type_name(load_be16(head), number));
    put_char(o, ' ');
    put_number(o, load_be32(head + 4));
    put_char(o, ' ');
    struct out data = *o;
    struct cursor within = { c->data, end, c->at };
    if (!data_of(load_be16(head))(o, &within, size) && !o->full) {
        *o = data;
        within = (struct cursor){ c->data, end, c->at };
        put_unknown(o, &within, size);
    }
    c->at = end;
    return !o->full;
}

/* ---- the message -------------------------------------------------------------------------------------------------- */

/* Records of the answer section; false when not all were told. */
static bool set_answers(struct event *ev, struct cursor *c, unsigned n)
{
    size_t room;
    char *start = event_text_room(ev, &room);
    room = room < LIMIT_DNS_ANSWERS_BYTES ? room : LIMIT_DNS_ANSWERS_BYTES;
    struct out o = { start, start + room, false };
    char *end = start; /* of the last whole record */
    bool whole = true;
    for (unsigned i = 0; i < n && whole; i++) {
        if (i)
            put_char(&o, 0);
        whole = put_record(&o, c);
        if (whole)
            end = o.at;
    }
    if (end > start)
        event_text_done(ev, F_DNS_ANSWERS, (size_t)(end - start));
    return whole;
}

static void set_ends(struct event *ev, const struct dns_segment *s, bool answer)
{
    event_set(ev, F_PROTO, proto, s->proto);
    event_set(ev, F_SRC, src, answer ? s->dst : s->src);
    event_set(ev, F_SPORT, sport, answer ? s->dport : s->sport);
    event_set(ev, F_DST, dst, answer ? s->src : s->dst);
    event_set(ev, F_DPORT, dport, answer ? s->sport : s->dport);
}

/* One question; its name into the event when it is the wanted one. False when it is broken or not all here. */
static bool take_question(struct event *ev, struct cursor *c, bool wanted)
{
    size_t room;
    char *start = event_text_room(ev, &room);
    struct out o = { start, start + (room < LIMIT_DOMAIN_BYTES ? room : LIMIT_DOMAIN_BYTES), false };
    const uint8_t *tail;
    if (!take_name(c, wanted ? &o : NULL) || o.full || !(tail = take(c, 4)))
        return false;
    if (!wanted)
        return true;
    event_text_done(ev, F_DNS_NAME, (size_t)(o.at - start));
    event_set(ev, F_DNS_TYPE, dns_type, load_be16(tail));
    event_set(ev, F_DNS_CLASS, dns_class, load_be16(tail + 2));
    return true;
}

unsigned dns_question_count(const struct dns_message *m)
{
    unsigned n = m->data.left < HEADER_BYTES ? 1 : load_be16(m->data.at + 4);
    return !n || n > LIMIT_DNS_QUESTIONS ? 1 : n;
}

int dns_decode(struct event *ev, const struct dns_segment *s, const struct dns_message *m, unsigned question)
{
    struct cursor c = { m->data.at, m->data.left, HEADER_BYTES };
    if (m->data.left < HEADER_BYTES)
        return -EINVAL;
    const uint8_t *head = c.data;
    const bool answer = head[2] >> 7, here = m->data.left == m->size && !s->fragment;
    unsigned n_questions = load_be16(head + 4), n_records = load_be16(head + 6);
    bool cut = head[2] & 2 || !here;
    /* Clients send to port 53 and get from it; a message the other way round is somebody else's protocol, or meant to deceive. */
    if ((answer ? s->sport : s->dport) != DNS_PORT || n_questions > LIMIT_DNS_QUESTIONS || (!n_questions && !answer && !load_be16(head + 10)))
        return -EINVAL;
    set_ends(ev, s, answer);
    event_set(ev, F_DNS_OP, dns_op, answer ? DNS_ANSWER : DNS_QUERY);
    event_set(ev, F_DNS_ID, dns_id, load_be16(head));
    event_set(ev, F_DNS_SIZE, dns_size, (uint32_t)m->size);
    if (answer)
        event_set(ev, F_DNS_RCODE, dns_rcode, head[3] & 15);
    bool whole = true;
    for (unsigned i = 0; i < n_questions && whole; i++)
        whole = take_question(ev, &c, i == question);
    if (!whole && here)
        return -EINVAL;
    if (answer && whole && !question)
        whole = set_answers(ev, &c, n_records);
    event_set(ev, F_DNS_TRUNCATED, dns_truncated, cut || !whole);
    return 0;
}
