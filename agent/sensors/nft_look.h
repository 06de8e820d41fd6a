/* Looks at nf_tables over a socket of NETLINK_NETFILTER, in the network namespace in which that was opened, wherever the caller is now. */
#ifndef ECSGUARD_NFT_LOOK_H
#define ECSGUARD_NFT_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/sensors/nft_table.h"

struct mnl_socket;

struct nft_found {
    bool exists, ours;
    struct nft_switches before;
    uint64_t fingerprint; /* of the table with all its chains and rules: the same as long as nobody touches it */
};

/* A number that grows with each change of any table of the namespace. 0 or -errno. */
int nft_look_generation(struct mnl_socket *nl, uint32_t *generation);

/* Is there a table `inet ecsguard`, and is it as we know it? 0 or -errno; -EINTR when somebody changed something meanwhile: look again. */
int nft_look_table(struct mnl_socket *nl, struct nft_found *found);

#endif
