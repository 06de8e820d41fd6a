/* file.*, fs.path.*, mount.* and module.*: the file that an event is about, or the executable of who acts. */
#include "agent/detect/rules/field_subject.h"

#include <sys/stat.h>

static void facts_of_event(const struct event *ev, struct file_facts *f)
{
    f->known = event_knows(ev, F_MODE);
    f->dev = ev->dev;
    f->ino = ev->ino;
    f->size = ev->file_size;
    f->ctime_wall_ns = ev->ctime_wall_ns;
    f->mtime_wall_ns = ev->mtime_wall_ns;
    f->mode = ev->mode;
    f->uid = ev->file_uid;
    f->nlink = ev->nlink;
}

static void facts_of_image(const struct image *image, struct file_facts *f)
{
    f->known = image->has_file;
    f->dev = image->dev;
    f->ino = image->ino;
    f->size = image->size;
    f->ctime_wall_ns = image->ctime_wall_ns;
    f->mtime_wall_ns = image->mtime_wall_ns;
    f->mode = image->mode;
    f->uid = image->file_uid;
    f->nlink = image->nlink;
}

bool file_facts_get(const struct field_context *c, struct file_facts *f)
{
    const struct event *ev = c->ev;
    struct subject self;
    memset(f, 0, sizeof *f);
    f->path = "";
    if (ev->kind == EVENT_FILE) {
        f->path = event_text(ev, ev->path);
        f->path_length = ev->path.len;
        facts_of_event(ev, f);
        return true;
    }
    if (!subject_self(c, &self))
        return false;
    const struct span exe = subject_exe_link(&self);
    f->path = exe.data;
    f->path_length = exe.length - (span_ends(exe, EXE_DELETED_MARK) ? strlen(EXE_DELETED_MARK) : 0);
    if (event_is_known(self.ev, F_MODE))
        facts_of_event(self.ev, f);
    else if (self.image)
        facts_of_image(self.image, f);
    return true;
}

static const struct file_origin *origin_of(const struct field_context *c)
{
    struct file_facts f;
    if (!c->origins || !file_facts_get(c, &f))
        return NULL;
    return file_origins_find(c->origins, c->container ? c->container->id : 0, f.path, f.path_length);
}

static enum value_answer get_path(const struct field_context *c, struct value *out)
{
    const struct event *ev = c->ev;
    struct file_facts f;
    if (ev->kind == EVENT_UNIX || ev->kind == EVENT_MOUNT)
        return value_event_text(out, ev, F_PATH, ev->path);
    return file_facts_get(c, &f) && f.path_length ? value_text(out, f.path, f.path_length) : VALUE_MISSING;
}

static enum value_answer get_op(const struct event *ev, struct value *out)
{
    static const char *const names[] = {
        "",
        [FILE_CREATE] = "create",
        [FILE_DELETE] = "delete",
        [FILE_MOVE] = "move",
        [FILE_ATTRIB] = "attrib",
        [FILE_CLOSE_WRITE] = "close_write",
        [FILE_OPEN_EXEC] = "open_exec",
        [FILE_MODIFY] = "modify",
        [FILE_OPEN] = "open",
    };
    return ev->kind == EVENT_FILE && ev->file_op < sizeof names / sizeof names[0] ? value_name(out, names[ev->file_op]) : VALUE_MISSING;
}

static enum value_answer get_origin(const struct field_context *c, struct value *out)
{
    const struct file_origin *origin = origin_of(c);
    return origin ? value_name(out, origin->is_copy_up ? "changed" : "written") : VALUE_MISSING;
}

GETTER(file_text)
{
    const struct event *ev = c->ev;
    switch (ref->field->which) {
    case FILE_PATH:
        return get_path(c, out);
    case FILE_HOST_PATH:
        return value_event_text(out, ev, F_HOST_PATH, ev->host_path);
    case FILE_OLD_PATH:
        return value_event_text(out, ev, F_OLD_PATH, ev->old_path);
    case FILE_LINK_TARGET:
        return value_event_text(out, ev, F_LINK_TARGET, ev->link_target);
    case FILE_SHA256:
        return value_event_text(out, ev, F_SHA256, ev->sha256);
    case FILE_OP_NAME:
        return get_op(ev, out);
    case FILE_ORIGIN:
        return get_origin(c, out);
    }
    return VALUE_MISSING;
}

