/* What the kernel's tracing writes: a description of an event ("name: "), of a page ("\tfield: "), the counters of a buffer ("entries: "), or else
 * a page, read as the system call sensor does it. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/trace_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct trace_layout layout = { .time = 0, .commit = 8, .data = 16, .commit_bytes = 8, .page_bytes = 4096 };
static const char description[] =
    "name: sys_enter_bpf\nID: 586\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
    "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n"
    "\tfield:int cmd;\toffset:16;\tsize:8;\tsigned:0;\n\tfield:union bpf_attr * uattr;\toffset:24;\tsize:8;\tsigned:0;\n";

static void read_page(const uint8_t *data, size_t size, const struct trace_layout *l, const struct trace_format *format)
{
    struct trace_page page;
    struct trace_record record;
    struct trace_call call;
    size_t n = 0;
    if (trace_page_begin(&page, l, data, size))
        return;
    while (trace_page_next(&page, &record) > 0) {
        if (++n > size || record.data < data || record.data + record.size > data + size)
            abort();
        if (trace_record_id(format, &record) >= 0)
            (void)trace_call_decode(&call, format, &record);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct trace_format format;
    struct trace_layout other;
    char filter[64];
    uint64_t lost;
    if (size >= 6 && !memcmp(data, "name: ", 6)) {
        if (!trace_format_parse(&format, text, size) && format.n_args && trace_filter_write(&format, "$0 == 0", filter, sizeof filter) == -EINVAL)
            abort();
    } else if (size >= 8 && !memcmp(data, "\tfield: ", 8)) {
        if (!trace_layout_parse(&other, text, size) && (other.page_bytes > LIMIT_TRACE_PAGE_BYTES || other.data < 8))
            abort();
    } else if (size >= 9 && !memcmp(data, "entries: ", 9)) {
        trace_stats_lost(text, size, &lost);
    } else {
        if (trace_format_parse(&format, description, sizeof description - 1))
            abort();
        read_page(data, size, &layout, &format);
        other = (struct trace_layout){ .time = 0, .commit = 8, .data = 12, .commit_bytes = 4, .page_bytes = 4096 }; /* of a 32-bit kernel */
        read_page(data, size, &other, &format);
    }
    return 0;
}
