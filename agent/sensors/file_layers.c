/* Directory entry events. The kernel names a directory by its file handle and the entry by its name, so nothing is opened for an event
 * of which we do not want to know more: the marked file system is usually the host's own, and most of its events are not ours. */
#include "agent/sensors/file_layers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/sensors/fan_decode.h"
#include "agent/sensors/file_mounts.h"
#include "agent/sensors/file_overlay.h"
#include "agent/sensors/file_sensitive.h"
#include "agent/sensors/sensitive_paths.h"
#include "common/clock.h"

#define READ_BYTES 32768
#define ENTRY_MASK (FAN_CREATE | FAN_DELETE | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_ONDIR)
#define MOVE_MASK (FAN_MOVED_FROM | FAN_MOVED_TO)

void file_layers_open(struct file_sensor *fs)
{
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS | FAN_CLOEXEC | FAN_NONBLOCK,
                           O_RDONLY | O_LARGEFILE | O_CLOEXEC);
    fs->group_fd[FILE_GROUP_LAYERS] = fd;
    fs->has_rename = true; /* until a mark with it is refused */
    if (fd < 0)
        sensor_state(&fs->stats[FILE_GROUP_LAYERS], SENSOR_OFF,
                     "changes in container layers are not seen: fanotify_init with file handles: %s (needs CAP_SYS_ADMIN, Linux 5.9)",
                     strerror(errno));
}

void file_layers_close(struct file_sensor *fs)
{
    for (int i = 0; i < fs->n_filesystems; i++)
        close(fs->filesystems[i].mount_fd);
    fs->n_filesystems = 0;
}

static int mark_mask(struct file_sensor *fs, const char *dir)
{
    int fd = fs->group_fd[FILE_GROUP_LAYERS];
    if (fs->has_rename) {
        if (!fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, ENTRY_MASK | FAN_RENAME, AT_FDCWD, dir))
            return 0;
        if (errno != EINVAL)
            return -errno;
        fs->has_rename = false; /* before Linux 5.17 */
    }
    return fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, ENTRY_MASK | MOVE_MASK, AT_FDCWD, dir) ? -errno : 0;
}

