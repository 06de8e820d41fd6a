#include "agent/sensors/diag_spaces.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sensors/diag_socket.h"
#include "agent/sensors/netns.h"

int diag_spaces_init(struct diag_spaces *s, int procdir)
{
    struct stat st;
    memset(s, 0, sizeof *s);
    s->procdir = procdir;
    s->own_fd = openat(procdir, "self/ns/net", O_RDONLY | O_CLOEXEC);
    if (s->own_fd < 0 || fstat(s->own_fd, &st))
        return -errno;
    int fd = diag_open();
    if (fd < 0)
        return fd;
    s->spaces[s->n_spaces++] = (struct diag_space){ .netns = st.st_ino, .nsid = NSID_HOST, .fd = fd, .serial = s->next_serial++ };
    return 0;
}

void diag_spaces_fini(struct diag_spaces *s)
{
    for (int i = 0; i < s->n_spaces; i++)
        close(s->spaces[i].fd);
    for (int i = 0; i < s->n_members; i++)
        close(s->members[i].pidfd);
    if (s->own_fd >= 0)
        close(s->own_fd);
    s->n_spaces = s->n_members = 0;
    s->own_fd = -1;
}

/* Only this thread goes there, and comes back at once. */
static int open_there(const struct diag_spaces *s, int netns_fd)
{
    int fd = setns(netns_fd, CLONE_NEWNET) ? -errno : diag_open();
    if (setns(s->own_fd, CLONE_NEWNET) && fd >= 0) { /* cannot be: we came from there */
        close(fd);
        fd = -EPERM;
    }
    return fd;
}

static struct diag_space *space_find(struct diag_spaces *s, uint64_t netns)
{
    for (int i = 0; i < s->n_spaces; i++)
        if (s->spaces[i].netns == netns)
            return &s->spaces[i];
    return NULL;
}

/* The space of `pid`, made if it is new. 0 or -errno. */
static int space_enter(struct diag_spaces *s, int32_t pid, struct diag_space **out)
{
    char path[32];
    struct stat st;
    int32_t nsid;
    uint64_t inode;
    snprintf(path, sizeof path, "%d/ns/net", pid);
    int netns_fd = openat(s->procdir, path, O_RDONLY | O_CLOEXEC);
    if (netns_fd < 0)
        return -errno;
    int fd = fstat(netns_fd, &st) ? -errno : -1;
    *out = space_find(s, st.st_ino);
    if (fd == -1 && !*out)
        fd = s->n_spaces == LIMIT_DIAG_SPACES ? -ENOSPC : open_there(s, netns_fd);
    close(netns_fd);
    if (*out || fd < 0)
        return *out ? 0 : fd;
    netns_nsid_of(s->procdir, pid, true, &nsid, &inode);
    *out = &s->spaces[s->n_spaces++];
    **out = (struct diag_space){ .netns = st.st_ino, .nsid = nsid, .fd = fd, .serial = s->next_serial++ };
    return 0;
}

static uint64_t netns_of(const struct diag_spaces *s, int32_t pid)
{
    char path[32];
    struct stat st;
    snprintf(path, sizeof path, "%d/ns/net", pid);
    return fstatat(s->procdir, path, &st, 0) ? 0 : st.st_ino;
}

static void member_drop(struct diag_spaces *s, int i)
{
    struct diag_space *space = space_find(s, s->members[i].netns);
    close(s->members[i].pidfd);
    s->members[i] = s->members[--s->n_members];
    if (!space || --space->n_members || space == s->spaces)
        return;
    close(space->fd);
    *space = s->spaces[--s->n_spaces];
}

void diag_spaces_remove(struct diag_spaces *s, int32_t pid)
{
    for (int i = s->n_members - 1; i >= 0; i--)
        if (s->members[i].pid == pid)
            member_drop(s, i);
}

int diag_spaces_add(struct diag_spaces *s, int32_t pid)
{
    struct diag_space *space = NULL;
    for (int i = 0; i < s->n_members; i++)
        if (s->members[i].pid == pid && s->members[i].netns == netns_of(s, pid))
            return 0;
    diag_spaces_remove(s, pid); /* it has gone into its own namespace since */
    if (s->n_members == LIMIT_DIAG_MEMBERS)
        return -ENOSPC;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return errno == ESRCH ? 0 : -errno;
    int r = space_enter(s, pid, &space);
    if (r) {
        close(pidfd);
        return r == -ENOENT || r == -ESRCH ? 0 : r;
    }
    space->n_members++;
    s->members[s->n_members++] = (struct diag_member){ .pid = pid, .pidfd = pidfd, .netns = space->netns };
    return 0;
}

void diag_spaces_renew(struct diag_spaces *s)
{
    uint64_t inode;
    for (int i = s->n_members - 1; i >= 0; i--) {
        struct pollfd p = { s->members[i].pidfd, POLLIN, 0 };
        struct diag_space *space = space_find(s, s->members[i].netns);
        if (poll(&p, 1, 0) > 0)
            member_drop(s, i);
        else if (space && space->nsid == NSID_UNKNOWN)
            netns_nsid_of(s->procdir, s->members[i].pid, true, &space->nsid, &inode);
    }
}

const struct diag_space *diag_space_by_nsid(const struct diag_spaces *s, int32_t nsid)
{
    for (int i = 0; i < s->n_spaces; i++)
        if (s->spaces[i].nsid == nsid)
            return &s->spaces[i];
    return NULL;
}

const struct diag_space *diag_space_by_netns(const struct diag_spaces *s, uint64_t netns)
{
    for (int i = 0; i < s->n_spaces; i++)
        if (s->spaces[i].netns == netns)
            return &s->spaces[i];
    return NULL;
}
