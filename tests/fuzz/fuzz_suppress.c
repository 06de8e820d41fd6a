/* Any bytes as filters: refused with a message and without filters, or taken and then asked about a finding. */
#include <stdlib.h>
#include <string.h>

#include "agent/detect/suppress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct suppress filters;
    static struct finding finding;
    static const struct container_facts container = { .id = 1, .family = "web", .image = "shop/app:8", .container_id = "c0ffee" };
    const struct suppress_facts facts = { .container = &container, .host = "host", .cluster = "prod" };
    char error[2048];
    struct text_out out;
    text_out_init(&out, error, sizeof error);
    if (suppress_parse(&filters, "fuzz", (const char *)data, size, &out)) {
        if (!out.length || filters.n_filters)
            abort();
        return 0;
    }
    finding_init(&finding);
    finding_printf(&finding, FT_TYPE, "Execution:Runtime/ReverseShell");
    finding_printf(&finding, FT_CMDLINE, "sh -c 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab'");
    suppress_match(&filters, &finding, &facts);
    return 0;
}
