#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/ct_decode.h"
#include "agent/sensors/netlink_attrs.h"

static uint8_t bytes[65536];

static size_t fixture(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/fixtures/ct/%s.bin", TEST_SRCDIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return n;
}

static struct event ev;

/* The only message of a sample. */
static void decode(const char *name, int32_t nsid)
{
    struct bytes datagram = bytes_of(bytes, fixture(name));
    const uint8_t *message;
    size_t size;
    assert_int_equal(netlink_next(&datagram, &message, &size), 1);
    event_init(&ev, EVENT_FLOW, SOURCE_FLOW, 1);
    assert_int_equal(ct_decode(&ev, message, size, nsid), 0);
    assert_int_equal(netlink_next(&datagram, &message, &size), 0);
    assert_int_equal(event_check(&ev, ev.size), 0);
}

static void assert_address(const struct address *a, const char *text)
{
    char shown[46];
    address_format(a, shown);
    assert_string_equal(shown, text);
}

static void tcp_flow_from_new_to_end(void **state)
{
    (void)state;
    static const uint8_t phases[] = { FLOW_NEW, FLOW_UPDATE, FLOW_UPDATE, FLOW_UPDATE, FLOW_UPDATE, FLOW_END };
    uint64_t id = 0;
    for (int i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof name, "tcp4_%d", i);
        decode(name, -1);
        assert_int_equal(ev.flow_phase, phases[i]);
        assert_int_equal(ev.proto, 6);
        assert_address(&ev.src, "198.51.100.1");
        assert_address(&ev.dst, "198.51.100.1");
        assert_int_equal(ev.dport, 8081);
        assert_int_equal(ev.reply_sport, 8081);
        assert_int_equal(ev.reply_dport, ev.sport);
        assert_int_equal(ev.nsid, -1);
        assert_true(i == 0 || id == ev.flow_id);
        id = ev.flow_id;
    }
    assert_true(event_knows(&ev, F_BYTES_OUT) && event_knows(&ev, F_PACKETS_IN));
    assert_true(ev.bytes_in > 1000 && ev.bytes_out > 5 && ev.bytes_out < ev.bytes_in && ev.packets_out > 3);
    decode("tcp4_0", 3);
    assert_int_equal(ev.nsid, 3);
    assert_int_not_equal(ev.flow_id, id);
    assert_int_equal(ev.tcp_state, 2); /* syn-sent */
}

static void ipv6_flow(void **state)
{
    (void)state;
    decode("tcp6_0", -1);
    assert_int_equal(ev.src.family, 6);
    assert_address(&ev.src, "2001:db8::1");
    assert_address(&ev.reply_dst, "2001:db8::1");
    assert_int_equal(ev.dport, 8081);
}

static void redirected_flow_has_both_tuples(void **state)
{
    (void)state;
    decode("dnat_0", -1);
    assert_address(&ev.dst, "198.51.100.9");
    assert_int_equal(ev.dport, 80);
    assert_address(&ev.reply_src, "198.51.100.1");
    assert_int_equal(ev.reply_sport, 8080);
}

static void icmp_has_id_type_and_code(void **state)
{
    (void)state;
    decode("ping4_0", -1);
    assert_int_equal(ev.proto, 1);
    assert_int_equal(ev.sport, 0x1234);
    assert_int_equal(ev.dport, 8 << 8);
    decode("ping6_0", -1);
    assert_int_equal(ev.proto, 58);
    assert_int_equal(ev.sport, 0x1234);
    assert_int_equal(ev.dport, 128 << 8);
}

static void dump_holds_many_flows_that_exist(void **state)
{
    (void)state;
    struct bytes datagram = bytes_of(bytes, fixture("dump_0"));
    const uint8_t *message;
    size_t size;
    int n = 0;
    while (netlink_next(&datagram, &message, &size) > 0) {
        event_init(&ev, EVENT_FLOW, SOURCE_FLOW, 1);
        assert_int_equal(ct_decode(&ev, message, size, -1), 0);
        assert_int_equal(ev.flow_phase, FLOW_UPDATE);
        assert_true(event_knows(&ev, F_BYTES_OUT));
        n++;
    }
    assert_true(n > 5);
}

/* Cut anywhere, a message is refused or (cut between attributes) decoded; nothing is read behind its end. */
static void cut_messages_are_refused(void **state)
{
    (void)state;
    size_t size = fixture("dnat_5");
    int refused = 0;
    for (size_t n = 0; n < size; n++) {
        event_init(&ev, EVENT_FLOW, SOURCE_FLOW, 1);
        refused += ct_decode(&ev, bytes, n, -1) == -EINVAL;
    }
    assert_true(refused > 100);
}

