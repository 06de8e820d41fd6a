#include "agent/sensors/proc_decode.h"

#include <assert.h>
#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <string.h>

#include "common/bytes.h"

#define EXIT_EVENT 0x80000000u /* PROC_EVENT_EXIT; a plain number because newer headers moved the enum */

static_assert(PROC_AT_WHAT == sizeof(struct nlmsghdr) + sizeof(struct cn_msg), "connector message layout");
static_assert(PROC_AT_DATA == PROC_AT_WHAT + offsetof(struct proc_event, event_data), "process event layout");

/* The next number of the message. A short message yields 0 and is refused at the end. */
static uint32_t take_u32(struct bytes *b)
{
    const uint8_t *p = bytes_take(b, 4);
    return p ? load_u32(p) : 0;
}

static int32_t take_i32(struct bytes *b)
{
    return (int32_t)take_u32(b);
}

/* Strips nlmsghdr and cn_msg: 0 with `b` at the process event, PROC_DECODED_NOTHING, -EINVAL. */
static int open_envelope(const void *data, size_t size, struct bytes *b)
{
    struct nlmsghdr nl;
    struct cn_msg cn;
    *b = bytes_of(data, size);
    const uint8_t *p = bytes_take(b, sizeof nl);
    if (!p)
        return -EINVAL;
    memcpy(&nl, p, sizeof nl);
    if (nl.nlmsg_len < sizeof nl || nl.nlmsg_len > size)
        return -EINVAL;
    if (nl.nlmsg_type != NLMSG_DONE)
        return PROC_DECODED_NOTHING;
    b->left = nl.nlmsg_len - sizeof nl;
    p = bytes_take(b, sizeof cn);
    if (!p)
        return -EINVAL;
    memcpy(&cn, p, sizeof cn);
    if (cn.id.idx != CN_IDX_PROC || cn.id.val != CN_VAL_PROC)
        return PROC_DECODED_NOTHING;
    if (cn.len > b->left)
        return -EINVAL;
    b->left = cn.len;
    return 0;
}

static int decode_fork(struct bytes *b, struct event *ev)
{
    bytes_take(b, 4); /* the forking thread */
    int32_t parent = take_i32(b), child_thread = take_i32(b), child = take_i32(b);
    ev->kind = EVENT_FORK;
    event_set(ev, F_PID, pid, child);
    event_set(ev, F_PPID, ppid, parent);
    return child_thread == child ? PROC_DECODED_EVENT : PROC_DECODED_NOTHING;
}

static int decode_exit(struct bytes *b, struct event *ev)
{
    int32_t thread = take_i32(b), pid = take_i32(b);
    uint32_t code = take_u32(b); /* as in wait(2); the exit_signal that follows is only what the parent is sent */
    ev->kind = EVENT_EXIT;
    event_set(ev, F_PID, pid, pid);
    event_set(ev, F_EXIT_CODE, exit_code, (int32_t)(code >> 8 & 0xff));
    event_set(ev, F_EXIT_SIGNAL, exit_signal, (int32_t)(code & 0x7f));
    return thread == pid ? PROC_DECODED_EVENT : PROC_DECODED_NOTHING;
}

static int decode_ids(struct bytes *b, struct event *ev, bool is_uid)
{
    bytes_take(b, 4); /* the thread */
    int32_t pid = take_i32(b);
    uint32_t real = take_u32(b), effective = take_u32(b);
    event_set(ev, F_PID, pid, pid);
    if (is_uid) {
        ev->kind = EVENT_UID;
        event_set(ev, F_UID, uid, real);
        event_set(ev, F_EUID, euid, effective);
    } else {
        ev->kind = EVENT_GID;
        event_set(ev, F_GID, gid, real);
        event_set(ev, F_EGID, egid, effective);
    }
    return PROC_DECODED_EVENT;
}

static int decode_ptrace(struct bytes *b, struct event *ev)
{
    bytes_take(b, 4); /* the traced thread */
    int32_t target = take_i32(b);
    bytes_take(b, 4); /* the tracing thread */
    int32_t tracer = take_i32(b);
    ev->kind = EVENT_PTRACE;
    event_set(ev, F_PID, pid, tracer);
    event_set(ev, F_TARGET_PID, target_pid, target);
    return tracer ? PROC_DECODED_EVENT : PROC_DECODED_NOTHING;
}

static int decode_comm(struct bytes *b, struct event *ev)
{
    int32_t thread = take_i32(b), pid = take_i32(b);
    const uint8_t *comm = bytes_take(b, LIMIT_COMM_BYTES);
    ev->kind = EVENT_COMM;
    event_set(ev, F_PID, pid, pid);
    if (comm)
        event_set_text(ev, F_COMM, comm, strnlen((const char *)comm, LIMIT_COMM_BYTES));
    return thread == pid ? PROC_DECODED_EVENT : PROC_DECODED_NOTHING;
}

/* exec and sid: only who. */
static int decode_who(struct bytes *b, struct event *ev, enum event_kind kind)
{
    bytes_take(b, 4); /* the thread */
    ev->kind = (uint8_t)kind;
    event_set(ev, F_PID, pid, take_i32(b));
    if (kind == EVENT_SID)
        event_set(ev, F_SID, sid, ev->pid); /* setsid(2) makes the caller its session's leader */
    return PROC_DECODED_EVENT;
}

static int decode_ack(struct bytes *b, struct event *ev)
{
    event_set(ev, F_EXIT_CODE, exit_code, take_i32(b));
    return PROC_DECODED_ACK;
}

static int decode_body(uint32_t what, struct bytes *b, struct event *ev)
{
    switch (what) {
    case PROC_EVENT_NONE:
        return decode_ack(b, ev);
    case PROC_EVENT_FORK:
        return decode_fork(b, ev);
    case PROC_EVENT_EXEC:
        return decode_who(b, ev, EVENT_EXEC);
    case PROC_EVENT_UID:
        return decode_ids(b, ev, true);
    case PROC_EVENT_GID:
        return decode_ids(b, ev, false);
    case PROC_EVENT_SID:
        return decode_who(b, ev, EVENT_SID);
    case PROC_EVENT_PTRACE:
        return decode_ptrace(b, ev);
    case PROC_EVENT_COMM:
        return decode_comm(b, ev);
    case EXIT_EVENT:
        return decode_exit(b, ev);
    }
    return PROC_DECODED_NOTHING; /* core dumps, and what newer kernels add */
}

int proc_decode(const void *data, size_t size, struct event *ev)
{
    struct bytes b;
    int r = open_envelope(data, size, &b);
    if (r)
        return r;
    uint32_t what = take_u32(&b);
    bytes_take(&b, 4); /* cpu: the socket filter has used it */
    const uint8_t *time = bytes_take(&b, 8);
    if (!time)
        return -EINVAL;
    ev->time_ns = load_u64(time);
    r = decode_body(what, &b, ev);
    if (b.failed || (r == PROC_DECODED_EVENT && ev->pid <= 0))
        return -EINVAL;
    return r;
}