GETTER(file_number)
{
    struct file_facts f;
    if (!file_facts_get(c, &f) || !f.known)
        return VALUE_MISSING;
    switch (ref->field->which) {
    case FILE_MODE:
        return value_uint(out, f.mode & 07777);
    case FILE_UID:
        return value_uint(out, f.uid);
    case FILE_NLINK:
        return value_uint(out, f.nlink);
    case FILE_SIZE:
        return value_uint(out, f.size);
    case FILE_INO:
        return value_uint(out, f.ino);
    case FILE_CTIME:
        return value_uint(out, f.ctime_wall_ns);
    case FILE_MTIME:
        return value_uint(out, f.mtime_wall_ns);
    }
    return VALUE_MISSING;
}

GETTER(file_flag)
{
    struct file_facts f;
    bool upper;
    if (ref->field->which == FILE_IS_COPIED_UP)
        return event_knows(c->ev, F_COPIED_UP) ? value_bool(out, c->ev->copied_up) : VALUE_MISSING;
    if (ref->field->which == FILE_IS_NEW_LIBRARY)
        return c->ev->kind == EVENT_FILE ? value_bool(out, event_knows(c->ev, F_NEW_LIBRARY) && c->ev->new_library) : VALUE_MISSING;
    if (ref->field->which == FILE_IS_LOADED)
        return event_knows(c->ev, F_LOADED) ? value_bool(out, c->ev->loaded) : VALUE_MISSING;
    if (ref->field->which == FILE_IS_UPPER) {
        const enum value_answer answer = file_in_upper_layer(c, &upper);
        return answer == VALUE_GOT ? value_bool(out, upper) : answer;
    }
    if (!file_facts_get(c, &f) || !f.known)
        return VALUE_MISSING;
    switch (ref->field->which) {
    case FILE_IS_DELETED:
        return value_bool(out, f.nlink == 0);
    case FILE_IS_EXECUTABLE:
        return value_bool(out, S_ISREG(f.mode) && (f.mode & 0111));
    case FILE_IS_SETUID:
        return value_bool(out, S_ISREG(f.mode) && (f.mode & S_ISUID));
    case FILE_IS_SETGID:
        return value_bool(out, S_ISREG(f.mode) && (f.mode & S_ISGID));
    }
    return VALUE_MISSING;
}

GETTER(file_writer)
{
    const struct file_origin *origin = origin_of(c);
    if (!origin)
        return VALUE_MISSING;
    switch (ref->field->which) {
    case WRITER_EXE:
        return value_name(out, origin->exe);
    case WRITER_CMDLINE:
        return value_name(out, origin->cmdline);
    case WRITER_PID:
        return origin->pid ? value_int(out, origin->pid) : VALUE_MISSING;
    case WRITER_UID:
        return origin->exe[0] ? value_uint(out, origin->uid) : VALUE_MISSING;
    case WRITER_AGE:
        return value_uint(out, c->ev->time_ns > origin->time_ns ? c->ev->time_ns - origin->time_ns : 0);
    }
    return VALUE_MISSING;
}

/* What a call on the file system names: one path, or from where to where. */
GETTER(file_fs_path)
{
    const struct event *ev = c->ev;
    const bool two = c->class == CLASS_RENAME || c->class == CLASS_LINK || c->class == CLASS_SYMLINK;
    if (ev->kind != EVENT_FILE)
        return VALUE_MISSING;
    switch (ref->field->which) {
    case FS_NAME:
        return two ? VALUE_MISSING : value_event_text(out, ev, F_PATH, ev->path);
    case FS_SOURCE:
        if (c->class == CLASS_SYMLINK)
            return value_event_text(out, ev, F_LINK_TARGET, ev->link_target);
        return two ? value_event_text(out, ev, F_OLD_PATH, ev->old_path) : VALUE_MISSING;
    case FS_TARGET:
        return two ? value_event_text(out, ev, F_PATH, ev->path) : VALUE_MISSING;
    }
    return VALUE_MISSING;
}

GETTER(mount_text)
{
    const struct event *ev = c->ev;
    switch (ref->field->which) {
    case MOUNT_SOURCE:
        return value_event_text(out, ev, F_MOUNT_SOURCE, ev->mount_source);
    case MOUNT_TYPE:
        return value_event_text(out, ev, F_FS_TYPE, ev->fs_type);
    case MOUNT_TARGET:
        return ev->kind == EVENT_MOUNT ? value_event_text(out, ev, F_PATH, ev->path) : VALUE_MISSING;
    case MODULE_NAME:
        return value_event_text(out, ev, F_MODULE, ev->module);
    }
    return VALUE_MISSING;
}
