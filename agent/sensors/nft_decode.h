/* Decoder of nf_tables messages (linux/netfilter/nf_tables.h): what the kernel multicasts about changes, and what it answers when asked for
 * a table. Pure. */
#ifndef ECSGUARD_NFT_DECODE_H
#define ECSGUARD_NFT_DECODE_H

#include "common/bytes.h"

struct nft_message {
    uint16_t type;      /* NFT_MSG_NEWTABLE, NFT_MSG_DELRULE, NFT_MSG_NEWGEN, ... */
    uint8_t family;     /* NFPROTO_INET, ... */
    bool interrupted;   /* of a dump, while which something changed */
    char table[64];     /* name of the table it is about; "" = none, or longer */
    char comment[128];  /* of a table */
    uint32_t generation; /* of NEWGEN */
    int32_t pid;        /* of NEWGEN: the thread that made the change, as the host's pid namespace numbers it; 0 = not told */
    char comm[17];      /* ... and its name */
    struct bytes attributes; /* all that it says */
};

enum {
    NFT_MORE,    /* nothing is left of this datagram */
    NFT_MESSAGE, /* one is in *out */
    NFT_DONE,    /* the answer is complete */
};

/* The next message of a datagram; those of other subsystems are skipped. A negative errno that the kernel answered, or -EINVAL: what is left is
 * no message and cannot be trusted. */
int nft_decode_next(struct bytes *datagram, struct nft_message *out);

#endif
