/* In a tree of files that looks like /proc with the roots of a container (100) and of the host (self). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/tool_compare.h"

static char top[64];
static int procdir;

static const char *at(const char *path)
{
    static char full[256];
    snprintf(full, sizeof full, "%s/%s", top, path);
    return full;
}

/* `id` 0: without a build id. */
static void put(const char *path, uint8_t id, size_t size)
{
    struct {
        Elf64_Ehdr head;
        Elf64_Phdr segment;
        Elf64_Nhdr note;
        char name[4];
        uint8_t data[20];
        uint8_t more[64];
    } program = { .note = { 4, 20, NT_GNU_BUILD_ID }, .name = "GNU" };
    memcpy(program.head.e_ident, ELFMAG, SELFMAG);
    program.head.e_ident[EI_CLASS] = ELFCLASS64;
    program.head.e_phoff = sizeof(Elf64_Ehdr);
    program.head.e_phentsize = sizeof(Elf64_Phdr);
    program.head.e_phnum = 1;
    program.segment = (Elf64_Phdr){ .p_type = id ? PT_NOTE : PT_LOAD, .p_offset = offsetof(__typeof__(program), note), .p_filesz = 36, .p_align = 4 };
    memset(program.data, id, sizeof program.data);
    int fd = open(at(path), O_WRONLY | O_CREAT | O_EXCL, 0755);
    assert_true(fd >= 0 && size <= sizeof program);
    assert_int_equal(write(fd, &program, size), size);
    close(fd);
}

static int start(void **state)
{
    static const char *const dirs[] = { "self", "self/root", "self/root/usr", "self/root/usr/bin", "100", "100/root", "100/root/usr", "100/root/usr/bin", "100/root/tmp" };
    (void)state;
    strcpy(top, "/tmp/test_tool_compare.XXXXXX");
    assert_non_null(mkdtemp(top));
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        assert_int_equal(mkdir(at(dirs[i]), 0755), 0);
    assert_int_equal(symlink("usr/bin", at("100/root/bin")), 0);
    procdir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put("100/root/usr/bin/nc.openbsd", 1, 200);
    assert_int_equal(symlink("/usr/bin/nc.openbsd", at("100/root/usr/bin/nc")), 0); /* within the root */
    put("100/root/usr/bin/busybox", 2, 200);
    assert_int_equal(symlink("busybox", at("100/root/usr/bin/wget")), 0);
    assert_int_equal(symlink("busybox", at("100/root/usr/bin/vi")), 0);
    put("100/root/usr/bin/curl", 0, 200);
    put("100/root/usr/bin/app", 9, 200); /* no tool */
    put("self/root/usr/bin/socat", 3, 200);
    return 0;
}

static int stop(void **state)
{
    char command[128];
    (void)state;
    close(procdir);
    snprintf(command, sizeof command, "rm -r %s", top);
    return system(command);
}

static struct tool_copy compare(const char *path)
{
    struct tool_copy copy;
    struct stat st;
    int fd = open(at(path), O_RDONLY);
    assert_true(fd >= 0 && !fstat(fd, &st));
    tool_compare(procdir, 100, fd, &st, path, &copy);
    close(fd);
    return copy;
}

/* The path of the original ends so; "" for none. */
static void expect(const char *path, const char *original, bool on_host, bool same_content)
{
    struct tool_copy copy = compare(path);
    size_t n = strlen(original), length = strlen(copy.original);
    if (!n ? length : length < n || strcmp(copy.original + length - n, original))
        fail_msg("%s: copy of \"%s\", expected \"%s\"", path, copy.original, original);
    assert_int_equal(copy.on_host, on_host);
    assert_int_equal(copy.same_content, same_content);
}

static void copies_are_known(void **state)
{
    (void)state;
    put("100/root/tmp/kworker", 1, 200);
    expect("100/root/tmp/kworker", "/usr/bin/nc.openbsd", false, true);
    put("100/root/tmp/longer", 1, 210);
    expect("100/root/tmp/longer", "/usr/bin/nc.openbsd", false, false);
    put("100/root/tmp/update (deleted)", 0, 200);
    expect("100/root/tmp/update (deleted)", "/usr/bin/curl", false, true);
    put("100/root/tmp/x", 3, 201);
    expect("100/root/tmp/x", "/usr/bin/socat", true, false);
    put("100/root/tmp/ls", 2, 200);
    expect("100/root/tmp/ls", "/usr/bin/busybox", false, true); /* here ls is none of its applets */
}

static void others_are_none(void **state)
{
    (void)state;
    put("100/root/tmp/other", 7, 200);
    expect("100/root/tmp/other", "", false, false);
    put("100/root/tmp/plain", 0, 150); /* no build id, another size */
    expect("100/root/tmp/plain", "", false, false);
    put("100/root/tmp/program", 9, 200);
    expect("100/root/tmp/program", "", false, false);
    expect("100/root/usr/bin/nc.openbsd", "", false, false); /* itself */
    assert_int_equal(linkat(procdir, "100/root/usr/bin/busybox", procdir, "100/root/tmp/cat", 0), 0);
    expect("100/root/tmp/cat", "", false, false); /* the same file */
}

static void names_that_deceive_nobody(void **state)
{
    (void)state;
    static const char *const paths[] = { "100/root/tmp/nc", "100/root/tmp/nc.traditional" };
    static const char *const applets[] = { "100/root/tmp/wget", "100/root/tmp/vi", "100/root/tmp/busybox-1.36" };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        put(paths[i], 1, 200);
        expect(paths[i], "", false, false);
    }
    for (size_t i = 0; i < sizeof applets / sizeof applets[0]; i++) {
        put(applets[i], 2, 200);
        expect(applets[i], "", false, false);
    }
    put("100/root/usr/bin/socat", 3, 200); /* a package brings what the host has */
    expect("100/root/usr/bin/socat", "", false, false);
    assert_true(tool_names_agree("python3.11", "python"));
    assert_true(tool_names_agree("sh", "bash"));
    assert_true(tool_names_agree("dash", "sh"));
    assert_false(tool_names_agree("ssh", "sh"));
    assert_false(tool_names_agree("nc", "ncat"));
    assert_false(tool_names_agree("7z", "7za"));
}

/* What the container put at the usual places: links out of its root, fifos, directories, nothing at all. */
static void what_a_container_puts_there_does_no_harm(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(at("100/root/usr/bin/socat"), 0644), 0);
    assert_int_equal(symlink("../../../../../../self/root/usr/bin/socat", at("100/root/usr/bin/ncat")), 0);
    assert_int_equal(symlink("perl", at("100/root/usr/bin/perl")), 0);
    assert_int_equal(mkdir(at("100/root/usr/bin/python3"), 0755), 0);
    int fd = open(at("100/root/usr/bin/bash"), O_WRONLY | O_CREAT | O_EXCL, 0755);
    close(fd); /* empty */
    put("100/root/tmp/y", 3, 200);
    struct tool_copy copy = compare("100/root/tmp/y");
    assert_true(copy.on_host);
    assert_int_equal(copy.n_compared, 4); /* nc, busybox, curl; socat of the host */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copies_are_known, start, stop),
        cmocka_unit_test_setup_teardown(others_are_none, start, stop),
        cmocka_unit_test_setup_teardown(names_that_deceive_nobody, start, stop),
        cmocka_unit_test_setup_teardown(what_a_container_puts_there_does_no_harm, start, stop),
    };
    return cmocka_run_group_tests_name("tool_compare", tests, NULL, NULL);
}
