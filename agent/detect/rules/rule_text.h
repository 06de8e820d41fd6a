/* A text that grows, and can tell for each byte where it came from: conditions while lists are put in. */
#ifndef ECSGUARD_RULES_RULE_TEXT_H
#define ECSGUARD_RULES_RULE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rule_text {
    char *bytes; /* NUL behind them */
    uint32_t *origin; /* offset in the first text; only when tracked */
    size_t length, size;
    bool tracked;
};

#define ORIGIN_INSERTED 0x80000000u /* came in at that offset, from elsewhere */

void rule_text_begin(struct rule_text *text, bool tracked);
void rule_text_fini(struct rule_text *text);

/* 0, -ENOMEM, -E2BIG beyond LIMIT_RULE_TEXT_BYTES, or LIMIT_RULE_TRACKED_BYTES. */
int rule_text_add(struct rule_text *text, const char *bytes, size_t n, uint32_t origin); /* inserted at one origin */
int rule_text_copy(struct rule_text *text, const struct rule_text *from, size_t start, size_t end);
/* Its own first text: each byte came from itself. */
int rule_text_start(struct rule_text *text, const struct rule_text *from, bool tracked);

#endif
