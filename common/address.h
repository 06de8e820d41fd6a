/* What kind of address one is. Pure. */
#ifndef ECSGUARD_ADDRESS_H
#define ECSGUARD_ADDRESS_H

#include "common/event.h"
#include "common/hash.h"

/* 127.0.0.0/8, ::1. */
bool address_is_loopback(const struct address *address);
/* Routed in the Internet: not private, shared (RFC 6598), link-local, loopback, multicast or reserved; of IPv6 2000::/3. */
bool address_is_public(const struct address *address);

/* A hash of the address that nobody outside can aim at. */
uint64_t address_hash(const struct hash_key *key, const struct address *address);

/* Protocol for people: "tcp", "udp", "icmp", "other". */
const char *ip_proto_name(uint8_t proto);

#endif
