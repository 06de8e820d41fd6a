#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/unix_decode.h"
#include "tests/unit/fixture.h"

/* The socket of the sample with this name, or one without name. */
static struct unix_socket find(struct bytes *datagram, const char *name, size_t length, int *status)
{
    struct unix_socket s, found = { .name = NULL };
    while ((*status = unix_decode_next(datagram, &s)) == 1)
        if (s.name && s.name_len >= length && !memcmp(s.name, name, length))
            found = s;
    return found;
}

static void the_kernels_table(void **state)
{
    size_t size;
    int status;
    (void)state;
    char *bytes = fixture_read("unix/dump_0", &size);
    struct bytes datagram = bytes_of(bytes, size);
    struct unix_socket s = find(&datagram, "/tmp/ftest/docker.sock", 22, &status);
    assert_int_equal(status, 0);
    assert_non_null(s.name);
    assert_int_equal(s.inode, 11943120);
    assert_int_equal(s.peer, 11943119); /* the client's */
    assert_true(unix_name_is_runtime(s.name, s.name_len));
    datagram = bytes_of(bytes, size);
    s = find(&datagram, "\0/containerd-shim/abc.sock", 26, &status);
    assert_non_null(s.name);
    assert_true(unix_name_is_runtime(s.name, s.name_len));
    free(bytes);
}

static void the_end_and_errors(void **state)
{
    size_t size;
    struct unix_socket s;
    (void)state;
    char *bytes = fixture_read("unix/dump_1", &size);
    struct bytes datagram = bytes_of(bytes, size);
    assert_int_equal(unix_decode_next(&datagram, &s), 2);
    free(bytes);
    bytes = fixture_read("unix/error", &size);
    datagram = bytes_of(bytes, size);
    assert_int_equal(unix_decode_next(&datagram, &s), -EINVAL);
    assert_int_equal(datagram.left, 0);
    free(bytes);
}

static void cut_datagrams(void **state)
{
    size_t size;
    struct unix_socket s;
    (void)state;
    char *bytes = fixture_read("unix/dump_0", &size);
    for (size_t n = 0; n < size; n++) {
        struct bytes datagram = bytes_of(bytes, n);
        int status;
        while ((status = unix_decode_next(&datagram, &s)) == 1)
            assert_true(!s.name || s.name + s.name_len <= bytes + n);
        assert_true(status == 0 || status == -EINVAL);
    }
    free(bytes);
}

static void names(void **state)
{
    (void)state;
    assert_true(unix_name_is_runtime("/var/run/docker.sock", 20));
    assert_true(unix_name_is_runtime("/var/run/docker.sock", 21));
    assert_true(unix_name_is_runtime("/run/containerd/containerd.sock.ttrpc", 37));
    assert_false(unix_name_is_runtime("docker.sock", 11));
    assert_false(unix_name_is_runtime("/run/notdocker.sock", 19));
    assert_false(unix_name_is_runtime("\0docker.sock", 12));
    assert_false(unix_name_is_runtime("", 0));
    assert_false(unix_name_is_runtime("\0\0\0", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernels_table),
        cmocka_unit_test(the_end_and_errors),
        cmocka_unit_test(cut_datagrams),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
