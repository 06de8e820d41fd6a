/* Seeds: tests/fixtures/docker */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/docker_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void each(void *user, const char *container_id)
{
    (void)user;
    if (strlen(container_id) != 64)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union event_buffer buffer;
    struct docker_facts facts;
    event_init(&buffer.event, EVENT_CONTAINER, SOURCE_DOCKER, 1);
    docker_decode_container((const char *)data, size, "1f0e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0", "", &buffer.event,
                            &facts);
    if (event_check(&buffer.event, buffer.event.size))
        abort();
    docker_decode_list((const char *)data, size, each, NULL);
    return 0;
}
