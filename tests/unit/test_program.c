/* The program of all rules says what each condition by itself says: random rules and random events, and the stock rules with values made of
 * their own constants. Then order, first match, priorities, counters, and what waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "agent/detect/rules/parts.h"
#include "agent/detect/rules/program.h"
#include "agent/detect/rules/value_parse.h"
#include "common/text.h"

static uint64_t seed;

static uint32_t next_random(void) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (uint32_t)(seed * 0x2545f4914f6cdd1dull >> 32);
}

static uint32_t below(uint32_t n)
{
    return next_random() % n;
}

static bool chance(uint32_t percent)
{
    return below(100) < percent;
}

static const char *seed_begin(void)
{
    static char shown[32];
    const char *given = getenv("SEED");
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
    snprintf(shown, sizeof shown, "%llu", (unsigned long long)seed);
    print_message("seed: SEED=%s\n", shown);
    return shown;
}

/* ---- events whose values are drawn from what conditions ask for ------------------------------------------------------------ */

#define POOLS_MAX 512
#define POOL_TEXTS 64
#define ITEMS_MAX 4

/* One field as conditions name it, what they compare it with, and its value in the present event. */
struct pool {
    char key[128];
    const struct rule_field *field;
    bool has_argument;
    const char *texts[POOL_TEXTS];
    size_t lengths[POOL_TEXTS];
    uint32_t n_texts;
    enum value_answer answer;
    struct value value, items[ITEMS_MAX];
    char made[ITEMS_MAX][300];
};

struct world {
    struct value_source source;
    struct pool pools[POOLS_MAX];
    uint32_t n_pools;
    uint32_t wait_percent, missing_percent;
    const char *event_name;
    char made_error[256], cmdline[700];
};

static void key_of(const struct field_ref *ref, char out[128])
{
    snprintf(out, 128, "%s[%.*s]", ref->field->name, ref->argument ? (int)ref->argument_length : 0, ref->argument ? ref->argument : "");
}

static struct pool *pool_of(struct world *w, const struct field_ref *ref)
{
    char key[128];
    key_of(ref, key);
    for (uint32_t i = 0; i < w->n_pools; i++)
        if (!strcmp(w->pools[i].key, key))
            return &w->pools[i];
    assert_true(w->n_pools < POOLS_MAX);
    struct pool *pool = &w->pools[w->n_pools++];
    snprintf(pool->key, sizeof pool->key, "%s", key);
    pool->field = ref->field;
    pool->has_argument = ref->argument != NULL;
    return pool;
}

/* A command line has the arguments in it: the program relies on that. */
static enum value_answer cmdline_get(struct world *w, struct value *out)
{
    struct field_ref ref;
    char error[256];
    assert_int_equal(field_ref_init(&ref, "proc.args", strlen("proc.args"), NULL, 0, error, sizeof error), 0);
    const struct pool *args = pool_of(w, &ref);
    struct text_out text;
    text_out_init(&text, w->cmdline, sizeof w->cmdline);
    text_out_bytes(&text, out->text.data, out->text.length);
    if (args->answer == VALUE_GOT)
        text_out_bytes(&text, args->value.text.data, args->value.text.length);
    assert_false(text.cut);
    out->text.data = text.buf;
    out->text.length = text.length;
    return VALUE_GOT;
}

static enum value_answer world_get(struct value_source *source, const struct field_ref *ref, struct value *out)
{
    struct world *w = (struct world *)source;
    if (!strcmp(ref->field->name, "evt.type")) {
        *out = (struct value){ .type = VALUE_TEXT, .text = { w->event_name, strlen(w->event_name) } };
        return VALUE_GOT;
    }
    const struct pool *pool = pool_of(w, ref);
    *out = pool->value;
    return pool->answer == VALUE_GOT && !strcmp(ref->field->name, "proc.cmdline") ? cmdline_get(w, out) : pool->answer;
}

