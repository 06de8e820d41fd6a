/* A line of recorded events: refused with a sentence, or an event that survives being written and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/event_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union event_buffer first, second;
    static char line[LIMIT_EVENT_JSON_BYTES];
    char error[200];
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    if (event_from_json((const char *)data, size, &first, 0, error, sizeof error)) {
        if (!error[0])
            abort();
        return 0;
    }
    int n = event_to_json(&first.event, NULL, 0, line, sizeof line);
    if (event_check(&first.event, first.event.size) || n < 0)
        abort();
    if (event_from_json(line, (size_t)n, &second, 0, error, sizeof error))
        abort();
    if (memcmp(first.event.known, second.event.known, sizeof first.event.known) || first.event.time_ns != second.event.time_ns)
        abort();
    return 0;
}
