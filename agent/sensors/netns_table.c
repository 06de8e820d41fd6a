#include "agent/sensors/netns_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nftables/libnftables.h>

#include "common/text.h"

/* ---- the table ---------------------------------------------------------------------------------------------------- */

/* The first line of what libnftables complains about, without its "internal:0:0-0: Error: ". */
static void take_reason(const char *error, char *why, size_t why_size)
{
    const char *at = error ? strstr(error, "Error: ") : NULL;
    at = at ? at + 7 : error && error[0] ? error : "libnftables gives no reason";
    text_copy(why, why_size, at, strcspn(at, "\n"));
}

/* A context has a socket of the namespace in which it was made: none is kept. */
static int run(const char *text, char *why, size_t why_size)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!nft) {
        text_copy(why, why_size, "out of memory", 13);
        return -ENOMEM;
    }
    nft_ctx_buffer_output(nft);
    nft_ctx_buffer_error(nft);
    int r = nft_run_cmd_from_buffer(nft, text) ? -EIO : 0;
    if (r)
        take_reason(nft_ctx_get_error_buffer(nft), why, why_size);
    nft_ctx_free(nft);
    return r;
}

int netns_table_put(const struct nft_table *table, char *why, size_t why_size)
{
    char text[NFT_TABLE_TEXT_BYTES];
    struct text_out out;
    text_out_init(&out, text, sizeof text);
    nft_table_put(&out, table);
    return run(text, why, why_size);
}

int netns_table_remove(char *why, size_t why_size)
{
    return run("add table inet " NFT_TABLE "\ndelete table inet " NFT_TABLE "\n", why, why_size); /* added: so that it is no error if there is none */
}

/* ---- switches ----------------------------------------------------------------------------------------------------- */

/* /proc/sys/net is that of the caller's namespace. */
static const char acct_path[] = "sys/net/netfilter/nf_conntrack_acct";
static const char events_path[] = "sys/net/netfilter/nf_conntrack_events";

static int switch_read(int proc_fd, const char *path)
{
    char text[16];
    int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return -EIO;
    text[n] = 0;
    return atoi(text);
}

static int switch_write(int proc_fd, const char *path, int value)
{
    char text[16];
    int fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int n = snprintf(text, sizeof text, "%d\n", value), r = write(fd, text, (size_t)n) == n ? 0 : -errno;
    close(fd);
    return r;
}

static int switch_on(int proc_fd, const char *path, int *before)
{
    int now = switch_read(proc_fd, path);
    if (now < 0 || now == 1)
        return now < 0 ? now : 0;
    int r = switch_write(proc_fd, path, 1);
    if (!r)
        *before = now;
    return r;
}

int netns_switches_on(int proc_fd, struct nft_switches *before)
{
    int acct = switch_on(proc_fd, acct_path, &before->acct);
    /* 2, the default of newer kernels, means: when somebody listens; some of them (5.19 to 6.2) count listeners for each namespace alone */
    int events = switch_on(proc_fd, events_path, &before->events);
    return acct ? acct : events;
}

static void switch_restore(int proc_fd, const char *path, int *before)
{
    if (*before >= 0 && switch_read(proc_fd, path) == 1)
        switch_write(proc_fd, path, *before);
    *before = -1;
}

void netns_switches_restore(int proc_fd, struct nft_switches *before)
{
    switch_restore(proc_fd, acct_path, &before->acct);
    switch_restore(proc_fd, events_path, &before->events);
}
