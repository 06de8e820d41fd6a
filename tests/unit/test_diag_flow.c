#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "agent/sensors/diag_flow.h"
#include "tests/unit/fixture.h"

static union event_buffer buffer;
static struct event *const ev = &buffer.event;

static struct inet_socket of_tcp(const char *local, uint16_t lport, const char *peer, uint16_t pport)
{
    struct inet_socket s = { .state = 7, .proto = IPPROTO_TCP, .has_bytes = true, .lport = lport, .pport = pport, .cookie = 4711, .bytes_acked = 1000,
                             .bytes_received = 20 };
    assert_int_equal(address_parse(local, &s.local), 0);
    assert_int_equal(address_parse(peer, &s.peer), 0);
    return s;
}

static bool flow_of(const struct inet_socket *s, int32_t nsid)
{
    event_init(ev, EVENT_FLOW, SOURCE_FLOW, 1);
    return diag_flow(ev, s, nsid);
}

static void a_client(void **state)
{
    struct inet_socket s = of_tcp("198.51.100.10", 40000, "203.0.113.1", 443);
    char text[46];
    (void)state;
    assert_true(flow_of(&s, 3));
    assert_int_equal(ev->flow_phase, FLOW_END);
    assert_int_equal(ev->nsid, 3);
    address_format(&ev->src, text);
    assert_string_equal(text, "198.51.100.10");
    assert_int_equal(ev->dport, 443);
    assert_int_equal(ev->reply_sport, 443);
    assert_int_equal(ev->bytes_out, 1000);
    assert_int_equal(ev->bytes_in, 20);
    assert_false(event_knows(ev, F_PACKETS_OUT));
    uint64_t id = ev->flow_id;
    assert_true(flow_of(&s, 4));
    assert_true(ev->flow_id != id);
}

static void a_server(void **state)
{
    struct inet_socket s = of_tcp("2001:db8::10", 80, "2001:db8::1", 50000);
    char text[46];
    (void)state;
    assert_true(flow_of(&s, -1));
    address_format(&ev->src, text);
    assert_string_equal(text, "2001:db8::1");
    assert_int_equal(ev->dport, 80);
    assert_int_equal(ev->bytes_out, 20);
    assert_int_equal(ev->bytes_in, 1000);
}

static void no_connections(void **state)
{
    struct inet_socket s = of_tcp("198.51.100.10", 80, "0.0.0.0", 0);
    (void)state;
    assert_false(flow_of(&s, 1)); /* listened */
    s = of_tcp("0.0.0.0", 0, "203.0.113.1", 80);
    assert_false(flow_of(&s, 1));
    s = of_tcp("198.51.100.10", 50000, "203.0.113.1", 80);
    s.proto = IPPROTO_SCTP;
    assert_false(flow_of(&s, 1));
    s.proto = IPPROTO_UDP;
    assert_true(flow_of(&s, 1));
    assert_false(event_knows(ev, F_BYTES_OUT));
}

static void what_the_kernel_sends(void **state)
{
    size_t size;
    struct inet_socket s;
    (void)state;
    char *data = fixture_read("inet_diag/destroyed", &size);
    struct bytes datagram = bytes_of(data, size);
    assert_int_equal(inet_diag_next(&datagram, &s), DIAG_SOCKET);
    assert_true(flow_of(&s, 1));
    assert_int_equal(ev->proto, IPPROTO_TCP);
    assert_true(event_knows(ev, F_BYTES_OUT));
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client), cmocka_unit_test(a_server), cmocka_unit_test(no_connections), cmocka_unit_test(what_the_kernel_sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