static void operand_learn(struct world *w, const struct cond_operand *operand, const struct cond_operand *right)
{
    struct field_ref ref;
    char error[256];
    for (uint32_t i = 0; i < operand->n_items; i++)
        operand_learn(w, operand->items[i], right);
    if (operand->kind != OPERAND_FIELD)
        return;
    assert_int_equal(field_ref_init(&ref, operand->text, operand->length, operand->argument, operand->argument_length, error, sizeof error),
                     0);
    struct pool *pool = pool_of(w, &ref);
    uint32_t n = !right ? 0 : right->kind == OPERAND_LIST ? right->n_items : 1;
    for (uint32_t i = 0; i < n; i++) {
        const struct cond_operand *value = right->kind == OPERAND_LIST ? right->items[i] : right;
        uint32_t at = pool->n_texts < POOL_TEXTS ? pool->n_texts++ : below(POOL_TEXTS);
        if (value->kind != OPERAND_VALUE) {
            operand_learn(w, value, NULL);
            value = operand;
        }
        pool->texts[at] = value->text;
        pool->lengths[at] = value->length;
    }
}

static void cond_learn(struct world *w, const struct cond *cond)
{
    if (cond->left)
        operand_learn(w, cond->left, cond->right);
    for (uint32_t i = 0; i < cond->n_children; i++)
        cond_learn(w, cond->children[i]);
}

/* A constant of the rules as it is, with something in front or behind, cut, in capitals, or anything else. */
static size_t text_draw(const struct pool *pool, char *out)
{
    static const char *const others[] = { "", "x", "/", "/etc", "/usr/bin/", "bash", "\xff\xfe", "<NA>" };
    char text[256];
    uint32_t n = pool->n_texts ? below(pool->n_texts) : 0;
    if (pool->n_texts && !chance(15))
        snprintf(text, sizeof text, "%.*s", (int)pool->lengths[n], pool->texts[n]);
    else
        snprintf(text, sizeof text, "%s", others[below(sizeof others / sizeof *others)]);
    const char *front = chance(15) ? others[below(8)] : "", *behind = chance(20) ? others[below(8)] : "";
    int length = snprintf(out, 300, "%s%.*s%s", front, chance(10) ? (int)below(8) : 255, text, behind);
    for (int i = 0; i < length && length < 300 && chance(5); i++)
        if (out[i] >= 'a' && out[i] <= 'z')
            out[i] = (char)(out[i] - 32);
    return strlen(out);
}

static bool item_draw(struct world *w, struct pool *pool, uint32_t i)
{
    enum value_type type = pool->field->type;
    static const char *const numbers[] = { "0", "1", "2", "4", "80", "443", "1000", "65536" };
    size_t length = text_draw(pool, pool->made[i]);
    pool->items[i] = (struct value){ .type = type, .text = { pool->made[i], length } };
    if (value_type_is_text(type) || type == VALUE_BYTES)
        return true;
    for (int tries = 0; tries < 8; tries++) {
        uint32_t n = pool->n_texts ? below(pool->n_texts) : 0;
        const char *text = pool->n_texts && chance(70) ? pool->texts[n] : numbers[below(8)];
        length = strlen(text);
        if (type == VALUE_IPNET && strchr(text, '/'))
            length = (size_t)(strchr(text, '/') - text);
        enum value_type as = type == VALUE_IPNET ? VALUE_IPADDR : type == VALUE_DYNAMIC ? VALUE_UINT : type;
        if (!value_parse(as, text, length, &pool->items[i], w->made_error, sizeof w->made_error))
            return true;
    }
    return false;
}

static void event_draw(struct world *w)
{
    for (uint32_t i = 0; i < w->n_pools; i++) {
        struct pool *pool = &w->pools[i];
        bool is_list = pool->field->is_list || (pool->field->scope != FIELD_SCOPE_ONE && !pool->has_argument);
        uint32_t n = is_list ? below(ITEMS_MAX + 1) : 1;
        pool->answer = chance(w->missing_percent) ? VALUE_MISSING : chance(w->wait_percent) ? VALUE_WAIT : VALUE_GOT;
        for (uint32_t k = 0; k < n && pool->answer == VALUE_GOT; k++)
            if (!item_draw(w, pool, k))
                pool->answer = VALUE_MISSING;
        if (!strcmp(pool->field->name, "evt.num")) { /* counts from 1 */
            pool->answer = VALUE_GOT;
            pool->items[0] = (struct value){ .type = VALUE_UINT, .u64 = 1 + below(3) };
        }
        pool->value = is_list ? (struct value){ .type = pool->field->type, .is_list = true, .list = { pool->items, n } } : pool->items[0];
    }
}

