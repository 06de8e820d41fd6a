/* proc.is_exe_* and proc.exe_ino*: the file that a process runs. */
#include "agent/detect/rules/field_subject.h"

#include <sys/stat.h>

/* As far as owner and mode tell; root may write to everything. */
bool exe_is_writable(const struct field_context *c, const struct subject *s, bool *writable)
{
    uint32_t uid;
    const bool in_event = event_is_known(s->ev, F_MODE);
    if ((!in_event && !(s->image && s->image->has_file)) || !subject_uid(c, &uid))
        return false;
    const uint32_t mode = in_event ? s->ev->mode : s->image->mode, owner = in_event ? s->ev->file_uid : s->image->file_uid;
    *writable = uid == 0 || uid == owner || (mode & S_IWOTH);
    return true;
}

static enum value_answer exe_duration(const struct field_context *c, const struct subject *s, uint64_t ctime_ns, bool before_start,
                                      struct value *out)
{
    const uint64_t started = c->container ? c->container->started_wall_ns : 0;
    if (!before_start)
        return started && ctime_ns > started ? value_uint(out, ctime_ns - started) : VALUE_MISSING;
    const uint64_t executed_ns = (s->image ? s->image->time_ns : c->ev->time_ns) + (uint64_t)c->wall_offset_ns;
    return executed_ns > ctime_ns ? value_uint(out, executed_ns - ctime_ns) : VALUE_MISSING;
}

static enum value_answer exe_layer(const struct field_context *c, const struct subject *s, bool want_upper, struct value *out)
{
    bool upper;
    const enum value_answer answer = exe_in_upper_layer(c, s, &upper);
    if (answer != VALUE_GOT)
        return answer;
    return value_bool(out, want_upper ? upper : c->container && !upper);
}

static enum value_answer exe_number(const struct field_context *c, const struct subject *s, intptr_t which, struct value *out)
{
    const bool in_event = event_is_known(s->ev, F_INO);
    if (!in_event && !(s->image && s->image->has_file))
        return VALUE_MISSING;
    const uint64_t ctime_ns = in_event ? s->ev->ctime_wall_ns : s->image->ctime_wall_ns;
    if (which == EXE_INO)
        return value_int(out, (int64_t)(in_event ? s->ev->ino : s->image->ino));
    if (which == EXE_CTIME)
        return value_uint(out, ctime_ns);
    if (which == EXE_MTIME)
        return value_uint(out, in_event ? s->ev->mtime_wall_ns : s->image->mtime_wall_ns);
    return exe_duration(c, s, ctime_ns, which == EXE_CTIME_BEFORE_START, out);
}

GETTER(process_exe_fact)
{
    struct subject s;
    bool writable;
    if (!subject_self(c, &s))
        return VALUE_MISSING;
    const struct span exe = subject_exe_link(&s);
    switch (ref->field->which) {
    case EXE_WRITABLE:
        return exe_is_writable(c, &s, &writable) ? value_bool(out, writable) : VALUE_MISSING;
    case EXE_UPPER:
    case EXE_LOWER:
        return exe_layer(c, &s, ref->field->which == EXE_UPPER, out);
    case EXE_MEMFD:
        return exe.length ? value_bool(out, exe_is_memfd(&s)) : VALUE_MISSING;
    case EXE_DELETED:
        return exe.length ? value_bool(out, span_ends(exe, EXE_DELETED_MARK)) : VALUE_MISSING;
    }
    return exe_number(c, &s, ref->field->which, out);
}
