/* Any bytes as attack sequences: refused with a message and no change, or taken and then asked about signals. */
#include <stdlib.h>
#include <string.h>

#include "agent/detect/sequences.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sequences sequences;
    struct signal a = { .exec_id = 1, .severity = SEVERITY_HIGH, .tactics = ~0u, .type = "Execution:A" };
    struct signal b = { .exec_id = 2, .severity = SEVERITY_HIGH, .tactics = 1, .type = "Impact:B" };
    const struct signal *const both[] = { &a, &b };
    char error[2048];
    struct text_out out;
    memset(&sequences, 0, offsetof(struct sequences, list));
    text_out_init(&out, error, sizeof error);
    if (sequences_parse(&sequences, "fuzz", (const char *)data, size, &out)) {
        if (!out.length || sequences.n || sequences.n_stages || sequences.n_types)
            abort();
        return 0;
    }
    for (uint32_t i = 0; i < sequences.n; i++)
        sequence_complete(&sequences, &sequences.list[i], both, 2);
    return 0;
}
