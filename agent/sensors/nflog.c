#include "agent/sensors/nflog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>

#include "common/bytes.h"
#include "common/limits.h"

#define TIMEOUT_HUNDREDTHS 1 /* the kernel counts in 10 ms */

struct request {
    _Alignas(8) uint8_t bytes[128];
    size_t size;
};

static void put(struct request *r, uint16_t type, const void *data, size_t size)
{
    struct nlattr head = { .nla_len = (uint16_t)(NLA_HDRLEN + size), .nla_type = type };
    memcpy(r->bytes + r->size, &head, sizeof head);
    memcpy(r->bytes + r->size + NLA_HDRLEN, data, size);
    r->size += NLA_ALIGN(head.nla_len);
}

static void put_be32(struct request *r, uint16_t type, uint32_t value)
{
    value = htonl(value);
    put(r, type, &value, sizeof value);
}

static void request_begin(struct request *r, uint16_t group)
{
    struct nfgenmsg nfg = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(group) };
    memset(r, 0, sizeof *r);
    memcpy(r->bytes + NLMSG_HDRLEN, &nfg, sizeof nfg);
    r->size = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof nfg);
}

static int request_send(int fd, struct request *r, uint16_t flags)
{
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    struct nlmsghdr head = { .nlmsg_len = (uint32_t)r->size, .nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG,
                             .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) };
    memcpy(r->bytes, &head, sizeof head);
    return sendto(fd, r->bytes, r->size, 0, (void *)&kernel, sizeof kernel) < 0 ? -errno : 0;
}

/* Sends it and takes the answer, which is there when sendto(2) returns. Packets may already come before it. */
static int request_run(int fd, struct request *r)
{
    uint8_t answer[4096];
    int error = request_send(fd, r, NLM_F_ACK);
    for (int i = 0; !error && i < 64; i++) {
        ssize_t n = recv(fd, answer, sizeof answer, 0);
        if (n < 0)
            return -errno;
        if ((size_t)n >= NLMSG_LENGTH(sizeof(int32_t)) && load_u16(answer + offsetof(struct nlmsghdr, nlmsg_type)) == NLMSG_ERROR)
            return (int32_t)load_u32(answer + NLMSG_HDRLEN);
    }
    return error ? error : -EIO;
}

static int bind_group(int fd, uint16_t group)
{
    struct request r;
    struct nfulnl_msg_config_cmd command = { .command = NFULNL_CFG_CMD_BIND };
    request_begin(&r, group);
    put(&r, NFULA_CFG_CMD, &command, sizeof command);
    return request_run(fd, &r);
}

/* The kernel says EPERM for another socket's group as well as to the unprivileged: whether some other group can be had tells them apart. */
static int bind_ours(int fd)
{
    int error = bind_group(fd, NFLOG_GROUP);
    return error == -EPERM && !bind_group(fd, NFLOG_GROUP + 1) ? -EBUSY : error;
}

/* Numbered packets say exactly how many were lost. */
static int set_up(int fd)
{
    struct request r;
    struct nfulnl_msg_config_mode mode = { .copy_mode = NFULNL_COPY_PACKET, .copy_range = htonl(LIMIT_DNS_PACKET_BYTES) };
    uint16_t flags = htons(NFULNL_CFG_F_SEQ);
    request_begin(&r, NFLOG_GROUP);
    put(&r, NFULA_CFG_MODE, &mode, sizeof mode);
    put_be32(&r, NFULA_CFG_NLBUFSIZ, LIMIT_DNS_DATAGRAM_BYTES - 1024); /* the kernel uses what its allocator gives beyond that, too */
    put_be32(&r, NFULA_CFG_TIMEOUT, TIMEOUT_HUNDREDTHS);
    put_be32(&r, NFULA_CFG_QTHRESH, 1);
    put(&r, NFULA_CFG_FLAGS, &flags, sizeof flags);
    return request_run(fd, &r);
}

int nflog_open(void)
{
    int bytes = LIMIT_DNS_RCVBUF_BYTES, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    struct sockaddr_nl any = { .nl_family = AF_NETLINK };
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes); /* less room: what is lost is counted */
    int error = bind(fd, (void *)&any, sizeof any) ? -errno : bind_ours(fd);
    if (!error)
        error = set_up(fd);
    if (!error)
        return fd;
    close(fd);
    return error;
}

int nflog_set_batch(int fd, uint32_t packets)
{
    struct request r;
    request_begin(&r, NFLOG_GROUP);
    put_be32(&r, NFULA_CFG_QTHRESH, packets);
    return request_send(fd, &r, 0);
}
