#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/uevent_decode.h"
#include "tests/unit/fixture.h"

static char name[64];

static int decode_sample(const char *sample)
{
    size_t size;
    char *bytes = fixture_read(sample, &size);
    int kind = uevent_decode(bytes, size, name);
    free(bytes);
    return kind;
}

static void modules_come_and_go(void **state)
{
    (void)state;
    assert_int_equal(decode_sample("uevent/module_add"), UEVENT_MODULE_ADDED);
    assert_string_equal(name, "dummy");
    assert_int_equal(decode_sample("uevent/module_remove"), UEVENT_MODULE_REMOVED);
    assert_string_equal(name, "dummy");
}

static void what_is_no_load_is_left_out(void **state)
{
    (void)state;
    static const char driver[] = "add@/module/a/drivers/b\0ACTION=add\0DEVPATH=/module/a/drivers/b\0SUBSYSTEM=module\0SEQNUM=1";
    static const char change[] = "change@/module/a\0ACTION=change\0DEVPATH=/module/a\0SUBSYSTEM=module\0SEQNUM=1";
    assert_int_equal(decode_sample("uevent/module_add_synthetic"), UEVENT_OTHER);
    assert_int_equal(decode_sample("uevent/net_add"), UEVENT_OTHER);
    assert_int_equal(decode_sample("uevent/net_change_synthetic"), UEVENT_OTHER);
    assert_int_equal(uevent_decode(driver, sizeof driver, name), UEVENT_OTHER);
    assert_int_equal(uevent_decode(change, sizeof change, name), UEVENT_OTHER);
}

static void broken_ones_are_refused(void **state)
{
    (void)state;
    char longest[256] = "add@/module/x\0ACTION=add\0SUBSYSTEM=module\0DEVPATH=/module/";
    size_t head = sizeof "add@/module/x\0ACTION=add\0SUBSYSTEM=module\0DEVPATH=/module/" - 1;
    memset(longest + head, 'm', 64);
    assert_int_equal(uevent_decode(longest, head + 65, name), -EINVAL);
    assert_int_equal(uevent_decode(longest, head + 63, name), UEVENT_MODULE_ADDED); /* the last setting may be cut */
    assert_int_equal(strlen(name), 63);
    assert_int_equal(uevent_decode("libudev\0\xfe\xed\xca\xfe", 12, name), -EINVAL);
    assert_int_equal(uevent_decode("add@/module/x", 13, name), -EINVAL);
    assert_int_equal(uevent_decode("", 0, name), -EINVAL);
    assert_int_equal(uevent_decode("add@/module/x", 14, name), UEVENT_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_come_and_go),
        cmocka_unit_test(what_is_no_load_is_left_out),
        cmocka_unit_test(broken_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
