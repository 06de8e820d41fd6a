/* Names taken apart, and their labels judged. Seeds: tests/fixtures/domain */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/dga_model.h"
#include "agent/detect/domain_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct domain_parts p;
    dga_score((const char *)data, size);
    if (!domain_split(&p, (const char *)data, size))
        return 0;
    if (strlen(p.name) != p.length || p.base >= p.length || p.base + p.label > p.length || p.sub != (p.base ? p.base - 1 : 0))
        abort();
    if (p.base && p.name[p.base - 1] != '.')
        abort();
    float score = dga_score(p.name + p.base, p.label);
    if (score != score)
        abort();
    return 0;
}
