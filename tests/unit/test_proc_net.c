#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/proc_net.h"

static struct proc_net_socket s;

static int parse(const char *line)
{
    return proc_net_parse(line, strlen(line), &s);
}

static void assert_address(const struct address *a, const char *text)
{
    char shown[46];
    address_format(a, shown);
    assert_string_equal(shown, text);
}

/* Samples of a little-endian machine. */
static void real_lines(void **state)
{
    (void)state;
    assert_int_equal(parse("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 "
                           "0000000000000000 100 0 0 10 0"), 0);
    assert_address(&s.local, "127.0.0.1");
    assert_int_equal(s.lport, 8080);
    assert_int_equal(s.state, 10);
    assert_int_equal(s.uid, 1000);
    assert_int_equal(s.inode, 12345);
    assert_int_equal(parse("   1: 0100007F:A000 076433C6:01BB 01 00000000:00000000 02:000004A2 00000000     0        0 99 2 x"), 0);
    assert_address(&s.peer, "198.51.100.7");
    assert_int_equal(s.pport, 443);
    assert_int_equal(parse("  12: B80D0120000000000000000001000000:1F90 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 7 2 x"), 0);
    assert_address(&s.local, "2001:db8::1");
    assert_int_equal(parse("12345: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:0050 01 0:0 00:0 0 0 0 7 2 x"), 0);
    assert_address(&s.local, "127.0.0.1");
    assert_int_equal(s.local.family, 4);
}

static void other_lines_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "", " ", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
        "0: 0100007F:1F90", "0: 0100007F:1F90 00000000:0000", "0: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0", "0: 0100007F:1F90 00000000:0000 0A 0 0 0 -1 0 7",
        "0: 0100007F1F90 00000000:0000 0A 0 0 0 0 0 7", "0: 0100007G:1F90 00000000:0000 0A 0 0 0 0 0 7", "0: 01007F:1F90 000000:0000 0A 0 0 0 0 0 7",
        "0: 0100007F:1F90 00000000:0000 0AA 0 0 0 0 0 7", "0: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0 99999999999999999999999",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal(parse(lines[i]), -EINVAL);
    assert_int_equal(parse("0: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0 7"), 0);
}

static int match(const char *line, const char *local, uint16_t lport, const char *peer, uint16_t pport)
{
    struct address l, p;
    assert_int_equal(parse(line), 0);
    assert_int_equal(address_parse(local, &l), 0);
    if (peer)
        assert_int_equal(address_parse(peer, &p), 0);
    return proc_net_match(&s, &l, lport, peer ? &p : NULL, pport);
}

static void best_match(void **state)
{
    (void)state;
    const char *connected = "1: 0100007F:1F90 076433C6:01BB 01 0 0 0 0 0 7", *bound = "1: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0 7",
               *any = "1: 00000000:1F90 00000000:0000 07 0 0 0 0 0 7",
               *any6 = "1: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 07 0 0 0 0 0 7";
    assert_int_equal(match(connected, "127.0.0.1", 8080, "198.51.100.7", 443), PROC_NET_EXACT);
    assert_int_equal(match(connected, "127.0.0.1", 8080, "198.51.100.7", 444), 0);
    assert_int_equal(match(connected, "127.0.0.1", 8080, "198.51.100.8", 443), 0);
    assert_int_equal(match(connected, "127.0.0.1", 8080, NULL, 0), 2);
    assert_int_equal(match(connected, "127.0.0.1", 8081, NULL, 0), 0);
    assert_int_equal(match(bound, "127.0.0.1", 8080, "198.51.100.7", 443), 2);
    assert_int_equal(match(bound, "127.0.0.2", 8080, "198.51.100.7", 443), 0);
    assert_int_equal(match(any, "198.51.100.1", 8080, "198.51.100.7", 443), 1);
    assert_int_equal(match(any6, "198.51.100.1", 8080, "198.51.100.7", 443), 1);
    assert_int_equal(match(any6, "2001:db8::1", 8080, "2001:db8::2", 443), 1);
    assert_int_equal(match(any, "2001:db8::1", 8080, "2001:db8::2", 443), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_lines),
        cmocka_unit_test(other_lines_are_refused),
        cmocka_unit_test(best_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
