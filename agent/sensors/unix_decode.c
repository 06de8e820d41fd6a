#include "agent/sensors/unix_decode.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>

static size_t aligned(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

/* Takes `length` bytes and their padding, of which the last piece may have none. */
static const uint8_t *take_padded(struct bytes *from, size_t length)
{
    size_t padded = aligned(length);
    return length > from->left ? NULL : bytes_take(from, padded > from->left ? from->left : padded);
}

static int socket_decode(struct bytes body, struct unix_socket *out)
{
    const struct unix_diag_msg *no_message = NULL;
    const uint8_t *message = bytes_take(&body, aligned(sizeof *no_message));
    if (!message)
        return -EINVAL;
    *out = (struct unix_socket){ .inode = load_u32(message + 4) }; /* udiag_ino */
    while (body.left >= sizeof(struct nlattr)) {
        size_t length = load_u16(body.at);
        uint16_t type = load_u16(body.at + 2) & NLA_TYPE_MASK;
        const uint8_t *at = length < sizeof(struct nlattr) ? NULL : take_padded(&body, length);
        if (!at)
            return -EINVAL;
        size_t payload = length - sizeof(struct nlattr);
        at += sizeof(struct nlattr);
        if (type == UNIX_DIAG_NAME && payload) {
            out->name = (const char *)at;
            out->name_len = payload;
        } else if (type == UNIX_DIAG_PEER && payload >= 4) {
            out->peer = load_u32(at);
        }
    }
    return 1;
}

int unix_decode_next(struct bytes *datagram, struct unix_socket *out)
{
    int result = 0;
    while (!result && datagram->left >= sizeof(struct nlmsghdr)) {
        size_t length = load_u32(datagram->at);
        uint16_t type = load_u16(datagram->at + 4);
        const uint8_t *message = length < sizeof(struct nlmsghdr) ? NULL : take_padded(datagram, length);
        struct bytes body = message ? bytes_of(message + sizeof(struct nlmsghdr), length - sizeof(struct nlmsghdr)) : bytes_of(NULL, 0);
        if (!message)
            result = -EINVAL;
        else if (type == NLMSG_DONE)
            result = 2;
        else if (type == NLMSG_ERROR)
            result = body.left >= 4 && (int32_t)load_u32(body.at) < 0 && (int32_t)load_u32(body.at) > -4096 ? (int32_t)load_u32(body.at) : -EINVAL;
        else if (type == SOCK_DIAG_BY_FAMILY)
            result = socket_decode(body, out);
    }
    if (result < 0 || result == 2)
        *datagram = bytes_of(NULL, 0);
    return result;
}

bool unix_name_is_runtime(const char *name, size_t length)
{
    static const char *const sockets[] = { "docker.sock", "containerd.sock", "containerd.sock.ttrpc", "docker-containerd.sock", "podman.sock",
                                           "crio.sock", "dockershim.sock", "buildkitd.sock" };
    static const char shim[] = "\0/containerd-shim/"; /* abstract: open to whoever shares the host's network namespace */
    if (!length)
        return false;
    if (!name[0])
        return length >= sizeof shim - 1 && !memcmp(name, shim, sizeof shim - 1);
    while (length && !name[length - 1])
        length--; /* the kernel may tell the terminating NUL */
    for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++) {
        size_t n = strlen(sockets[i]);
        if (length > n && name[length - n - 1] == '/' && !memcmp(name + length - n, sockets[i], n))
            return true;
    }
    return false;
}
