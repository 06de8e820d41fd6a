/* What detectors of DNS share: the records of an answer. Pure. */
#ifndef ECSGUARD_DNS_STEP_H
#define ECSGUARD_DNS_STEP_H

#include "agent/detect/detector.h"
#include "common/dns_record.h"

struct dns_item {
    struct dns_record record;
    bool is_alias;          /* CNAME or DNAME: its data is a name */
    struct address address; /* A, AAAA; family 0 = neither */
};

/* The next record of the answer at *at (0 at first), which moves behind it. False at the end, or at what is no record. */
bool dns_item_next(const struct event *ev, size_t *at, struct dns_item *item);

/* Bytes of a name as DNS compares them: ASCII letters without case. */
bool dns_name_is(const char *name, size_t size, const char *other);
bool dns_name_ends(const char *name, size_t size, const char *suffix);

#endif
