#include "common/dns_code.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/text.h"

const struct dns_code dns_types[] = {
    { 1, "A" },      { 2, "NS" },      { 5, "CNAME" },  { 6, "SOA" },    { 10, "NULL" },   { 12, "PTR" },   { 13, "HINFO" },
    { 15, "MX" },    { 16, "TXT" },    { 28, "AAAA" },  { 33, "SRV" },   { 35, "NAPTR" },  { 37, "CERT" },  { 39, "DNAME" },
    { 41, "OPT" },   { 43, "DS" },     { 44, "SSHFP" }, { 46, "RRSIG" }, { 47, "NSEC" },   { 48, "DNSKEY" }, { 50, "NSEC3" },
    { 52, "TLSA" },  { 64, "SVCB" },   { 65, "HTTPS" }, { 99, "SPF" },   { 251, "IXFR" },  { 252, "AXFR" }, { 255, "ANY" },
    { 17, "RP" },    { 24, "SIG" },    { 25, "KEY" },   { 29, "LOC" },   { 59, "CDS" },    { 61, "OPENPGPKEY" }, { 108, "EUI48" },
    { 249, "TKEY" }, { 250, "TSIG" },  { 256, "URI" },  { 257, "CAA" },
};
const struct dns_code dns_rcodes[] = {
    { 0, "NOERROR" }, { 1, "FORMERR" },  { 2, "SERVFAIL" }, { 3, "NXDOMAIN" }, { 4, "NOTIMP" },  { 5, "REFUSED" },
    { 6, "YXDOMAIN" }, { 7, "YXRRSET" }, { 8, "NXRRSET" },  { 9, "NOTAUTH" },  { 10, "NOTZONE" },
};
const size_t n_dns_types = sizeof dns_types / sizeof dns_types[0], n_dns_rcodes = sizeof dns_rcodes / sizeof dns_rcodes[0];

static const char *name_of(const struct dns_code *codes, size_t n, uint16_t number, const char *prefix, char *other)
{
    for (size_t i = 0; i < n; i++)
        if (codes[i].number == number)
            return codes[i].name;
    snprintf(other, DNS_CODE_BYTES, "%s%u", prefix, number);
    return other;
}

const char *dns_type_name(uint16_t type, char other[DNS_CODE_BYTES])
{
    return name_of(dns_types, n_dns_types, type, "TYPE", other);
}

const char *dns_rcode_name(uint8_t rcode, char other[DNS_CODE_BYTES])
{
    return name_of(dns_rcodes, n_dns_rcodes, rcode, "RCODE", other);
}

int dns_type_parse(const char *text, uint16_t *type)
{
    uint64_t number;
    for (size_t i = 0; i < n_dns_types; i++)
        if (!strcasecmp(dns_types[i].name, text)) {
            *type = dns_types[i].number;
            return 0;
        }
    if (!strncasecmp(text, "TYPE", 4))
        text += 4;
    if (text_to_u64(text, strlen(text), &number) || number > UINT16_MAX)
        return -EINVAL;
    *type = (uint16_t)number;
    return 0;
}
