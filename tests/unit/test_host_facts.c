/* Facts about this host, whatever it is. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/host_facts.h"

static void the_host_is_read(void **state)
{
    (void)state;
    static struct host_state host;
    struct address loopback;
    bool found = false;
    const int procdir = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    host_state_init(&host);
    host_state_read(&host, procdir);
    close(procdir);
    assert_int_equal(address_parse("127.0.0.1", &loopback), 0);
    for (uint32_t i = 0; i < host.facts.n_addresses; i++)
        found |= address_equal(&host.facts.addresses[i], &loopback);
    if (host.facts.n_addresses)
        assert_true(found);
    assert_string_equal(user_names_user(&host.users, 0), "root");
    host_state_fini(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_host_is_read) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