/* ---- the comparison --------------------------------------------------------------------------------------------------------- */

static struct event_name_set class_names[CLASS_MAX];

static const struct program_options *all_classes(void)
{
    static struct program_options options;
    for (int i = 0; i < CLASS_MAX; i++)
        event_class_names((enum event_class)i, &class_names[i]);
    options = (struct program_options){ .classes = class_names, .n_classes = CLASS_MAX, .priority_max = PRIORITY_DEBUG };
    return &options;
}

/* Holds for one of the names of the class. */
static enum verdict alone(const struct predicate *predicate, struct world *w, struct eval *eval, enum event_class class)
{
    enum verdict all = VERDICT_FALSE;
    for (const char *const *name = event_classes[class].events; *name; name++) {
        w->event_name = *name;
        enum verdict each = predicate_eval(predicate, eval);
        if (each == VERDICT_TRUE)
            return each;
        if (each == VERDICT_WAIT)
            all = each;
    }
    return all;
}

struct tally {
    uint64_t n[3];
};

/* One event for one class: every rule must have the verdict that its predicate has, and hits come in order. */
static void compare_class(const struct ruleset *set, struct program *program, struct predicate **predicates, struct world *w,
                          struct eval *eval, enum event_class class, struct tally *tally, const char *shown_seed)
{
    static struct program_hit hits[LIMIT_RULES];
    eval_begin(eval, &w->source);
    w->event_name = event_classes[class].events[0];
    size_t n = program_match(program, class, eval, hits, LIMIT_RULES), at = 0;
    for (uint32_t i = 0; i < set->n_rules; i++) {
        eval_begin(eval, &w->source);
        enum verdict expected = predicates[i] ? alone(predicates[i], w, eval, class) : VERDICT_FALSE, got = VERDICT_FALSE;
        if (at < n && hits[at].rule == i)
            got = hits[at++].verdict;
        tally->n[expected]++;
        if (got != expected || (chance(3) && program_match_rule(program, class, i, eval) != expected))
            fail_msg("seed %s, class %s, rule %u: the program says %d, the condition %d", shown_seed, event_classes[class].name, i, got,
                     expected);
    }
    assert_int_equal(at, n);
}

static void compare_many(const struct ruleset *set, struct world *w, uint32_t n_events, struct tally *tally, const char *shown_seed)
{
    struct arena arena;
    struct eval eval;
    struct cond_error error;
    arena_init(&arena, 0);
    assert_int_equal(eval_init(&eval), 0);
    struct program *program = program_new(set, all_classes());
    struct predicate **predicates = calloc(set->n_rules + 1, sizeof *predicates);
    assert_true(program && predicates);
    w->source.get = world_get;
    for (uint32_t i = 0; i < set->n_rules; i++) {
        const struct rule *rule = &set->rules[i];
        if (!rule->cond || !rule->enabled || !rule->compiled)
            continue;
        cond_learn(w, rule->cond);
        assert_int_equal(predicate_compile(&arena, rule->cond, &predicates[i], &error), 0);
    }
    for (uint32_t i = 0; i < n_events; i++) {
        static const enum event_class often[] = { CLASS_EXEC, CLASS_OPEN, CLASS_CREATE, CLASS_CONNECT };
        event_draw(w);
        compare_class(set, program, predicates, w, &eval, chance(60) ? often[below(4)] : (enum event_class)below(CLASS_MAX), tally,
                      shown_seed);
    }
    program_free(program);
    free(predicates);
    eval_fini(&eval);
    arena_fini(&arena);
}

/* ---- random rules ----------------------------------------------------------------------------------------------------------- */

static const char *pick(const char *const *words)
{
    uint32_t n = 0;
    while (words[n])
        n++;
    return words[below(n)];
}

static const char *const text_fields[] = { "proc.name",
                                           "proc.pname",
                                           "fd.name",
                                           "proc.cmdline",
                                           "container.id",
                                           "proc.aname",
                                           "proc.aname[2]",
                                           "tolower(proc.name)",
                                           "basename(fd.name)",
                                           "concat(proc.name, proc.pname)",
                                           NULL };
