/* Seeds: tests/fixtures/ecs */
#include <stdint.h>
#include <stdlib.h>

#include "agent/sensors/ecs_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void each(void *user, const struct ecs_container *container)
{
    union event_buffer *buffer = user;
    event_init(&buffer->event, EVENT_CONTAINER, SOURCE_ECS, 1);
    ecs_container_event(&buffer->event, container, "", true);
    if (event_check(&buffer->event, buffer->event.size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union event_buffer buffer;
    struct ecs_metadata metadata;
    ecs_decode_metadata((const char *)data, size, &metadata);
    ecs_decode_tasks((const char *)data, size, each, &buffer);
    return 0;
}
