#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/rules/cond.h"

static const struct {
    const char *text, *canonical;
} readable[] = {
    { "spawned", "spawned" },
    { "\n ( a )\t", "a" },
    { "a and b or c and not d", "((a and b) or (c and not d))" },
    { "a or b or c", "(a or b or c)" },
    { "(a and b) and c", "((a and b) and c)" }, /* as written, not flattened */
    { "(a)and(b)or(c)", "((a and b) or c)" },
    { "a and b or(c)or d and e", "((a and b) or c or (d and e))" },
    { "not not not a", "not a" },
    { "not(not(a))", "not not a" },
    { "not not(a and b) and c", "((a and b) and c)" },
    { "not", "not" }, /* a name, as nothing follows */
    { "nota and andb", "(nota and andb)" },
    { "proc.name exists", "proc.name exists" },
    { "proc.name existsand a", "(proc.name exists and a)" },
    { "fd.name=/a/b*.log", "fd.name = /a/b*.log" },
    { "proc.name = not and b", "(proc.name = not and b)" },
    { "fd.num >= -1", "fd.num >= -1" },
    { "fd.num < 0xFf", "fd.num < 0xFf" },
    { "a.b > -1.5e+10", "a.b > -1.5e+10" },
    { "a.b <= val(c.d)", "a.b <= val(c.d)" },
    { "a.b in(x,'y z',\"q\")", "a.b in (x, \"y z\", q)" },
    { "a.b in ()", "a.b in ()" },
    { "a.b inlist", "a.b in list" },
    { "a.b pmatch (/etc, /usr/b\\n)", "a.b pmatch (/etc, \"/usr/b\\\\n\")" },
    { "a.b glob oneof (x*, y)", "a.b glob oneof (x*, y)" },
    { "a.b = anyof list", "a.b = anyof list" },
    { "a.b = anyof and c", "(a.b = anyof and c)" },
    { "a.b = anyof\nnotes", "a.b = anyof notes" },
    { "(a.b != allof)", "a.b != allof" },
    { "a.b[c d] = 1", NULL },
    { "a.b['c d'] = 1", "a.b[\"c d\"] = 1" },
    { "a.b[/x(*] = 1", "a.b[/x(*] = 1" },
    { "a.b[''] = 1", "a.b[\"\"] = 1" },
    { "a.b['[x]'] exists", "a.b[\"[x]\"] exists" },
    { "tolower( toupper(a.b[1] ) ) contains x", "tolower(toupper(a.b[1])) contains x" },
    { "join(\"-\" , (a.b,1 , 'x', len(c.d))) = z", "join(-,(a.b,1,x,len(c.d))) = z" },
    { "join('-', ( )) exists", "join(-,()) exists" },
    { "getopt(proc.args, 'ab:')[b] = x", "getopt(proc.args,ab:)[b] = x" },
    { "a.b in tolower(c.d)", "a.b in tolower(c.d)" },
    { "a.b regex '^x(y|z)$'", "a.b regex ^x(y|z)$" },
    { "a.b = \"it's \\\"so\\\"\\t\\x41\\/\\ \"", "a.b = \"it's \\\"so\\\"\\tA/\\\\\"" },
    { "a.b = '\\x00'", "a.b = \"\\x00\"" },
};

static void test_readable(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++) {
        struct arena arena;
        struct cond *cond;
        struct cond_error error;
        arena_init(&arena, 0);
        int r = cond_parse(&arena, readable[i].text, strlen(readable[i].text), COND_DEPTH_OTHER, &cond, &error);
        if (r != (readable[i].canonical ? 0 : -EINVAL))
            fail_msg("%s: %s", readable[i].text, error.message);
        if (!r)
            assert_string_equal(cond_print(&arena, cond), readable[i].canonical);
        arena_fini(&arena);
    }
}

