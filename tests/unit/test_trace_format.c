#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "agent/sensors/trace_format.h"
#include "tests/unit/fixture.h"

#define PAGE_BYTES 4096
#define DATA_AT 16

static struct trace_layout layout;
static uint8_t page[PAGE_BYTES];
static size_t used;

static void load_format(const char *syscall, struct trace_format *format)
{
    char name[64];
    size_t size;
    snprintf(name, sizeof name, "trace/%s.format", syscall);
    char *text = fixture_read(name, &size);
    assert_int_equal(trace_format_parse(format, text, size), 0);
    free(text);
}

static void load_page(const char *name)
{
    char path[64];
    size_t size;
    snprintf(path, sizeof path, "trace/%s.page", name);
    char *data = fixture_read(path, &size);
    assert_int_equal(size, PAGE_BYTES);
    memcpy(page, data, size);
    free(data);
}

static int setup(void **state)
{
    (void)state;
    size_t size;
    char *text = fixture_read("trace/header_page", &size);
    assert_int_equal(trace_layout_parse(&layout, text, size), 0);
    free(text);
    memset(page, 0, sizeof page);
    used = DATA_AT;
    return 0;
}

/* Pages made by hand. */

static void put_word(uint32_t word)
{
    memcpy(page + used, &word, 4);
    used += 4;
}

static void put_head(unsigned type, uint32_t delta)
{
    put_word(delta << 5 | type);
}

static void finish(uint64_t time_ns, uint64_t flags)
{
    uint64_t commit = (used - DATA_AT) | flags;
    memcpy(page, &time_ns, 8);
    memcpy(page + 8, &commit, 8);
}

static int next(struct trace_page *p, uint64_t time_ns, size_t size)
{
    struct trace_record r;
    int more = trace_page_next(p, &r);
    if (more > 0) {
        assert_int_equal(r.time_ns, time_ns);
        assert_int_equal(r.size, size);
    }
    return more;
}

static void reads_descriptions(void **state)
{
    (void)state;
    struct trace_format f;
    load_format("mount", &f);
    assert_string_equal(f.name, "sys_enter_mount");
    assert_int_equal(f.id, 940);
    assert_int_equal(f.type.bytes, 2);
    assert_int_equal(f.pid.offset, 4);
    assert_int_equal(f.n_args, 5);
    assert_string_equal(f.args[3].name, "flags");
    assert_int_equal(f.args[3].offset, 40);
    assert_false(f.args[3].is_int);
    load_format("bpf", &f);
    assert_true(f.args[0].is_int && !f.args[0].is_unsigned);
    assert_true(f.args[2].is_int && f.args[2].is_unsigned);
    load_format("process_vm_writev", &f);
    assert_int_equal(f.n_args, 6);
    assert_true(f.args[0].is_int); /* pid_t */
}

