#include "agent/sensors/proc_sensor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <string.h>
#include <unistd.h>

#include "agent/sensors/connector.h"
#include "agent/sensors/proc_decode.h"
#include "agent/sensors/procfs_decode.h"
#include "common/clock.h"

/* The filter loads words in network order, the kernel writes them in its own. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define AS_LOADED(n) __builtin_bswap32(n)
#else
#define AS_LOADED(n) (n)
#endif
#define EXIT_EVENT 0x80000000u /* PROC_EVENT_EXIT; a plain number because newer headers moved the enum */
#define MESSAGE_BYTES 512
#define MESSAGE_TEXT_BYTES 32 /* comm */

/* Fork when child_pid == child_tgid; exit and comm when process_pid == process_tgid; uid, gid, sid, ptrace always. */
static const struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROC_AT_WHAT),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AS_LOADED(PROC_EVENT_FORK), 6, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AS_LOADED(EXIT_EVENT), 9, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AS_LOADED(PROC_EVENT_COMM), 8, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AS_LOADED(PROC_EVENT_UID), 11, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AS_LOADED(PROC_EVENT_GID), 10, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AS_LOADED(PROC_EVENT_SID), 9, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AS_LOADED(PROC_EVENT_PTRACE), 8, 9),
    /* 8: fork */
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROC_AT_CHILD_PID),
    BPF_STMT(BPF_MISC | BPF_TAX, 0),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROC_AT_CHILD_TGID),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 4, 5),
    /* 12: exit, comm */
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROC_AT_PID),
    BPF_STMT(BPF_MISC | BPF_TAX, 0),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROC_AT_TGID),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

int proc_sensor_open(struct proc_sensor *p, int procdir, struct waker *waker)
{
    char why[192];
    memset(p, 0, sizeof *p);
    p->fd = -1;
    p->procdir = procdir;
    int r = sensor_init(&p->sensor, SOURCE_PROC, LIMIT_PROC_RING_BYTES, &p->stats, waker);
    if (r)
        return r;
    p->last_ns = clock_monotonic_ns();
    r = connector_open(filter, sizeof filter / sizeof filter[0], LIMIT_NETLINK_RCVBUF_BYTES, why, sizeof why);
    if (r < 0) {
        sensor_state(&p->stats, SENSOR_OFF, "%s", why);
        return 0;
    }
    p->fd = r;
    sensor_state(&p->stats, SENSOR_OK, "%s", "");
    return 0;
}

void proc_sensor_close(struct proc_sensor *p)
{
    if (p->fd >= 0)
        connector_close(p->fd);
    if (p->scan)
        closedir(p->scan);
    p->fd = -1;
    p->scan = NULL;
    sensor_fini(&p->sensor);
}

/* True when any event fits: what does not fit waits in the kernel's queue, which is longer than ours. Twice the room, because a record is
 * contiguous and may have to skip the ring's end. */
static bool has_room(const struct proc_sensor *p, size_t text_max)
{
    const struct ring *ring = &p->sensor.ring;
    return ring->size - ring_used(ring) > 2 * (sizeof(struct event) + text_max) + 1024;
}

static void take_message(struct proc_sensor *p, const void *data, size_t size)
{
    struct event *ev = sensor_event(&p->sensor, EVENT_NONE, p->last_ns, MESSAGE_TEXT_BYTES);
    if (!ev)
        return;
    switch (proc_decode(data, size, ev)) {
    case PROC_DECODED_EVENT:
        p->last_ns = ev->time_ns;
        sensor_commit(&p->sensor, ev);
        return;
    case PROC_DECODED_NOTHING:
    case PROC_DECODED_ACK:
        return;
    default:
        sensor_count(&p->stats.malformed, 1);
    }
}

unsigned proc_sensor_drain(struct proc_sensor *p, unsigned max)
{
    char message[MESSAGE_BYTES];
    unsigned n = 0;
    while (p->fd >= 0 && n < max && has_room(p, MESSAGE_TEXT_BYTES)) {
        ssize_t size = connector_receive(p->fd, message, sizeof message);
        if (size == -ENOBUFS) {
            sensor_lost(&p->sensor, 1, "the kernel's queue of process events was full");
            p->resync_wanted = true;
        } else if (size == 0) {
            sensor_count(&p->stats.malformed, 1);
        } else if (size < 0) {
            break;
        } else {
            take_message(p, message, (size_t)size);
        }
        n++;
    }
    return n;
}

int proc_sensor_scan_start(struct proc_sensor *p)
{
    int fd = openat(p->procdir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return -error;
    }
    if (p->scan)
        closedir(p->scan);
    p->scan = dir;
    p->scan_start_ns = clock_monotonic_ns();
    if (p->resync_wanted)
        sensor_count(&p->stats.resyncs, 1);
    p->resync_wanted = false;
    return 0;
}

static void scan_process(struct proc_sensor *p, int32_t pid)
{
    struct event *ev = sensor_event(&p->sensor, EVENT_PROCESS, clock_monotonic_ns(), LIMIT_EVENT_TEXT_BYTES);
    if (!ev)
        return;
    ev->source = SOURCE_SCAN;
    if (procfs_read_process(p->procdir, pid, PROCFS_ALL & ~PROCFS_OWNER, ev, &p->scratch) || !event_knows(ev, F_START_NS))
        return; /* over before we could look: its exit is told by the connector */
    sensor_commit(&p->sensor, ev);
}

bool proc_sensor_scan(struct proc_sensor *p)
{
    int32_t pid;
    for (int n = 0; p->scan && n < LIMIT_SCAN_SLICE && has_room(p, LIMIT_EVENT_TEXT_BYTES);) {
        const struct dirent *entry = readdir(p->scan);
        if (!entry) {
            closedir(p->scan);
            p->scan = NULL;
        } else if (procfs_parse_pid(entry->d_name, &pid)) {
            scan_process(p, pid);
            n++;
        }
    }
    return p->scan != NULL;
}
