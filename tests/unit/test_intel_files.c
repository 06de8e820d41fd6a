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
    struct intel_files_result result;
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
    assert_int_equal(intel_files_load(&intel, dir, &result), 0);
    assert_int_equal(result.files, 4);
    assert_int_equal(result.failed, 2);
    assert_int_equal(result.bad_lines, 1);
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
    assert_int_equal(intel_files_load(&intel, "/nonexistent/intel.d", NULL), 0);
    assert_int_equal(intel_count(&intel), 0);
    intel_fini(&intel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_of_lists),
        cmocka_unit_test(no_directory_is_no_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