static const char *const words[] = { "bash", "sh", "nginx", "/etc", "/etc/passwd", "/usr", "/usr/bin/sh",
                                     "host", "ba", "x",     "a*",   "/",           "''",   NULL };
static const char *const text_ops[] = { "=", "!=", "startswith", "endswith", "contains", "icontains", "glob", "iglob", NULL };
static const char *const modifiers[] = { "anyof", "oneof", "allof", NULL };
static const char *const event_words[] = { "open", "openat", "creat", "execve", "connect", "unlink", "unlinkat", "rmdir", NULL };

static void list_make(struct text_out *out, const char *const *from, uint32_t max)
{
    text_out_printf(out, "(");
    for (uint32_t i = 0, n = below(max); i < n; i++)
        text_out_printf(out, "%s%s", i ? ", " : "", pick(from));
    text_out_printf(out, ")");
}

static void text_leaf(struct text_out *out)
{
    const char *field = pick(text_fields);
    switch (below(8)) {
    case 0:
        text_out_printf(out, "%s %s ", field, pick((const char *const[]){ "in", "intersects", "pmatch", NULL }));
        list_make(out, words, 9);
        return;
    case 1:
        text_out_printf(out, "%s %s %s ", field, pick(text_ops), pick(modifiers));
        list_make(out, words, 8);
        return;
    case 2:
        text_out_printf(out, "%s exists", field);
        return;
    case 3:
        text_out_printf(out, "%s %s val(proc.pname)", field, pick((const char *const[]){ "=", "!=", "startswith", "in", NULL }));
        return;
    case 4:
        text_out_printf(out, "%s regex %s", field, pick((const char *const[]){ ".*sh", "'/(etc|usr)/.*'", "'[a-z]+'", NULL }));
        return;
    default:
        text_out_printf(out, "%s %s %s", field, pick(text_ops), pick(words));
    }
}

static void other_leaf(struct text_out *out)
{
    static const char *const numbers[] = { "0", "1", "2", "80", "443", NULL };
    static const char *const addresses[] = { "10.0.0.1", "10.0.0.2", "::1", "192.168.0.1", NULL };
    static const char *const nets[] = { "10.0.0.0/8", "192.168.0.0/16", "::/64", NULL };
    static const char *const orders[] = { "=", "!=", "<", "<=", ">", ">=", NULL };
    switch (below(9)) {
    case 0:
        text_out_printf(out, "evt.type %s ", pick((const char *const[]){ "in", "=", "!=", NULL }));
        if (out->buf[out->length - 2] == 'n')
            list_make(out, event_words, 5);
        else
            text_out_printf(out, "%s", pick(event_words));
        return;
    case 1:
        text_out_printf(out, "evt.num %s %s", pick(orders), pick(numbers));
        return;
    case 2:
        text_out_printf(out, "%s %s %s",
                        pick((const char *const[]){ "proc.vpid", "user.uid", "fd.sport", "fd.port", "len(proc.name)", NULL }), pick(orders),
                        pick(numbers));
        return;
    case 3:
        text_out_printf(out, "%s in ", pick((const char *const[]){ "proc.vpid", "user.uid", "fd.sport", "fd.port", NULL }));
        list_make(out, numbers, 4);
        return;
    case 4:
        text_out_printf(out, "proc.is_exe_upper_layer %s %s", pick((const char *const[]){ "=", "!=", NULL }),
                        chance(50) ? "true" : "false");
        return;
    case 5:
        text_out_printf(out, "%s %s %s", pick((const char *const[]){ "fd.ip", "fd.sip", NULL }), chance(50) ? "=" : "!=", pick(addresses));
        return;
    case 6:
        text_out_printf(out, "%s in ", pick((const char *const[]){ "fd.net", "fd.snet", NULL }));
        list_make(out, nets, 4);
        return;
    case 7:
        text_out_printf(out, "fd.types %s ", chance(50) ? "in" : "intersects");
        list_make(out, words, 5);
        return;
    default:
        text_out_printf(out, "evt.buffer %s",
                        pick((const char *const[]){ "contains sh", "bcontains 6261", "bstartswith 2f65", "= x", NULL }));
    }
}

