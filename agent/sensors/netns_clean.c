#include "agent/sensors/netns_clean.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>

#include "agent/sensors/netns_table.h"
#include "agent/sensors/nft_look.h"
#include "common/limits.h"
#include "common/log.h"

/* Where namespaces have names: ip-netns(8) and CNI, Docker. */
static const char *const named[] = { "/run/netns", "/run/docker/netns" };

struct clean {
    int proc_fd;
    uint64_t kept_inode; /* of the namespace whose switches stay; 0 = of none */
    struct netns_cleaned *cleaned;
    int n_seen;
    uint64_t seen[LIMIT_NETNS_SEEN];
};

/* False if it was looked into already. */
static bool is_first(struct clean *c, uint64_t inode)
{
    for (int i = c->n_seen - 1; i >= 0; i--)
        if (c->seen[i] == inode)
            return false;
    if (c->n_seen < LIMIT_NETNS_SEEN)
        c->seen[c->n_seen++] = inode;
    return true;
}

/* In the namespace `inode`, in which we are. 1 if a table was removed, 0, or -errno. */
static int clean_here(const struct clean *c, uint64_t inode, char *why, size_t why_size)
{
    struct nft_found found = { 0 };
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int r = !nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : nft_look_table(nl, &found);
    if (nl)
        mnl_socket_close(nl);
    if (r)
        snprintf(why, why_size, "cannot look at nft tables: %s", strerror(-r));
    if (r || !found.ours)
        return r;
    r = netns_table_remove(why, why_size);
    if (inode == c->kept_inode)
        c->cleaned->own = found.before;
    else
        netns_switches_restore(c->proc_fd, &found.before);
    return r ? r : 1;
}

static void clean_one(struct clean *c, int dir, const char *path)
{
    char why[192] = "";
    struct stat st;
    struct statfs fs;
    if (fstatat(dir, path, &st, 0) || !is_first(c, st.st_ino))
        return;
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC), r = -1;
    if (fd < 0)
        return; /* the process is gone */
    if (!fstatfs(fd, &fs) && fs.f_type == NSFS_MAGIC) {
        r = setns(fd, CLONE_NEWNET);
        if (r)
            snprintf(why, sizeof why, "cannot enter: %s", strerror(errno));
        else
            r = clean_here(c, st.st_ino, why, sizeof why);
        c->cleaned->namespaces++;
        c->cleaned->tables += r > 0;
        c->cleaned->failed += r < 0;
        if (r < 0)
            log_warn("netns", "network namespace %llu may hold a table of an agent that was killed: %s", (unsigned long long)st.st_ino, why);
    }
    close(fd);
}

static void clean_processes(struct clean *c)
{
    char path[32];
    int fd = openat(c->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "%.10s/ns/net", entry->d_name);
        clean_one(c, c->proc_fd, path);
    }
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
}

static void clean_named(struct clean *c, const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            clean_one(c, dirfd(dir), entry->d_name);
    if (dir)
        closedir(dir);
}

int netns_clean(int proc_fd, bool keep_own, struct netns_cleaned *cleaned)
{
    struct clean *c = calloc(1, sizeof *c);
    struct stat st;
    int own = openat(proc_fd, "thread-self/ns/net", O_RDONLY | O_CLOEXEC), r = own < 0 || fstat(own, &st) ? -errno : 0;
    *cleaned = (struct netns_cleaned){ .own = { -1, -1 } };
    if (c && !r) {
        c->proc_fd = proc_fd;
        c->kept_inode = keep_own ? st.st_ino : 0;
        c->cleaned = cleaned;
        clean_processes(c);
        for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
            clean_named(c, named[i]);
        r = setns(own, CLONE_NEWNET) ? -errno : 0;
    } else if (!c) {
        r = -ENOMEM;
    }
    if (own >= 0)
        close(own);
    free(c);
    return r;
}
