#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/mountinfo.h"
#include "agent/sensors/proc_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1), upperdir[64];
    struct mountinfo mount;
    struct proc_entry entry;
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    copy[size] = 0;
    proc_status_nspid(copy);
    char *text = copy;
    for (char *line; (line = mountinfo_line(&text));) {
        proc_entry_parse(line, &entry);
        proc_entry_is_own_noise(entry.file);
        if (!mountinfo_parse(line, &mount))
            mountinfo_upperdir(&mount, upperdir, sizeof upperdir);
    }
    memcpy(copy, data, size);
    mount = (struct mountinfo){ .dev = 0xfe00, .root = (char[]){ "/a/b" } };
    if (mountinfo_host_path(copy, &mount, upperdir, sizeof upperdir) >= 0 && strlen(upperdir) >= sizeof upperdir)
        abort();
    free(copy);
    return 0;
}