/* Parts come again and again, as macros do. */
static void tree_make(struct text_out *out, unsigned depth, char parts[8][400])
{
    uint32_t kind = depth ? below(10) : 0;
    if (chance(25)) {
        text_out_printf(out, "(%s)", parts[below(8)]);
        return;
    }
    if (kind < 4) {
        if (chance(60))
            text_leaf(out);
        else
            other_leaf(out);
        return;
    }
    text_out_printf(out, chance(25) ? "not (" : "(");
    for (uint32_t i = 0, n = 2 + below(3); i < n; i++) {
        text_out_printf(out, "%s", !i ? "" : kind < 7 ? " and " : " or ");
        tree_make(out, depth - 1, parts);
    }
    text_out_printf(out, ")");
}

static void rules_make(struct ruleset *set, struct arena *arena, uint32_t n)
{
    static struct rule rules[64];
    char parts[8][400];
    for (int i = 0; i < 8; i++) {
        struct text_out out;
        text_out_init(&out, parts[i], sizeof parts[i]);
        if (chance(60))
            text_leaf(&out);
        else
            other_leaf(&out);
    }
    memset(rules, 0, sizeof rules);
    *set = (struct ruleset){ .rules = rules, .n_rules = n };
    for (uint32_t i = 0; i < n; i++) {
        char text[16384];
        struct text_out out;
        struct cond_error error;
        struct check_result checked;
        text_out_init(&out, text, sizeof text);
        tree_make(&out, below(4), parts);
        assert_false(out.cut);
        struct rule *rule = &rules[i];
        *rule = (struct rule){ .name = "r", .enabled = true, .compiled = true };
        if (cond_parse(arena, text, out.length, COND_DEPTH_RULES, &rule->cond, &error))
            fail_msg("%s: %s", text, error.message);
        cond_check(arena, rule->cond, &checked);
        if (checked.error)
            fail_msg("%s: %s", text, checked.message);
        rule->events = checked.events;
    }
}

static void test_random(void **state)
{
    (void)state;
    static struct world world;
    const char *shown = seed_begin();
    struct tally tally = { { 0 } };
    for (int round = 0; round < 60; round++) {
        struct arena arena;
        struct ruleset set;
        arena_init(&arena, 0);
        memset(&world, 0, sizeof world);
        world.wait_percent = round % 2 ? 10 : 0;
        world.missing_percent = 10;
        rules_make(&set, &arena, 1 + below(40));
        compare_many(&set, &world, 150, &tally, shown);
        arena_fini(&arena);
    }
    print_message("%llu false, %llu true, %llu wait\n", (unsigned long long)tally.n[0], (unsigned long long)tally.n[1],
                  (unsigned long long)tally.n[2]);
    assert_true(tally.n[VERDICT_TRUE] > 1000 && tally.n[VERDICT_WAIT] > 1000 && tally.n[VERDICT_FALSE] > 1000);
}

/* ---- the stock rules -------------------------------------------------------------------------------------------------------- */

static bool file_load(struct ruleset *set, const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/data/%s", dir, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    static char data[256 << 10];
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    if (ruleset_load(set, name, data, size))
        fail_msg("%s: %s", name, set->n_errors ? set->errors[0].text : "no memory");
    return true;
}

static void test_stock(void **state)
{
    (void)state;
    static struct world world;
    const char *dir = getenv("FALCO_CASES");
    struct ruleset *set = ruleset_new();
    assert_non_null(set);
    if (!dir || !file_load(set, dir, "falco_rules.yaml")) {
        print_message("skipped: no stock rules (configure --with-falco-cases=DIR)\n");
        ruleset_free(set);
        skip();
    }
    assert_true(file_load(set, dir, "falco-incubating_rules.yaml") && file_load(set, dir, "falco-sandbox_rules.yaml"));
    for (uint32_t i = 0; i < set->n_rules; i++)
        set->rules[i].enabled = true;
    const char *shown = seed_begin();
    struct tally tally = { { 0 } };
    for (int round = 0; round < 4; round++) {
        memset(&world, 0, sizeof world);
        world.wait_percent = round % 2 ? 5 : 0;
        world.missing_percent = round < 2 ? 2 : 30;
        compare_many(set, &world, 600, &tally, shown);
    }
    print_message("%u rules: %llu false, %llu true, %llu wait\n", set->n_rules, (unsigned long long)tally.n[0],
                  (unsigned long long)tally.n[1], (unsigned long long)tally.n[2]);
    assert_true(tally.n[VERDICT_TRUE] > 20 && tally.n[VERDICT_WAIT] > 20);
    ruleset_free(set);
}

