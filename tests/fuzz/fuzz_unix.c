/* One datagram of the kernel's unix socket table. */
#include <stdint.h>
#include <stdlib.h>

#include "agent/sensors/unix_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes datagram = bytes_of(data, size);
    struct unix_socket s;
    while (unix_decode_next(&datagram, &s) == 1) {
        const uint8_t *name = (const uint8_t *)s.name;
        if (name && (name < data || name + s.name_len > data + size))
            abort();
        if (name)
            unix_name_is_runtime(s.name, s.name_len);
    }
    if (datagram.left > size)
        abort();
    return 0;
}