/* The highest directory above `dir` on its device, opened: the kernel leads a handle back to a name only below what it is opened with. */
static int open_top(const char *dir, uint64_t dev)
{
    char path[LIMIT_PATH_BYTES];
    struct stat st;
    if (dir[0] != '/' || (size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path)
        return -EINVAL;
    for (;;) {
        char parent[LIMIT_PATH_BYTES];
        size_t end = (size_t)(strrchr(path, '/') - path);
        snprintf(parent, sizeof parent, "%.*s", end ? (int)end : 1, path);
        if (!path[1] || stat(parent, &st) || st.st_dev != dev)
            break;
        memcpy(path, parent, sizeof path);
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* 0 (also when it is marked already or does not exist), or -errno. */
static int mark_filesystem(struct file_sensor *fs, const char *dir)
{
    struct stat st;
    struct statfs sfs;
    if (stat(dir, &st))
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    for (int i = 0; i < fs->n_filesystems; i++)
        if (fs->filesystems[i].dev == st.st_dev)
            return 0;
    if (fs->n_filesystems == LIMIT_LAYER_FILESYSTEMS)
        return -ENOSPC;
    struct layer_fs *to = &fs->filesystems[fs->n_filesystems];
    to->dev = st.st_dev;
    to->mount_fd = open_top(dir, st.st_dev);
    if (to->mount_fd < 0)
        return to->mount_fd;
    int error = fstatfs(to->mount_fd, &sfs) ? -errno : mark_mask(fs, dir);
    if (error) {
        close(to->mount_fd);
        return error;
    }
    memcpy(to->fsid, &sfs.f_fsid, sizeof to->fsid);
    fs->n_filesystems++;
    return 0;
}

/* The nearest directory at or above `path` that exists. */
static void existing_dir(const char *path, char out[LIMIT_PATH_BYTES])
{
    struct stat st;
    snprintf(out, LIMIT_PATH_BYTES, "%s", path);
    while (stat(out, &st) || !S_ISDIR(st.st_mode)) {
        char *slash = strrchr(out, '/');
        if (!slash || slash == out) {
            strcpy(out, "/");
            return;
        }
        *slash = 0;
    }
}

void file_layers_mark(struct file_sensor *fs)
{
    char dir[LIMIT_PATH_BYTES], failed[LIMIT_PATH_BYTES] = "";
    int error = 0;
    if (fs->group_fd[FILE_GROUP_LAYERS] < 0)
        return;
    for (const char *const *p = fs->options.layer_dirs; p && *p; p++) {
        int e = mark_filesystem(fs, *p);
        if (e) {
            error = e;
            snprintf(failed, sizeof failed, "%s", *p);
        }
    }
    for (const char *const *p = fs->options.host_paths; p && *p; p++) {
        existing_dir(*p, dir);
        int e = mark_filesystem(fs, dir);
        if (e) {
            error = e;
            memcpy(failed, dir, sizeof failed);
        }
    }
    if (error)
        sensor_state(&fs->stats[FILE_GROUP_LAYERS], SENSOR_DEGRADED, "changes on the file system of %.80s are not seen: fanotify_mark: %s", failed,
                     strerror(-error));
    else if (!fs->n_filesystems)
        sensor_state(&fs->stats[FILE_GROUP_LAYERS], SENSOR_DEGRADED, "no directory of container layers exists yet");
    else
        sensor_state(&fs->stats[FILE_GROUP_LAYERS], SENSOR_OK, "%s", "");
}

void event_set_path(struct event *ev, enum event_field field, const char *prefix, const char *name, size_t name_len)
{
    size_t room, n = strlen(prefix);
    bool self = !name || (name_len == 1 && name[0] == '.');
    char *to = event_text_room(ev, &room);
    if (room > LIMIT_PATH_BYTES)
        room = LIMIT_PATH_BYTES;
    if (n > room)
        n = room;
    memcpy(to, prefix, n);
    if (!self && n < room && (n == 0 || to[n - 1] != '/'))
        to[n++] = '/';
    if (self && n == 0 && room)
        to[n++] = '/';
    if (!self) {
        if (name_len > room - n)
            name_len = room - n;
        memcpy(to + n, name, name_len);
        n += name_len;
    }
    event_text_done(ev, field, n);
}

static uint64_t timespec_ns(struct timespec t)
{
    return (uint64_t)t.tv_sec * NS_PER_SECOND + (uint64_t)t.tv_nsec;
}

void event_set_stat(struct event *ev, const struct stat *st)
{
    event_set(ev, F_DEV, dev, st->st_dev);
    event_set(ev, F_INO, ino, st->st_ino);
    event_set(ev, F_MODE, mode, st->st_mode);
    event_set(ev, F_FILE_UID, file_uid, st->st_uid);
    event_set(ev, F_NLINK, nlink, (uint32_t)st->st_nlink);
    event_set(ev, F_SIZE, file_size, (uint64_t)st->st_size);
    event_set(ev, F_CTIME_WALL_NS, ctime_wall_ns, timespec_ns(st->st_ctim));
    event_set(ev, F_MTIME_WALL_NS, mtime_wall_ns, timespec_ns(st->st_mtim));
}

/* The directory of an entry, opened; -errno if it is gone. */
static int entry_dir_open(const struct file_sensor *fs, const struct fan_entry *entry)
{
    union {
        struct file_handle head;
        uint8_t bytes[FAN_HANDLE_MAX];
    } handle;
    memcpy(handle.bytes, entry->handle, entry->handle_size);
    for (int i = 0; i < fs->n_filesystems; i++)
        if (!memcmp(fs->filesystems[i].fsid, entry->fsid, sizeof entry->fsid)) {
            int fd = open_by_handle_at(fs->filesystems[i].mount_fd, &handle.head, O_PATH | O_CLOEXEC);
            return fd < 0 ? -errno : fd;
        }
    return -ENOENT;
}

static struct dir_entry *dir_resolve(struct file_sensor *fs, const struct fan_entry *entry, uint64_t now_ns)
{
    char path[LIMIT_PATH_BYTES];
    sensor_count(&fs->resolved, 1);
    int fd = entry_dir_open(fs, entry);
    if (fd < 0)
        return NULL;
    int n = fd_path(fd, path, sizeof path);
    close(fd);
    return n < 0 ? NULL : dir_cache_put(&fs->dirs, entry, path, now_ns);
}

/* The directory of an entry if it may matter to us, else NULL. */
static struct dir_entry *dir_of(struct file_sensor *fs, const struct fan_entry *entry, uint64_t now_ns)
{
    if (!entry->handle)
        return NULL;
    struct dir_entry *dir = fs->options.no_cache ? NULL : dir_cache_find(&fs->dirs, entry, now_ns);
    if (!dir)
        dir = dir_resolve(fs, entry, now_ns);
    if (!dir)
        return NULL;
    if (dir->generation != fs->scope.generation) {
        dir->place = file_scope_place(&fs->scope, dir->path);
        dir->generation = fs->scope.generation;
    }
    return dir->place.kind == PLACE_NONE ? NULL : dir;
}

/* What a directory entry is, seen right after its event. */
struct entry_facts {
    struct stat st;
    char target[LIMIT_PATH_BYTES]; /* of a symbolic link */
    size_t target_len;
    bool copied_up; /* overlayfs made this upper file from one of the image (it keeps a note of the origin) */
};

static bool entry_look(const struct file_sensor *fs, const struct fan_entry *entry, struct entry_facts *facts)
{
    char name[NAME_MAX + 1];
    if (!entry->name || entry->name_len > NAME_MAX)
        return false;
    memcpy(name, entry->name, entry->name_len);
    name[entry->name_len] = 0;
    /* Through the handle, not the path: a container can put a symbolic link into the path meanwhile. */
    int fd = entry_dir_open(fs, entry);
    bool found = fd >= 0 && !fstatat(fd, name, &facts->st, AT_SYMLINK_NOFOLLOW);
    facts->copied_up = false;
    facts->target_len = 0;
    if (found && S_ISLNK(facts->st.st_mode)) {
        ssize_t n = readlinkat(fd, name, facts->target, sizeof facts->target);
        facts->target_len = n > 0 ? (size_t)n : 0;
    }
    if (found && S_ISREG(facts->st.st_mode)) {
        char path[NAME_MAX + 64];
        snprintf(path, sizeof path, "/proc/self/fd/%d/%s", fd, name);
        facts->copied_up = lgetxattr(path, "trusted.overlay.origin", NULL, 0) >= 0;
    }
    if (fd >= 0)
        close(fd);
    return found;
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* A directory's path as the container sees it; of the host's files, the host's. */
static const char *inside_path(const struct dir_entry *dir)
{
    return dir->path + (dir->place.kind == PLACE_UPPER ? dir->place.overlay->upperdir_len : 0);
}

/* Both paths of an entry in `dir`: the host's, and the container's for a layer. */
static void set_paths(struct event *ev, const struct dir_entry *dir, const struct fan_entry *entry)
{
    event_set_path(ev, F_PATH, inside_path(dir), entry->name, entry->name_len);
    event_set_path(ev, F_HOST_PATH, dir->path, entry->name, entry->name_len);
}

static struct event *event_begin(struct file_sensor *fs, enum file_op op, int32_t pid, uint64_t now_ns)
{
    struct event *ev = sensor_event(&fs->sensors[FILE_GROUP_LAYERS], EVENT_FILE, now_ns, 3 * (LIMIT_PATH_BYTES + 1));
    if (!ev) {
        file_rescan_request(fs);
        return NULL;
    }
    event_set(ev, F_FILE_OP, file_op, (uint8_t)op);
    event_set(ev, F_PID, pid, pid);
    return ev;
}

static void set_facts(struct event *ev, const struct entry_facts *facts)
{
    event_set_stat(ev, &facts->st);
    event_set(ev, F_COPIED_UP, copied_up, facts->copied_up);
    if (facts->target_len)
        event_set_text(ev, F_LINK_TARGET, facts->target, facts->target_len);
}

static void emit(struct file_sensor *fs, enum file_op op, int32_t pid, uint64_t now_ns, const struct dir_entry *dir,
                 const struct fan_entry *entry, const struct entry_facts *facts)
{
    struct event *ev = event_begin(fs, op, pid, now_ns);
    if (!ev)
        return;
    set_paths(ev, dir, entry);
    if (facts)
        set_facts(ev, facts);
    sensor_commit(&fs->sensors[FILE_GROUP_LAYERS], ev);
}

/* What was deleted cannot be looked at; the event still says whether it was a directory. */
static void emit_deleted(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns, const struct dir_entry *dir)
{
    struct event *ev = event_begin(fs, FILE_DELETE, e->pid, now_ns);
    if (!ev)
        return;
    set_paths(ev, dir, &e->from);
    if (e->mask & FAN_ONDIR)
        event_set(ev, F_MODE, mode, S_IFDIR);
    sensor_commit(&fs->sensors[FILE_GROUP_LAYERS], ev);
}

/* What is told of an entry. */
static enum host_interest interest_in(const struct file_sensor *fs, const struct dir_entry *dir, const struct fan_entry *entry)
{
    if (!dir || !entry->name)
        return HOST_NONE;
    return dir->place.kind == PLACE_UPPER ? HOST_CHANGES : file_scope_host(&fs->scope, dir->path, entry->name, entry->name_len);
}

static bool is_ours(const struct file_sensor *fs, const struct dir_entry *dir, const struct fan_entry *entry)
{
    return interest_in(fs, dir, entry) != HOST_NONE;
}

/* Where an overlay is mounted: on the host, or in the namespace of its owner. */
static void overlay_root(const struct overlay *o, char *out, size_t size)
{
    if (o->owner)
        snprintf(out, size, "/proc/%d/root%s", o->owner, o->mount_point);
    else
        snprintf(out, size, "%s", o->mount_point);
}

/* Of what appears in a layer the layer's file system tells a moment before the overlay has it: who is stopped in between, or looked for the name
 * before, makes us find nothing. So it is looked for again, the last time first here. */
static const uint64_t remark_again_ns[] = { 2000 * NS_PER_MS, 200 * NS_PER_MS, 20 * NS_PER_MS };

static void overlay_appeared(struct file_sensor *fs, struct overlay *o)
{
    o->remarks_left = sizeof remark_again_ns / sizeof remark_again_ns[0];
    file_layers_remark_at(fs, o, 1);
}

/* A new inode has no marks: should it be a sensitive or a watched file, it gets them at the end of this batch of events. */
static void note_appeared(struct file_sensor *fs, const struct dir_entry *dir, const struct fan_entry *entry, const struct entry_facts *facts)
{
    char path[LIMIT_PATH_BYTES];
    const char *inside = inside_path(dir);
    int n = snprintf(path, sizeof path, "%s/%.*s", strcmp(inside, "/") ? inside : "", (int)entry->name_len, entry->name);
    if (!facts || n < 0 || (size_t)n >= sizeof path)
        return;
    if (dir->place.kind == PLACE_UPPER) {
        if (sensitive_path_appeared(path, S_ISDIR(facts->st.st_mode)))
            overlay_appeared(fs, &fs->scope.overlays[dir->place.overlay - fs->scope.overlays]);
        return;
    }
    fs->remark_host |= sensitive_path_appeared(path, S_ISDIR(facts->st.st_mode));
    for (int i = 0; fs->options.watch_files && fs->options.watch_files[i]; i++)
        fs->remark_host |= !strcmp(path, fs->options.watch_files[i]);
    if (fs->remark_host)
        fs->remark_ns = 1;
}

void file_layers_remark_at(struct file_sensor *fs, struct overlay *o, uint64_t due_ns)
{
    if (!o->remark_ns || due_ns < o->remark_ns)
        o->remark_ns = due_ns;
    if (!fs->remark_ns || due_ns < fs->remark_ns)
        fs->remark_ns = due_ns;
}

static void overlay_remark(struct file_sensor *fs, struct overlay *o, uint64_t now_ns)
{
    char root[LIMIT_PATH_BYTES + 32];
    o->remark_ns = 0;
    if (o->gone_ns)
        return;
    overlay_root(o, root, sizeof root);
    file_sensitive_mark(fs, root);
    if (o->remarks_left)
        o->remark_ns = now_ns + remark_again_ns[--o->remarks_left];
}

void file_layers_remark(struct file_sensor *fs, uint64_t now_ns)
{
    if (!fs->remark_ns || fs->remark_ns > now_ns)
        return;
    uint64_t next_ns = 0;
    for (int i = 0; i < fs->scope.n_overlays && !fs->options.no_sensitive; i++) {
        struct overlay *o = &fs->scope.overlays[i];
        if (o->remark_ns && o->remark_ns <= now_ns)
            overlay_remark(fs, o, now_ns);
        if (o->remark_ns && (!next_ns || o->remark_ns < next_ns))
            next_ns = o->remark_ns;
    }
    if (fs->remark_host)
        file_overlay_watch_host(fs);
    fs->remark_host = false;
    fs->remark_ns = next_ns;
}

/* Searches for a hard link's other name are rationed: a package manager makes thousands of links. */
static bool may_search(struct file_sensor *fs, uint64_t now_ns)
{
    if (now_ns - fs->link_since_ns > NS_PER_SECOND) {
        fs->link_since_ns = now_ns;
        fs->n_link_lookups = 0;
    }
    return fs->n_link_lookups++ < LIMIT_LINK_LOOKUPS;
}

/* A new name of a file that has another one: is it one of the sensitive files? */
static void emit_linked(struct file_sensor *fs, int32_t pid, uint64_t now_ns, const struct dir_entry *dir, const struct fan_entry *entry,
                        const struct entry_facts *facts)
{
    char old[LIMIT_PATH_BYTES];
    const char *root = dir->place.kind == PLACE_UPPER ? dir->place.overlay->upperdir : "/";
    bool found = may_search(fs, now_ns) && file_sensitive_find(root, fs->host_remote, facts->st.st_dev, facts->st.st_ino, old, sizeof old);
    struct event *ev = event_begin(fs, FILE_CREATE, pid, now_ns);
    if (!ev)
        return;
    set_paths(ev, dir, entry);
    if (found)
        event_set_text(ev, F_OLD_PATH, old, strlen(old));
    set_facts(ev, facts);
    sensor_commit(&fs->sensors[FILE_GROUP_LAYERS], ev);
}

/* Something appeared at `entry` out of overlayfs' work directory, or by CREATE: a whiteout hides a file of the image, which for the
 * container is its deletion; anything else is a new file or one copied up. */
static void emit_appeared(struct file_sensor *fs, int32_t pid, uint64_t now_ns, const struct dir_entry *dir, const struct fan_entry *entry,
                          const struct entry_facts *facts)
{
    if (facts && is_whiteout(&facts->st)) {
        emit(fs, FILE_DELETE, pid, now_ns, dir, entry, NULL);
        return;
    }
    note_appeared(fs, dir, entry, facts);
    if (facts && S_ISREG(facts->st.st_mode) && facts->st.st_nlink > 1)
        emit_linked(fs, pid, now_ns, dir, entry, facts);
    else
        emit(fs, FILE_CREATE, pid, now_ns, dir, entry, facts);
}

/* Where an entry was, and its name as the container saw it, cut to `size`. */
static enum file_place_kind old_name(struct file_sensor *fs, const struct fan_entry *entry, uint64_t now_ns, char *out, size_t size)
{
    const struct dir_entry *dir = dir_of(fs, entry, now_ns);
    if (!is_ours(fs, dir, entry))
        return PLACE_NONE;
    const char *inside = inside_path(dir);
    if (snprintf(out, size, "%s/%.*s", strcmp(inside, "/") ? inside : "", (int)entry->name_len, entry->name) < 0)
        out[0] = 0;
    return dir->place.kind;
}

static void emit_move(struct file_sensor *fs, int32_t pid, uint64_t now_ns, const char *old, const struct dir_entry *dir,
                      const struct fan_entry *to, const struct entry_facts *facts)
{
    struct event *ev = event_begin(fs, FILE_MOVE, pid, now_ns);
    if (!ev)
        return;
    if (dir)
        set_paths(ev, dir, to);
    if (old)
        event_set_text(ev, F_OLD_PATH, old, strlen(old));
    if (facts)
        set_facts(ev, facts);
    sensor_commit(&fs->sensors[FILE_GROUP_LAYERS], ev);
}

/* Both names in one event. From overlayfs' work directory into a layer: copied up (or a whiteout). From a layer into the work directory:
 * the other half of such an exchange, which says nothing new. */
static void rename_event(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns)
{
    char old[LIMIT_PATH_BYTES];
    struct entry_facts facts;
    enum file_place_kind from = old_name(fs, &e->from, now_ns, old, sizeof old);
    const struct dir_entry *dir = dir_of(fs, &e->to, now_ns);
    if (!is_ours(fs, dir, &e->to)) {
        if (from == PLACE_HOST)
            emit_move(fs, e->pid, now_ns, old, NULL, NULL, NULL);
        return;
    }
    const struct entry_facts *found = entry_look(fs, &e->to, &facts) ? &facts : NULL;
    if (from == PLACE_NONE && dir->place.kind == PLACE_UPPER) {
        emit_appeared(fs, e->pid, now_ns, dir, &e->to, found);
        return;
    }
    note_appeared(fs, dir, &e->to, found);
    emit_move(fs, e->pid, now_ns, from == PLACE_NONE ? NULL : old, dir, &e->to, found);
}

/* One of the two events of kernels without FAN_RENAME. */
static void moved_event(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns, const struct dir_entry *dir, const struct entry_facts *facts)
{
    char old[LIMIT_PATH_BYTES];
    if (e->mask & FAN_MOVED_TO) {
        if (facts && is_whiteout(&facts->st))
            emit(fs, FILE_DELETE, e->pid, now_ns, dir, &e->from, NULL);
        else {
            note_appeared(fs, dir, &e->from, facts);
            emit_move(fs, e->pid, now_ns, NULL, dir, &e->from, facts);
        }
    } else if (old_name(fs, &e->from, now_ns, old, sizeof old) != PLACE_NONE) {
        emit_move(fs, e->pid, now_ns, old, NULL, NULL, NULL);
    }
}

/* One event can stand for several things that happened to one name; the kernel does not keep their order. Deletion comes last unless the
 * file is there (again). */
static void entry_event(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns)
{
    struct entry_facts facts;
    const struct dir_entry *dir = dir_of(fs, &e->from, now_ns);
    enum host_interest interest = interest_in(fs, dir, &e->from);
    if (interest == HOST_NONE)
        return;
    bool all = interest == HOST_CHANGES;
    const struct entry_facts *found = entry_look(fs, &e->from, &facts) ? &facts : NULL;
    if ((e->mask & FAN_DELETE) && found)
        emit_deleted(fs, e, now_ns, dir);
    if ((e->mask & FAN_CREATE) && all)
        emit_appeared(fs, e->pid, now_ns, dir, &e->from, found);
    if ((e->mask & FAN_ATTRIB) && !(e->mask & FAN_ONDIR) && all) /* overlayfs itself keeps setting attributes of directories */
        emit(fs, FILE_ATTRIB, e->pid, now_ns, dir, &e->from, found);
    if ((e->mask & FAN_CLOSE_WRITE) && (all || (found && !found->st.st_size)))
        emit(fs, FILE_CLOSE_WRITE, e->pid, now_ns, dir, &e->from, found);
    if ((e->mask & FAN_DELETE) && !found)
        emit_deleted(fs, e, now_ns, dir);
    if (e->mask & MOVE_MASK)
        moved_event(fs, e, now_ns, dir, found);
}

static void layers_event(struct file_sensor *fs, const struct fan_event *e, uint64_t now_ns)
{
    if (e->mask & FAN_Q_OVERFLOW) {
        sensor_lost(&fs->sensors[FILE_GROUP_LAYERS], 1, "the kernel's queue of layer events was full");
        dir_cache_flush(&fs->dirs);
        file_rescan_request(fs);
        return;
    }
    if (e->pid == fs->own_pid)
        return;
    if (e->mask & FAN_RENAME)
        rename_event(fs, e, now_ns);
    else
        entry_event(fs, e, now_ns);
    /* A directory moved: every path below it is another now. Rare enough to forget them all. */
    if ((e->mask & FAN_ONDIR) && (e->mask & (FAN_RENAME | MOVE_MASK)))
        dir_cache_flush(&fs->dirs);
}

bool file_layers_read(struct file_sensor *fs)
{
    uint8_t buffer[READ_BYTES];
    ssize_t n = fs->group_fd[FILE_GROUP_LAYERS] < 0 ? -1 : read(fs->group_fd[FILE_GROUP_LAYERS], buffer, sizeof buffer);
    if (n <= 0)
        return false;
    /* Overlays that were mounted before these events are known before they are looked at. */
    file_mounts_refresh(fs, false);
    struct bytes left = bytes_of(buffer, (size_t)n);
    struct fan_event e;
    uint64_t now_ns = clock_monotonic_ns();
    int status;
    while ((status = fan_event_next(&left, &e)) > 0)
        layers_event(fs, &e, now_ns);
    if (status < 0)
        sensor_count(&fs->stats[FILE_GROUP_LAYERS].malformed, 1);
    file_layers_remark(fs, now_ns);
    return true;
}
