/* Records of DNS answers as events carry them: "NAME TYPE TTL DATA", of which only the data may hold blanks. */
#ifndef ECSGUARD_DNS_RECORD_H
#define ECSGUARD_DNS_RECORD_H

#include <stdbool.h>

#include "common/event.h"

/* The parts point into the event's text and end without NUL. */
struct dns_record {
    const char *name, *type, *data;
    size_t name_size, type_size, data_size;
    uint32_t ttl;
};

/* The next record at `*at` of `size` bytes, NUL-separated. False at the end, or at what is no record. */
bool dns_record_next(const char *answers, size_t size, size_t *at, struct dns_record *record);

bool dns_record_is(const struct dns_record *record, const char *type);
/* The address of an A or AAAA record; false for others. */
bool dns_record_address(const struct dns_record *record, struct address *address);

#endif