static void refuses_bad_descriptions(void **state)
{
    (void)state;
    static const char whole[] = "name: x\nID: 7\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
                                "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n";
    static const char *const bad[] = {
        "", "\n\n", "name: x\n", "name: x\nID: 7\n", "name: x\nID: 65536\n\tfield:int common_pid;\toffset:4;\tsize:4;\n",
        "name: \nID: 7\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\n\tfield:int common_pid;\toffset:4;\tsize:4;\n",
        "name: x\nID: 7\n\tfield:unsigned short common_type;\toffset:70000;\tsize:2;\n\tfield:int common_pid;\toffset:4;\tsize:4;\n",
        "name: x\nID: 7\n\tfield:unsigned short common_type;\toffset:0;\tsize:3;\n\tfield:int common_pid;\toffset:4;\tsize:4;\n",
        "name: x\nID: 7\n\tfield:common_type;\toffset:0;\tsize:2;\n\tfield:int common_pid;\toffset:4;\tsize:4;\n",
    };
    struct trace_format f;
    assert_int_equal(trace_format_parse(&f, whole, sizeof whole - 1), 0);
    assert_int_equal(f.n_args, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(trace_format_parse(&f, bad[i], strlen(bad[i])), -EINVAL);
}

static void leaves_out_what_is_no_argument(void **state)
{
    (void)state;
    /* newer kernels add the texts that pointers point to; a future one may have more fields than arguments */
    static const char text[] = "name: sys_enter_x\nID: 9\n"
        "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n"
        "\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\tfield:const char * name[8];\toffset:16;\tsize:8;\tsigned:0;\n"
        "\tfield:__data_loc char[] __name_val;\toffset:24;\tsize:4;\tsigned:0;\n\tfield:char data[16];\toffset:32;\tsize:16;\tsigned:0;\n"
        "\tfield:long a;\toffset:48;\tsize:8;\n\tfield:long b;\toffset:48;\tsize:8;\n\tfield:long c;\toffset:48;\tsize:8;\n"
        "\tfield:long d;\toffset:48;\tsize:8;\n\tfield:long e;\toffset:48;\tsize:8;\n\tfield:long f;\toffset:48;\tsize:8;\n";
    struct trace_format f;
    assert_int_equal(trace_format_parse(&f, text, sizeof text - 1), 0);
    assert_int_equal(f.n_args, TRACE_ARGS);
    assert_string_equal(f.args[0].name, "name");
    assert_string_equal(f.args[5].name, "e");
}

static void writes_filters(void **state)
{
    (void)state;
    struct trace_format f;
    char filter[64];
    load_format("unshare", &f);
    assert_int_equal(trace_filter_write(&f, "!($0 & 0x1) && $0 > 2", filter, sizeof filter), 0);
    assert_string_equal(filter, "!(unshare_flags & 0x1) && unshare_flags > 2");
    assert_int_equal(trace_filter_write(&f, "$1 == 0", filter, sizeof filter), -EINVAL);
    assert_int_equal(trace_filter_write(&f, "$", filter, sizeof filter), -EINVAL);
    assert_int_equal(trace_filter_write(&f, "$0 == 0", filter, 8), -ENOSPC);
}

static void refuses_bad_layouts(void **state)
{
    (void)state;
    struct trace_layout l;
    static const char *const bad[] = {
        "", "\tfield: u64 timestamp;\toffset:0;\tsize:8;\n",
        "\tfield: u64 timestamp;\toffset:0;\tsize:8;\n\tfield: local_t commit;\toffset:8;\tsize:3;\n\tfield: char data;\toffset:16;\tsize:9;\n",
        "\tfield: u64 timestamp;\toffset:9;\tsize:8;\n\tfield: local_t commit;\toffset:8;\tsize:8;\n\tfield: char data;\toffset:16;\tsize:9;\n",
        "\tfield: u64 timestamp;\toffset:0;\tsize:8;\n\tfield: local_t commit;\toffset:9;\tsize:8;\n\tfield: char data;\toffset:16;\tsize:9;\n",
        "\tfield: u64 timestamp;\toffset:0;\tsize:8;\n\tfield: local_t commit;\toffset:8;\tsize:8;\n\tfield: char data;\toffset:16;\tsize:65521;\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(trace_layout_parse(&l, bad[i], strlen(bad[i])), -EINVAL);
    assert_int_equal(layout.page_bytes, PAGE_BYTES);
    assert_int_equal(layout.data, DATA_AT);
}

static void reads_a_real_page(void **state)
{
    (void)state;
    static const char *const names[] = { "ptrace", "process_vm_writev", "userfaultfd", "mount", "setns", "unshare", "memfd_create", "bpf" };
    static const int n_args[] = { 4, 6, 1, 5, 2, 1, 2, 3 };
    struct trace_page p;
    struct trace_record r;
    uint64_t last_ns = 0;
    load_page("each");
    assert_int_equal(trace_page_begin(&p, &layout, page, sizeof page), 0);
    assert_false(p.missed);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct trace_format f;
        struct trace_call call;
        load_format(names[i], &f);
        assert_int_equal(trace_page_next(&p, &r), 1);
        assert_true(r.time_ns > last_ns && r.time_ns - last_ns < (i ? 1000000000 : UINT64_MAX));
        last_ns = r.time_ns;
        assert_int_equal(trace_record_id(&f, &r), f.id);
        assert_int_equal(trace_call_decode(&call, &f, &r), 0);
        assert_int_equal(call.n_args, n_args[i]);
        assert_true(call.tid > 1);
        for (int a = 0; a < call.n_args; a++) /* of the unsigned ints only the low half counts */
            assert_int_equal(call.args[a], f.args[a].is_unsigned ? (uint32_t)-(a + 1) : (uint64_t)-(a + 1));
    }
    assert_int_equal(trace_page_next(&p, &r), 0);
}

static void reads_times_far_apart(void **state)
{
    (void)state;
    struct trace_page p;
    struct trace_record a, b;
    struct trace_format f;
    struct trace_call call;
    load_page("late"); /* with a time extension, and a call that set the upper half of an int */
    load_format("bpf", &f);
    assert_int_equal(trace_page_begin(&p, &layout, page, sizeof page), 0);
    assert_int_equal(trace_page_next(&p, &a), 1);
    assert_int_equal(trace_page_next(&p, &b), 1);
    assert_in_range(b.time_ns - a.time_ns, 300000000, 400000000);
    assert_int_equal(trace_call_decode(&call, &f, &b), 0);
    assert_int_equal(call.args[0], 5);
    assert_int_equal(trace_page_next(&p, &b), 0);
}

static void tells_a_gap(void **state)
{
    (void)state;
    struct trace_page p;
    struct trace_record r;
    uint64_t lost;
    size_t size;
    int n = 0;
    load_page("before");
    assert_int_equal(trace_page_begin(&p, &layout, page, sizeof page), 0);
    assert_false(p.missed);
    load_page("missed");
    assert_int_equal(trace_page_begin(&p, &layout, page, sizeof page), 0);
    assert_true(p.missed);
    assert_int_equal(p.n_missed, 1450);
    while (trace_page_next(&p, &r) == 1)
        n++;
    assert_int_equal(n, 145);
    char *text = fixture_read("trace/stats", &size);
    assert_true(trace_stats_lost(text, size, &lost));
    free(text);
    assert_int_equal(lost, 1450);
    assert_false(trace_stats_lost("entries: 1\n", 11, &lost));
    assert_false(trace_stats_lost("overrun: x\n", 11, &lost));
}

static void reads_every_kind_of_entry(void **state)
{
    (void)state;
    struct trace_page p;
    put_head(2, 5); /* 8 bytes of data */
    put_word(0), put_word(0);
    put_head(29, 7); /* discarded, 12 bytes; its time does not count */
    put_word(8), put_word(0);
    put_head(0, 3); /* its length in a word of its own: 9 bytes, in three words */
    put_word(4 + 9), put_word(0), put_word(0), put_word(0);
    put_head(30, 1); /* 2 << 27 + 1 later */
    put_word(2);
    put_head(1, 0);
    put_word(0);
    put_head(31, 9); /* absolute, but for the five highest bits */
    put_word(1);
    put_head(1, 1);
    put_word(0);
    put_head(29, 0); /* nothing more */
    put_word(0xffffffff), put_word(0xffffffff);
    finish(0xa000000000000064, 0);
    assert_int_equal(trace_page_begin(&p, &layout, page, sizeof page), 0);
    uint64_t t = 0xa000000000000064;
    assert_int_equal(next(&p, t + 5, 8), 1);
    assert_int_equal(next(&p, t + 8, 12), 1);
    assert_int_equal(next(&p, t + 8 + (2 << 27) + 1, 4), 1);
    assert_int_equal(next(&p, 0xa000000000000000 + (1 << 27) + 9 + 1, 4), 1);
    assert_int_equal(next(&p, 0, 0), 0);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct trace_page p;
    finish(1, 5000); /* more than the page */
    assert_int_equal(trace_page_begin(&p, &layout, page, sizeof page), -EINVAL);
    assert_int_equal(trace_page_begin(&p, &layout, page, DATA_AT - 1), -EINVAL);
    finish(1, 0);
    assert_int_equal(trace_page_begin(&p, &layout, page, DATA_AT), 0);
    assert_int_equal(next(&p, 0, 0), 0);
    static const struct {
        unsigned type;
        uint32_t delta, word;
    } bad[] = { { 3, 1, 0 }, { 28, 1, 0 }, { 0, 1, 3 }, { 0, 1, 400 }, { 0, 1, 0xffffffff }, { 29, 1, 5 }, { 29, 1, 0xffffffff } };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        used = DATA_AT;
        put_head(bad[i].type, bad[i].delta);
        put_word(bad[i].word);
        finish(1, 0);
        assert_int_equal(trace_page_begin(&p, &layout, page, sizeof page), 0);
        assert_int_equal(next(&p, 0, 0), -EINVAL);
    }
    for (unsigned type = 29; type <= 32; type++) { /* cut behind the head */
        used = DATA_AT;
        put_head(type % 32, 1);
        finish(1, 0);
        assert_int_equal(trace_page_begin(&p, &layout, page, sizeof page), 0);
        assert_int_equal(next(&p, 0, 0), -EINVAL);
    }
    used = DATA_AT + 3;
    finish(1, 0);
    assert_int_equal(trace_page_begin(&p, &layout, page, sizeof page), 0);
    assert_int_equal(next(&p, 0, 0), -EINVAL);
}

