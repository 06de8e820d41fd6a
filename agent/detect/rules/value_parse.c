#include "agent/detect/rules/value_parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

const char *value_type_name(enum value_type type)
{
    switch (type) {
    case VALUE_TEXT:
        return "CHARBUF";
    case VALUE_PATH:
        return "FSPATH";
    case VALUE_BYTES:
        return "BYTEBUF";
    case VALUE_BOOL:
        return "BOOL";
    case VALUE_INT:
        return "INT64";
    case VALUE_UINT:
        return "UINT64";
    case VALUE_FLAGS:
        return "FLAGS32";
    case VALUE_DOUBLE:
        return "DOUBLE";
    case VALUE_ABSTIME:
        return "ABSTIME";
    case VALUE_RELTIME:
        return "RELTIME";
    case VALUE_PORT:
        return "PORT";
    case VALUE_IPADDR:
        return "IPADDR";
    case VALUE_IPNET:
        return "IPNET";
    case VALUE_DYNAMIC:
        return "DYNAMIC";
    }
    return "";
}

struct service {
    const char *name;
    uint16_t port;
};

/* The usual ones of /etc/services: what a rule means must not depend on the host's copy of it. */
static const struct service services[] = {
    { "amqp", 5672 },      { "bootpc", 68 },    { "bootps", 67 },    { "domain", 53 },      { "epmd", 4369 },     { "ftp", 21 },
    { "ftp-data", 20 },    { "git", 9418 },     { "http", 80 },      { "http-alt", 8080 },  { "https", 443 },     { "imap2", 143 },
    { "imaps", 993 },      { "ipp", 631 },      { "irc", 194 },      { "ircd", 6667 },      { "kerberos", 88 },   { "ldap", 389 },
    { "ldaps", 636 },      { "memcached", 11211 }, { "microsoft-ds", 445 }, { "ms-sql-s", 1433 }, { "mysql", 3306 }, { "nfs", 2049 },
    { "ntp", 123 },        { "pop3", 110 },     { "pop3s", 995 },    { "postgresql", 5432 }, { "redis", 6379 },   { "rsync", 873 },
    { "smtp", 25 },        { "snmp", 161 },     { "socks", 1080 },   { "ssh", 22 },         { "submission", 587 }, { "sunrpc", 111 },
    { "syslog", 514 },     { "telnet", 23 },    { "tftp", 69 },      { "whois", 43 },       { "x11", 6000 },      { "xmpp-client", 5222 },
};

/* Digits with a sign perhaps; what does not fit stays at the largest. */
static int number_parse(const char *text, size_t length, bool *negative, uint64_t *magnitude)
{
    size_t i = length && (text[0] == '-' || text[0] == '+');
    *negative = i && text[0] == '-';
    for (size_t n = i; n < length; n++)
        if (text[n] < '0' || text[n] > '9')
            return -EINVAL;
    if (i == length)
        return -EINVAL;
    if (text_to_u64(text + i, length - i, magnitude))
        *magnitude = UINT64_MAX;
    return 0;
}

static int invalid(char *error, size_t size, const char *text, size_t length, const char *what)
{
    snprintf(error, size, "%.*s is not a valid %s", (int)length, text, what);
    return -EINVAL;
}

static int int_parse(const char *text, size_t length, int64_t *out)
{
    bool negative;
    uint64_t magnitude;
    if (number_parse(text, length, &negative, &magnitude))
        return -EINVAL;
    if (magnitude > INT64_MAX)
        *out = negative ? INT64_MIN : INT64_MAX;
    else
        *out = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return 0;
}

static int uint_parse(const char *text, size_t length, uint64_t *out)
{
    bool negative;
    uint64_t magnitude;
    if (number_parse(text, length, &negative, &magnitude))
        return -EINVAL;
    *out = !negative ? magnitude : magnitude <= UINT32_MAX ? (uint32_t)-(uint32_t)magnitude : -magnitude;
    return 0;
}

