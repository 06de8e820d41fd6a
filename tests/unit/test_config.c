#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"

static struct config config, before;
static char error[1024], printed[CONFIG_PRINT_BYTES];

static int parse_bytes(const char *yaml, size_t size)
{
    struct text_out out;
    text_out_init(&out, error, sizeof error);
    return config_parse(&config, "f.yaml", yaml, size, &out);
}

static int parse(const char *yaml)
{
    return parse_bytes(yaml, strlen(yaml));
}

static void defaults_are_those_of_the_documentation(void **state)
{
    (void)state;
    config_defaults(&config);
    assert_int_equal(config.log.level, LOG_LEVEL_INFO);
    assert_string_equal(config.host.name, "");
    assert_string_equal(config.storage.path, "/var/lib/ecsguard/ecsguard.db");
    assert_int_equal(config.storage.max_size_bytes, 1ull << 30);
    assert_int_equal(config.storage.events_age_ns, 30 * 86400 * NS_PER_SECOND);
    assert_int_equal(config.storage.findings_age_ns, 365 * 86400 * NS_PER_SECOND);
    assert_true(config.sensors.exec && config.sensors.proc && config.sensors.file && config.sensors.flow && config.sensors.dns);
    assert_int_equal(config.files.layers.n, 2);
    assert_string_equal(config.files.layers.items[1], "/var/lib/containerd");
    assert_string_equal(config.docker.socket, "/var/run/docker.sock");
    assert_string_equal(config.ecs.introspection_url, "http://127.0.0.1:51678");
    assert_string_equal(config.run_dir, "/run/ecsguard");
    assert_false(config.delivery.enabled);
    assert_int_equal(config.delivery.interval_ns, 10 * NS_PER_SECOND);
    assert_int_equal(config.delivery.batch_max, 100);
    assert_int_equal(config.delivery.batch_bytes, 256 << 10);
    assert_int_equal(config.delivery.backoff_max_ns, 300 * NS_PER_SECOND);
    assert_int_equal(config.delivery.headers.n, 0);
}

static void every_type_is_read(void **state)
{
    (void)state;
    config_defaults(&config);
    assert_int_equal(parse("log: {level: debug}\n"
                           "storage:\n  max_size: 512MiB\n  events_age: 36h\n"
                           "sensors:\n  flow: false\n  exec_full_rate: 7\n"
                           "files:\n  layers:\n    - /a b\n"
                           "docker:\n  socket: \"\"\n"
                           "run_dir: '/run/x'\n"
                           "delivery:\n  enabled: true\n  url: https://[::1]:8443/in?x=1\n  backoff_min: 250ms\n"
                           "  headers: ['Authorization: @/etc/token', \"X-A: \\\"b\\\"\"]\n"), 0);
    assert_int_equal(config.log.level, LOG_LEVEL_DEBUG);
    assert_int_equal(config.storage.max_size_bytes, 512 << 20);
    assert_int_equal(config.storage.events_age_ns, 36 * 3600 * NS_PER_SECOND);
    assert_false(config.sensors.flow);
    assert_int_equal(config.sensors.exec_full_rate, 7);
    assert_int_equal(config.files.layers.n, 1);
    assert_string_equal(config.files.layers.items[0], "/a b");
    assert_string_equal(config.docker.socket, "");
    assert_string_equal(config.run_dir, "/run/x");
    assert_int_equal(config.delivery.backoff_min_ns, 250 * NS_PER_MS);
    assert_string_equal(config.delivery.headers.items[1], "X-A: \"b\"");
}

static void empty_files_and_sections_change_nothing(void **state)
{
    (void)state;
    static const char *const files[] = { "", "\n", "# only a comment\n", "---\n", "---\n...\n", "~", "storage:\n", "storage: ~\nlog:\n  # level: debug\n",
                                         "\xef\xbb\xbflog: {}\n", "{}" };
    config_defaults(&before);
    config_defaults(&config);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (parse(files[i]))
            fail_msg("file %zu: %s", i, error);
        assert_memory_equal(&config, &before, sizeof config);
    }
}

