#include "agent/sensors/socket_owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/text.h"

/* Called with each descriptor of a process that is a socket; nonzero stops. */
typedef int fd_visitor(void *to, int fd, uint64_t inode);

static bool socket_inode(const char *link, size_t length, uint64_t *inode)
{
    static const char prefix[] = "socket:[";
    size_t skip = sizeof prefix - 1;
    return length > skip + 1 && !memcmp(link, prefix, skip) && link[length - 1] == ']' &&
           !text_to_u64(link + skip, length - skip - 1, inode);
}

static int visit_fds(int proc_fd, pid_t pid, fd_visitor *visit, void *to)
{
    char path[32], link[64];
    snprintf(path, sizeof path, "%d/fd", (int)pid);
    int fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return -error;
    }
    int r = 0, seen = 0;
    struct dirent *entry;
    while (!r && seen < LIMIT_SOCKET_FDS && (entry = readdir(dir))) {
        uint64_t number, inode;
        if (text_to_u64(entry->d_name, strlen(entry->d_name), &number))
            continue;
        seen++;
        ssize_t n = readlinkat(fd, entry->d_name, link, sizeof link);
        if (n > 0 && socket_inode(link, (size_t)n, &inode))
            r = visit(to, (int)number, inode);
    }
    closedir(dir);
    return r;
}

static uint16_t take_sockaddr(const struct sockaddr_storage *from, struct address *to)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    memset(to, 0, sizeof *to);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)from;
        to->family = 4;
        memcpy(to->bytes, &in->sin_addr, 4);
        return ntohs(in->sin_port);
    }
    if (from->ss_family != AF_INET6)
        return 0;
    const struct sockaddr_in6 *in6 = (const void *)from;
    bool v4 = !memcmp(&in6->sin6_addr, mapped, sizeof mapped);
    to->family = v4 ? 4 : 6;
    memcpy(to->bytes, in6->sin6_addr.s6_addr + (v4 ? 12 : 0), v4 ? 4 : 16);
    return ntohs(in6->sin6_port);
}

static bool is_inet(int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && (domain == AF_INET || domain == AF_INET6);
}

/* Describes our own duplicate of the socket. */
static void socket_describe(int fd, struct owned_socket *out)
{
    struct sockaddr_storage name = { 0 };
    struct tcp_info info = { 0 };
    socklen_t size = sizeof name;
    int proto = 0;
    if (!getsockname(fd, (void *)&name, &size))
        out->lport = take_sockaddr(&name, &out->local);
    memset(&name, 0, size = sizeof name);
    if (!getpeername(fd, (void *)&name, &size))
        out->pport = take_sockaddr(&name, &out->peer);
    size = sizeof proto;
    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &proto, &size);
    out->proto = (uint8_t)proto;
    size = sizeof info;
    if (proto == IPPROTO_TCP && !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size))
        out->tcp_state = info.tcpi_state;
    out->listening = out->tcp_state == TCP_LISTEN;
}

struct list {
    int pidfd;
    struct owned_socket *out;
    size_t n, max;
};

static int list_visit(void *to, int fd, uint64_t inode)
{
    struct list *list = to;
    (void)inode;
    if (list->n == list->max)
        return 1;
    int copy = (int)syscall(SYS_pidfd_getfd, list->pidfd, fd, 0);
    if (copy < 0)
        return errno == EBADF ? 0 : -errno; /* EBADF: closed meanwhile */
    if (is_inet(copy)) {
        struct owned_socket *s = &list->out[list->n++];
        *s = (struct owned_socket){ .fd = fd };
        socket_describe(copy, s);
    }
    close(copy);
    return 0;
}

int socket_owner_list(int proc_fd, pid_t pid, struct owned_socket *out, size_t max)
{
    struct list list = { .pidfd = (int)syscall(SYS_pidfd_open, pid, 0), .out = out, .max = max };
    if (list.pidfd < 0)
        return -errno;
    int r = visit_fds(proc_fd, pid, list_visit, &list);
    close(list.pidfd);
    return r < 0 ? r : (int)list.n;
}
