/* Seeds: tests/fixtures/cgroup_path */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/cgroup_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cgroup_identity id;
    int r = cgroup_identify((const char *)data, size, &id);
    if (id.is_container != (id.container_id[0] != 0) || (r && id.is_container))
        abort();
    if (id.task_id[0] && (!id.is_container || !cgroup_is_task_id(id.task_id, strlen(id.task_id))))
        abort();
    if (!r && id.container_size > id.path_size)
        abort();
    return 0;
}
