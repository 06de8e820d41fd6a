#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/file_hash.h"

static int make_file(const char *text, size_t times)
{
    char path[] = "/tmp/test_file_hash.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

/* The values of FIPS 180-4. */
static void known_values(void **state)
{
    (void)state;
    char hex[65];
    int fd = make_file("", 1);
    assert_int_equal(file_hash(fd, 1000, hex), 0);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    close(fd);
    fd = make_file("abc", 1);
    assert_int_equal(file_hash(fd, 3, hex), 0);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    close(fd);
    fd = make_file("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 10000);
    assert_int_equal(file_hash(fd, 1000000, hex), 0);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_int_equal(file_hash(fd, 999999, hex), -EFBIG);
    close(fd);
    assert_int_equal(file_hash(-1, 10, hex), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(known_values) };
    return cmocka_run_group_tests_name("file_hash", tests, NULL, NULL);
}