/* ---- order, first match, priorities, counters, waiting ----------------------------------------------------------------------- */

struct small {
    struct value_source source;
    const char *name;
    enum value_answer image, cmdline;
    uint32_t n_exelines; /* how often proc.exeline was fetched */
    struct arena arena;
    struct eval eval;
    struct ruleset set;
    struct rule rules[8];
};

static enum value_answer small_get(struct value_source *source, const struct field_ref *ref, struct value *out)
{
    struct small *s = (struct small *)source;
    *out = (struct value){ .type = VALUE_TEXT, .text = { s->name, strlen(s->name) } };
    s->n_exelines += !strcmp(ref->field->name, "proc.exeline");
    if (!strcmp(ref->field->name, "proc.cmdline"))
        return s->cmdline;
    return strcmp(ref->field->name, "container.image.repository") ? VALUE_GOT : s->image;
}

static void small_init(struct small *s, const char *const *conditions)
{
    struct cond_error error;
    *s = (struct small){ .source.get = small_get, .name = "sh", .image = VALUE_MISSING, .cmdline = VALUE_GOT };
    arena_init(&s->arena, 0);
    assert_int_equal(eval_init(&s->eval), 0);
    for (; conditions[s->set.n_rules]; s->set.n_rules++) {
        struct rule *rule = &s->rules[s->set.n_rules];
        const char *text = conditions[s->set.n_rules];
        *rule = (struct rule){ .name = "r", .enabled = true, .compiled = true, .priority = PRIORITY_WARNING };
        assert_int_equal(cond_parse(&s->arena, text, strlen(text), 100, &rule->cond, &error), 0);
    }
    s->set.rules = s->rules;
    eval_begin(&s->eval, &s->source);
}

static void small_fini(struct small *s)
{
    eval_fini(&s->eval);
    arena_fini(&s->arena);
}

static void test_order(void **state)
{
    (void)state;
    struct small s;
    struct program_hit hits[8];
    struct program_options options = *all_classes();
    small_init(&s, (const char *const[]){ "evt.type = execve and proc.name != bash", "evt.type = open and proc.name = sh",
                                          "evt.type in (execve, open) and proc.name in (sh, bash)", "proc.name = sh and evt.num = 0",
                                          "proc.name = sh", NULL });
    s.rules[4].enabled = false;
    struct program *p = program_new(&s.set, &options);
    assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 8), 2);
    assert_int_equal(hits[0].rule, 0);
    assert_int_equal(hits[1].rule, 2);
    assert_int_equal(program_match(p, CLASS_OPEN, &s.eval, hits, 8), 2);
    assert_int_equal(hits[0].rule, 1);
    assert_int_equal(program_match(p, CLASS_SETNS, &s.eval, hits, 8), 0);
    assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 1), 1);
    assert_int_equal(program_dropped(p), 1);
    assert_int_equal(program_match_rule(p, CLASS_EXEC, 2, &s.eval), VERDICT_TRUE);
    assert_int_equal(program_match_rule(p, CLASS_EXEC, 1, &s.eval), VERDICT_FALSE);
    assert_int_equal(program_counters(p, 0)->n_hits, 2);
    assert_int_equal(program_counters(p, 2)->n_hits, 4);
    program_free(p);

    options.first_match = true;
    p = program_new(&s.set, &options);
    assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 8), 1);
    assert_int_equal(hits[0].rule, 0);
    program_free(p);

    options.first_match = false;
    options.priority_max = PRIORITY_ERROR;
    s.rules[2].priority = PRIORITY_CRITICAL;
    p = program_new(&s.set, &options);
    assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 8), 1);
    assert_int_equal(hits[0].rule, 2);
    program_free(p);
    small_fini(&s);
}