static const struct {
    const char *text;
    uint32_t index, line, column;
    const char *message; /* its beginning */
} refused[] = {
    { "", 0, 1, 1, "filter input string is empty" },
    { " \n", 2, 2, 1, "expected a '(' token, a field check, or an identifier" },
    { "a b", 2, 1, 3, "unexpected token after 'a', expecting 'or', 'and'" },
    { "a\nandb", 5, 2, 4, "expected blank or '(' after 'and'" },
    { "a or(b) and c", 8, 1, 9, "unexpected token after ')', expecting 'or', 'and'" },
    { "(a", 2, 1, 3, "expected a ')' token" },
    { "a)", 1, 1, 2, "unexpected token after 'a', expecting 'or', 'and'" },
    { "not ()", 5, 1, 6, "expected a '(' token, a field check, or an identifier" },
    { "a.b", 3, 1, 4, "expected a valid check operator: one of 'exists', '<='" },
    { "a.b containsx", 4, 1, 5, "expected a valid check operator" },
    { "a.b = ", 6, 1, 7, "expected a string value or a field with a valid transformer: 'val', 'tolower'" },
    { "a.b > x", 6, 1, 7, "expected a number value or a field" },
    { "a.b in (x,)", 10, 1, 11, "expected a string value" },
    { "a.b in ('\\q')", 12, 1, 13, "unsupported string escape sequence: \\q" },
    { "a.b in ,", 7, 1, 8, "expected a list, an identifier, or a field" },
    { "a.b = 'x\\'", 6, 1, 7, "expected a string value or" },
    { "a.b = 'ends\\\\'", 6, 1, 7, "expected a string value or" }, /* the closing quote stands behind a backslash */
    { "a.b = '\\x4'", 11, 1, 12, "truncated hex char escape sequence" },
    { "a.b = '\\x4g'", 12, 1, 13, "invalid hex char escape sequence: 4g" },
    { "a.b = val(c)", 10, 1, 11, "expected a field within 'val' transformer" },
    { "a.b = val(c.d, e.f)", 13, 1, 14, "expected a ')' token closing the transformer" },
    { "len() = 1", 4, 1, 5, "expected field transformer argument: field, transformer" },
    { "join('-', ((a.b))) = 1", 11, 1, 12, "expected transformer list argument: field, transformer" },
    { "join('-', (a.b = 1", 15, 1, 16, "expected a ')' token closing the transformer list" },
    { "a.b[ = 1", 4, 1, 5, "expected a valid field argument: a quoted string or a bare string" },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct arena arena;
        struct cond *cond;
        struct cond_error error;
        arena_init(&arena, 0);
        if (cond_parse(&arena, refused[i].text, strlen(refused[i].text), COND_DEPTH_OTHER, &cond, &error) != -EINVAL)
            fail_msg("%s was taken", refused[i].text);
        if (strncmp(error.message, refused[i].message, strlen(refused[i].message)) != 0 || error.position.index != refused[i].index ||
            error.position.line != refused[i].line || error.position.column != refused[i].column)
            fail_msg("%s: %u %u %u %s", refused[i].text, error.position.index, error.position.line, error.position.column, error.message);
        arena_fini(&arena);
    }
}

static void test_tree(void **state)
{
    (void)state;
    static const char text[] = " x.y[k] startswith anyof (a, 'b\\x00c')\nor not m";
    struct arena arena;
    struct cond *cond;
    struct cond_error error;
    arena_init(&arena, 0);
    assert_int_equal(cond_parse(&arena, text, strlen(text), COND_DEPTH_RULES, &cond, &error), 0);
    assert_int_equal(cond->kind, COND_OR);
    assert_int_equal(cond->n_children, 2);
    assert_int_equal(cond->position.index, 0);
    const struct cond *check = cond->children[0], *not = cond->children[1];
    assert_int_equal(check->kind, COND_CHECK);
    assert_int_equal(check->op, OP_STARTSWITH);
    assert_int_equal(check->modifier, MODIFIER_ANYOF);
    assert_int_equal(check->position.index, 1);
    assert_int_equal(check->left->kind, OPERAND_FIELD);
    assert_string_equal(check->left->text, "x.y");
    assert_string_equal(check->left->argument, "k");
    assert_int_equal(check->left->argument_length, 1);
    assert_int_equal(check->right->kind, OPERAND_LIST);
    assert_int_equal(check->right->n_items, 2);
    assert_int_equal(check->right->items[1]->kind, OPERAND_VALUE);
    assert_int_equal(check->right->items[1]->length, 3);
    assert_memory_equal(check->right->items[1]->text, "b\0c", 4);
    assert_int_equal(not->kind, COND_NOT);
    assert_int_equal(not->n_children, 1);
    assert_int_equal(not->position.line, 2);
    assert_int_equal(not->position.column, 4);
    assert_string_equal(not->children[0]->name, "m");
    arena_fini(&arena);
}

