/* A finding: what was seen, by which rule, in which task, with the lineage, and what to check next. Like an event it is a flat record
 * with its texts behind it, so that it can pass a ring. Repeats of the same matter have the same id; the store adds them up. */
#ifndef ECSGUARD_FINDING_H
#define ECSGUARD_FINDING_H

#include "common/event.h"

enum severity { SEVERITY_INFO, SEVERITY_LOW, SEVERITY_MEDIUM, SEVERITY_HIGH, SEVERITY_CRITICAL };

/* Order of the texts in struct finding; the names are those of the columns of the view `findings`. */
enum finding_text {
    FT_TYPE,        /* "Execution:Runtime/ReverseShell" */
    FT_RULE,        /* name of the rule or detector */
    FT_TITLE,       /* one line */
    FT_DESCRIPTION, /* what was seen, in a sentence or two, with its values */
    FT_ADVICE,      /* what to check next */
    FT_MITRE,       /* "TA0002 T1059.004", tactic and technique ids separated by blanks */
    FT_COMM,
    FT_EXE,
    FT_CMDLINE,  /* one shell-quoted line, escaped */
    FT_LINEAGE,  /* JSON array, nearest first: {pid, start, uid, comm, exe, cmdline} */
    FT_EVIDENCE, /* JSON object: the facts of this occurrence */
    FT_SUPPRESSED_BY, /* name of the filter that keeps it from delivery; "" = none does */
    FT_MAX,
};

struct finding {
    uint32_t size; /* of the whole record */
    uint32_t text_len;
    char id[33];      /* hash of what makes it the same matter */
    uint8_t severity; /* enum severity */
    uint64_t wall_ns; /* when it happened */
    int64_t event_id; /* row of the event that decided it, 0 = none */
    int64_t exec_id;  /* row of the acting process' image, 0 = unknown */
    int32_t container; /* row of the container, 0 = the host */
    int32_t pid;
    uint32_t uid;
    struct {
        uint32_t off, len;
    } texts[FT_MAX];
    char text[LIMIT_FINDING_TEXT_BYTES];
};

void finding_init(struct finding *f);

/* Sets a text (once per field); cut when the record is full. */
void finding_set(struct finding *f, enum finding_text which, const char *data, size_t size);
__attribute__((format(printf, 3, 4))) void finding_printf(struct finding *f, enum finding_text which, const char *format, ...);

static inline const char *finding_get(const struct finding *f, enum finding_text which)
{
    return f->texts[which].len ? f->text + f->texts[which].off : "";
}

/* Derives `id` from type, rule, container and `key` (what makes it the same matter within them). */
void finding_identify(struct finding *f, const char *container_id, const char *key);

const char *severity_name(enum severity severity); /* "high" */

#endif
