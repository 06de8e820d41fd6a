/* Texts of /proc. Seeds: tests/fixtures/procfs. */
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/procfs_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *path;
    struct procfs_stat st;
    struct procfs_status status;
    uint64_t number;
    size_t n;
    if (!procfs_parse_stat(text, size, &st) && (st.comm < text || st.comm + st.comm_size > text + size))
        abort();
    procfs_parse_status(text, size, &status);
    procfs_parse_link(text, size, "socket", &number);
    if (!procfs_pick_cgroup(text, size, &path, &n) && (path < text || path + n > text + size))
        abort();
    char *copy = malloc(size + 1);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (procfs_bound_environ(copy, size) > LIMIT_ENVIRON_BYTES)
        abort();
    free(copy);
    return 0;
}
