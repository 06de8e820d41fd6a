/* The files whose mere opening is told, in containers and on the host: secrets, keys, credentials, what decides who may do what. Pure. */
#ifndef ECSGUARD_SENSITIVE_PATHS_H
#define ECSGUARD_SENSITIVE_PATHS_H

#include <stdbool.h>

struct sensitive_path {
    const char *pattern; /* absolute; a component may be "*" */
    bool directory;      /* the files directly in it, also those made later */
};

extern const struct sensitive_path sensitive_paths[]; /* `pattern` NULL at the end */

/* Something appeared at `path`: whether it is, or may hold, one of the files or directories above. */
bool sensitive_path_appeared(const char *path, bool directory);

/* Opens in watched directories that say nothing: what every ssh and every login reads. */
bool sensitive_open_is_noise(const char *path);

#endif