static const struct {
    const char *yaml, *error;
} refused[] = {
    { "storage:\n  max_sise: 1GiB\n", "f.yaml:2:3: unknown key \"storage.max_sise\"; did you mean storage.max_size?" },
    { "max_size: 1GiB\n", "f.yaml:1:1: unknown key \"max_size\"; did you mean storage.max_size?" },
    { "storage: {url: x}\n", "f.yaml:1:11: unknown key \"storage.url\"; did you mean delivery.url?" },
    { "nothing_like_it: {a: [1, 2]}\n", "f.yaml:1:1: unknown key \"nothing_like_it\"; 'ecsguardctl config' prints all keys" },
    { "sensors:\n  exec: yes\n", "f.yaml:2:9: sensors.exec: \"yes\" is not valid; allowed is true or false" },
    { "sensors:\n  exec:\n", "f.yaml:2:8: sensors.exec has no value; allowed is true or false" },
    { "sensors:\n  exec: [true]\n", "f.yaml:2:9: sensors.exec cannot be a list; allowed is true or false" },
    { "sensors:\n  exec: {a: b}\n", "f.yaml:2:9: sensors.exec cannot have keys below it; allowed is true or false" },
    { "delivery: {batch_max: 0}", "f.yaml:1:23: delivery.batch_max: \"0\" is not valid; allowed is a number from 1 to 1000" },
    { "delivery: {batch_max: -1}", "f.yaml:1:23: delivery.batch_max: \"-1\" is not valid; allowed is a number from 1 to 1000" },
    { "delivery: {batch_max: 99999999999999999999}",
      "f.yaml:1:23: delivery.batch_max: \"99999999999999999999\" is not valid; allowed is a number from 1 to 1000" },
    { "storage: {max_size: 1GB}",
      "f.yaml:1:21: storage.max_size: \"1GB\" is not valid; allowed is a size from 16MiB to 1TiB (units B, KiB, MiB, GiB, TiB)" },
    { "storage: {max_size: 18446744073709551615TiB}",
      "f.yaml:1:21: storage.max_size: \"18446744073709551615TiB\" is not valid; allowed is a size from 16MiB to 1TiB (units B, KiB, MiB, GiB, TiB)" },
    { "delivery: {interval: 10}",
      "f.yaml:1:22: delivery.interval: \"10\" is not valid; allowed is a duration from 100ms to 1d (units ms, s, m, h, d)" },
    { "log: {level: loud}", "f.yaml:1:14: log.level: \"loud\" is not valid; allowed is error, warn, info or debug" },
    { "run_dir: run", "f.yaml:1:10: run_dir: \"run\" is not valid; allowed is an absolute path" },
    { "delivery: {url: http://x/}", "f.yaml:1:17: delivery.url: \"http://x/\" is not valid; allowed is an https:// URL" },
    { "files: {layers: /a}", "f.yaml:1:17: files.layers: \"/a\" is not valid; allowed is a list of at most 16, each an absolute path" },
    { "files: {layers: [/a, [b]]}", "f.yaml:1:22: files.layers cannot be a list; allowed is a list of at most 16, each an absolute path" },
    { "delivery: {headers: [\"secret value\"]}",
      "f.yaml:1:22: delivery.headers: this item is not valid; allowed is a list of at most 16, each \"Name: value\" or \"Name: @/path\"" },
    { "log:\n  level: info\n  level: info\n", "f.yaml:3:3: log.level is set twice (first on line 2); each key may stand once" },
    { "log:\n  level: info\nlog:\n", "f.yaml:3:1: section log stands twice; put its options together" },
    { "run_dir: &a /x\n", "f.yaml:1:10: anchors and aliases are not supported; write the value itself" },
    { "run_dir: *a\n", "f.yaml:1:10: anchors and aliases are not supported; write the value itself" },
    { "run_dir: !!binary L3g=\n", "f.yaml:1:10: tags are not supported; write the plain value" },
    { "run_dir: \"/x\\ny\"\n", "f.yaml:1:10: run_dir: \"/x\\x0ay\" is not valid; allowed is an absolute path" },
    { "run_dir: \"/x\\0y\"\n", "f.yaml:1:10: run_dir: \"/x\\x00y\" is not valid; allowed is an absolute path" },
    { "[a, b]\n", "f.yaml:1:1: only \"key: value\" lines are allowed here" },
    { "storage: 5\n", "f.yaml:1:10: storage: only \"key: value\" lines are allowed here" },
    { "? [a]\n: b\n", "f.yaml:1:3: a key must be one word; 'ecsguardctl config' prints all keys" },
    { "---\nrun_dir: /a\n---\nrun_dir: /b\n", "f.yaml:3:1: a second YAML document; one is allowed" },
    { "log:\n\tlevel: info\n", "f.yaml:2:1: not valid YAML: while scanning for the next token: found character that cannot start any token" },
    { "delivery: {enabled: true}", "f.yaml:1:12: delivery.enabled is true without delivery.url; set delivery.url to an https:// URL" },
    { "delivery: {client_cert: /c}", "f.yaml:1:12: delivery.client_cert is set without delivery.client_key; set both or none" },
    { "delivery: {backoff_max: 1s, backoff_min: 2s}",
      "f.yaml:1:12: delivery.backoff_max makes the longest pause shorter than the shortest; delivery.backoff_min may be at most delivery.backoff_max" },
};

