/* The network namespaces of containers, each with a socket that asks about its sockets. One thread owns such a set: it goes into each namespace
 * once (setns(2)) and comes back. A socket keeps its namespace alive, so it is closed when the last container that is known there ends. */
#ifndef ECSGUARD_DIAG_SPACES_H
#define ECSGUARD_DIAG_SPACES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"

struct diag_space {
    uint64_t netns; /* inode number */
    int32_t nsid;   /* as the host's namespace numbers it: NSID_HOST for its own, NSID_UNKNOWN */
    int fd;
    uint32_t n_members;
    uint32_t serial; /* never the same again */
};

struct diag_member {
    int32_t pid; /* first process of a container */
    int pidfd;
    uint64_t netns;
};

struct diag_spaces {
    int procdir, own_fd;
    uint32_t next_serial;
    int n_spaces, n_members;
    struct diag_space spaces[LIMIT_DIAG_SPACES]; /* the first one is the host's */
    struct diag_member members[LIMIT_DIAG_MEMBERS];
};

/* 0, or -errno: the kernel has no sock_diag, or lacks memory. */
int diag_spaces_init(struct diag_spaces *s, int procdir);
void diag_spaces_fini(struct diag_spaces *s);

/* A container by its first process; again is fine. 0 (also when it has gone), -ENOSPC when there are too many, -errno. */
int diag_spaces_add(struct diag_spaces *s, int32_t pid);
void diag_spaces_remove(struct diag_spaces *s, int32_t pid);
/* Forgets containers whose first process has ended without a word; and numbers that were not assigned may be now. */
void diag_spaces_renew(struct diag_spaces *s);

const struct diag_space *diag_space_by_nsid(const struct diag_spaces *s, int32_t nsid); /* NULL = none */
const struct diag_space *diag_space_by_netns(const struct diag_spaces *s, uint64_t netns);

#endif
