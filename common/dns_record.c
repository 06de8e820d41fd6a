#include "common/dns_record.h"

#include <string.h>

#include "common/text.h"

/* Up to the next blank; false when there is none. */
static bool take_word(const char **at, const char *end, const char **word, size_t *size)
{
    const char *blank = memchr(*at, ' ', (size_t)(end - *at));
    if (!blank || blank == *at)
        return false;
    *word = *at;
    *size = (size_t)(blank - *at);
    *at = blank + 1;
    return true;
}

bool dns_record_next(const char *answers, size_t size, size_t *at, struct dns_record *r)
{
    const char *p, *end, *ttl;
    size_t ttl_size;
    uint64_t seconds;
    if (*at >= size)
        return false;
    p = answers + *at;
    end = memchr(p, 0, size - *at);
    end = end ? end : answers + size;
    *at = (size_t)(end - answers) + 1;
    if (!take_word(&p, end, &r->name, &r->name_size) || !take_word(&p, end, &r->type, &r->type_size) || !take_word(&p, end, &ttl, &ttl_size) ||
        text_to_u64(ttl, ttl_size, &seconds) || seconds > UINT32_MAX)
        return false;
    r->ttl = (uint32_t)seconds;
    r->data = p;
    r->data_size = (size_t)(end - p);
    return true;
}

bool dns_record_is(const struct dns_record *r, const char *type)
{
    return r->type_size == strlen(type) && !memcmp(r->type, type, r->type_size);
}

bool dns_record_address(const struct dns_record *r, struct address *address)
{
    char text[46];
    if (!(dns_record_is(r, "A") || dns_record_is(r, "AAAA")) || r->data_size >= sizeof text)
        return false;
    memcpy(text, r->data, r->data_size);
    text[r->data_size] = 0;
    return address_parse(text, address) == 0;
}
