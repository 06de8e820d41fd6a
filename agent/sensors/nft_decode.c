#include "agent/sensors/nft_decode.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "agent/sensors/netlink_attrs.h"
#include "common/text.h"

#define COMMENT_TYPE 0 /* in a table's user data: NFTNL_UDATA_TABLE_COMMENT of libnftnl */

/* A text that fits, as far as its NUL; "" otherwise. */
static void take_text(char *to, size_t size, struct bytes from)
{
    const uint8_t *end = memchr(from.at, 0, from.left);
    size_t n = end ? (size_t)(end - from.at) : from.left;
    if (n < size)
        text_copy(to, size, (const char *)from.at, n);
}

/* User data: type, length, bytes; again and again. */
static void take_comment(struct nft_message *out, struct bytes data)
{
    while (data.left >= 2) {
        uint8_t type = data.at[0];
        size_t length = data.at[1];
        bytes_take(&data, 2);
        const uint8_t *at = bytes_take(&data, length);
        if (!at)
            return;
        if (type == COMMENT_TYPE)
            take_text(out->comment, sizeof out->comment, bytes_of(at, length));
    }
}

static void take_generation(struct nft_message *out, const struct attr *a)
{
    if (a->type == NFTA_GEN_ID && a->data.left == 4)
        out->generation = load_be32(a->data.at);
    else if (a->type == NFTA_GEN_PROC_PID && a->data.left == 4)
        out->pid = (int32_t)load_be32(a->data.at);
    else if (a->type == NFTA_GEN_PROC_NAME)
        take_text(out->comm, sizeof out->comm, a->data);
}

static int take_attribute(void *to, const struct attr *a)
{
    struct nft_message *out = to;
    if (out->type == NFT_MSG_NEWGEN)
        take_generation(out, a);
    else if (a->type == 1) /* NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_OBJ_TABLE, ... */
        take_text(out->table, sizeof out->table, a->data);
    else if (out->type == NFT_MSG_NEWTABLE && a->type == NFTA_TABLE_USERDATA)
        take_comment(out, a->data);
    return 0;
}

static int message_decode(struct bytes body, struct nft_message *out)
{
    const uint8_t *nfg = bytes_take(&body, sizeof(struct nfgenmsg));
    if (!nfg)
        return -EINVAL;
    out->family = nfg[0];
    out->attributes = body;
    return attrs_walk(body, take_attribute, out) ? -EINVAL : NFT_MESSAGE;
}

static int error_decode(struct bytes body)
{
    int32_t error = body.left >= 4 ? (int32_t)load_u32(body.at) : -EINVAL;
    return !error ? NFT_DONE : error < 0 && error > -4096 ? error : -EINVAL;
}

int nft_decode_next(struct bytes *datagram, struct nft_message *out)
{
    const uint8_t *message;
    size_t size;
    int result = NFT_MORE;
    while (result == NFT_MORE && (result = netlink_next(datagram, &message, &size)) > 0) {
        uint16_t type = load_u16(message + 4), flags = load_u16(message + 6);
        struct bytes body = bytes_of(message + sizeof(struct nlmsghdr), size - sizeof(struct nlmsghdr));
        memset(out, 0, sizeof *out);
        out->type = NFNL_MSG_TYPE(type);
        out->interrupted = flags & NLM_F_DUMP_INTR;
        if (type == NLMSG_DONE)
            result = NFT_DONE;
        else if (type == NLMSG_ERROR)
            result = error_decode(body);
        else
            result = NFNL_SUBSYS_ID(type) == NFNL_SUBSYS_NFTABLES ? message_decode(body, out) : NFT_MORE;
    }
    if (result < 0)
        *datagram = bytes_of(NULL, 0);
    return result;
}
