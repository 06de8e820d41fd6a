#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cmocka.h>

#include "agent/sensors/listeners.h"
#include "common/clock.h"

#define SPACE 3

static struct listeners table;

static int start(void **state)
{
    (void)state;
    return listeners_init(&table, (struct hash_key){ 1, 2 });
}

static int end(void **state)
{
    (void)state;
    listeners_fini(&table);
    return 0;
}

static struct inet_socket socket_on(uint16_t port, uint32_t inode)
{
    return (struct inet_socket){ .state = TCP_LISTEN, .lport = port, .inode = inode, .local = { .family = 4, .bytes = { 127, 0, 0, 1 } } };
}

/* Those in this state; the last one in *out. */
static int in_state(enum listener_state state, struct listener **out)
{
    int n = 0;
    for (uint32_t i = 0; i < LIMIT_LISTENERS; i++)
        if (table.slots[i].state == state) {
            *out = &table.slots[i];
            n++;
        }
    return n;
}

static void count_end(void *to, struct listener *l)
{
    (void)l;
    ++*(int *)to;
}

static int sweep(uint32_t round)
{
    int n = 0;
    listeners_sweep(&table, SPACE, round, count_end, &n);
    return n;
}

static void sockets_of_one_port_are_one(void **state)
{
    struct listener *l = NULL;
    (void)state;
    struct inet_socket a = socket_on(80, 11), b = socket_on(80, 12);
    listeners_see(&table, SPACE, 1, true, IPPROTO_TCP, &a, 1);
    listeners_see(&table, SPACE, 1, true, IPPROTO_TCP, &b, 1);
    assert_int_equal(in_state(LISTENER_WAITING, &l), 1);
    assert_true(l->first);
    l->state = LISTENER_TOLD;
    listeners_see(&table, SPACE, 2, false, IPPROTO_TCP, &b, 2); /* one of them closed */
    assert_int_equal(sweep(2), 0);
    assert_int_equal(sweep(3), 1);
    assert_int_equal(in_state(LISTENER_TOLD, &l), 0);
}

static void another_user_is_another_listener(void **state)
{
    struct listener *l = NULL;
    (void)state;
    struct inet_socket a = socket_on(80, 11), b = socket_on(80, 12), c = socket_on(80, 13);
    b.uid = 1000;
    c.local = (struct address){ .family = 6 };
    listeners_see(&table, SPACE, 1, false, IPPROTO_TCP, &a, 1);
    listeners_see(&table, SPACE, 1, false, IPPROTO_TCP, &b, 1);
    listeners_see(&table, SPACE, 1, false, IPPROTO_TCP, &c, 1);
    listeners_see(&table, SPACE + 1, 1, false, IPPROTO_TCP, &a, 1);
    listeners_see(&table, SPACE, 1, false, IPPROTO_UDP, &a, 1);
    assert_int_equal(in_state(LISTENER_WAITING, &l), 5);
}

static void what_was_never_told_ends_silently(void **state)
{
    struct listener *l = NULL;
    (void)state;
    struct inet_socket a = socket_on(80, 11);
    listeners_see(&table, SPACE, 1, false, IPPROTO_TCP, &a, 1);
    assert_int_equal(sweep(2), 0);
    assert_int_equal(in_state(LISTENER_WAITING, &l), 0);
}

static void a_udp_clients_socket(void **state)
{
    struct listener *l = NULL;
    (void)state;
    struct inet_socket client = socket_on(45000, 11), server = socket_on(53, 12);
    listeners_see(&table, SPACE, 1, false, IPPROTO_UDP, &client, 0);
    listeners_see(&table, SPACE, 1, false, IPPROTO_UDP, &server, 0);
    assert_int_equal(in_state(LISTENER_WAITING, &l), 1);
    assert_int_equal(l->port, 53);
    listeners_see(&table, SPACE, 2, false, IPPROTO_UDP, &client, LIMIT_LISTEN_UDP_NS - 1);
    assert_int_equal(in_state(LISTENER_YOUNG, &l), 1);
    listeners_see(&table, SPACE, 3, false, IPPROTO_UDP, &client, LIMIT_LISTEN_UDP_NS);
    assert_int_equal(in_state(LISTENER_YOUNG, &l), 0);
    assert_int_equal(in_state(LISTENER_WAITING, &l), 2);
}

static void packet_sockets_one_by_one(void **state)
{
    struct listener *l = NULL;
    (void)state;
    struct packet_socket a = { .type = 3, .proto = 3, .inode = 5, .cookie = 1 }, b = { .type = 3, .proto = 3, .inode = 6, .cookie = 2 };
    listeners_see_packet(&table, SPACE, 1, false, &a, 1);
    listeners_see_packet(&table, SPACE, 1, false, &b, 1);
    listeners_see_packet(&table, SPACE, 1, false, &b, 1);
    assert_int_equal(in_state(LISTENER_WAITING, &l), 2);
    assert_int_equal(l->proto, 0);
}

static void what_listens(void **state)
{
    (void)state;
    struct inet_socket s = socket_on(80, 1);
    assert_true(listener_is(&s, IPPROTO_TCP));
    assert_false(listener_is(&s, IPPROTO_UDP));
    s.state = TCP_CLOSE;
    assert_true(listener_is(&s, IPPROTO_UDP));
    s.pport = 53;
    assert_false(listener_is(&s, IPPROTO_UDP));
    s.lport = s.pport = 0;
    assert_false(listener_is(&s, IPPROTO_UDP));
}

static void more_than_there_is_room_for(void **state)
{
    struct listener *l = NULL;
    (void)state;
    for (uint32_t i = 0; i < 2 * LIMIT_LISTENERS; i++) {
        struct inet_socket s = socket_on((uint16_t)(1 + i), 1 + i);
        listeners_see(&table, SPACE, 1, false, IPPROTO_TCP, &s, 1);
    }
    assert_int_equal(in_state(LISTENER_WAITING, &l) + (int)table.n_refused, 2 * LIMIT_LISTENERS);
    assert_int_equal(sweep(0), 0);
    assert_int_equal(in_state(LISTENER_WAITING, &l), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sockets_of_one_port_are_one, start, end),
        cmocka_unit_test_setup_teardown(another_user_is_another_listener, start, end),
        cmocka_unit_test_setup_teardown(what_was_never_told_ends_silently, start, end),
        cmocka_unit_test_setup_teardown(a_udp_clients_socket, start, end),
        cmocka_unit_test_setup_teardown(packet_sockets_one_by_one, start, end),
        cmocka_unit_test(what_listens),
        cmocka_unit_test_setup_teardown(more_than_there_is_room_for, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
