/* Decodes messages of the process events connector (linux/cn_proc.h). Pure: bytes in, event out. */
#ifndef ECSGUARD_PROC_DECODE_H
#define ECSGUARD_PROC_DECODE_H

#include "common/event.h"

/* Offsets in a datagram: nlmsghdr (16 bytes), cn_msg (20), proc_event. The socket filters use them too. */
enum {
    PROC_AT_WHAT = 36,
    PROC_AT_CPU = 40,
    PROC_AT_TIME = 44,
    PROC_AT_DATA = 52,
    PROC_AT_PID = 52,        /* all but fork: process_pid, process_tgid */
    PROC_AT_TGID = 56,
    PROC_AT_CHILD_PID = 60,  /* fork */
    PROC_AT_CHILD_TGID = 64,
};

enum proc_decoded {
    PROC_DECODED_EVENT = 0,
    PROC_DECODED_NOTHING = 1, /* well-formed, but not for us: a thread, a detach, a kind we do not use, another connector */
    PROC_DECODED_ACK = 2,     /* the kernel's answer to LISTEN: it is really sending; ev->exit_code = its errno */
};

/* One datagram into `ev`, which event_init() prepared (16 bytes of text room suffice): sets kind, time and
 *   FORK   pid = child, ppid          processes only
 *   EXEC   pid
 *   EXIT   pid, exit_code, exit_signal  thread group leaders only
 *   UID    pid, uid, euid             also when a single thread changes its ids
 *   GID    pid, gid, egid             "
 *   SID    pid, sid
 *   PTRACE pid = tracer, target_pid   attach only
 *   COMM   pid, comm                  thread group leaders only
 * enum proc_decoded, or -EINVAL for what the kernel would never send. */
int proc_decode(const void *data, size_t size, struct event *ev);

#endif
