/* Owns the threads and the commands; the groups are in file_layers.c, file_overlay.c and file_procfs.c. */
#include "agent/sensors/file_sensor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "agent/sensors/file_layers.h"
#include "agent/sensors/file_mounts.h"
#include "agent/sensors/file_overlay.h"
#include "agent/sensors/file_procfs.h"
#include "common/clock.h"
#include "common/thread.h"

#define RETRY_NS (5 * NS_PER_SECOND)
#define PENDING_POLL_MS 2 /* how closely a starting container, or a library's loading, is followed */
#define HOLD_BACK_NS NS_PER_SECOND
#define READS_MAX 16      /* buffers of one group before the others get their turn */

const char *const file_sensor_layer_dirs[] = { "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers/storage", NULL };
#define HOMES(name) "/root/" name, "/home/*/" name

const char *const file_sensor_host_paths[] = {
    /* programs and their configuration: packages change them, hardly anyone else */
    "/etc", "/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin", "/boot", "/lib/modules",
    "/usr/lib/modules", "/lib/security", "/usr/lib/security", "/lib64/security", "/usr/lib64/security", "/lib/systemd/system",
    "/usr/lib/systemd/system", "/run/systemd/system", "/opt/containerd", "/var/spool/cron", "/var/lib/cloud/scripts",
    HOMES(".ssh"), HOMES(".aws"), HOMES(".docker"), HOMES(".kube"), HOMES(".config/gcloud"), HOMES(".azure"), HOMES(".config/systemd"),
    /* read by every shell that starts */
    HOMES(".bashrc"), HOMES(".bash_profile"), HOMES(".bash_login"), HOMES(".bash_logout"), HOMES(".profile"), HOMES(".zshrc"),
    HOMES(".zshenv"), HOMES(".zprofile"), HOMES(".cshrc"), HOMES(".tcshrc"), HOMES(".kshrc"), HOMES(".config/fish"), NULL };
const char *const file_sensor_log_paths[] = { "/var/log", "/run/log/journal", HOMES(".bash_history"), HOMES(".zsh_history"),
                                              HOMES(".ash_history"), HOMES(".sh_history"), HOMES(".python_history"), HOMES(".mysql_history"),
                                              HOMES(".psql_history"), NULL };
const char *const file_sensor_watch_files[] = {
    "/usr/bin/runc", "/usr/sbin/runc", "/usr/local/bin/runc", "/usr/local/sbin/runc", "/usr/bin/crun", "/usr/bin/containerd-shim-runc-v2",
    "/usr/local/bin/containerd-shim-runc-v2", "/usr/bin/containerd-shim", "/usr/bin/containerd", "/usr/local/bin/containerd",
    "/usr/bin/ctr", "/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/bin/docker", "/usr/bin/docker-proxy", "/usr/bin/docker-init",
    "/usr/libexec/amazon-ecs-init", NULL };

enum progress {
    PROGRESS_DONE, /* nothing waits */
    PROGRESS_MORE, /* something waits */
    PROGRESS_HELD, /* something waits, but our ring is too full */
};

enum command_kind { COMMAND_ADD, COMMAND_REMOVE, COMMAND_WATCH };

struct command {
    enum command_kind kind;
    int32_t pid;
    uint64_t mask;
    char path[];
};