static int port_parse(const char *text, size_t length, uint64_t *out)
{
    bool negative;
    *out = 0;
    if (!length)
        return 0;
    if (!number_parse(text, length, &negative, out)) {
        *out = (uint16_t)(negative ? -*out : *out);
        return 0;
    }
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (strlen(services[i].name) == length && !memcmp(services[i].name, text, length)) {
            *out = services[i].port;
            return 0;
        }
    return -EINVAL;
}

/* With a dot it is IPv4, else IPv6. */
static int ip_parse(const char *text, size_t length, struct address *out)
{
    char copy[64];
    if (length >= sizeof copy || memchr(text, 0, length))
        return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = 0;
    *out = (struct address){ .family = strchr(copy, '.') ? 4 : 6 };
    return inet_pton(out->family == 4 ? AF_INET : AF_INET6, copy, out->bytes) == 1 ? 0 : -EINVAL;
}

static int net_parse(const char *text, size_t length, struct value_net *out)
{
    const char *slash = memchr(text, '/', length);
    uint64_t bits;
    if (!slash || text_to_u64(slash + 1, length - (size_t)(slash + 1 - text), &bits) ||
        ip_parse(text, (size_t)(slash - text), &out->address) || bits > (out->address.family == 4 ? 32 : 128))
        return -EINVAL;
    out->bits = (uint8_t)bits;
    return 0;
}

static int bool_parse(const char *text, size_t length, bool *out)
{
    *out = length == 4 && !memcmp(text, "true", 4);
    return *out || (length == 5 && !memcmp(text, "false", 5)) ? 0 : -EINVAL;
}

static int text_check(enum value_type type, const char *text, size_t length, char *error, size_t error_size)
{
    if (length > VALUE_TEXT_MAX) {
        snprintf(error, error_size, "filter parameter too long: %.*s...", 32, text);
        return -EINVAL;
    }
    if (type != VALUE_BYTES && length && memchr(text, 0, length)) {
        snprintf(error, error_size, "filter error: filter value cannot contain a NUL byte (\\x00)");
        return -EINVAL;
    }
    return 0;
}

int value_parse(enum value_type type, const char *text, size_t length, struct value *out, char *error, size_t error_size)
{
    int64_t number;
    int err = text_check(type, text, length, error, error_size);
    if (err)
        return err;
    *out = (struct value){ .type = type };
    switch (type) {
    case VALUE_TEXT:
    case VALUE_PATH:
    case VALUE_BYTES:
    case VALUE_DYNAMIC:
        out->text.data = text;
        out->text.length = length;
        return 0;
    case VALUE_BOOL:
        return bool_parse(text, length, &out->boolean) ? invalid(error, error_size, text, length, "boolean value") : 0;
    case VALUE_INT:
        return int_parse(text, length, &out->i64) ? invalid(error, error_size, text, length, "number") : 0;
    case VALUE_UINT:
    case VALUE_FLAGS:
    case VALUE_ABSTIME:
    case VALUE_RELTIME:
        return uint_parse(text, length, &out->u64) ? invalid(error, error_size, text, length, "number") : 0;
    case VALUE_DOUBLE: /* compared with whole numbers only */
        if (int_parse(text, length, &number))
            return invalid(error, error_size, text, length, "number");
        out->real = (double)number;
        return 0;
    case VALUE_PORT:
        return port_parse(text, length, &out->u64) ? invalid(error, error_size, text, length, "port or service name") : 0;
    case VALUE_IPADDR:
        return ip_parse(text, length, &out->address) ? invalid(error, error_size, text, length, "IP address") : 0;
    case VALUE_IPNET:
        return net_parse(text, length, &out->net) ? invalid(error, error_size, text, length, "IP network") : 0;
    }
    return -EINVAL;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int value_parse_hex(const char *text, size_t length, char *out)
{
    if (length % 2)
        return -EINVAL;
    for (size_t i = 0; i < length; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        out[i / 2] = (char)(high << 4 | low);
    }
    return 0;
}
