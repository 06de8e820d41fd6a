/* Our private nft table, as text for libnftables, and the comment that says it is ours. Pure. */
#ifndef ECSGUARD_NFT_TABLE_H
#define ECSGUARD_NFT_TABLE_H

#include <stdbool.h>

#include "common/text.h"

#define NFT_TABLE "ecsguard" /* of family inet */

/* Enough for the whole text. */
#define NFT_TABLE_TEXT_BYTES 4096

/* What conntrack's switches of a namespace were before we changed them; -1 = we did not. Kept in the comment, so that they can be put back
 * also after a crash. */
struct nft_switches {
    int acct, events;
};

struct nft_table {
    bool dns;    /* DNS messages go to NFLOG_GROUP */
    bool tracks; /* make the namespace track connections */
    bool holds_back; /* with `tracks`: tell of LIMIT_FLOW_BEGINS new ones to one address in a second, of the others when they end */
    struct nft_switches before;
};

/* One transaction that puts the table there, in place of an older one of ours. */
void nft_table_put(struct text_out *out, const struct nft_table *table);

/* Is a table with this comment ours? Then what it says of the switches goes to `*before`. */
bool nft_table_is_ours(const char *comment, struct nft_switches *before);

#endif
