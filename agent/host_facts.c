#include "agent/host_facts.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void host_state_init(struct host_state *host)
{
    memset(&host->facts, 0, sizeof host->facts);
    user_names_init(&host->users);
}

void host_state_fini(struct host_state *host)
{
    user_names_fini(&host->users);
}

static uint64_t namespace_of_init(int procdir, const char *name)
{
    char path[32];
    struct stat st;
    snprintf(path, sizeof path, "1/ns/%s", name);
    return fstatat(procdir, path, &st, 0) ? 0 : st.st_ino;
}

static void add_address(struct host_facts *facts, const struct sockaddr *sa)
{
    struct address address = { 0 };
    if (sa && sa->sa_family == AF_INET) {
        address.family = 4;
        memcpy(address.bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else if (sa && sa->sa_family == AF_INET6) {
        address.family = 6;
        memcpy(address.bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    }
    if (address.family && facts->n_addresses < HOST_ADDRESSES_MAX)
        facts->addresses[facts->n_addresses++] = address;
}

static void read_addresses(struct host_facts *facts)
{
    struct ifaddrs *all;
    if (getifaddrs(&all))
        return;
    facts->n_addresses = 0;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next)
        add_address(facts, i->ifa_addr);
    freeifaddrs(all);
}

/* At most LIMIT_USER_FILE_BYTES: the first users are the system's. */
static void read_names(struct user_names *names, const char *path, int (*set)(struct user_names *, const char *, size_t))
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *buffer = fd < 0 ? NULL : malloc(LIMIT_USER_FILE_BYTES);
    ssize_t n = 0, got;
    while (buffer && n < LIMIT_USER_FILE_BYTES && (got = read(fd, buffer + n, (size_t)(LIMIT_USER_FILE_BYTES - n))) > 0)
        n += got;
    if (n > 0)
        set(names, buffer, (size_t)n);
    free(buffer);
    if (fd >= 0)
        close(fd);
}

void host_state_read(struct host_state *host, int procdir)
{
    host->facts.mntns = namespace_of_init(procdir, "mnt");
    host->facts.netns = namespace_of_init(procdir, "net");
    host->facts.pidns = namespace_of_init(procdir, "pid");
    read_addresses(&host->facts);
    read_names(&host->users, "/etc/passwd", user_names_set_users);
    read_names(&host->users, "/etc/group", user_names_set_groups);
}
