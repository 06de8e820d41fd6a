#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/sysmacros.h>

#include "agent/sensors/mountinfo.h"

static char line[4096], upperdir[256];
static struct mountinfo m;

static int parse(const char *text)
{
    strcpy(line, text);
    return mountinfo_parse(line, &m);
}

static void reads_an_overlay(void **state)
{
    (void)state;
    assert_int_equal(parse("512 27 0:44 / /var/lib/docker/overlay2/a1/merged rw,relatime shared:9 - overlay overlay "
                           "rw,lowerdir=/var/lib/docker/overlay2/l/X:/var/lib/docker/overlay2/l/Y,upperdir=/var/lib/docker/overlay2/a1/diff,"
                           "workdir=/var/lib/docker/overlay2/a1/work,xino=off"),
                     0);
    assert_int_equal(m.mount_id, 512);
    assert_int_equal(m.parent_id, 27);
    assert_true(m.dev == makedev(0, 44));
    assert_string_equal(m.mount_point, "/var/lib/docker/overlay2/a1/merged");
    assert_string_equal(m.fs_type, "overlay");
    assert_string_equal(m.lowerdir, "/var/lib/docker/overlay2/l/X:/var/lib/docker/overlay2/l/Y");
    assert_string_equal(m.workdir, "/var/lib/docker/overlay2/a1/work");
    assert_int_equal(mountinfo_upperdir(&m, upperdir, sizeof upperdir), 0);
    assert_string_equal(upperdir, "/var/lib/docker/overlay2/a1/diff");
    assert_int_equal(mountinfo_upperdir(&m, upperdir, 10), -ENAMETOOLONG);
}

static void completes_a_relative_upperdir(void **state)
{
    (void)state;
    assert_int_equal(parse("5 2 0:44 / /data/docker/overlay2/a1/merged rw - overlay overlay rw,lowerdir=l/X,upperdir=a1/diff,workdir=a1/work"), 0);
    assert_int_equal(mountinfo_upperdir(&m, upperdir, sizeof upperdir), 0);
    assert_string_equal(upperdir, "/data/docker/overlay2/a1/diff");
    assert_int_equal(parse("5 2 0:44 / /m rw - overlay overlay rw,upperdir=a1/diff"), 0);
    assert_int_equal(mountinfo_upperdir(&m, upperdir, sizeof upperdir), -EINVAL);
    assert_int_equal(parse("5 2 0:44 / /m ro - overlay overlay ro,lowerdir=/a:/b"), 0);
    assert_int_equal(mountinfo_upperdir(&m, upperdir, sizeof upperdir), -ENOENT);
}

static void undoes_octal_escapes(void **state)
{
    (void)state;
    assert_int_equal(parse("5 2 8:1 /a\\134b /x\\040y\\011z rw master:1 propagate_from:2 - ext4 /dev/s\\043 rw"), 0);
    assert_string_equal(m.root, "/a\\b");
    assert_string_equal(m.mount_point, "/x y\tz");
    assert_string_equal(m.source, "/dev/s#");
    assert_int_equal(parse("5 2 0:44 / /m rw - overlay overlay rw,upperdir=/u\\054p,lowerdir=/l"), 0);
    assert_string_equal(m.upperdir, "/u,p");
    assert_int_equal(parse("5 2 0:44 / /m\\04 rw - tmpfs tmpfs rw"), 0);
    assert_string_equal(m.mount_point, "/m\\04");
    assert_int_equal(parse("5 2 0:44 / /m\\000x rw - tmpfs tmpfs rw"), 0); /* a NUL would hide the rest */
    assert_string_equal(m.mount_point, "/m\\000x");
}

static void refuses_what_is_not_a_mount(void **state)
{
    (void)state;
    static const char *const bad[] = { "", " ", "x", "5 2 8 / / rw - ext4 d rw", "5 2 8:x / / rw - ext4 d rw", "5 2 8:1 / / rw",
                                       "5 2 8:1 / / rw shared:1 ext4 d rw", "5 2 8:1 / / rw - ext4 d", "-1 2 8:1 / / rw - ext4 d rw",
                                       "5 99999999999 8:1 / / rw - ext4 d rw" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse(bad[i]), -EINVAL);
}

static void cuts_a_text_into_lines(void **state)
{
    (void)state;
    char text[] = "a\n\nlast", *at = text;
    assert_string_equal(mountinfo_line(&at), "a");
    assert_string_equal(mountinfo_line(&at), "");
    assert_string_equal(mountinfo_line(&at), "last");
    assert_null(mountinfo_line(&at));
}

static int host_path(const char *root, uint64_t dev, char *out, size_t size)
{
    char table[] = "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
                   "22 21 254:1 / /data rw shared:2 - xfs /dev/vdb rw\n"
                   "broken\n"
                   "23 21 254:1 /srv /mnt/srv rw shared:2 - xfs /dev/vdb rw\n"
                   "24 21 0:40 / /run rw shared:3 - tmpfs tmpfs rw\n";
    char copy[64];
    strcpy(copy, root);
    struct mountinfo mount = { .dev = dev, .root = copy };
    return mountinfo_host_path(table, &mount, out, size);
}

static void finds_the_host_side_of_a_mount(void **state)
{
    char out[64];
    (void)state;
    assert_int_equal(host_path("/", makedev(254, 0), out, sizeof out), 1);
    assert_string_equal(out, "/");
    assert_int_equal(host_path("/etc", makedev(254, 0), out, sizeof out), 0);
    assert_string_equal(out, "/etc");
    assert_int_equal(host_path("/srv/a", makedev(254, 1), out, sizeof out), 0);
    assert_string_equal(out, "/mnt/srv/a");
    assert_int_equal(host_path("/srv", makedev(254, 1), out, sizeof out), 1);
    assert_int_equal(host_path("/srvx", makedev(254, 1), out, sizeof out), 0);
    assert_string_equal(out, "/data/srvx");
    assert_int_equal(host_path("/docker.sock", makedev(0, 40), out, sizeof out), 0);
    assert_string_equal(out, "/run/docker.sock");
    assert_int_equal(host_path("/", makedev(0, 99), out, sizeof out), -ENOENT);
    assert_int_equal(host_path("/docker.sock", makedev(0, 40), out, 5), -ENAMETOOLONG);
    assert_int_equal(parse("52 51 0:40 / /x rw shared:3 master:7 - tmpfs tmpfs rw"), 0);
    assert_true(m.is_slave);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_an_overlay),           cmocka_unit_test(completes_a_relative_upperdir),
        cmocka_unit_test(undoes_octal_escapes),       cmocka_unit_test(refuses_what_is_not_a_mount),
        cmocka_unit_test(cuts_a_text_into_lines),     cmocka_unit_test(finds_the_host_side_of_a_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
