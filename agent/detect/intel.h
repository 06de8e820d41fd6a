/* Threat lists and trusted lists of addresses, networks, domains and files by their SHA-256. Filled by the readers (intel_text.h and others), sealed
 * once, then only looked up: no allocation, no descriptor.
 *
 * What a listed domain covers: on a threat list "example.com" stands for itself and all names below it, "*.example.com" for the names below
 * it only, and a name of a hosts file for itself only. On a trusted list "example.com" trusts only itself: who trusts what others put below it says
 * so with "*.example.com".
 *
 * Of several entries that match, the most specific one is told. A trusted list wins over every threat list, however widely it covers. */
#ifndef ECSGUARD_INTEL_H
#define ECSGUARD_INTEL_H

#include "agent/detect/intel_domains.h"
#include "agent/detect/intel_networks.h"
#include "agent/detect/intel_sorted.h"
#include "common/event.h"

#define INTEL_CATEGORY_MAX 32
#define INTEL_LIST_MAX 64
#define INTEL_DIGEST_BYTES 32

/* What a list says about its entries. Every other name is accepted and is INTEL_OTHER. */
enum intel_category {
    INTEL_OTHER,
    INTEL_CRYPTO,            /* "crypto": mining pools and other places of cryptocurrencies */
    INTEL_CRYPTO_REPUTATION, /* "crypto-reputation": of low reputation and tied to cryptocurrencies */
    INTEL_C2,                /* "c2": command and control */
    INTEL_TOR_RELAY,         /* "tor-relay" */
    INTEL_TOR_GUARD,         /* "tor-guard": guards and directory authorities: where a Tor client goes first */
    INTEL_BLACKHOLE,         /* "blackhole": sink holes */
    INTEL_DROPPOINT,         /* "droppoint": where stolen data and passwords are collected */
    INTEL_DGA,               /* "dga": names known to be made by malware */
    INTEL_DRIVEBY,           /* "driveby": sources of downloads that nobody asked for */
    INTEL_PHISHING,          /* "phishing" */
    INTEL_ABUSED,            /* "abused": kinds of names that are often abused: dynamic DNS, free subdomains */
    INTEL_MALICIOUS,         /* "malicious": of low reputation and tied to known malicious ones */
    INTEL_SUSPICIOUS,        /* "suspicious": for their age or rareness */
    INTEL_MALWARE,           /* "malware": files */
    INTEL_CUSTOM,            /* "custom": own entries */
    INTEL_CATEGORIES
};

/* The category of that name, which needs no NUL; INTEL_OTHER for an unknown one. */
enum intel_category intel_category_find(const char *name, size_t length);
/* Its name, "other" for INTEL_OTHER. */
const char *intel_category_name(enum intel_category category);

/* Entries name their list and category by the number of such a pair. */
struct intel_tag {
    char list[INTEL_LIST_MAX];
    char category[INTEL_CATEGORY_MAX];
    enum intel_category kind;
};

/* Memory of one entry: IPv4 address 7 B, IPv4 network 13 B, IPv6 address 26 B, IPv6 network 25 B, domain 11 B and its text, SHA-256 35 B. */
struct intel_set {
    struct intel_sorted hosts4; /* single IPv4 addresses */
    struct intel_networks4 networks4;
    struct intel_hosts6 hosts6;
    struct intel_networks6 networks6;
    struct intel_domains domains;
    struct intel_sorted hashes;
};

struct intel {
    struct intel_set threats, trusted;
    struct intel_tag *tags;
    uint32_t n_tags, room_tags;
    struct hash_key key;
    uint64_t bytes, bytes_max; /* of all entries; what a caller may set lower than LIMIT_INTEL_BYTES after intel_init() */
    uint64_t n_refused;        /* entries that had no room */
};

struct intel_match {
    const char *list, *category; /* of the intel that was asked, and valid as long as it: copy them, lists are replaced between events; "" = no match */
    enum intel_category kind;
    bool trusted;   /* a trusted list has it */
    uint8_t prefix; /* how specific: 32 or 128 for one address; 0 for others */
    size_t skipped; /* domain: this many bytes of the asked name stand before the listed one; 0 = the name itself */
};

/* How many entries of a kind, threats and trusted ones. */
struct intel_counts {
    uint64_t addresses4, networks4, addresses6, networks6, domains, hashes, trusted;
};

void intel_init(struct intel *intel);
void intel_fini(struct intel *intel);

/* ---- filling: 0, -ENOMEM, or -ENOSPC when a bound is reached (counted in n_refused); not after intel_seal() ---- */

/* The number of a pair of list and category. Earlier pairs win over later ones when both list the same. */
int intel_tag(struct intel *intel, const char *list, const char *category, uint16_t *tag);
/* `prefix` 1 to 32 or 128; host bits are cleared: "10.1.2.3/8" means 10.0.0.0/8, as lists in the wild write it. */
int intel_add_network(struct intel *intel, bool trusted, uint16_t tag, const struct address *address, unsigned prefix);
/* `covers` of INTEL_COVERS_*; -EINVAL if it is no domain name (intel_domains.h). */
int intel_add_domain(struct intel *intel, bool trusted, uint16_t tag, const char *name, size_t length, unsigned covers);
int intel_add_hash(struct intel *intel, bool trusted, uint16_t tag, const uint8_t digest[INTEL_DIGEST_BYTES]);

/* Sorts and merges: of equal entries the first loaded stays. 0 or -ENOMEM. */
int intel_seal(struct intel *intel);

/* ---- asking ---- */

/* Is the address listed? True with the most specific entry of the threat lists. False, with match->trusted saying so, when a trusted list
 * covers it however widely. */
bool intel_lookup(const struct intel *intel, const struct address *address, struct intel_match *match);

/* The same for a domain name as text ("www.example.com", upper or lower case, with or without a dot at its end). Its own bytes are compared:
 * names of other scripts stand in queries and lists as punycode. */
bool intel_lookup_domain(const struct intel *intel, const char *name, size_t length, struct intel_match *match);
bool intel_has_domains(const struct intel *intel);

/* 64 hex digits to bytes: 0 or -EINVAL. */
int intel_digest_parse(const char *text, size_t length, uint8_t digest[INTEL_DIGEST_BYTES]);

/* The same for a file. Are there any hashes to look for at all? */
bool intel_lookup_hash(const struct intel *intel, const uint8_t digest[INTEL_DIGEST_BYTES], struct intel_match *match);
bool intel_has_hashes(const struct intel *intel);

/* Entries of all lists. */
uint64_t intel_count(const struct intel *intel);
void intel_count_kinds(const struct intel *intel, struct intel_counts *counts);

#endif