/* `n` times open, the middle, `n` times close. Freed by the caller. */
static char *nested(size_t n, const char *open, const char *middle, const char *close)
{
    char *text = malloc(n * (strlen(open) + strlen(close)) + strlen(middle) + 1), *at = text;
    for (size_t i = 0; i < n; i++)
        at = stpcpy(at, open);
    at = stpcpy(at, middle);
    for (size_t i = 0; i < n; i++)
        at = stpcpy(at, close);
    return text;
}

/* With COND_DEPTH_RULES open: taken and printed; with one more: refused. */
static bool depth_is_bounded(const char *open, const char *middle, const char *close)
{
    bool good = true;
    for (size_t extra = 0; extra < 2; extra++) {
        char *text = nested(COND_DEPTH_RULES + extra, open, middle, close);
        struct arena arena;
        struct cond *cond;
        struct cond_error error;
        arena_init(&arena, 0);
        int r = cond_parse(&arena, text, strlen(text), COND_DEPTH_RULES, &cond, &error);
        good &= extra ? r == -EINVAL && !strcmp(error.message, "exceeded max depth limit of 1000") : !r && cond_print(&arena, cond);
        arena_fini(&arena);
        free(text);
    }
    return good;
}

static void *deep(void *arg)
{
    static const char *const opens[] = { "(", "not(", "not (", "a and b or (", "x and(", "x or(", "b or not(" };
    bool *good = arg;
    *good = true;
    for (size_t i = 0; i < sizeof opens / sizeof *opens; i++)
        *good &= depth_is_bounded(opens[i], "a", ")");
    for (size_t extra = 0; extra < 2; extra++) {
        char *call = nested(COND_DEPTH_RULES + extra, "tolower(", "a.b", ")"), *text = nested(1, call, "", " = x");
        struct arena arena;
        struct cond *cond;
        struct cond_error error;
        arena_init(&arena, 0);
        int r = cond_parse(&arena, text, strlen(text), COND_DEPTH_RULES, &cond, &error);
        *good &= extra ? r == -EINVAL : !r && !strcmp(cond_print(&arena, cond), text);
        arena_fini(&arena);
        free(text);
        free(call);
    }
    return NULL;
}

/* Depth costs no stack: the deepest conditions fit in a thread with very little of it. */
static void test_depth(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstacksize(&attr, 128 << 10), 0);
    bool good;
    assert_int_equal(pthread_create(&thread, &attr, deep, &good), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    assert_true(good);
}

static void test_bounds(void **state)
{
    (void)state;
    struct arena arena;
    struct cond *cond;
    struct cond_error error;
    char *list = nested(100000, "a,", "b", ""), *text = nested(1, "a.b in (", list, ")");
    arena_init(&arena, 0);
    assert_int_equal(cond_parse(&arena, text, strlen(text), COND_DEPTH_RULES, &cond, &error), 0);
    assert_int_equal(cond->right->n_items, 100001);
    assert_int_equal(strlen(cond_print(&arena, cond)), strlen(text) + 100000);
    assert_true(arena.used_bytes < 16 << 20);
    arena_fini(&arena);
    for (size_t max = 0x10000; max < 8 << 20; max *= 2) { /* wherever memory ends, it is told */
        arena_init(&arena, max);
        assert_int_equal(cond_parse(&arena, text, strlen(text), COND_DEPTH_RULES, &cond, &error), -ENOMEM);
        arena_fini(&arena);
    }
    arena_init(&arena, 0x10000);
    assert_int_equal(cond_parse(&arena, "a", 1, COND_DEPTH_RULES, &cond, &error), 0);
    cond->name = text;
    assert_null(cond_print(&arena, cond));
    assert_true(arena.failed);
    arena_fini(&arena);
    free(text);
    free(list);
}

