#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "agent/sensors/rootfs.h"

#define PROC "500 400 0:60 / /proc rw - proc proc rw\n"
#define OVERLAY(options) "400 300 0:57 / / rw,relatime master:1 shared:2 - overlay overlay " options "\n" PROC

static int parse(const char *text, struct rootfs *out)
{
    return rootfs_parse(text, strlen(text), out);
}

static void test_overlay(void **state)
{
    (void)state;
    struct rootfs r;
    assert_int_equal(parse(OVERLAY("rw,lowerdir=/l/A:/l/B,upperdir=/var/lib/docker/overlay2/x/diff,workdir=/w,xino=off"), &r), 0);
    assert_int_equal(r.dev, makedev(0, 57));
    assert_string_equal(r.upperdir, "/var/lib/docker/overlay2/x/diff");
    assert_int_equal(parse(OVERLAY("upperdir=/a\\040b\\054c\\134d"), &r), 0);
    assert_string_equal(r.upperdir, "/a b,c\\d");
    assert_int_equal(parse(OVERLAY("ro,lowerdir=/l"), &r), 0);
    assert_string_equal(r.upperdir, "");
    assert_int_equal(parse(OVERLAY("rw,upperdir=x/diff,workdir=y"), &r), 0);
    assert_string_equal(r.upperdir, "");
    assert_int_equal(parse(OVERLAY("rw,upperdir=/a\\000b"), &r), 0);
    assert_string_equal(r.upperdir, "");
}

static void test_last_wins(void **state)
{
    (void)state;
    struct rootfs r;
    assert_int_equal(parse("27 1 254:0 / / rw - ext4 /dev/vda rw\n" OVERLAY("upperdir=/u"), &r), 0);
    assert_string_equal(r.upperdir, "/u");
    assert_int_equal(parse(OVERLAY("upperdir=/u") "27 1 254:3 /some/dir / rw - ext4 /dev/vda rw,upperdir=/x\n", &r), 0);
    assert_string_equal(r.upperdir, "");
    assert_int_equal(r.dev, makedev(254, 3));
}

static void test_refused(void **state)
{
    (void)state;
    struct rootfs r;
    assert_int_equal(parse("", &r), -2);
    assert_int_equal(parse(PROC, &r), -2);
    assert_int_equal(parse(PROC "400 300 0:57 / / rw - overlay over", &r), -2); /* cut */
    assert_int_equal(parse("garbage\n", &r), -22);
    assert_int_equal(parse("1 2 0:1 / / rw overlay overlay rw\n", &r), -22);
    assert_int_equal(parse("1 2 01 / / rw - overlay overlay rw\n", &r), -22);
    assert_int_equal(parse("1 2 99999999999:1 / / rw - overlay overlay rw\n", &r), -22);
    assert_int_equal(rootfs_parse("\0\0\n", 3, &r), -22);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_overlay), cmocka_unit_test(test_last_wins), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
