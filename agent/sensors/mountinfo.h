/* Reads the text of /proc/PID/mountinfo: proc(5). Pure. */
#ifndef ECSGUARD_MOUNTINFO_H
#define ECSGUARD_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One mount. The texts lie in the line that was parsed, with its octal escapes undone. */
struct mountinfo {
    uint32_t mount_id, parent_id;
    uint64_t dev; /* as st_dev of its files */
    char *root, *mount_point, *fs_type, *source;
    char *options; /* of the mount: "rw,nosuid" */
    char *upperdir, *lowerdir, *workdir; /* of an overlay; NULL = none */
    bool is_slave; /* receives what is mounted below the mount it was copied from ("master:N") */
};

/* The next line of `*text` (NUL-terminated), which is cut into lines as it is read; NULL at the end. */
char *mountinfo_line(char **text);

/* Takes one line apart in place. 0 or -EINVAL. */
int mountinfo_parse(char *line, struct mountinfo *mount);

/* Looking up a name there may wait for a server or a program that never answers: network file systems, FUSE. */
bool mountinfo_is_remote(const struct mountinfo *mount);

/* The absolute upperdir of an overlay: Docker mounts images of many layers with paths relative to its overlay2 directory, which is
 * two levels above the mount point. 0, -ENOENT (read-only overlay), -EINVAL, -ENAMETOOLONG. */
int mountinfo_upperdir(const struct mountinfo *mount, char *out, size_t size);

/* Where the host has what a container mounted: the path of mount->root on the host, out of the host's mount table `text`, which is cut up.
 * 1 = the host has just this mounted somewhere, 0 = its file system, of which this is a part; -ENOENT, -ENAMETOOLONG. */
int mountinfo_host_path(char *text, const struct mountinfo *mount, char *out, size_t size);

#endif
