/* Any bytes as a command line. What the patterns find, the matcher finds. */
#include <stdlib.h>

#include "agent/detect/command_matcher.h"
#include "tests/plain_features.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct command_matcher *matcher;
    static struct plain_features plain;
    struct command_score score;
    if (!matcher) {
        matcher = command_matcher_new();
        plain_features_init(&plain);
    }
    if (command_score_line(matcher, (const char *)data, size, 0, &score) && score.class >= COMMAND_CLASSES)
        abort();
    if (plain_features_differ(&plain, matcher, (const char *)data, size) >= 0)
        abort();
    return 0;
}
