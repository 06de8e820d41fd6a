/* One uevent as the kernel sends it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/uevent_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[64];
    memset(name, 'x', sizeof name);
    int kind = uevent_decode((const char *)data, size, name);
    if (kind > 0 && (!memchr(name, 0, sizeof name) || !name[0] || strchr(name, '/')))
        abort();
    return 0;
}
