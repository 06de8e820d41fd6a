/* Values that fields have and rules compare with. */
#ifndef ECSGUARD_RULES_VALUE_H
#define ECSGUARD_RULES_VALUE_H

#include "common/event.h"

/* The reference's type names; the order is ours. */
enum value_type {
    VALUE_TEXT,   /* CHARBUF */
    VALUE_PATH,   /* FSPATH, FSRELPATH: operators as of a text */
    VALUE_BYTES,  /* BYTEBUF */
    VALUE_BOOL,
    VALUE_INT,    /* INT8 ... INT64, ERRNO, FD, PID */
    VALUE_UINT,   /* UINT8 ... UINT64, UID, GID, MODE */
    VALUE_FLAGS,  /* FLAGS8 ... FLAGS32: a text "A|B" in comparisons with texts, see field.h */
    VALUE_DOUBLE,
    VALUE_ABSTIME, /* ns since 1970 */
    VALUE_RELTIME, /* ns */
    VALUE_PORT,
    VALUE_IPADDR,
    VALUE_IPNET,
    VALUE_DYNAMIC, /* only the event knows (evt.rawarg) */
};

struct value_net {
    struct address address;
    uint8_t bits;
};

struct value {
    enum value_type type;
    bool is_list; /* `list`: elements of `type` */
    union {
        struct {
            const char *data; /* borrowed: lives as long as the event is evaluated */
            size_t length;
        } text; /* TEXT, PATH, BYTES */
        bool boolean;
        int64_t i64;
        uint64_t u64;
        double real;
        struct address address;
        struct value_net net;
        struct {
            const struct value *items;
            uint32_t n;
        } list;
    };
};

/* What a field gave. */
enum value_answer {
    VALUE_MISSING, /* no value for this event: every check is false */
    VALUE_GOT,
    VALUE_WAIT,    /* not known yet, but may come: container and ECS facts */
};

#endif
