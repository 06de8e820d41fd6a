#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/intel_files.h"

static char dir[] = "/tmp/ecsguard-intel-XXXXXX";
static char path[512];

static const char *file(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(file(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct intel_files_result result;

static int load(struct intel *intel, const char *directory)
{
    const struct intel_files_options options = { .dir = directory };
    return intel_files_load(intel, &options, &result);
}

static bool look(const struct intel *intel, const char *text, struct intel_match *match)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), 0);
    return intel_lookup(intel, &a, match);
}

static void directory_of_lists(void **state)
{
    (void)state;
    struct intel intel;
    struct intel_match match;
    assert_non_null(mkdtemp(dir));
    put("pools.txt", "# category: crypto\n198.51.100.1\nnonsense\n198.51.100.2"); /* no newline at the end */
    put("other.list", "2001:db8::1\n203.0.113.0/24\n");
    put("trusted-own.txt", "203.0.113.9\n");
    put("readme.md", "198.51.100.77\n");
    put(".hidden.txt", "198.51.100.78\n");
    assert_int_equal(mkfifo(file("fifo.txt"), 0600), 0);
    FILE *f = fopen(file("binary.txt"), "w"); /* one endless line */
    for (int i = 0; i < 300000; i++)
        fputc(0, f);
    fclose(f);
    f = fopen(file("long.txt"), "w"); /* many pieces */
    for (int i = 0; i < 40000; i++)
        fprintf(f, "10.%d.%d.1\n", i / 256, i % 256);
    fclose(f);
    intel_init(&intel);
    assert_int_equal(load(&intel, dir), 0);
    assert_int_equal(result.files, 5);
    assert_int_equal(result.failed, 1);
    assert_int_equal(result.bad_lines, 2);
    assert_int_equal(intel_count(&intel), 40005);
    assert_true(look(&intel, "198.51.100.2", &match));
    assert_string_equal(match.list, "pools");
    assert_string_equal(match.category, "crypto");
    assert_true(look(&intel, "2001:db8::1", &match));
    assert_string_equal(match.category, "c2");
    assert_true(look(&intel, "203.0.113.8", &match));
    assert_false(look(&intel, "203.0.113.9", &match));
    assert_true(match.trusted);
    assert_false(look(&intel, "198.51.100.77", &match));
    assert_true(look(&intel, "10.156.63.1", &match));
    intel_fini(&intel);
    static const char *const names[] = { "pools.txt", "other.list", "trusted-own.txt", "readme.md", ".hidden.txt", "fifo.txt",
                                         "binary.txt", "long.txt" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(file(names[i]));
    rmdir(dir);
}

static void no_directory_is_no_lists(void **state)
{
    (void)state;
    struct intel intel;
    intel_init(&intel);
    assert_int_equal(load(&intel, "/nonexistent/intel.d"), 0);
    assert_int_equal(intel_count(&intel), 0);
    intel_fini(&intel);
}

/* A directory of the one who fetches: only what the configuration names, with what it says of it. */
static void fetched_lists(void **state)
{
    (void)state;
    struct intel intel;
    struct intel_match match;
    static struct intel_sources sources = { .n = 4, .list = { { .name = "feed", .category = "crypto" }, { .name = "trusted-by-name" }, { .name = "missing" }, { .name = "link" } } };
    uint64_t checked[LIMIT_INTEL_SOURCES];
    strcpy(dir, "/tmp/ecsguard-intel-XXXXXX");
    assert_non_null(mkdtemp(dir));
    put("feed.list", "198.51.100.1\n");
    put("feed.meta", "");
    put("trusted-by-name.list", "198.51.100.2\n");
    put("not-named.list", "198.51.100.3\n");
    put("elsewhere", "198.51.100.4\n");
    char target[600];
    snprintf(target, sizeof target, "%s/elsewhere", dir);
    assert_int_equal(symlink(target, file("link.list")), 0);
    const struct intel_files_options options = { .fetched = dir, .sources = &sources };
    uint64_t before = intel_files_state(&options);
    intel_init(&intel);
    assert_int_equal(intel_files_load(&intel, &options, &result), 0);
    assert_int_equal(intel_count(&intel), 2);
    assert_int_equal(result.n_lists, 4);
    assert_int_equal(result.files, 2);
    assert_int_equal(result.failed, 1);
    assert_int_equal(result.lists[2].error, -ENOENT);
    assert_int_equal(result.lists[3].error, -ELOOP);
    assert_true(look(&intel, "198.51.100.1", &match));
    assert_string_equal(match.category, "crypto");
    assert_true(look(&intel, "198.51.100.2", &match)); /* no name makes it a trusted one */
    assert_false(look(&intel, "198.51.100.3", &match));
    intel_fini(&intel);
    intel_files_checked(&options, checked);
    assert_true(checked[0] > 0);
    assert_int_equal(checked[2], 0);
    assert_int_equal(intel_files_state(&options), before);
    put("feed.list", "198.51.100.1\n198.51.100.9\n");
    assert_int_not_equal(intel_files_state(&options), before);
    static const char *const names[] = { "feed.list", "feed.meta", "trusted-by-name.list", "not-named.list", "elsewhere", "link.list" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(file(names[i]));
    assert_int_equal(rmdir(dir), 0);
}

static void names_say_the_category(void **state)
{
    (void)state;
    struct intel intel;
    struct intel_match match;
    strcpy(dir, "/tmp/ecsguard-intel-XXXXXX");
    assert_non_null(mkdtemp(dir));
    put("tor-guard.txt", "198.51.100.1\n");
    put("tor-guardian.txt", "198.51.100.2\n");
    put("crypto-reputation.2026.csv", "domain,score\npool.example,1\n");
    put("phishing.hosts", "0.0.0.0 bad.example\n");
    put("broken.xml", "<a>");
    intel_init(&intel);
    assert_int_equal(load(&intel, dir), 0);
    assert_int_equal(result.files, 4);
    assert_int_equal(result.failed, 1);
    assert_true(look(&intel, "198.51.100.1", &match));
    assert_int_equal(match.kind, INTEL_TOR_GUARD);
    assert_true(look(&intel, "198.51.100.2", &match));
    assert_int_equal(match.kind, INTEL_C2);
    assert_true(intel_lookup_domain(&intel, "x.pool.example", 14, &match));
    assert_int_equal(match.kind, INTEL_CRYPTO_REPUTATION);
    assert_string_equal(match.list, "crypto-reputation.2026");
    assert_true(intel_lookup_domain(&intel, "bad.example", 11, &match));
    assert_int_equal(match.kind, INTEL_PHISHING);
    intel_fini(&intel);
    struct intel_source source = { 0 };
    struct intel_list list;
    intel_init(&intel);
    assert_int_equal(intel_file_read(&intel, file("phishing.hosts"), &source, &list), 0);
    assert_string_equal(list.category, "phishing");
    assert_int_equal(list.n_entries, 1);
    assert_int_equal(list.format, INTEL_HOSTS);
    assert_int_equal(intel_file_read(&intel, file("none.txt"), &source, &list), -ENOENT);
    intel_fini(&intel);
    static const char *const names[] = { "tor-guard.txt", "tor-guardian.txt", "crypto-reputation.2026.csv", "phishing.hosts", "broken.xml" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(file(names[i]));
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_of_lists),
        cmocka_unit_test(no_directory_is_no_lists),
        cmocka_unit_test(fetched_lists),
        cmocka_unit_test(names_say_the_category),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
