/* Seeds: tests/fixtures/rootfs */
#include <stdint.h>
#include <stdlib.h>

#include "agent/sensors/rootfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rootfs root;
    if (!rootfs_parse((const char *)data, size, &root) && root.upperdir[0] && root.upperdir[0] != '/')
        abort();
    return 0;
}