static uint64_t ticking(void)
{
    static uint64_t now;
    return now += 10;
}

static void test_counters(void **state)
{
    (void)state;
    struct small s;
    struct program_hit hits[8];
    small_init(&s, (const char *const[]){ "proc.name = sh", "proc.name = bash", "not proc.name = bash", NULL });
    struct program *p = program_new(&s.set, all_classes());
    program_set_clock(p, ticking);
    for (int i = 0; i < PROGRAM_TIMED; i++)
        assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 8), 2);
    assert_int_equal(program_counters(p, 0)->n_evaluations, PROGRAM_TIMED);
    assert_int_equal(program_counters(p, 0)->ns, 10 * PROGRAM_TIMED);
    assert_int_equal(program_counters(p, 1)->n_evaluations, 0); /* never met: its guard is the name */
    assert_int_equal(program_counters(p, 2)->n_hits, PROGRAM_TIMED);
    struct program_stats stats;
    program_stats(p, &stats);
    assert_int_equal(stats.n_atoms, 2);
    assert_int_equal(stats.n_slots, 1);
    program_free(p);
    small_fini(&s);
}

/* A rule waits only if nothing else decides it. */
static void test_wait(void **state)
{
    (void)state;
    struct small s;
    struct program_hit hits[8];
    small_init(&s, (const char *const[]){ "container.image.repository = sh and proc.name = sh",
                                          "container.image.repository = sh and proc.name = x",
                                          "container.image.repository = x or proc.name = sh", "not container.image.repository in (a, b)",
                                          "container.image.repository startswith s", "container.image.repository in ()", NULL });
    struct program *p = program_new(&s.set, all_classes());
    s.image = VALUE_WAIT;
    assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 8), 4); /* nothing is in (): nothing to wait for */
    assert_int_equal(hits[0].rule, 0);
    assert_int_equal(hits[0].verdict, VERDICT_WAIT);
    assert_int_equal(hits[1].rule, 2);
    assert_int_equal(hits[1].verdict, VERDICT_TRUE);
    assert_int_equal(hits[2].rule, 3);
    assert_int_equal(hits[2].verdict, VERDICT_WAIT);
    assert_int_equal(hits[3].rule, 4);
    s.image = VALUE_GOT;
    assert_int_equal(program_match_rule(p, CLASS_EXEC, 0, &s.eval), VERDICT_TRUE);
    assert_int_equal(program_match_rule(p, CLASS_EXEC, 5, &s.eval), VERDICT_FALSE);
    s.image = VALUE_MISSING;
    assert_int_equal(program_match_rule(p, CLASS_EXEC, 0, &s.eval), VERDICT_FALSE);
    assert_int_equal(program_match_rule(p, CLASS_EXEC, 3, &s.eval), VERDICT_TRUE);
    program_free(p);
    small_fini(&s);
}

/* ---- what is asked at all ------------------------------------------------------------------------------------------------------ */

/* Several parts of one value cost one look: they are a better guard than the name of a program that runs all the time. */
static void test_guard(void **state)
{
    (void)state;
    struct small s;
    struct program_hit hits[8];
    small_init(&s, (const char *const[]){ "proc.name in (sed, grep) and (proc.args contains stratum or proc.args contains nicehash or "
                                          "proc.args contains randomx or proc.args contains cryptonight or proc.args contains ethash)",
                                          NULL });
    struct program *p = program_new(&s.set, all_classes());
    s.name = "grep";
    assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 8), 0);
    assert_int_equal(program_counters(p, 0)->n_evaluations, 0);
    s.name = "nicehash"; /* every field is that */
    assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 8), 0);
    assert_int_equal(program_counters(p, 0)->n_evaluations, 1);
    program_free(p);
    small_fini(&s);
}

