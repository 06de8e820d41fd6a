/* Which files matter: those in the writable layer of an overlay that is or was just mounted, and a few of the host. Pure. */
#ifndef ECSGUARD_FILE_SCOPE_H
#define ECSGUARD_FILE_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

struct overlay {
    uint64_t dev;          /* st_dev of its directories */
    char *mount_point;     /* on the host; in the container's namespace if `owner` */
    char *upperdir;        /* on the host; "" for a read-only overlay */
    size_t mount_point_len, upperdir_len;
    int32_t owner;         /* a process that has it mounted, if it is not in the host's mount table; else 0 */
    bool seen, marked;
    uint64_t remark_ns;    /* when the marks on its sensitive files are to be set, 0 = they are */
    int remarks_left;      /* ... and once more, so often */
    uint64_t *libraries;   /* inodes of newly written ones, which are marked; in their order */
    int n_libraries;
    bool libraries_full;   /* further ones are not marked */
    uint64_t gone_ns;      /* 0 = mounted. Events of one that is gone may still be waiting, so it is kept for a while */
};

struct file_scope {
    struct overlay overlays[LIMIT_OVERLAYS];
    int n_overlays;
    const char *const *host_paths; /* files and directories, NULL-terminated; a component may be "*" */
    const char *const *log_paths;  /* the same, for HOST_LOSSES */
    uint32_t generation;           /* grows with every change: verdicts of older generations are void */
    uint64_t evicted;
};

enum file_place_kind {
    PLACE_NONE,
    PLACE_UPPER, /* in `overlay`'s writable layer */
    PLACE_HOST,  /* on the host: entries must be checked with file_scope_host() */
};

struct file_place {
    enum file_place_kind kind;
    const struct overlay *overlay; /* valid within the generation */
};

/* What is told of a file of the host. */
enum host_interest {
    HOST_NONE,
    HOST_LOSSES,  /* that it vanished, was moved or emptied: logs and histories grow all the time */
    HOST_CHANGES, /* everything */
};

/* Either list may be NULL. */
void file_scope_init(struct file_scope *scope, const char *const *host_paths, const char *const *log_paths);
void file_scope_fini(struct file_scope *scope);

/* A pass over the mount table: begin, one file_scope_overlay() for each overlay in it, end. */
void file_scope_begin(struct file_scope *scope);
/* The entry of this overlay, made if it is new (then `marked` is false). NULL on lack of memory. */
struct overlay *file_scope_overlay(struct file_scope *scope, uint64_t dev, const char *mount_point, const char *upperdir, int32_t owner);
void file_scope_end(struct file_scope *scope, uint64_t now_ns);
/* Notes that a library was written: 1 = a further file, 0 = known already, -ENOSPC = one too many (LIMIT_LIBRARY_MARKS), -ENOMEM. */
int overlay_add_library(struct overlay *o, uint64_t ino);
/* In how many overlays there were too many. */
int file_scope_full_overlays(const struct file_scope *scope);
/* The process that owned overlays of its own namespace is gone. */
void file_scope_owner_gone(struct file_scope *scope, int32_t owner, uint64_t now_ns);

/* What a directory of the host is to us. */
struct file_place file_scope_place(const struct file_scope *scope, const char *dir);
/* What is told of dir/name, which may be or lie below one of the host's files that matter. */
enum host_interest file_scope_host(const struct file_scope *scope, const char *dir, const char *name, size_t name_len);
/* The overlay with this device number, mounted ones first; NULL if none. */
const struct overlay *file_scope_by_dev(const struct file_scope *scope, uint64_t dev);

/* How a path lies to a pattern of components, of which each "*" stands for any one. */
enum path_relation {
    PATH_ELSEWHERE,
    PATH_ABOVE,  /* more than one component is missing */
    PATH_PARENT, /* the last component is missing */
    PATH_BELOW,  /* it matches, or lies below a match */
};
enum path_relation path_relate(const char *path, const char *pattern);

/* True if `path` is `dir` or below it. */
bool path_is_below(const char *path, const char *dir, size_t dir_len);

#endif
