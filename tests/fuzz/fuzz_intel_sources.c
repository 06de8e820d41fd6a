/* Sources of threat lists in the configuration, and what is remembered of a fetched one. What is accepted must keep its bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/deliver/intel_meta.h"
#include "agent/detect/intel_sources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct intel_sources sources;
    struct intel_meta meta, again;
    char line[1400], text[4096];
    struct text_out error;
    text_out_init(&error, line, sizeof line);
    if (intel_sources_parse(&sources, "f", (const char *)data, size, &error) && sources.n)
        abort();
    for (uint32_t i = 0; i < sources.n; i++)
        if (!sources.list[i].name[0] || strchr(sources.list[i].name, '/') || strncmp(sources.list[i].url, "https://", 8) || !sources.list[i].max_bytes)
            abort();
    intel_meta_parse(&meta, (const char *)data, size);
    size_t n = intel_meta_format(&meta, text, sizeof text);
    intel_meta_parse(&again, text, n);
    if (memcmp(meta.etag, again.etag, sizeof meta.etag) && strcmp(meta.etag, again.etag))
        abort();
    return 0;
}
