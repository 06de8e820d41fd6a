#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/proc_net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size) {
        struct proc_net_socket s;
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) : size;
        if (!proc_net_parse((const char *)data, length, &s) &&
            proc_net_match(&s, &s.local, s.lport, &s.peer, s.pport) != PROC_NET_EXACT)
            abort();
        data += length + (end != NULL);
        size -= length + (end != NULL);
    }
    return 0;
}
