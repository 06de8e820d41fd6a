/* Which container, and which ECS task, does a control group path belong to? Pure: bytes in, identity out. The shapes of cgroup v1, v2
 * with systemd, v2 without, Docker, containerd, podman and CRI-O are in the table of tests/unit/test_cgroup_path.c. */
#ifndef ECSGUARD_CGROUP_PATH_H
#define ECSGUARD_CGROUP_PATH_H

#include <stdbool.h>
#include <stddef.h>

struct cgroup_identity {
    bool is_container;
    const char *runtime;    /* "docker", "containerd", "podman", "cri-o"; "" when the path does not tell */
    char container_id[129]; /* 64 hex digits, except for containerd's own namespaces, where a user may choose it */
    char task_id[65];       /* 32 hex digits, or the old UUID with dashes; "" when the path does not tell */
    const char *path;       /* in `bytes`: the path of the matching line; of the first line when none matches */
    size_t path_size;
    size_t container_size;  /* length of the leading part of `path` that names the container itself, 0 for none */
};

/* `bytes` is the content of /proc/PID/cgroup as the host sees it (cgroups(7)), or one path that starts with '/'. The first component
 * that names a container wins: what a container creates below its own group (nested Docker, systemd) cannot change its identity.
 * 0, or -EINVAL for what the kernel would never write: no path, NUL bytes, more than LIMIT_CGROUP_FILE_BYTES. */
int cgroup_identify(const char *bytes, size_t size, struct cgroup_identity *out);

/* 32 hex digits, or 8-4-4-4-12 hex digits. */
bool cgroup_is_task_id(const char *text, size_t size);

/* 64 hex digits. */
bool cgroup_is_full_id(const char *text, size_t size);

#endif