static void bad_files_are_refused_with_the_place_and_change_nothing(void **state)
{
    (void)state;
    config_defaults(&before);
    config_defaults(&config);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(parse(refused[i].yaml), -EINVAL);
        assert_string_equal(error, refused[i].error);
        assert_memory_equal(&config, &before, sizeof config);
    }
    assert_int_equal(parse("run_dir: /other\nlog: {level: debug}\nbad: 1\n"), -EINVAL);
    assert_memory_equal(&config, &before, sizeof config);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    (void)state;
    config_defaults(&config);
    assert_int_equal(parse_bytes("log:\n  a\0b: 1\n", 14), -EINVAL);
    assert_non_null(strstr(error, "f.yaml:2:4: control characters are not allowed"));
    assert_int_equal(parse("log: \xff\xfe\n"), -EINVAL);
    assert_non_null(strstr(error, "f.yaml:1:6: "));
    assert_int_equal(parse_bytes("\xff\xfe" "a\0", 4), -EINVAL);
    assert_int_equal(parse_bytes("\x7f" "ELF\2\1\1\0\0", 9), -EINVAL);
}

static void long_texts_and_lists_are_refused(void **state)
{
    (void)state;
    char yaml[8192];
    int n = snprintf(yaml, sizeof yaml, "run_dir: /");
    memset(yaml + n, 'a', 1023);
    yaml[n + 1022] = 0;
    config_defaults(&config);
    assert_int_equal(parse(yaml), 0);
    strcat(yaml, "a");
    assert_int_equal(parse(yaml), -EINVAL);
    strcpy(yaml, "files:\n  layers:\n");
    for (int i = 0; i < 17; i++)
        strcat(yaml, "    - /a\n");
    assert_int_equal(parse(yaml), -EINVAL);
    assert_non_null(strstr(error, "f.yaml:19:7: "));
    memset(yaml, '[', sizeof yaml - 1);
    yaml[sizeof yaml - 1] = 0;
    assert_int_equal(parse(yaml), -EINVAL);
}

static void what_is_printed_is_read_back(void **state)
{
    (void)state;
    struct text_out out;
    config_defaults(&config);
    assert_int_equal(parse("host: {name: \"a\\\\b\"}\nfiles: {layers: [\"/a, b\", \"/c\\\"\"]}\nstorage: {max_size: 17000001B}\n"
                           "delivery: {interval: 1500ms, headers: [\"A: @/x\"]}\nlog: {level: warn}"), 0);
    before = config;
    text_out_init(&out, printed, sizeof printed);
    config_print(&config, &out);
    assert_false(out.cut);
    config_defaults(&config);
    if (parse(printed))
        fail_msg("%s", error);
    for (size_t i = 0; i < sizeof config; i++)
        assert_int_equal(((char *)&config)[i], ((char *)&before)[i]);
}

static void secrets_are_not_printed(void **state)
{
    (void)state;
    struct text_out out;
    config_defaults(&config);
    assert_int_equal(parse("delivery: {headers: [\"Authorization: Bearer s3cret\"]}"), 0);
    text_out_init(&out, printed, sizeof printed);
    config_print(&config, &out);
    assert_null(strstr(printed, "s3cret"));
    assert_non_null(strstr(printed, "\"Authorization: (hidden)\""));
}

static void the_shipped_file_is_what_the_table_prints(void **state)
{
    (void)state;
    char path[4096], shipped[CONFIG_PRINT_BYTES] = "";
    struct text_out out;
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof path, "%s/packaging/config/ecsguard.yaml", srcdir ? srcdir : ".");
    text_out_init(&out, printed, sizeof printed);
    config_print_default(&out);
    if (getenv("ECSGUARD_WRITE_DEFAULT")) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(printed, f);
        fclose(f);
    }
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(shipped, 1, sizeof shipped - 1, f) > 0);
    fclose(f);
    assert_string_equal(shipped, printed);
    config_defaults(&before);
    text_out_init(&out, error, sizeof error);
    assert_int_equal(config_load(&config, path, &out), 0);
    assert_memory_equal(&config, &before, sizeof config);
}

static void files_that_cannot_be_read_are_errors(void **state)
{
    (void)state;
    char dir[] = "/tmp/test-config-XXXXXX", path[64];
    struct text_out out;
    assert_non_null(mkdtemp(dir));
    text_out_init(&out, error, sizeof error);
    snprintf(path, sizeof path, "%s/none", dir);
    assert_int_equal(config_load(&config, path, &out), 0);
    assert_int_equal(config_load(&config, dir, &out), -EINVAL);
    assert_non_null(strstr(error, "not a regular file"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(config_load(&config, path, &out), -EINVAL);
    unlink(path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (unsigned i = 0; i <= LIMIT_CONFIG_FILE_BYTES; i++)
        fputc('#', f);
    fclose(f);
    assert_int_equal(config_load(&config, path, &out), -EFBIG);
    unlink(path);
    assert_int_equal(symlink(path, path), 0);
    assert_int_equal(config_load(&config, path, &out), -ELOOP);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_documentation),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(empty_files_and_sections_change_nothing),
        cmocka_unit_test(bad_files_are_refused_with_the_place_and_change_nothing),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(long_texts_and_lists_are_refused),
        cmocka_unit_test(what_is_printed_is_read_back),
        cmocka_unit_test(secrets_are_not_printed),
        cmocka_unit_test(the_shipped_file_is_what_the_table_prints),
        cmocka_unit_test(files_that_cannot_be_read_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