static void bad_message_leaves_the_next_one(void **state)
{
    (void)state;
    struct bytes datagram = bytes_of(bytes, fixture("dump_0"));
    const uint8_t *message;
    size_t size;
    memset(bytes + 20, 0xff, 4); /* head of the first attribute: longer than the message */
    assert_int_equal(netlink_next(&datagram, &message, &size), 1);
    event_init(&ev, EVENT_FLOW, SOURCE_FLOW, 1);
    assert_int_equal(ct_decode(&ev, message, size, -1), -EINVAL);
    assert_int_equal(netlink_next(&datagram, &message, &size), 1);
    event_init(&ev, EVENT_FLOW, SOURCE_FLOW, 1);
    assert_int_equal(ct_decode(&ev, message, size, -1), 0);
}

/* 20 bytes of headers, then what the test puts behind. */
static size_t message_start(uint16_t flags)
{
    static const uint8_t head[20] = { [4] = 0, [5] = 1, [16] = 2 };
    memset(bytes, 0, 512);
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + 6, &flags, 2);
    return sizeof head;
}

static size_t put(size_t at, uint16_t type, const void *data, size_t size)
{
    uint16_t length = (uint16_t)(size + 4);
    memcpy(bytes + at, &length, 2);
    memcpy(bytes + at + 2, &type, 2);
    if (data)
        memcpy(bytes + at + 4, data, size);
    return at + ((size + 4 + 3) & ~(size_t)3);
}

static size_t put_tuple(size_t at, uint16_t type, uint16_t kind, const void *src, const void *dst, size_t address_size)
{
    static const uint8_t tcp = 6, port[2] = { 0x1f, 0x90 };
    size_t start = at;
    at = put(at, 1, NULL, 2 * (address_size + 4)) - 2 * (address_size + 4);
    start = at - 4;
    at = put(at, kind, src, address_size);
    at = put(at, (uint16_t)(kind + 1), dst, address_size);
    size_t proto = at;
    at = put(proto + 4, 1, &tcp, 1);
    at = put(at, 2, port, 2);
    at = put(at, 3, port, 2);
    put(proto, 2, NULL, at - proto - 4);
    memmove(bytes + start + 4, bytes + start, at - start);
    put(start, type | 0x8000, NULL, at - start);
    return at + 4;
}

static void mapped_addresses_become_ipv4(void **state)
{
    (void)state;
    static const uint8_t a[16] = { [10] = 0xff, [11] = 0xff, [12] = 198, [13] = 51, [14] = 100, [15] = 7 };
    size_t end = put_tuple(message_start(0x400), 1, 3, a, a, 16);
    event_init(&ev, EVENT_FLOW, SOURCE_FLOW, 1);
    assert_int_equal(ct_decode(&ev, bytes, end, -1), 0);
    assert_int_equal(ev.flow_phase, FLOW_NEW);
    assert_address(&ev.src, "198.51.100.7");
    assert_int_equal(ev.dport, 8080);
    assert_false(event_knows(&ev, F_REPLY_SRC));
    assert_false(event_knows(&ev, F_BYTES_OUT));
}

static void wrong_sizes_are_refused_and_unknown_attributes_skipped(void **state)
{
    (void)state;
    static const uint8_t a[4] = { 198, 51, 100, 7 };
    size_t tuple = put_tuple(message_start(0), 1, 1, a, a, 4), end = put(tuple, 99, a, 3);
    assert_int_equal(ct_decode(&ev, bytes, end, -1), 0);
    end = put(tuple, 12, a, 2); /* CTA_ID */
    assert_int_equal(ct_decode(&ev, bytes, end, -1), -EINVAL);
    end = put(tuple, 9, NULL, 8); /* CTA_COUNTERS_ORIG with a counter of no bytes */
    put(tuple + 4, 2, NULL, 4);
    assert_int_equal(ct_decode(&ev, bytes, end, -1), -EINVAL);
    bytes[tuple - 4] = 0xee;
    assert_int_equal(ct_decode(&ev, bytes, 20, -1), -EINVAL); /* no tuple */
}

static void other_messages_are_no_flows(void **state)
{
    (void)state;
    message_start(0);
    bytes[4] = 2; /* IPCTNL_MSG_CT_DELETE without a tuple */
    assert_int_equal(ct_decode(&ev, bytes, 20, -1), -EINVAL);
    bytes[5] = 2; /* expectations */
    assert_int_equal(ct_decode(&ev, bytes, 20, -1), CT_OTHER);
    bytes[5] = 0;
    bytes[4] = 3; /* NLMSG_DONE */
    assert_int_equal(ct_decode(&ev, bytes, 20, -1), CT_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_flow_from_new_to_end),
        cmocka_unit_test(ipv6_flow),
        cmocka_unit_test(redirected_flow_has_both_tuples),
        cmocka_unit_test(icmp_has_id_type_and_code),
        cmocka_unit_test(dump_holds_many_flows_that_exist),
        cmocka_unit_test(cut_messages_are_refused),
        cmocka_unit_test(bad_message_leaves_the_next_one),
        cmocka_unit_test(mapped_addresses_become_ipv4),
        cmocka_unit_test(wrong_sizes_are_refused_and_unknown_attributes_skipped),
        cmocka_unit_test(other_messages_are_no_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
