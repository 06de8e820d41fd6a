#include <stdint.h>
#include <stdlib.h>

#include "agent/sensors/fan_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long sum; /* every byte an event points to is touched */

static void touch(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum += ((const uint8_t *)p)[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes left = bytes_of(data, size);
    struct fan_event e;
    while (fan_event_next(&left, &e) > 0) {
        if (e.from.handle_size > FAN_HANDLE_MAX || e.to.handle_size > FAN_HANDLE_MAX)
            abort();
        touch(e.from.handle, e.from.handle_size);
        touch(e.from.name, e.from.name_len);
        touch(e.to.handle, e.to.handle_size);
        touch(e.to.name, e.to.name_len);
    }
    return 0;
}
