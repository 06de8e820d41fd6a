#include "agent/detect/dns_step.h"

#include <string.h>
#include <strings.h>

bool dns_item_next(const struct event *ev, size_t *at, struct dns_item *item)
{
    memset(item, 0, sizeof *item);
    if (!dns_record_next(event_text(ev, ev->dns_answers), ev->dns_answers.len, at, &item->record))
        return false;
    item->is_alias = dns_record_is(&item->record, "CNAME") || dns_record_is(&item->record, "DNAME");
    if (!dns_record_address(&item->record, &item->address))
        item->address.family = 0;
    return true;
}

bool dns_name_is(const char *name, size_t size, const char *other)
{
    return size == strlen(other) && !strncasecmp(name, other, size);
}

bool dns_name_ends(const char *name, size_t size, const char *suffix)
{
    size_t n = strlen(suffix);
    return size > n && !strncasecmp(name + size - n, suffix, n);
}
