/* Connector datagrams. Seeds: tests/fixtures/proc. */
#include <stdlib.h>

#include "agent/sensors/proc_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union event_buffer buffer;
    event_init(&buffer.event, EVENT_NONE, SOURCE_PROC, 0);
    if (proc_decode(data, size, &buffer.event) == PROC_DECODED_EVENT && event_check(&buffer.event, buffer.event.size))
        abort();
    return 0;
}
