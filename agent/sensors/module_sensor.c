#include "agent/sensors/module_sensor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/sensors/uevent_decode.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/thread.h"

#define UEVENT_BYTES 4096 /* the kernel's limit is 2048 and a path */

static int find(const struct module_sensor *m, const char *name)
{
    for (int i = 0; i < m->n_known; i++)
        if (!strcmp(m->known[i], name))
            return i;
    return -1;
}

static void added(struct module_sensor *m, const char *name, bool tell)
{
    if (find(m, name) >= 0)
        return;
    if (m->n_known < LIMIT_MODULES)
        text_copy(m->known[m->n_known++], sizeof *m->known, name, sizeof *m->known);
    struct event *ev = tell ? sensor_event(&m->sensor, EVENT_MODULE, clock_monotonic_ns(), 128) : NULL;
    if (!ev)
        return;
    event_set_text(ev, F_MODULE, name, strlen(name));
    sensor_commit(&m->sensor, ev);
}

static void removed(struct module_sensor *m, const char *name)
{
    int i = find(m, name);
    if (i >= 0)
        memmove(m->known[i], m->known[--m->n_known], sizeof *m->known);
}

/* /proc/modules into m->text; its length, or -errno. */
static ssize_t read_modules(struct module_sensor *m)
{
    int fd = open(m->options.modules_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t n = 0;
    ssize_t got = 0;
    while (n < LIMIT_MODULES_BYTES && (got = read(fd, m->text + n, LIMIT_MODULES_BYTES - n)) > 0)
        n += (size_t)got;
    close(fd);
    return got < 0 ? -errno : (ssize_t)n;
}

/* True if a line of the text begins with this name. */
static bool is_listed(const char *text, size_t size, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = text, *end; at < text + size; at = end + 1) {
        end = memchr(at, '\n', size - (size_t)(at - text));
        if (!end)
            return false;
        if ((size_t)(end - at) > length && at[length] == ' ' && !memcmp(at, name, length))
            return true;
    }
    return false;
}

static void compare(struct module_sensor *m, bool tell)
{
    char name[64];
    m->compared_ns = clock_monotonic_ns();
    ssize_t size = read_modules(m);
    if (size < 0)
        return;
    for (const char *at = m->text, *end; (end = memchr(at, '\n', (size_t)size - (size_t)(at - m->text))); at = end + 1) {
        size_t length = strcspn(at, " \n");
        if (!length || length >= sizeof name)
            continue;
        memcpy(name, at, length);
        name[length] = 0;
        added(m, name, tell);
    }
    for (int i = m->n_known - 1; i >= 0; i--)
        if (!is_listed(m->text, (size_t)size, m->known[i]))
            removed(m, m->known[i]);
}

static void read_uevents(struct module_sensor *m)
{
    char bytes[UEVENT_BYTES], name[64];
    struct sockaddr_nl from;
    socklen_t from_size = sizeof from;
    ssize_t n;
    while ((n = recvfrom(m->fd, bytes, sizeof bytes, MSG_DONTWAIT, (void *)&from, &from_size)) >= 0) {
        if (from_size < sizeof from || from.nl_pid) /* not the kernel */
            continue;
        int kind = uevent_decode(bytes, (size_t)n, name);
        if (kind < 0)
            sensor_count(&m->stats.malformed, 1);
        else if (kind == UEVENT_MODULE_ADDED)
            added(m, name, true);
        else if (kind == UEVENT_MODULE_REMOVED)
            removed(m, name);
    }
    if (errno == ENOBUFS) {
        sensor_lost(&m->sensor, 1, "the kernel's queue of uevents was full");
        sensor_count(&m->stats.resyncs, 1);
        compare(m, true);
    }
}

static void *run(void *arg)
{
    struct module_sensor *m = arg;
    struct pollfd fds[] = { { m->stop_fd, POLLIN, 0 }, { m->fd, POLLIN, 0 } };
    while (!m->stopping) {
        uint64_t now_ns = clock_monotonic_ns(), due_ns = m->compared_ns + m->options.compare_ns;
        poll(fds, 2, due_ns > now_ns ? (int)((due_ns - now_ns) / NS_PER_MS) + 1 : 0);
        if (m->stopping)
            break;
        if (m->fd >= 0)
            read_uevents(m);
        if (clock_monotonic_ns() >= m->compared_ns + m->options.compare_ns)
            compare(m, true);
    }
    return NULL;
}

static int open_uevents(void)
{
    struct sockaddr_nl local = { .nl_family = AF_NETLINK, .nl_groups = 1 };
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd >= 0 && bind(fd, (void *)&local, sizeof local)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd < 0 ? -errno : fd;
}

static void say_state(struct module_sensor *m)
{
    if (access(m->options.modules_file, R_OK) && errno == ENOENT)
        sensor_state(&m->stats, SENSOR_OFF, "this kernel has no loadable modules");
    else if (m->fd < 0)
        sensor_state(&m->stats, SENSOR_DEGRADED, "modules that are unloaded at once are not seen: uevents: %s", strerror(-m->fd));
    else
        sensor_state(&m->stats, SENSOR_OK, "%s", "");
}

int module_sensor_open(struct module_sensor *m, const struct module_sensor_options *options, struct waker *waker)
{
    memset(m, 0, sizeof *m);
    m->options = *options;
    if (!m->options.modules_file)
        m->options.modules_file = "/proc/modules";
    if (!m->options.compare_ns)
        m->options.compare_ns = LIMIT_MODULES_COMPARE_NS;
    m->fd = open_uevents();
    m->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    m->known = malloc(LIMIT_MODULES * sizeof *m->known);
    m->text = malloc(LIMIT_MODULES_BYTES);
    int error = sensor_init(&m->sensor, SOURCE_UEVENT, LIMIT_SMALL_RING_BYTES, &m->stats, waker);
    if (!error && (m->stop_fd < 0 || !m->known || !m->text))
        error = -ENOMEM;
    if (!error) {
        say_state(m);
        compare(m, false); /* what is loaded now is no news */
        error = thread_start(&m->thread, run, m, "modules");
    }
    m->running = !error;
    if (error)
        module_sensor_close(m);
    return error;
}

void module_sensor_close(struct module_sensor *m)
{
    uint64_t one = 1;
    if (m->running) {
        m->stopping = true;
        if (write(m->stop_fd, &one, sizeof one) < 0)
            errno = 0; /* EAGAIN: it is awake already */
        pthread_join(m->thread, NULL);
        m->running = false;
    }
    if (m->fd >= 0)
        close(m->fd);
    if (m->stop_fd >= 0)
        close(m->stop_fd);
    m->fd = m->stop_fd = -1;
    sensor_fini(&m->sensor);
    free(m->known);
    free(m->text);
    m->known = NULL;
    m->text = NULL;
}