static int command_send(struct file_sensor *fs, enum command_kind kind, int32_t pid, uint64_t mask, const char *path)
{
    size_t path_size = strlen(path) + 1;
    struct command *c = ring_reserve(&fs->commands, sizeof *c + path_size, 0);
    if (!c)
        return -EAGAIN;
    *c = (struct command){ .kind = kind, .pid = pid, .mask = mask };
    memcpy(c->path, path, path_size);
    ring_commit(&fs->commands, sizeof *c + path_size);
    uint64_t one = 1;
    return write(fs->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN ? -errno : 0;
}

int file_sensor_add_container(struct file_sensor *fs, int32_t pid)
{
    return command_send(fs, COMMAND_ADD, pid, 0, "");
}

int file_sensor_remove_container(struct file_sensor *fs, int32_t pid)
{
    return command_send(fs, COMMAND_REMOVE, pid, 0, "");
}

int file_sensor_watch_path(struct file_sensor *fs, const char *path, uint64_t mask)
{
    return command_send(fs, COMMAND_WATCH, 0, mask, path);
}

static void commands_run(struct file_sensor *fs)
{
    uint64_t count;
    if (read(fs->wake_fd, &count, sizeof count) < 0)
        return; /* EAGAIN: none */
    const struct command *c;
    for (size_t size; (c = ring_peek(&fs->commands, &size)); ring_pop(&fs->commands))
        switch (c->kind) {
        case COMMAND_ADD:
            file_mounts_add(fs, c->pid, clock_monotonic_ns());
            break;
        case COMMAND_REMOVE:
            file_mounts_remove(fs, c->pid, clock_monotonic_ns());
            break;
        case COMMAND_WATCH:
            file_overlay_watch(fs, c->path, c->mask);
            break;
        }
}

/* Whether to read a group: while the loop is behind, events wait better in the kernel's queue than they get lost in ours. Not for long,
 * because the layers' queue has no bound and its memory is ours. */
static bool may_read(struct file_sensor *fs, enum file_group group, uint64_t now_ns)
{
    const struct ring *ring = &fs->sensors[group].ring;
    if (ring_used(ring) < ring->size / 2) {
        fs->held_since_ns[group] = 0;
        return true;
    }
    if (!fs->held_since_ns[group])
        fs->held_since_ns[group] = now_ns;
    return now_ns - fs->held_since_ns[group] > HOLD_BACK_NS;
}

/* What the first two groups have. */
static enum progress groups_read(struct file_sensor *fs)
{
    uint64_t now_ns = clock_monotonic_ns();
    bool held = false, overlay = true, layers = true;
    for (int i = 0; i < READS_MAX && (overlay || layers); i++) {
        bool may_overlay = may_read(fs, FILE_GROUP_OVERLAY, now_ns), may_layers = may_read(fs, FILE_GROUP_LAYERS, now_ns);
        held |= (overlay && !may_overlay) || (layers && !may_layers);
        overlay = overlay && may_overlay && file_overlay_read(fs);
        layers = layers && may_layers && file_layers_read(fs);
    }
    if (overlay || layers)
        return PROGRESS_MORE;
    if (held)
        return PROGRESS_HELD;
    fs->drained_wall_ns = clock_ns(CLOCK_REALTIME);
    return PROGRESS_DONE;
}

static void housekeeping(struct file_sensor *fs)
{
    uint64_t now = clock_monotonic_ns();
    if (fs->n_pending)
        file_mounts_retry(fs, now);
    if (fs->n_loads)
        file_library_step(fs, now);
    file_layers_remark(fs, now);
    if (now < fs->retry_ns)
        return;
    fs->retry_ns = now + RETRY_NS;
    file_layers_mark(fs);
    file_overlay_ignore_own(fs); /* they may be new ones */
    file_mounts_refresh(fs, true);
}

/* How long to wait for events. */
static int patience_ms(const struct file_sensor *fs, enum progress progress)
{
    int timeout_ms = progress == PROGRESS_MORE ? 0 : progress == PROGRESS_HELD ? LIMIT_TICK_MS : fs->n_pending || fs->n_loads ? PENDING_POLL_MS : 1000;
    uint64_t now_ns = clock_monotonic_ns();
    if (!fs->remark_ns || fs->remark_ns > now_ns + (uint64_t)timeout_ms * NS_PER_MS)
        return timeout_ms;
    return fs->remark_ns > now_ns ? (int)((fs->remark_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

/* The first thread. Mount changes come first: an event's meaning depends on them. */
static void run(struct file_sensor *fs)
{
    struct pollfd fds[] = { { fs->mountinfo_fd, POLLPRI, 0 },
                            { fs->wake_fd, POLLIN, 0 },
                            { fs->group_fd[FILE_GROUP_OVERLAY], POLLIN, 0 },
                            { fs->group_fd[FILE_GROUP_LAYERS], POLLIN, 0 } };
    enum progress progress = PROGRESS_DONE;
    while (!fs->stopping) {
        poll(fds, progress == PROGRESS_HELD ? 2 : 4, patience_ms(fs, progress));
        if (fds[0].revents)
            file_mounts_refresh(fs, true);
        commands_run(fs);
        housekeeping(fs);
        progress = groups_read(fs);
        if (file_rescan_step(fs) && progress == PROGRESS_DONE)
            progress = PROGRESS_MORE;
    }
}

static void *run_files(void *sensor)
{
    run(sensor);
    return NULL;
}

static void *run_procfs(void *sensor)
{
    file_procfs_run(sensor);
    return NULL;
}

static int start_thread(struct file_sensor *fs, void *(*function)(void *), const char *name)
{
    int error = thread_start(&fs->threads[fs->n_threads], function, fs, name);
    fs->n_threads += !error;
    return error;
}

static int memory_open(struct file_sensor *fs)
{
    static const struct {
        enum event_source source;
        size_t bytes;
    } rings[FILE_GROUPS] = { { SOURCE_FID, LIMIT_FILE_RING_BYTES },
                             { SOURCE_OVERLAY, LIMIT_FILE_RING_BYTES },
                             { SOURCE_PROCFS, LIMIT_PROCFS_RING_BYTES } };
    for (int i = 0; i < FILE_GROUPS; i++)
        if (sensor_init(&fs->sensors[i], rings[i].source, rings[i].bytes, &fs->stats[i], fs->options.waker))
            return -ENOMEM;
    fs->mountinfo = malloc(LIMIT_MOUNTINFO_BYTES);
    if (!fs->mountinfo || ring_init(&fs->commands, LIMIT_FILE_COMMANDS_BYTES))
        return -ENOMEM;
    fs->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fs->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fs->mountinfo_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    return fs->wake_fd < 0 || fs->stop_fd < 0 || fs->mountinfo_fd < 0 ? -errno : 0;
}

/* All marks that can be set now are set before this returns: what happens afterwards is seen. */
static void groups_open(struct file_sensor *fs)
{
    file_layers_open(fs);
    file_overlay_open(fs);
    file_overlay_ignore_own(fs);
    file_procfs_open(fs);
    fs->drained_wall_ns = clock_ns(CLOCK_REALTIME);
    fs->retry_ns = clock_monotonic_ns() + RETRY_NS;
    file_layers_mark(fs);
    file_mounts_refresh(fs, true);
    file_overlay_watch_host(fs);
}

int file_sensor_open(struct file_sensor *fs, const struct file_sensor_options *options)
{
    memset(fs, 0, sizeof *fs);
    fs->options = *options;
    fs->own_pid = getpid();
    fs->group_fd[FILE_GROUP_LAYERS] = fs->group_fd[FILE_GROUP_OVERLAY] = fs->group_fd[FILE_GROUP_PROCFS] = -1;
    fs->mountinfo_fd = fs->wake_fd = fs->stop_fd = -1;
    pthread_mutex_init(&fs->marks_lock, NULL);
    file_scope_init(&fs->scope, fs->options.host_paths, fs->options.log_paths);
    dir_cache_init(&fs->dirs, hash_key_random());
    int error = memory_open(fs);
    if (!error) {
        groups_open(fs);
        error = start_thread(fs, run_procfs, "file-proc");
    }
    if (!error)
        error = start_thread(fs, run_files, "file");
    if (error)
        file_sensor_close(fs);
    return error;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void file_sensor_close(struct file_sensor *fs)
{
    uint64_t one = 1;
    fs->stopping = true;
    if (fs->n_threads && (write(fs->wake_fd, &one, sizeof one) < 0 || write(fs->stop_fd, &one, sizeof one) < 0))
        errno = 0; /* EAGAIN: they are awake already */
    for (int i = 0; i < fs->n_threads; i++)
        pthread_join(fs->threads[i], NULL);
    for (int i = 0; i < FILE_GROUPS; i++)
        close_fd(fs->group_fd[i]);
    file_layers_close(fs);
    file_rescan_fini(&fs->rescan);
    file_library_fini(fs);
    close_fd(fs->mountinfo_fd);
    close_fd(fs->wake_fd);
    close_fd(fs->stop_fd);
    dir_cache_fini(&fs->dirs);
    file_scope_fini(&fs->scope);
    free(fs->mountinfo);
    ring_fini(&fs->commands);
    for (int i = 0; i < FILE_GROUPS; i++)
        sensor_fini(&fs->sensors[i]);
    pthread_mutex_destroy(&fs->marks_lock);
}
