/* The process tree: who is who, who started whom, and what each process runs. Built from fork, exec, exit and id events and from
 * /proc scans; identity is pid + start time. The dead stay for a grace time, because file and flow events come late and
 * lineages reach back. Bounded: when full, the oldest dead (then the oldest) leave and are counted. */
#ifndef ECSGUARD_PROCTREE_H
#define ECSGUARD_PROCTREE_H

#include <stdbool.h>

#include "common/event.h"
#include "common/hash.h"
#include "common/slab.h"

/* What execve(2) loaded. Immutable; shared by the process and the children that it forks. */
struct image {
    uint32_t refs;
    uint32_t bytes; /* of this block */
    int64_t exec_id; /* row of the exec or process event, 0 = none */
    uint64_t time_ns;
    bool has_file;   /* dev ... nlink are known */
    bool has_tty, has_loginuid, has_namespaces, has_capabilities; /* as they were at that time; children inherit them with the image */
    uint64_t dev, ino, size, ctime_wall_ns, mtime_wall_ns;
    uint32_t mode, file_uid, nlink;
    uint32_t tty, loginuid;
    uint64_t mntns, netns, pidns;
    uint64_t cap_effective, cap_permitted, cap_inheritable;
    struct text exe, cmdline, cwd, stdin_link, stdout_link, stderr_link; /* into text[] */
    char text[];
};

struct process {
    int32_t pid, ppid;
    uint32_t generation; /* of this slot: a reference is slot + generation */
    uint32_t parent, parent_generation;
    uint32_t n_children; /* known ones: a dead process stays while it is in somebody's lineage */
    uint32_t hash_next, age_next, age_prev; /* slots */
    uint64_t start_ns, exit_ns; /* exit 0 = alive */
    struct image *image;        /* NULL = unknown */
    struct image *earlier;      /* before its last exec, NULL = unknown: events about its children can come after that */
    int64_t parent_exec_id;     /* image of the parent when it forked us */
    int32_t container;          /* row id, 0 = host or unknown */
    bool container_known;
    bool has_ids;
    bool entered;               /* came into its container by a cgroup move, not by inheritance */
    uint32_t uid, euid, gid, egid;
    bool had_root;              /* its real or effective id is root's: it may come and go; or ids unknown */
    bool was_user;              /* the last UID event made a user root who was not before */
    uint32_t was_uid;
    int32_t sid;
    int32_t pgid, vpid, vpgid; /* 0 = unknown; v: as its own pid namespace numbers it */
    char comm[LIMIT_COMM_BYTES], earlier_comm[LIMIT_COMM_BYTES];
};

struct proctree {
    struct process *slots;
    uint32_t n_slots, n_used;
    uint32_t *buckets;
    uint32_t free_head;
    uint32_t live_oldest, live_newest; /* by age of entry, the living */
    uint32_t dead_oldest, dead_newest; /* by time of death */
    struct slab texts;
    struct hash_key key;
    uint64_t n_live;
    uint64_t n_evicted;      /* left before their grace time was over */
    uint64_t n_images_cut;   /* command lines kept in part because the arena was more than half full */
    uint64_t n_images_lost;  /* not kept at all: living processes fill it */
};

int proctree_init(struct proctree *tree, uint32_t n_slots, size_t text_bytes); /* 0 or -ENOMEM */
void proctree_fini(struct proctree *tree);

/* The process that has (or lately had) this pid, or NULL. */
struct process *proctree_find(struct proctree *tree, int32_t pid);
struct process *proctree_parent(struct proctree *tree, const struct process *p);
/* True if `ancestor` is the parent, grandparent, ... of `p`. */
bool proctree_is_ancestor(struct proctree *tree, const struct process *ancestor, const struct process *p);

/* Pids of the living processes of a container (0 = the host), the newest first, at most `max`. */
size_t proctree_members(const struct proctree *tree, int32_t container, int32_t *pids, size_t max);

/* Applies one event and gives the process it is about (created when it was unknown), or NULL for events without one. For EXEC and
 * PROCESS `exec_id` becomes the id of the new image; `*previous` gets the image before it with a reference that the caller
 * returns by image_release(), or NULL. */
struct process *proctree_apply(struct proctree *tree, const struct event *ev, int64_t exec_id, struct image **previous);

/* What a process executes becomes known after its exec event: `file` has F_EXE and the stat fields. True when its image has the file now: one without an
 * executable it was before. */
bool proctree_set_file(struct proctree *tree, struct process *p, const struct event *file);

void image_release(struct proctree *tree, struct image *image);

/* Forgets the dead whose grace time is over. */
void proctree_expire(struct proctree *tree, uint64_t now_ns);

static inline const char *image_text(const struct image *image, struct text t)
{
    return image && t.len ? image->text + t.off : "";
}

/* What it ran, and was called, at that time: not what it has executed since. The oldest that is known when its last two execs are both later. */
const struct image *process_image_at(const struct process *p, uint64_t time_ns); /* NULL = unknown */
const char *process_comm_at(const struct process *p, uint64_t time_ns);

/* Path of the executable, "" when unknown. */
static inline const char *process_exe(const struct process *p)
{
    return p && p->image ? image_text(p->image, p->image->exe) : "";
}

#endif
