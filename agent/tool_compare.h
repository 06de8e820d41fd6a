/* Is this executable a copy of a tool under another name? It is compared with the tools that the container's own root file system, and the host's,
 * hold at their usual places: by build id, and where sizes agree by content. For a worker thread: ~2 to 10 ms. */
#ifndef ECSGUARD_TOOL_COMPARE_H
#define ECSGUARD_TOOL_COMPARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct tool_copy {
    unsigned n_compared; /* tools that were found */
    char original[256];  /* path in its root; "" = it is none */
    bool on_host;        /* the host's tool, not the container's */
    bool same_content;   /* else the same build id */
};

/* `fd`: the executable, open for reading, a regular file as `st` says. `path`: its name (its basename counts). `root_pid`: a process whose root is
 * the container's, 0 = compare with the host's tools only. */
void tool_compare(int procdir, int32_t root_pid, int fd, const struct stat *st, const char *path, struct tool_copy *out);

/* "python3.11" and "python", "nc.openbsd" and "nc", bash and sh: names that deceive nobody. */
bool tool_names_agree(const char *a, const char *b);

#endif
