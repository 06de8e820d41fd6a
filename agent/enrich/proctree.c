#include "agent/enrich/proctree.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "common/text.h"

#define NONE UINT32_MAX
#define N_BUCKETS 16384u
#define START_TICK_NS 20000000ull /* /proc tells start times in ticks of 10 ms */
#define EXPIRE_STEPS 256 /* per call: more than the deaths between two ticks of the worst storm */

static void *zeroed(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int proctree_init(struct proctree *tree, uint32_t n_slots, size_t text_bytes)
{
    memset(tree, 0, sizeof *tree);
    tree->slots = zeroed(n_slots * sizeof *tree->slots);
    tree->buckets = zeroed(N_BUCKETS * sizeof *tree->buckets);
    if (!tree->slots || !tree->buckets || slab_init(&tree->texts, text_bytes)) {
        proctree_fini(tree);
        return -ENOMEM;
    }
    memset(tree->buckets, 0xff, N_BUCKETS * sizeof *tree->buckets);
    tree->n_slots = n_slots;
    tree->free_head = NONE;
    tree->live_oldest = tree->live_newest = tree->dead_oldest = tree->dead_newest = NONE;
    tree->key = hash_key_random();
    return 0;
}

void proctree_fini(struct proctree *tree)
{
    if (tree->slots)
        munmap(tree->slots, tree->n_slots * sizeof *tree->slots);
    if (tree->buckets)
        munmap(tree->buckets, N_BUCKETS * sizeof *tree->buckets);
    slab_fini(&tree->texts);
    tree->slots = NULL;
    tree->buckets = NULL;
}

static uint32_t slot_of(const struct proctree *tree, const struct process *p)
{
    return (uint32_t)(p - tree->slots);
}

static uint32_t *bucket_of(struct proctree *tree, int32_t pid)
{
    return &tree->buckets[hash_bytes(&tree->key, &pid, sizeof pid) % N_BUCKETS];
}

/* ---- the two age lists -------------------------------------------------------------------------------------------- */

static void list_push(struct proctree *tree, struct process *p, uint32_t *oldest, uint32_t *newest)
{
    uint32_t slot = slot_of(tree, p);
    p->age_next = NONE;
    p->age_prev = *newest;
    if (*newest != NONE)
        tree->slots[*newest].age_next = slot;
    else
        *oldest = slot;
    *newest = slot;
}

static void list_drop(struct proctree *tree, struct process *p, uint32_t *oldest, uint32_t *newest)
{
    if (p->age_prev != NONE)
        tree->slots[p->age_prev].age_next = p->age_next;
    else
        *oldest = p->age_next;
    if (p->age_next != NONE)
        tree->slots[p->age_next].age_prev = p->age_prev;
    else
        *newest = p->age_prev;
}

/* ---- images ------------------------------------------------------------------------------------------------------- */

void image_release(struct proctree *tree, struct image *image)
{
    if (image && --image->refs == 0)
        slab_give(&tree->texts, image, image->bytes);
}

static struct text image_add(struct image *image, uint16_t *used, const struct event *ev, struct text t)
{
    if (!t.len)
        return (struct text){ 0, 0 };
    struct text at = { *used, t.len };
    memcpy(image->text + *used, ev->text + t.off, t.len);
    image->text[*used + t.len] = 0;
    *used = (uint16_t)(*used + t.len + 1);
    return at;
}

static void image_set_file(struct image *image, const struct event *ev)
{
    image->has_file = event_knows(ev, F_INO);
    image->dev = ev->dev;
    image->ino = ev->ino;
    image->mode = ev->mode;
    image->file_uid = ev->file_uid;
    image->nlink = ev->nlink;
    image->size = ev->file_size;
    image->ctime_wall_ns = ev->ctime_wall_ns;
    image->mtime_wall_ns = ev->mtime_wall_ns;
}

static void image_set_state(struct image *image, const struct event *ev)
{
    image->has_tty = event_knows(ev, F_TTY);
    image->tty = ev->tty;
    image->has_loginuid = event_knows(ev, F_LOGINUID);
    image->loginuid = ev->loginuid;
    image->has_namespaces = event_knows(ev, F_MNTNS) && event_knows(ev, F_NETNS) && event_knows(ev, F_PIDNS);
    image->mntns = ev->mntns;
    image->netns = ev->netns;
    image->pidns = ev->pidns;
    image->has_capabilities = event_knows(ev, F_CAP_EFFECTIVE);
    image->cap_effective = ev->cap_effective;
    image->cap_permitted = ev->cap_permitted;
    image->cap_inheritable = ev->cap_inheritable;
}

/* What of the long texts is kept: everything while there is plenty of room, else what the detectors need. So long arguments of many
 * programs cannot fill the arena and leave nothing for others; nor are all texts kept when they are more than the largest block holds. */
static bool keeps_all(const struct proctree *tree, const struct event *ev)
{
    size_t bytes = (size_t)ev->exe.len + ev->cmdline.len + ev->cwd.len + ev->stdin_link.len + ev->stdout_link.len + ev->stderr_link.len;
    return tree->texts.used <= tree->texts.size / 2 && sizeof(struct image) + bytes + 6 <= SLAB_MAX;
}

static struct text bounded(bool all, struct text t, uint16_t max)
{
    if (!all && t.len > max)
        t.len = max;
    return t;
}

static void process_drop(struct proctree *tree, struct process *p);

/* NULL when the arena is used up by the images of living processes. */
static struct image *image_new(struct proctree *tree, const struct event *ev, int64_t exec_id)
{
    const bool all = keeps_all(tree, ev);
    const struct text exe = bounded(all, ev->exe, 512), cmdline = bounded(all, ev->cmdline, 256), cwd = bounded(all, ev->cwd, 128);
    const struct text in = bounded(all, ev->stdin_link, 128), out = bounded(all, ev->stdout_link, 128), err = bounded(all, ev->stderr_link, 64);
    size_t bytes = sizeof(struct image) + exe.len + cmdline.len + cwd.len + in.len + out.len + err.len + 6u;
    tree->n_images_cut += cmdline.len < ev->cmdline.len;
    struct image *image = slab_take(&tree->texts, &bytes);
    for (int i = 0; !image && i < EXPIRE_STEPS && tree->dead_oldest != NONE; i++) {
        tree->n_evicted++;
        process_drop(tree, &tree->slots[tree->dead_oldest]);
        image = slab_take(&tree->texts, &bytes);
    }
    if (!image) {
        tree->n_images_lost++;
        return NULL;
    }
    memset(image, 0, sizeof *image);
    image->refs = 1;
    image->bytes = (uint32_t)bytes;
    image->exec_id = exec_id;
    image->time_ns = ev->time_ns;
    image_set_file(image, ev);
    image_set_state(image, ev);
    uint16_t used = 0;
    image->exe = image_add(image, &used, ev, exe);
    image->cmdline = image_add(image, &used, ev, cmdline);
    image->cwd = image_add(image, &used, ev, cwd);
    image->stdin_link = image_add(image, &used, ev, in);
    image->stdout_link = image_add(image, &used, ev, out);
    image->stderr_link = image_add(image, &used, ev, err);
    return image;
}

/* ---- slots -------------------------------------------------------------------------------------------------------- */

static void unhash(struct proctree *tree, struct process *p)
{
    uint32_t slot = slot_of(tree, p);
    for (uint32_t *at = bucket_of(tree, p->pid); *at != NONE; at = &tree->slots[*at].hash_next)
        if (*at == slot) {
            *at = p->hash_next;
            return;
        }
}

static void process_drop(struct proctree *tree, struct process *p)
{
    if (p->exit_ns) {
        list_drop(tree, p, &tree->dead_oldest, &tree->dead_newest);
    } else {
        list_drop(tree, p, &tree->live_oldest, &tree->live_newest);
        tree->n_live--;
    }
    unhash(tree, p);
    image_release(tree, p->image);
    image_release(tree, p->earlier);
    struct process *parent = proctree_parent(tree, p);
    if (parent)
        parent->n_children--;
    uint32_t generation = p->generation;
    memset(p, 0, sizeof *p);
    p->generation = generation + 1;
    p->hash_next = tree->free_head;
    tree->free_head = slot_of(tree, p);
}

static struct process *slot_take(struct proctree *tree)
{
    if (tree->free_head == NONE && tree->n_used < tree->n_slots)
        return &tree->slots[tree->n_used++];
    if (tree->free_head == NONE) {
        uint32_t victim = tree->dead_oldest != NONE ? tree->dead_oldest : tree->live_oldest;
        tree->n_evicted++;
        process_drop(tree, &tree->slots[victim]);
    }
    struct process *p = &tree->slots[tree->free_head];
    tree->free_head = p->hash_next;
    return p;
}

static void process_end(struct proctree *tree, struct process *p, uint64_t time_ns)
{
    if (p->exit_ns)
        return;
    list_drop(tree, p, &tree->live_oldest, &tree->live_newest);
    tree->n_live--;
    p->exit_ns = time_ns ? time_ns : 1;
    list_push(tree, p, &tree->dead_oldest, &tree->dead_newest);
}

static struct process *process_new(struct proctree *tree, int32_t pid, uint64_t start_ns)
{
    struct process *p = slot_take(tree);
    uint32_t generation = p->generation;
    memset(p, 0, sizeof *p);
    p->generation = generation;
    p->pid = pid;
    p->start_ns = start_ns;
    p->parent = NONE;
    uint32_t *bucket = bucket_of(tree, pid);
    p->hash_next = *bucket;
    *bucket = slot_of(tree, p);
    list_push(tree, p, &tree->live_oldest, &tree->live_newest);
    tree->n_live++;
    return p;
}

struct process *proctree_find(struct proctree *tree, int32_t pid)
{
    for (uint32_t at = *bucket_of(tree, pid); at != NONE; at = tree->slots[at].hash_next)
        if (tree->slots[at].pid == pid)
            return &tree->slots[at]; /* the newest first: a new life of a pid is put in front */
    return NULL;
}

struct process *proctree_parent(struct proctree *tree, const struct process *p)
{
    if (!p || p->parent == NONE)
        return NULL;
    struct process *parent = &tree->slots[p->parent];
    return parent->generation == p->parent_generation && parent->pid ? parent : NULL;
}

bool proctree_is_ancestor(struct proctree *tree, const struct process *ancestor, const struct process *p)
{
    for (int depth = 0; p && depth < LIMIT_LINEAGE; depth++) {
        p = proctree_parent(tree, p);
        if (p == ancestor)
            return p != NULL;
    }
    return false;
}

size_t proctree_members(const struct proctree *tree, int32_t container, int32_t *pids, size_t max)
{
    size_t n = 0;
    for (uint32_t at = tree->live_newest; at != NONE && n < max; at = tree->slots[at].age_prev)
        if (tree->slots[at].container == container)
            pids[n++] = tree->slots[at].pid;
    return n;
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

static void link_parent(struct proctree *tree, struct process *p, struct process *parent)
{
    parent->n_children++;
    p->ppid = parent->pid;
    p->parent = slot_of(tree, parent);
    p->parent_generation = parent->generation;
    p->parent_exec_id = parent->image ? parent->image->exec_id : 0;
}

static struct process *find_or_new(struct proctree *tree, int32_t pid, uint64_t start_ns)
{
    struct process *p = proctree_find(tree, pid);
    return p ? p : process_new(tree, pid, start_ns);
}

static void take_parent(struct proctree *tree, struct process *p, const struct event *ev)
{
    if (p->parent != NONE || !event_knows(ev, F_PPID))
        return;
    p->ppid = ev->ppid;
    struct process *parent = proctree_find(tree, ev->ppid);
    if (parent && parent != p)
        link_parent(tree, p, parent);
}

static struct process *apply_fork(struct proctree *tree, const struct event *ev)
{
    struct process *parent = find_or_new(tree, ev->ppid, 0);
    struct process *old = proctree_find(tree, ev->pid);
    if (old && !old->exit_ns && old->start_ns + START_TICK_NS >= ev->time_ns) {
        take_parent(tree, old, ev); /* a scan or its exec told of this life before its fork did */
        old->start_ns = ev->time_ns;
        return old;
    }
    if (old)
        process_end(tree, old, ev->time_ns); /* its exit was lost */
    uint32_t parent_slot = slot_of(tree, parent), parent_generation = parent->generation;
    struct process *p = process_new(tree, ev->pid, ev->time_ns);
    parent = &tree->slots[parent_slot];
    if (parent->generation != parent_generation)
        return p; /* evicted to make room */
    link_parent(tree, p, parent);
    p->image = parent->image;
    if (p->image)
        p->image->refs++;
    p->container = parent->container;
    p->container_known = parent->container_known;
    p->has_ids = parent->has_ids;
    p->had_root = parent->had_root;
    p->uid = parent->uid;
    p->euid = parent->euid;
    p->gid = parent->gid;
    p->egid = parent->egid;
    p->sid = parent->sid;
    p->pgid = parent->pgid;
    memcpy(p->comm, parent->comm, sizeof p->comm);
    return p;
}

static void take_ids(struct process *p, const struct event *ev)
{
    p->was_user = p->has_ids && !p->had_root && p->euid && p->uid && event_knows(ev, F_EUID) && ev->euid == 0;
    p->was_uid = p->euid;
    if (event_knows(ev, F_EUID)) {
        p->uid = event_knows(ev, F_UID) ? ev->uid : p->uid;
        p->euid = ev->euid;
        p->has_ids = true;
        /* A daemon that drops root for good has neither id left; one with a saved id can come back and is looked at again. */
        p->had_root = p->euid == 0 || p->uid == 0;
    }
    if (event_knows(ev, F_EGID)) {
        p->gid = event_knows(ev, F_GID) ? ev->gid : p->gid;
        p->egid = ev->egid;
    }
    if (event_knows(ev, F_SID))
        p->sid = ev->sid;
    if (event_knows(ev, F_PGID))
        p->pgid = ev->pgid;
    else if (ev->kind == EVENT_SID)
        p->pgid = ev->sid; /* setsid(2) makes a group as well */
    else if (ev->kind == EVENT_EXEC)
        p->pgid = 0; /* shells put a child into a group of its own before it executes, and nobody tells */
    if (event_knows(ev, F_VPID))
        p->vpid = ev->vpid;
    if (event_knows(ev, F_VPGID))
        p->vpgid = ev->vpgid;
}

static void take_comm(struct process *p, const struct event *ev)
{
    if (event_knows(ev, F_COMM))
        text_copy(p->comm, sizeof p->comm, event_text(ev, ev->comm), ev->comm.len);
    else if (event_knows(ev, F_EXE)) /* not read: the kernel takes it from the file's name */
        text_copy(p->comm, sizeof p->comm, text_basename(event_text(ev, ev->exe)), ev->exe.len);
}

/* Its image becomes the earlier one; given with a reference for the caller, too. */
static struct image *retire_image(struct proctree *tree, struct process *p)
{
    image_release(tree, p->earlier);
    p->earlier = p->image;
    p->image = NULL;
    if (p->earlier)
        p->earlier->refs++;
    memcpy(p->earlier_comm, p->comm, sizeof p->comm);
    return p->earlier;
}

static bool ran_another(const struct process *p, uint64_t time_ns)
{
    return p->image && p->earlier && p->image->time_ns > time_ns;
}

const struct image *process_image_at(const struct process *p, uint64_t time_ns)
{
    return ran_another(p, time_ns) ? p->earlier : p->image;
}

const char *process_comm_at(const struct process *p, uint64_t time_ns)
{
    return ran_another(p, time_ns) ? p->earlier_comm : p->comm;
}

static struct process *apply_image(struct proctree *tree, const struct event *ev, int64_t exec_id, struct image **previous)
{
    struct process *p = proctree_find(tree, ev->pid);
    if (p && p->exit_ns && ev->time_ns > p->exit_ns)
        p = NULL; /* a new life whose fork we did not see */
    if (p && ev->kind == EVENT_PROCESS && p->image)
        return p; /* known better than a scan can tell */
    if (!p)
        p = process_new(tree, ev->pid, event_knows(ev, F_START_NS) ? ev->start_ns : ev->time_ns);
    else if (!p->start_ns && event_knows(ev, F_START_NS))
        p->start_ns = ev->start_ns;
    const uint32_t generation = p->generation;
    *previous = retire_image(tree, p);
    struct image *image = image_new(tree, ev, exec_id);
    if (p->generation != generation) /* told after its end, and dropped to make room for its own image */
        p = process_new(tree, ev->pid, event_knows(ev, F_START_NS) ? ev->start_ns : ev->time_ns);
    p->image = image;
    take_parent(tree, p, ev);
    take_ids(p, ev);
    p->had_root = !p->has_ids || p->euid == 0 || p->uid == 0;
    take_comm(p, ev);
    return p;
}

/* Images are shared and never change: a copy with one text more takes its place. */
bool proctree_set_file(struct proctree *tree, struct process *p, const struct event *file)
{
    struct image *before = p->image;
    if (!before || before->exe.len || before->has_file)
        return false;
    size_t used = before->bytes - sizeof *before, bytes = before->bytes + file->exe.len + 1u;
    struct image *image = used + file->exe.len + 1u < UINT16_MAX ? slab_take(&tree->texts, &bytes) : NULL;
    if (!image)
        return false;
    memcpy(image, before, before->bytes);
    image->refs = 1;
    image->bytes = (uint32_t)bytes;
    image_set_file(image, file);
    uint16_t end = (uint16_t)used;
    image->exe = image_add(image, &end, file, file->exe);
    image_release(tree, before);
    p->image = image;
    take_comm(p, file);
    return true;
}

struct process *proctree_apply(struct proctree *tree, const struct event *ev, int64_t exec_id, struct image **previous)
{
    struct process *p;
    *previous = NULL;
    switch ((enum event_kind)ev->kind) {
    case EVENT_FORK:
        return apply_fork(tree, ev);
    case EVENT_EXEC:
    case EVENT_PROCESS:
        return apply_image(tree, ev, exec_id, previous);
    case EVENT_EXIT:
        p = find_or_new(tree, ev->pid, 0);
        process_end(tree, p, ev->time_ns);
        return p;
    case EVENT_UID:
    case EVENT_GID:
    case EVENT_SID:
    case EVENT_COMM:
        p = find_or_new(tree, ev->pid, 0);
        take_ids(p, ev);
        take_comm(p, ev);
        return p;
    case EVENT_PTRACE:
    case EVENT_CGROUP:
        return find_or_new(tree, ev->pid, 0);
    case EVENT_SOCKETS:
    case EVENT_FLOW:
    case EVENT_DNS:
    case EVENT_LISTEN:
    case EVENT_FILE:
    case EVENT_SYSCALL:
    case EVENT_UNIX:
    case EVENT_MOUNT:
        return event_knows(ev, F_PID) ? proctree_find(tree, ev->pid) : NULL;
    case EVENT_NONE:
    case EVENT_CONTAINER:
    case EVENT_LOSS:
    case EVENT_MODULE:
    case EVENT_CPU:
    case EVENT_HASH:
    case EVENT_NETNS:
    case EVENT_KIND_MAX:
        return NULL;
    }
    return NULL;
}

void proctree_expire(struct proctree *tree, uint64_t now_ns)
{
    for (int step = 0; step < EXPIRE_STEPS && tree->dead_oldest != NONE; step++) {
        struct process *p = &tree->slots[tree->dead_oldest];
        if (now_ns < p->exit_ns + LIMIT_PROCESS_GRACE_NS)
            return;
        if (p->n_children) { /* look again later */
            list_drop(tree, p, &tree->dead_oldest, &tree->dead_newest);
            list_push(tree, p, &tree->dead_oldest, &tree->dead_newest);
        } else {
            process_drop(tree, p);
        }
    }
}
