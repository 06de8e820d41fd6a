/* One datagram of sock_diag: inet and packet sockets. */
#include <stdint.h>
#include <stdlib.h>

#include "agent/sensors/inet_diag_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes inet = bytes_of(data, size), packets = inet;
    struct inet_socket s;
    struct packet_socket p;
    size_t n = 0;
    while (inet_diag_next(&inet, &s) == DIAG_SOCKET)
        if ((s.local.family != 4 && s.local.family != 6) || ++n > size)
            abort();
    while (packet_diag_next(&packets, &p) == DIAG_SOCKET)
        if (++n > 2 * size)
            abort();
    if (inet.left > size || packets.left > size)
        abort();
    return 0;
}