/* The arguments are there, the command line that is scanned in their place found no room: their rules are asked, and no others. */
static void test_scan_without_text(void **state)
{
    (void)state;
    struct small s;
    struct program_hit hits[8];
    small_init(&s, (const char *const[]){ "proc.args contains stratum", "proc.cmdline contains nicehash", "proc.name = bash", NULL });
    struct program *p = program_new(&s.set, all_classes());
    s.name = "stratum";
    s.cmdline = VALUE_MISSING;
    assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 8), 1);
    assert_int_equal(hits[0].rule, 0);
    assert_int_equal(program_counters(p, 0)->n_evaluations, 1);
    assert_int_equal(program_counters(p, 1)->n_evaluations, 0);
    assert_int_equal(program_counters(p, 2)->n_evaluations, 0);
    program_free(p);
    small_fini(&s);
}

/* A regex is not asked while anything else can decide: of "all of these", and so of "any of these". */
static void test_dear_last(void **state)
{
    (void)state;
    struct small s;
    struct program_hit hits[8];
    small_init(&s, (const char *const[]){ "proc.name = sh and proc.exeline regex \"[a-z]+\" and not proc.cwd = sh",
                                          "proc.name = sh and (proc.exeline regex \"[a-z]*\" or proc.cwd = sh)", NULL });
    struct program *p = program_new(&s.set, all_classes());
    assert_int_equal(program_match(p, CLASS_EXEC, &s.eval, hits, 8), 1);
    assert_int_equal(hits[0].rule, 1);
    assert_int_equal(s.n_exelines, 0);
    s.name = "bash";
    assert_int_equal(program_match_rule(p, CLASS_EXEC, 1, &s.eval), VERDICT_FALSE);
    program_free(p);
    small_fini(&s);
}

/* ---- many patterns at once ----------------------------------------------------------------------------------------------------- */

enum where { AT_START, AT_END, ANYWHERE };

static bool has_pattern(enum where where, const char *text, size_t length, const char *pattern, size_t n)
{
    if (n > length)
        return false;
    switch (where) {
    case AT_START:
        return !memcmp(text, pattern, n);
    case AT_END:
        return !memcmp(text + length - n, pattern, n);
    case ANYWHERE:
        for (size_t i = 0; i + n <= length; i++)
            if (!strncasecmp(text + i, pattern, n))
                return true;
    }
    return false;
}

static void test_patterns(void **state)
{
    (void)state;
    const char *shown = seed_begin();
    static const char letters[] = "abAB/\x80";
    for (int round = 0; round < 3000; round++) {
        enum where where = (enum where)below(3);
        struct automaton a;
        static struct parts parts;
        struct automaton_pattern patterns[70];
        char texts[70][8], text[24];
        struct arena arena;
        uint32_t n = 1 + below(70);
        arena_init(&arena, 0);
        for (uint32_t i = 0; i < n; i++) {
            patterns[i] = (struct automaton_pattern){ texts[i], where == ANYWHERE ? PARTS_LENGTH_MIN + below(5) : below(6), i };
            for (size_t k = 0; k < patterns[i].length; k++)
                texts[i][k] = letters[below(6)];
        }
        if (where == ANYWHERE)
            assert_int_equal(parts_init(&parts, &arena, patterns, n, n), 0);
        else
            assert_int_equal(automaton_init(&a, &arena, where == AT_START ? AUTOMATON_PREFIXES : AUTOMATON_SUFFIXES, patterns, n), 0);
        for (int k = 0; k < 20; k++) {
            uint64_t bits[2] = { 0 };
            size_t length = below(sizeof text);
            for (size_t i = 0; i < length; i++)
                text[i] = letters[below(6)];
            if (where == ANYWHERE)
                parts_scan(&parts, text, length, bits);
            else
                automaton_scan(&a, text, length, bits);
            for (uint32_t i = 0; i < n; i++)
                if ((bits[i / 64] >> (i % 64) & 1) != has_pattern(where, text, length, texts[i], patterns[i].length))
                    fail_msg("seed %s: %.*s in %.*s", shown, (int)patterns[i].length, texts[i], (int)length, text);
        }
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_order),  cmocka_unit_test(test_counters),
        cmocka_unit_test(test_wait),      cmocka_unit_test(test_random), cmocka_unit_test(test_stock),
        cmocka_unit_test(test_guard),     cmocka_unit_test(test_scan_without_text),
        cmocka_unit_test(test_dear_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
