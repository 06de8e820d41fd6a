/* Any bytes as a command line. */
#include <stdlib.h>

#include "agent/detect/command_features.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct command_matcher *matcher;
    struct command_score score;
    if (!matcher && !(matcher = command_matcher_new()))
        abort();
    if (command_score_line(matcher, (const char *)data, size, 0, &score) && score.class >= COMMAND_CLASSES)
        abort();
    command_discovery(matcher, (const char *)data, size);
    return 0;
}
