#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/elf_head.h"
#include "agent/sensors/maps.h"
#include "agent/sensors/sensitive_paths.h"

static void what_appeared_may_need_marks(void **state)
{
    (void)state;
    assert_true(sensitive_path_appeared("/etc/shadow", false));
    assert_true(sensitive_path_appeared("/root/.ssh", true));
    assert_true(sensitive_path_appeared("/home/ann/.bash_history", false));
    assert_true(sensitive_path_appeared("/home/ann", true)); /* moved here with all that is in it */
    assert_true(sensitive_path_appeared("/root/.config", true));
    assert_false(sensitive_path_appeared("/root/.ssh/id_rsa", false)); /* its directory is marked */
    assert_false(sensitive_path_appeared("/home/ann", false));
    assert_false(sensitive_path_appeared("/etc/shadow.new", false));
    assert_false(sensitive_path_appeared("/tmp/etc/shadow", false));
    assert_false(sensitive_path_appeared("/var/lib/dpkg", true));
}

static void what_every_login_reads_is_noise(void **state)
{
    (void)state;
    assert_true(sensitive_open_is_noise("/etc/ssh/ssh_config"));
    assert_true(sensitive_open_is_noise("/host/etc/ssh/sshd_config"));
    assert_true(sensitive_open_is_noise("/etc/security/limits.conf"));
    assert_false(sensitive_open_is_noise("/etc/ssh/ssh_host_rsa_key"));
    assert_false(sensitive_open_is_noise("/etc/security/opasswd"));
    assert_false(sensitive_open_is_noise("/etc/shadow"));
    assert_false(sensitive_open_is_noise("shadow"));
}

static void every_pattern_is_a_path_with_at_most_one_star(void **state)
{
    (void)state;
    for (const struct sensitive_path *s = sensitive_paths; s->pattern; s++) {
        assert_int_equal(s->pattern[0], '/');
        const char *star = strchr(s->pattern, '*');
        assert_true(!star || (star[-1] == '/' && star[1] == '/' && !strchr(star + 1, '*')));
    }
}

static void loadable_files(void **state)
{
    uint8_t head[ELF_HEAD_BYTES] = { 0x7f, 'E', 'L', 'F', 2, 1, 1, [16] = 3 };
    (void)state;
    assert_true(elf_head_is_loadable(head, sizeof head, "/tmp/anything"));
    assert_false(elf_head_is_loadable(head, sizeof head - 1, "/tmp/cut"));
    head[16] = 2;
    assert_false(elf_head_is_loadable(head, sizeof head, "/tmp/program"));
    head[16] = 1;
    assert_false(elf_head_is_loadable(head, sizeof head, "/tmp/object.o"));
    assert_true(elf_head_is_loadable(head, sizeof head, "/tmp/module.ko"));
    head[5] = 2, head[16] = 0, head[17] = 3;
    assert_true(elf_head_is_loadable(head, sizeof head, "/tmp/big_endian"));
    head[0] = '#';
    assert_false(elf_head_is_loadable(head, sizeof head, "/tmp/script.so"));
}

static bool is_code(const char *line, const char *path)
{
    return maps_line_is_code(line, strlen(line), path, strlen(path));
}

static void mapped_code(void **state)
{
    (void)state;
    assert_true(is_code("7f01-7f02 r-xp 00001000 00:2c 1234                       /tmp/a.so", "/tmp/a.so"));
    assert_true(is_code("7f01-7f02 r-xp 00001000 00:2c 1234  /tmp/a.so (deleted)", "/tmp/a.so"));
    assert_true(is_code("7f01-7f02 rwxp 00001000 00:2c 1234  /tmp/with blank.so", "/tmp/with blank.so"));
    assert_false(is_code("7f01-7f02 r--p 00000000 00:2c 1234  /tmp/a.so", "/tmp/a.so"));
    assert_false(is_code("7f01-7f02 r-xp 00001000 00:2c 1234  /tmp/a.so.1", "/tmp/a.so"));
    assert_false(is_code("7f01-7f02 r-xp 00001000 00:2c 1234  /x/tmp/a.so", "/tmp/a.so"));
    assert_false(is_code("7f01-7f02 r-xp 00000000 00:00 0 ", "/tmp/a.so"));
    assert_false(is_code("7f01-7f02 r", "/tmp/a.so"));
    assert_false(is_code("", "/tmp/a.so"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_appeared_may_need_marks),
        cmocka_unit_test(what_every_login_reads_is_noise),
        cmocka_unit_test(every_pattern_is_a_path_with_at_most_one_star),
        cmocka_unit_test(loadable_files),
        cmocka_unit_test(mapped_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
