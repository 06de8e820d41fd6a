#include "agent/sensors/nft_look.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "agent/sensors/nft_decode.h"
#include "common/hash.h"

#define ANSWER_BYTES 32768 /* the kernel fills no larger ones */

/* What is done with each message of an answer. */
typedef void take_function(void *to, const struct nft_message *message);

/* Sends a request and takes its whole answer. Dumps are made while they are read: nothing here waits. */
static int ask(struct mnl_socket *nl, int type, uint16_t flags, bool of_our_table, take_function *take, void *to)
{
    static _Thread_local char answer[ANSWER_BYTES] __attribute__((aligned(8)));
    char request[128] __attribute__((aligned(8)));
    struct nlmsghdr *head = mnl_nlmsg_put_header(request);
    head->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
    head->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(head, sizeof *nfg);
    nfg->nfgen_family = NFPROTO_INET;
    nfg->version = NFNETLINK_V0;
    if (of_our_table)
        mnl_attr_put_strz(head, 1 /* NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE */, NFT_TABLE);
    if (mnl_socket_sendto(nl, head, head->nlmsg_len) < 0)
        return -errno;
    for (bool interrupted = false;;) { /* to the end also then: or the next answer would begin with the rest of this one */
        ssize_t n = recv(mnl_socket_get_fd(nl), answer, sizeof answer, MSG_DONTWAIT);
        if (n < 0)
            return -errno;
        struct bytes datagram = bytes_of(answer, (size_t)n);
        struct nft_message message;
        int r;
        while ((r = nft_decode_next(&datagram, &message)) == NFT_MESSAGE) {
            interrupted |= message.interrupted;
            take(to, &message);
        }
        if (r == NFT_DONE || r < 0)
            return r < 0 ? r : interrupted ? -EINTR : 0;
    }
}

static void take_generation(void *to, const struct nft_message *message)
{
    if (message->type == NFT_MSG_NEWGEN)
        *(uint32_t *)to = message->generation;
}

int nft_look_generation(struct mnl_socket *nl, uint32_t *generation)
{
    *generation = 0;
    return ask(nl, NFT_MSG_GETGEN, 0, false, take_generation, generation);
}

/* Chained, so that order counts as well. */
static void add_to_fingerprint(struct nft_found *found, struct bytes attributes)
{
    struct hash_key key = { found->fingerprint, 0x6e667461626c6573 };
    found->fingerprint = hash_bytes(&key, attributes.at, attributes.left);
}

static void take_table(void *to, const struct nft_message *message)
{
    struct nft_found *found = to;
    if (message->type != NFT_MSG_NEWTABLE)
        return;
    found->exists = true;
    found->ours = nft_table_is_ours(message->comment, &found->before);
    add_to_fingerprint(found, message->attributes);
}

static void take_part(void *to, const struct nft_message *message)
{
    if (message->family == NFPROTO_INET && !strcmp(message->table, NFT_TABLE))
        add_to_fingerprint(to, message->attributes);
}

int nft_look_table(struct mnl_socket *nl, struct nft_found *found)
{
    memset(found, 0, sizeof *found);
    int r = ask(nl, NFT_MSG_GETTABLE, 0, true, take_table, found);
    if (r)
        return r == -ENOENT ? 0 : r;
    if (found->ours)
        r = ask(nl, NFT_MSG_GETCHAIN, NLM_F_DUMP, false, take_part, found);
    if (!r && found->ours)
        r = ask(nl, NFT_MSG_GETRULE, NLM_F_DUMP, true, take_part, found);
    return r;
}
