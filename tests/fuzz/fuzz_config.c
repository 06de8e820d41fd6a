/* Any bytes as a configuration file: refused with a message and no change, or taken and then printed so that it is taken again. */
#include <stdlib.h>
#include <string.h>

#include "common/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config, before;
    static char printed[4 * CONFIG_PRINT_BYTES];
    char error[2048];
    struct text_out out, text;
    config_defaults(&config);
    before = config;
    text_out_init(&out, error, sizeof error);
    if (config_parse(&config, "fuzz", (const char *)data, size, &out)) {
        if (!out.length || memcmp(&config, &before, sizeof config))
            abort();
        return 0;
    }
    text_out_init(&text, printed, sizeof printed);
    config_print(&config, &text);
    config_defaults(&before);
    text_out_init(&out, error, sizeof error);
    if (text.cut || config_parse(&before, "printed", printed, text.length, &out))
        abort();
    return 0;
}
