/* One datagram of nf_tables: multicasts and answers. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/nft_decode.h"
#include "agent/sensors/nft_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes datagram = bytes_of(data, size);
    struct nft_message m;
    struct nft_switches before;
    while (nft_decode_next(&datagram, &m) == NFT_MESSAGE) {
        if (m.attributes.left && (m.attributes.at < data || m.attributes.at + m.attributes.left > data + size))
            abort();
        if (!memchr(m.table, 0, sizeof m.table) || !memchr(m.comment, 0, sizeof m.comment) || !memchr(m.comm, 0, sizeof m.comm))
            abort();
        nft_table_is_ours(m.comment, &before);
    }
    if (datagram.left > size)
        abort();
    return 0;
}
