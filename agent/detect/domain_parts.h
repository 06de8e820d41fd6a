/* A domain name taken apart: what somebody registered, and what stands before it. Without a list of public suffixes: a rule of thumb. Pure. */
#ifndef ECSGUARD_DOMAIN_PARTS_H
#define ECSGUARD_DOMAIN_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#define DOMAIN_PARTS_MAX 255

struct domain_parts {
    char name[DOMAIN_PARTS_MAX + 1]; /* lower case, no dot at the end */
    size_t length;
    size_t base;     /* where the registered domain begins: the last two labels; three when the last has two letters and the one before
                      * it is one of com, co, net, org and the like */
    size_t label;    /* length of the registered domain's first label */
    size_t sub;      /* length of what stands before it, without the dot; 0 = nothing */
    bool internal;   /* one label only, or of a domain that is nobody's: local, internal, lan ... */
    bool reversed;   /* an address written backwards, as in-addr.arpa and block lists want it; or below arpa */
};

/* False if it is no name that can be taken apart: empty, too long, an empty label, bytes that event.h does not allow. */
bool domain_split(struct domain_parts *parts, const char *name, size_t length);

#endif
