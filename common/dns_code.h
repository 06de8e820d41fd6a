/* Names of the numbers in DNS messages, as people know them. */
#ifndef ECSGUARD_DNS_CODE_H
#define ECSGUARD_DNS_CODE_H

#include <stddef.h>
#include <stdint.h>

struct dns_code {
    uint16_t number;
    const char *name;
};

/* The types and result codes that have a name; `n` of them. */
extern const struct dns_code dns_types[], dns_rcodes[];
extern const size_t n_dns_types, n_dns_rcodes;

/* The types whose data we read. */
enum { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33, DNS_DNAME = 39, DNS_SVCB = 64,
       DNS_HTTPS = 65 };

/* "AAAA"; for others "TYPE65534" in `other`, which has DNS_CODE_BYTES. */
#define DNS_CODE_BYTES 16
const char *dns_type_name(uint16_t type, char other[DNS_CODE_BYTES]);
const char *dns_rcode_name(uint8_t rcode, char other[DNS_CODE_BYTES]); /* "NXDOMAIN"; "RCODE24" */
/* The name of a type (any case), "TYPE65534", or the number alone. 0 or -EINVAL. */
int dns_type_parse(const char *text, uint16_t *type);

#endif
