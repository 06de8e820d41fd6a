#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/inet_diag_decode.h"
#include "tests/unit/fixture.h"

static void assert_address(const struct address *address, const char *text)
{
    char out[46];
    address_format(address, out);
    assert_string_equal(out, text);
}

/* The only socket of a sample. */
static struct inet_socket one(const char *name)
{
    size_t size;
    struct inet_socket s;
    char *bytes = fixture_read(name, &size);
    struct bytes datagram = bytes_of(bytes, size);
    assert_int_equal(inet_diag_next(&datagram, &s), DIAG_SOCKET);
    free(bytes);
    return s;
}

static void connected_tcp(void **state)
{
    (void)state;
    struct inet_socket s = one("inet_diag/tcp");
    assert_int_equal(s.state, 1);
    assert_address(&s.local, "198.51.100.1");
    assert_address(&s.peer, "198.51.100.1");
    assert_int_equal(s.lport, 40001);
    assert_int_equal(s.pport, 8080);
    assert_int_equal(s.inode, 20204058);
    assert_int_equal(s.uid, 0);
    assert_int_equal(s.cgroup_id, 1);
    assert_int_equal(s.cookie, 0x94c);
    assert_true(s.has_bytes);
    assert_int_equal(s.bytes_acked, 6); /* and the SYN */
}

static void unconnected_udp(void **state)
{
    (void)state;
    struct inet_socket s = one("inet_diag/udp");
    assert_int_equal(s.state, 7);
    assert_address(&s.local, "0.0.0.0");
    assert_int_equal(s.lport, 5353);
    assert_int_equal(s.pport, 0);
    assert_int_equal(s.inode, 20204060);
    assert_false(s.has_bytes);
    assert_false(s.dual);
}

static void a_destroyed_socket(void **state)
{
    (void)state;
    struct inet_socket s = one("inet_diag/destroyed");
    assert_int_equal(s.proto, 6);
    assert_int_equal(s.lport, 40001);
    assert_int_equal(s.inode, 0);
    assert_true(s.has_bytes);
}

static void listening_on_both(void **state)
{
    size_t size;
    struct inet_socket s;
    int n = 0;
    (void)state;
    char *bytes = fixture_read("inet_diag/listen6", &size);
    struct bytes datagram = bytes_of(bytes, size);
    while (inet_diag_next(&datagram, &s) == DIAG_SOCKET) {
        assert_int_equal(s.state, 10);
        assert_int_equal(s.dual, s.lport == 8081);
        assert_address(&s.local, s.lport == 8081 ? "::" : "2001:db8::1");
        n++;
    }
    assert_int_equal(n, 2);
    free(bytes);
}

static void packet_sockets(void **state)
{
    size_t size;
    struct packet_socket p[3];
    (void)state;
    char *bytes = fixture_read("inet_diag/packets", &size);
    struct bytes datagram = bytes_of(bytes, size);
    assert_int_equal(packet_diag_next(&datagram, &p[0]), DIAG_SOCKET);
    assert_int_equal(packet_diag_next(&datagram, &p[1]), DIAG_SOCKET);
    assert_int_equal(packet_diag_next(&datagram, &p[2]), DIAG_MORE);
    const struct packet_socket *raw = p[0].type == 3 ? &p[0] : &p[1], *cooked = p[0].type == 3 ? &p[1] : &p[0];
    assert_int_equal(raw->type, 3);
    assert_int_equal(raw->proto, 3); /* ETH_P_ALL */
    assert_int_equal(raw->inode, 20204061);
    assert_int_equal(raw->ifindex, 0);
    assert_int_equal(cooked->type, 2);
    assert_int_equal(cooked->proto, 0);
    free(bytes);
}

static void the_end_and_errors(void **state)
{
    size_t size;
    struct inet_socket s;
    struct packet_socket p;
    (void)state;
    char *bytes = fixture_read("inet_diag/done", &size);
    struct bytes datagram = bytes_of(bytes, size);
    assert_int_equal(packet_diag_next(&datagram, &p), DIAG_DONE);
    free(bytes);
    bytes = fixture_read("inet_diag/none", &size);
    datagram = bytes_of(bytes, size);
    assert_int_equal(inet_diag_next(&datagram, &s), -ENOENT);
    assert_int_equal(datagram.left, 0);
    free(bytes);
    bytes = fixture_read("inet_diag/packets", &size); /* sockets of another kind are passed over */
    datagram = bytes_of(bytes, size);
    assert_in_set(inet_diag_next(&datagram, &s), ((const uintmax_t[]){ DIAG_MORE, (uintmax_t)-EINVAL }), 2);
    free(bytes);
}

/* Whatever is cut off, nothing behind the end is read (under valgrind or ASan) and it ends. */
static void cut_datagrams(void **state)
{
    static const char *const names[] = { "inet_diag/listen6", "inet_diag/tcp", "inet_diag/packets" };
    size_t size;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *bytes = fixture_read(names[i], &size);
        for (size_t cut = 0; cut < size; cut++) {
            char *copy = malloc(cut + 1);
            memcpy(copy, bytes, cut);
            struct bytes inet = bytes_of(copy, cut), packets = inet;
            struct inet_socket s;
            struct packet_socket p;
            while (inet_diag_next(&inet, &s) == DIAG_SOCKET)
                ;
            while (packet_diag_next(&packets, &p) == DIAG_SOCKET)
                ;
            assert_int_equal(inet.left, 0);
            assert_int_equal(packets.left, 0);
            free(copy);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connected_tcp),      cmocka_unit_test(unconnected_udp), cmocka_unit_test(a_destroyed_socket),
        cmocka_unit_test(listening_on_both),  cmocka_unit_test(packet_sockets),  cmocka_unit_test(the_end_and_errors),
        cmocka_unit_test(cut_datagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
