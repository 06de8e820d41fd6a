/* YAML of rules files as a tree with positions: several documents, aliases by reference, everything bounded. Pure. */
#ifndef ECSGUARD_RULES_RULE_YAML_H
#define ECSGUARD_RULES_RULE_YAML_H

#include "agent/detect/rules/arena.h"

enum node_kind { NODE_NULL, NODE_SCALAR, NODE_SEQUENCE, NODE_MAP };

struct rule_node {
    enum node_kind kind;
    uint32_t line, column; /* of the file, from 1; columns are characters */
    uint32_t weight;       /* nodes in here, aliases counted in full */
    uint32_t length;
    uint32_t n_items;
    const char *text;      /* NODE_SCALAR: no NUL within */
    struct rule_node **items; /* NODE_SEQUENCE; NODE_MAP: key, value, key, value ... */
};

struct rule_yaml {
    struct rule_node **documents;
    uint32_t n_documents;
};

struct rule_yaml_error {
    uint32_t line, column;
    char message[256];
};

/* 0, -EINVAL + *error, -ENOMEM. Nodes and texts are in `arena`. */
int rule_yaml_parse(struct arena *arena, const char *data, size_t size, struct rule_yaml *out, struct rule_yaml_error *error);

/* The value of the first such key of a map, or NULL. A key without value has a NODE_NULL. */
const struct rule_node *rule_node_get(const struct rule_node *map, const char *key);

/* As YAML 1.1 spells booleans; false if it is none. */
bool rule_node_bool(const struct rule_node *node, bool *out);
/* Decimal, 0x... or 0... as C writes numbers. */
bool rule_node_u32(const struct rule_node *node, uint32_t *out);

#endif
