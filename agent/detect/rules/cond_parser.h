/* What the two halves of the parser share (private to the cond_*.c files): cond_parse.c has conditions, cond_operand.c their operands. */
#ifndef ECSGUARD_RULES_COND_PARSER_H
#define ECSGUARD_RULES_COND_PARSER_H

#include "agent/detect/rules/cond_lex.h"

struct cond_group;

struct cond_parser {
    struct cond_lexer lexer;
    struct cond_group *group, *spare; /* open, innermost first; to be used again */
    unsigned depth, depth_max;
};

/* An array in the arena; what it outgrows is left behind there. */
struct cond_vector {
    void **items;
    uint32_t n, size;
};

void cond_parser_init(struct cond_parser *p, struct arena *arena, const char *text, size_t length, unsigned depth_max,
                      struct cond_error *error);

/* Both false when they fail, with the lexer's status set. */
bool cond_push(struct cond_parser *p, struct cond_vector *vector, void *item);
bool cond_deeper(struct cond_parser *p); /* counts one more that is open */

/* A field or a transformer. NULL, and no status, when neither stands here. */
struct cond_operand *cond_parse_left(struct cond_parser *p);
/* What `op` wants on its right. NULL when it failed. */
struct cond_operand *cond_parse_right(struct cond_parser *p, const struct cond_op_info *op, enum cond_modifier *modifier);

#endif
