#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/address_decode.h"
#include "agent/sensors/netlink_attrs.h"
#include "tests/unit/fixture.h"

/* What a captured datagram says, as text. `nsid`: of the namespace that sent it. */
static const char *told(const char *name, int32_t nsid)
{
    static char text[1024];
    char address[46];
    size_t size, length, used = 0;
    char *data = fixture_read(name, &size);
    struct bytes datagram = bytes_of(data, size);
    const uint8_t *message;
    text[0] = 0;
    while (netlink_next(&datagram, &message, &length) > 0) {
        struct event ev;
        int32_t of = nsid;
        event_init(&ev, EVENT_NETNS, SOURCE_NETNS, 1);
        int r = address_decode(&ev, message, length, &of);
        if (r == ADDRESS_NETNS)
            used += (size_t)snprintf(text + used, sizeof text - used, "netns %d ", of);
        if (r)
            continue;
        address_format(&ev.src, address);
        assert_int_equal(ev.nsid, of);
        used += (size_t)snprintf(text + used, sizeof text - used, "%c%d:%s ", ev.netns_op == NETNS_ADDRESS ? '+' : '-', of,
                                 event_knows(&ev, F_SRC) ? address : "all");
    }
    free(data);
    return text;
}

static void what_the_kernel_sent_is_understood(void **state)
{
    (void)state;
    assert_string_equal(told("address/nsids.bin", -1), "netns 0 ");
    assert_string_equal(told("address/dump_own.bin", -1), "+-1:127.0.0.1 +-1:198.51.100.3 +-1:::1 +-1:2001:db8::1 ");
    assert_string_equal(told("address/dump_other.bin", -1), "+0:127.0.0.1 +0:198.51.100.2 +0:::1 +0:2001:db8::2 ");
    assert_string_equal(told("address/event_0.bin", -1), "netns 0 ");
    assert_string_equal(told("address/event_1.bin", -1), "+-1:198.51.100.1 ");
    assert_string_equal(told("address/event_2.bin", -1), "+-1:198.51.100.3 "); /* not the other end's */
    assert_string_equal(told("address/event_3.bin", -1), "+-1:2001:db8::1 ");
    assert_string_equal(told("address/event_4.bin", 0), "+0:127.0.0.1 ");
    assert_string_equal(told("address/event_10.bin", -1), "-0:all ");
}

static void cut_messages_are_refused(void **state)
{
    (void)state;
    size_t size;
    char *data = fixture_read("address/event_1.bin", &size);
    for (size_t n = 0; n < size; n++) {
        struct event ev;
        int32_t nsid = -1;
        event_init(&ev, EVENT_NETNS, SOURCE_NETNS, 1);
        int r = address_decode(&ev, (const uint8_t *)data, n, &nsid);
        assert_true(r == -EINVAL || (!r && event_knows(&ev, F_SRC)));
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_kernel_sent_is_understood),
        cmocka_unit_test(cut_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