static void test_fields(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *canonical;
    } cases[] = {
        { "proc.name", 9, "proc.name" },
        { "proc.name. Then", 9, "proc.name" },
        { "proc.aname[2]=", 13, "proc.aname[2]" },
        { "proc.aname['a b']", 17, "proc.aname[\"a b\"]" },
        { "proc.aname[", 10, "proc.aname" },
        { "proc.aname[]", 10, "proc.aname" },
        { "tolower(proc.name))", 18, "tolower(proc.name)" },
        { "getopt(proc.args, \"x:\")[x] y", 26, "getopt(proc.args,x:)[x]" },
        { "tolower(proc.name", 0, NULL },
        { "tolower (proc.name)", 0, NULL },
        { "val(proc.name)", 0, NULL },
        { "name", 0, NULL },
        { " proc.name", 0, NULL },
        { "", 0, NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct cond_operand *operand;
        struct cond_error error;
        arena_init(&arena, 0);
        assert_int_equal(cond_parse_field(&arena, cases[i].text, strlen(cases[i].text), &operand, &error), cases[i].length);
        if (cases[i].length)
            assert_string_equal(cond_operand_print(&arena, operand), cases[i].canonical);
        else
            assert_string_not_equal(error.message, "");
        arena_fini(&arena);
    }
}

static void test_names(void **state)
{
    (void)state;
    enum cond_op op;
    enum cond_modifier modifier;
    for (int i = 0; i < OP_MAX; i++) {
        const char *name = cond_op_name((enum cond_op)i);
        assert_true(cond_op_find(name, strlen(name), &op));
        assert_int_equal(op, i);
    }
    assert_false(cond_op_find("exists", 6, &op));
    assert_false(cond_op_find("In", 2, &op));
    assert_false(cond_op_find("i", 1, &op));
    for (int i = MODIFIER_ONEOF; i <= MODIFIER_ALLOF; i++) {
        const char *name = cond_modifier_name((enum cond_modifier)i);
        assert_true(cond_modifier_find(name, strlen(name), &modifier));
        assert_int_equal(modifier, i);
    }
    assert_string_equal(cond_modifier_name(MODIFIER_NONE), "");
    assert_false(cond_modifier_find("", 0, &modifier));
    assert_true(cond_transformer_exists("b64", 3));
    assert_true(cond_transformer_exists("val", 3));
    assert_false(cond_transformer_exists("val(", 4));
    assert_false(cond_transformer_exists("tolow", 5));
}

/* What is quoted is unquoted to the same bytes, but for a backslash at the end: the closing quote is lost to it in a condition only. */
static void test_quotes(void **state)
{
    (void)state;
    struct arena arena;
    struct cond_error error;
    char all[257], *out;
    size_t length;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    all[256] = ' ';
    arena_init(&arena, 0);
    for (size_t from = 0; from <= 256; from++) {
        char *quoted = cond_quote(&arena, all + from, 257 - from, &length);
        assert_int_equal(cond_unquote(&arena, quoted, length, &out, &length, &error), 0);
        assert_int_equal(length, 257 - from);
        assert_memory_equal(out, all + from, length);
    }
    assert_string_equal(cond_quote(&arena, "/a*(b),c", 8, NULL), "/a*(b),c");
    assert_string_equal(cond_quote(&arena, "", 0, NULL), "");
    static const char *const bad[] = { "", "'", "x", "'x\"", "x'", "'\\'" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cond_unquote(&arena, bad[i], strlen(bad[i]), &out, &length, &error), -EINVAL);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_readable), cmocka_unit_test(test_refused), cmocka_unit_test(test_tree),
                                        cmocka_unit_test(test_depth),    cmocka_unit_test(test_bounds),  cmocka_unit_test(test_fields),
                                        cmocka_unit_test(test_names),    cmocka_unit_test(test_quotes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