static void refuses_short_records(void **state)
{
    (void)state;
    struct trace_format f;
    struct trace_call call;
    uint8_t bytes[64] = { 0 };
    load_format("mount", &f);
    assert_int_equal(trace_record_id(&f, &(struct trace_record){ .data = bytes, .size = 1 }), -1);
    assert_int_equal(trace_call_decode(&call, &f, &(struct trace_record){ .data = bytes, .size = 7 }), -EINVAL);
    assert_int_equal(trace_call_decode(&call, &f, &(struct trace_record){ .data = bytes, .size = 55 }), -EINVAL);
    assert_int_equal(trace_call_decode(&call, &f, &(struct trace_record){ .data = bytes, .size = 56 }), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(reads_descriptions, setup),
        cmocka_unit_test_setup(refuses_bad_descriptions, setup),
        cmocka_unit_test_setup(leaves_out_what_is_no_argument, setup),
        cmocka_unit_test_setup(writes_filters, setup),
        cmocka_unit_test_setup(refuses_bad_layouts, setup),
        cmocka_unit_test_setup(reads_a_real_page, setup),
        cmocka_unit_test_setup(reads_times_far_apart, setup),
        cmocka_unit_test_setup(tells_a_gap, setup),
        cmocka_unit_test_setup(reads_every_kind_of_entry, setup),
        cmocka_unit_test_setup(refuses_what_does_not_fit, setup),
        cmocka_unit_test_setup(refuses_short_records, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
