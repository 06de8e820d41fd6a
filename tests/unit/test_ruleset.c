/* Rules files: what is taken and refused, where errors point, that a failed load changes nothing, and the limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/rules/ruleset.h"
#include "common/limits.h"

#define RULE(name, condition) "- rule: " name "\n  desc: d\n  condition: " condition "\n  output: o %proc.name\n  priority: INFO\n"

static int load(struct ruleset *set, const char *text)
{
    return ruleset_load(set, "test.yaml", text, strlen(text));
}

static struct ruleset *loaded(const char *text)
{
    struct ruleset *set = ruleset_new();
    assert_non_null(set);
    if (load(set, text))
        fail_msg("%s", set->errors[0].text);
    return set;
}

static const struct rule_message *refused(struct ruleset *set, const char *text)
{
    assert_int_equal(load(set, text), -EINVAL);
    assert_int_equal(set->n_errors, 1);
    return &set->errors[0];
}

/* A file of its own is refused with that code and text at that place. */
static void assert_refused(const char *text, enum rule_code code, uint32_t line, uint32_t column, const char *message)
{
    struct ruleset *set = ruleset_new();
    const struct rule_message *m = refused(set, text);
    assert_string_equal(rule_code_name(m->code), rule_code_name(code));
    assert_string_equal(m->text, message);
    assert_string_equal(m->file, "test.yaml");
    if (m->line != line || m->column != column)
        fail_msg("%s: at %u:%u", message, m->line, m->column);
    ruleset_free(set);
}

static const char *condition_of(const struct ruleset *set, const char *name)
{
    static char text[4096];
    struct arena arena;
    const struct rule *rule = ruleset_find(set, name);
    assert_non_null(rule);
    assert_true(rule->compiled);
    arena_init(&arena, 0);
    snprintf(text, sizeof text, "%s", cond_print(&arena, rule->cond));
    arena_fini(&arena);
    return text;
}

static void assert_condition(const char *file, const char *name, const char *condition)
{
    struct ruleset *set = loaded(file);
    assert_string_equal(condition_of(set, name), condition);
    ruleset_free(set);
}

/* ---- files ---- */

static void test_nothing(void **state)
{
    (void)state;
    const char *const files[] = { "", "\n", "---\n---\n", "# only a comment\n", "~\n", "- ~\n-\n", "[]\n" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct ruleset *set = loaded(files[i]);
        assert_int_equal(set->n_rules + set->n_lists + set->n_macros + set->n_warnings, 0);
        ruleset_free(set);
    }
}

static void test_documents(void **state)
{
    (void)state;
    struct ruleset *set = loaded(RULE("a", "evt.type = execve") "---\n" RULE("b", "evt.type = open"));
    assert_int_equal(set->n_rules, 2);
    ruleset_free(set);
    assert_refused(RULE("a", "evt.type = execve") "---\na: b\n", LOAD_ERR_YAML_VALIDATE, 7, 1,
                   "Rules content is not yaml array of objects");
    assert_refused("- [a]\n", LOAD_ERR_YAML_VALIDATE, 1, 3, "Unexpected element type. Each element should be a yaml associative array.");
}

static void test_yaml_errors(void **state)
{
    (void)state;
    assert_refused("- rule: a\n  desc: \"open\n", LOAD_ERR_YAML_PARSE, 3, 1,
                   "while scanning a quoted scalar: found unexpected end of stream");
    assert_refused("- list: a\n  items: [x, \xff]\n", LOAD_ERR_YAML_PARSE, 2, 14, "invalid leading UTF-8 octet");
    assert_refused("- list: a\n  items: [x, \"y\\0z\"]\n", LOAD_ERR_YAML_PARSE, 2, 14, "a text holds a NUL byte");
    assert_refused("- list: a\n  items: [*x]\n", LOAD_ERR_YAML_PARSE, 2, 11, "alias 'x' has no anchor");
    assert_refused("- list: a\n  items: &x [*x]\n", LOAD_ERR_YAML_PARSE, 2, 14, "alias 'x' stands within its own anchor");
}

static void test_aliases(void **state)
{
    (void)state;
    assert_condition("- list: a\n  items: &i [x, y]\n- list: b\n  items: *i\n" RULE("r", "proc.name in (a, b)"), "r",
                     "proc.name in (x, y, x, y)");
}

static void test_unknown_item(void **state)
{
    (void)state;
    struct ruleset *set = loaded("- something: else\n- required_plugin_versions:\n  - name: container\n    version: 0.4.0\n"
                                 "    alternatives:\n    - name: other\n      version: 1.0.0\n");
    assert_int_equal(set->n_warnings, 1);
    assert_int_equal(set->warnings[0].code, LOAD_UNKNOWN_ITEM);
    assert_int_equal(set->warnings[0].line, 1);
    ruleset_free(set);
    assert_refused("- required_plugin_versions:\n  - name: a\n    version: x\n", LOAD_ERR_VALIDATE, 2, 5,
                   "Invalid required version 'x' for plugin 'a'");
    assert_refused("- required_engine_version: 0.64.0\n", LOAD_ERR_VALIDATE, 1, 28,
                   "Rules require engine version 0.64.0, but engine version is 0.63.0");
    assert_refused("- required_engine_version: 1.0.0\n", LOAD_ERR_VALIDATE, 1, 28,
                   "Rules require engine version 1.0.0, but engine version is 0.63.0");
}

/* ---- positions ---- */

static void test_folded_position(void **state)
{
    (void)state;
    struct ruleset *set = ruleset_new();
    const struct rule_message *m = refused(set, "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n"
                                                "    evt.type = execve\n      and (proc.name = a\n    or proc.nobody = b)\n");
    assert_string_equal(m->text, "filter_check called with nonexistent field proc.nobody");
    assert_int_equal(m->line, 8);
    assert_int_equal(m->column, 8);
    assert_string_equal(m->snippet, "    or proc.nobody = b)\n       ^");
    assert_string_equal(m->item_type, "rule");
    assert_string_equal(m->item_name, "r");
    ruleset_free(set);
}

static void test_quoted_position(void **state)
{
    (void)state;
    assert_refused(RULE("r", "'proc.name = ''a b'' and ='"), LOAD_ERR_COMPILE_CONDITION, 3, 39,
                   "expected a '(' token, a field check, or an identifier");
}

/* An error in an appended part points to that part. */
static void test_appended_position(void **state)
{
    (void)state;
    assert_refused(RULE("r", "evt.type = execve") "- rule: r\n  override: {condition: append}\n  condition: and proc.nobody = x\n",
                   LOAD_ERR_COMPILE_CONDITION, 8, 18, "filter_check called with nonexistent field proc.nobody");
}

/* What comes out of a list is shown as it was parsed. */
static void test_list_snippet(void **state)
{
    (void)state;
    struct ruleset *set = ruleset_new();
    const struct rule_message *m =
        refused(set, "- list: l\n  items: [a, b]\n" RULE("r", "evt.type = execve and proc.name = l"));
    assert_int_equal(m->line, 5);
    assert_int_equal(m->column, 48);
    assert_non_null(strstr(m->snippet, "proc.name = a, b"));
    ruleset_free(set);
}

/* An unknown field in a macro is told of the rule, but points to the macro. */
static void test_macro_position(void **state)
{
    (void)state;
    struct ruleset *set = ruleset_new();
    const struct rule_message *m = refused(set, "- macro: inner\n  condition: proc.name = a or proc.nobody = b\n- macro: outer\n"
                                                "  condition: inner and proc.name = c\n" RULE("r", "evt.type = execve and outer"));
    assert_string_equal(m->item_name, "r");
    assert_int_equal(m->line, 2);
    assert_string_equal(m->snippet, "  condition: proc.name = a or proc.nobody = b\n                              ^");
    ruleset_free(set);
}

static void test_hostile_snippet(void **state)
{
    (void)state;
    struct ruleset *set = ruleset_new();
    const struct rule_message *m = refused(set, "- rule: \"a\\eb\"\n  desc: d\n  condition: 'proc.name = \t\xe2\x82\xac (x'\n"
                                                "  output: o\n  priority: INFO\n");
    assert_string_equal(m->item_name, "a\\x1bb");
    for (const char *p = m->snippet; *p; p++)
        assert_true(*p == '\n' || (unsigned char)*p >= ' ');
    ruleset_free(set);
}

/* ---- items ---- */

static void test_keys(void **state)
{
    (void)state;
    assert_refused("- rule: r\n  desc: d\n  condition: proc.name = a\n  output: o\n  priority: LOUD\n", LOAD_ERR_YAML_VALIDATE, 5, 13,
                   "Invalid priority");
    assert_refused("- rule: r\n  desc:\n  condition: proc.name = a\n  output: o\n  priority: INFO\n", LOAD_ERR_YAML_VALIDATE, 2, 8,
                   "Mapping for key 'desc' is empty");
    assert_refused("- rule: r\n  desc: [d]\n  condition: proc.name = a\n  output: o\n  priority: INFO\n", LOAD_ERR_YAML_VALIDATE, 2, 9,
                   "Value is not a scalar value");
    assert_refused("- rule: r\n  desc: ''\n  condition: proc.name = a\n  output: o\n  priority: INFO\n", LOAD_ERR_YAML_VALIDATE, 2, 9,
                   "Value must be non-empty");
    assert_refused(RULE("r", "proc.name = a") "  enabled: maybe\n", LOAD_ERR_YAML_VALIDATE, 6, 12, "Can't decode YAML scalar value");
    assert_refused(RULE("r", "proc.name = a") "  tags: t\n", LOAD_ERR_YAML_VALIDATE, 6, 9, "Value is not a sequence");
    assert_refused(RULE("r", "proc.name = a") "  tags: [[t]]\n", LOAD_ERR_YAML_VALIDATE, 6, 10, "sequence value is not scalar");
    assert_refused("- rule: r\n", LOAD_ERR_YAML_VALIDATE, 1, 3, "Item has no mapping for key 'enabled'");
    assert_refused("- rule: r\n  enabled: true\n", LOAD_ERR_VALIDATE, 1, 3,
                   "Rule has 'enabled' key but no rule by that name already exists");
}

static void test_booleans(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int value; /* -1: none */
    } cases[] = { { "true", 1 }, { "False", 0 }, { "YES", 1 }, { "n", 0 }, { "On", 1 }, { "OFF", 0 }, { "\"yes\"", 1 },
                  { "tRUE", -1 }, { "1", -1 }, { "nope", -1 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct ruleset *set = ruleset_new();
        snprintf(text, sizeof text, "- rule: r\n  desc: d\n  condition: evt.type = execve\n  output: o\n  priority: INFO\n  capture: %s\n",
                 cases[i].text);
        assert_int_equal(load(set, text), cases[i].value < 0 ? -EINVAL : 0);
        if (cases[i].value >= 0)
            assert_int_equal(ruleset_find(set, "r")->capture, cases[i].value);
        ruleset_free(set);
    }
}

static void test_own_keys(void **state)
{
    (void)state;
    struct ruleset *set = loaded(RULE("r", "evt.type = execve")
                                 "  finding_type: Execution:Runtime/Own\n  advice: look\n  capture_duration: 0x10\n");
    const struct rule *rule = ruleset_find(set, "r");
    assert_int_equal(set->n_warnings, 0);
    assert_string_equal(rule->finding_type, "Execution:Runtime/Own");
    assert_string_equal(rule->advice, "look");
    assert_int_equal(rule->capture_duration_ms, 16);
    assert_int_equal(load(set, "- rule: r\n  advice: look twice\n  override: {advice: replace}\n"), 0);
    assert_string_equal(ruleset_find(set, "r")->advice, "look twice");
    assert_string_equal(ruleset_find(set, "r")->finding_type, "Execution:Runtime/Own");
    ruleset_free(set);
}

static void test_output(void **state)
{
    (void)state;
    struct ruleset *set = loaded("- rule: r\n  desc: d\n  priority: INFO\n  condition: evt.type = execve\n"
                                 "  output: '  a %container.info b  '\n");
    assert_string_equal(ruleset_find(set, "r")->output, "a %container.info b");
    assert_true(ruleset_find(set, "r")->format->keep_missing);
    assert_int_equal(set->n_warnings, 1);
    assert_int_equal(set->warnings[0].code, LOAD_DEPRECATED_ITEM);
    assert_int_equal(load(set, "- rule: r\n  output: ' new '\n  override: {output: replace}\n"), 0);
    assert_string_equal(ruleset_find(set, "r")->output, " new ");
    ruleset_free(set);
}

static void test_override_words(void **state)
{
    (void)state;
#define BASE RULE("r", "evt.type = execve")
    assert_refused(BASE "- rule: r\n  source: x\n  override: {source: replace}\n", LOAD_ERR_YAML_VALIDATE, 8, 14,
                   "Key 'source' cannot be replaced");
    assert_refused(BASE "- rule: r\n  desc: x\n  override: {desc: change}\n", LOAD_ERR_YAML_VALIDATE, 8, 20,
                   "Invalid override operation for key 'desc': 'change'. Allowed values are: append replace ");
    assert_refused(BASE "- rule: r\n  desc: x\n  override: append\n", LOAD_ERR_YAML_VALIDATE, 8, 13,
                   "Value of 'override' must be a mapping");
    assert_refused(BASE "- rule: r\n  desc: x\n  priority: INFO\n  enabled: true\n  override: {desc: append}\n",
                   LOAD_ERR_YAML_VALIDATE, 9, 12,
                   "Unexpected key 'enabled': no corresponding entry under 'override' is defined.");
#undef BASE
}

/* Both kinds of change in one item: appends come first. */
static void test_override(void **state)
{
    (void)state;
    struct ruleset *set = loaded(RULE("r", "evt.type = execve") "  tags: [b, a]\n"
                                 "- rule: r\n  condition: and proc.name = x\n  desc: new\n  tags: [c, a]\n  priority: alert\n"
                                 "  override: {condition: append, tags: append, desc: replace, priority: replace}\n");
    const struct rule *rule = ruleset_find(set, "r");
    assert_string_equal(rule->condition, "evt.type = execve and proc.name = x");
    assert_string_equal(rule->desc, "new");
    assert_int_equal(rule->priority, PRIORITY_ALERT);
    assert_int_equal(rule->n_tags, 3);
    assert_string_equal(rule->tags[0], "a");
    assert_string_equal(rule->tags[2], "c");
    ruleset_free(set);
}

/* ---- lists ---- */

/* One level deep, if it was there when the list was last changed; the textual pass may still reach further. */
static void test_list_references(void **state)
{
    (void)state;
    assert_condition("- list: c\n  items: [x]\n- list: b\n  items: [c]\n- list: a\n  items: [b]\n" RULE("r", "proc.name in (a)"), "r",
                     "proc.name in (c)");
    assert_condition("- list: b\n  items: [c]\n- list: a\n  items: [b]\n- list: c\n  items: [x]\n" RULE("r", "proc.name in (a)"), "r",
                     "proc.name in (x)");
    assert_condition("- list: a\n  items: [b]\n- list: b\n  items: [y]\n- list: a\n  items: [z]\n  override: {items: append}\n"
                     RULE("r", "proc.name in (a)"), "r", "proc.name in (y, z)");
}

static void test_list_text(void **state)
{
    (void)state;
    static const char lists[] = "- list: two\n  items: [a, b c]\n- list: none\n  items: []\n- list: one\n  items: ['\"q r\"']\n"
                                "- list: odd name\n  items: [o]\n";
    static const struct {
        const char *condition, *compiled;
    } cases[] = {
        { "proc.name in (two)", "proc.name in (a, \"b c\")" },
        { "proc.name in (two,x)", "proc.name in (a, \"b c\", x)" },
        { "proc.name in (x, none)", "proc.name in (x)" },
        { "proc.name in (none, x)", "proc.name in (x)" },
        { "proc.name in (none)", "proc.name in ()" },
        { "proc.name=one", "proc.name = \"q r\"" },
        { "proc.name = two2", "proc.name = two2" },
        { "proc.name in (odd name)", "proc.name in (o)" },
        { "proc.name in (two, two)", "proc.name in (a, \"b c\", a, \"b c\")" },
        { "proc.name in ('two')", "proc.name in (two)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s- rule: r\n  desc: d\n  condition: %s\n  output: o\n  priority: INFO\n", lists, cases[i].condition);
        assert_condition(text, "r", cases[i].compiled);
    }
}

/* The text a list gave is searched for lists defined later, not for earlier ones. */
static void test_list_order(void **state)
{
    (void)state;
    assert_condition("- list: first\n  items: [second]\n- list: second\n  items: [first]\n" RULE("r", "proc.name in (second)"), "r",
                     "proc.name in (second)");
    assert_condition("- list: first\n  items: [\"second\"]\n- list: second\n  items: [x]\n" RULE("r", "proc.name in (first)"), "r",
                     "proc.name in (x)");
}

/* ---- macros ---- */

static void test_macro_visibility(void **state)
{
    (void)state;
    assert_condition("- macro: later\n  condition: proc.name = x\n- macro: m\n  condition: later\n" RULE("r", "not m"), "r",
                     "not proc.name = x");
    assert_refused("- macro: m\n  condition: proc.name = a or later\n- macro: later\n  condition: proc.name = x\n",
                   LOAD_ERR_VALIDATE, 2, 31, "Undefined macro 'later' used in filter.");
    /* changed after the other came: it is seen */
    assert_condition("- macro: m\n  condition: proc.name = a\n- macro: later\n  condition: proc.name = x\n"
                     "- macro: m\n  condition: or later\n  override: {condition: append}\n" RULE("r", "m"), "r",
                     "(proc.name = a or proc.name = x)");
    assert_condition(RULE("r", "evt.type = execve and m") "- macro: m\n  condition: proc.name = x or proc.name = y\n", "r",
                     "(evt.type = execve and (proc.name = x or proc.name = y))");
}

static void test_macro_loops(void **state)
{
    (void)state;
    assert_refused("- macro: a\n  condition: proc.name = x\n- macro: b\n  condition: a\n"
                   "- macro: a\n  condition: or b\n  override: {condition: append}\n",
                   LOAD_ERR_VALIDATE, 6, 17, "reference loop in macro 'b'");
    assert_refused("- macro: a\n  condition: proc.name = x\n- macro: a\n  condition: a\n", LOAD_ERR_VALIDATE, 4, 14,
                   "reference loop in macro 'a'");
}

/* Trees are shared: the same macro in two rules is the same node. */
static void test_macro_shared(void **state)
{
    (void)state;
    struct ruleset *set = loaded("- macro: m\n  condition: evt.type = execve and proc.name = x\n" RULE("a", "m and proc.pname = y")
                                 RULE("b", "m and proc.pname = z"));
    assert_ptr_equal(ruleset_find(set, "a")->cond->children[0], ruleset_find(set, "b")->cond->children[0]);
    ruleset_free(set);
}

/* ---- exceptions ---- */

#define EXCEPTION(fields) RULE("r", "evt.type = execve") "  exceptions:\n  - name: e\n    " fields "\n"

static void test_exceptions(void **state)
{
    (void)state;
    assert_condition(EXCEPTION("fields: proc.name\n    values: [a, b c]"), "r", "(evt.type = execve and not proc.name in (a, \"b c\"))");
    assert_condition(EXCEPTION("fields: [proc.name, proc.pname]\n    values:\n    - [a, b]\n    - [c, d]"), "r",
                     "(evt.type = execve and not ((proc.name = a and proc.pname = b) or (proc.name = c and proc.pname = d)))");
    assert_condition(EXCEPTION("fields: [proc.name]\n    comps: [in]\n    values:\n    - [[a, b]]\n    - [c]"), "r",
                     "(evt.type = execve and not (proc.name in (a, b) or proc.name in (c)))");
    assert_condition(EXCEPTION("fields: [proc.name]"), "r", "evt.type = execve");
    assert_condition(EXCEPTION("fields: proc.exepath\n    comps: ' startswith anyof '\n    values: [/a, /b]"), "r",
                     "(evt.type = execve and not proc.exepath startswith anyof (/a, /b))");
    assert_condition("- list: l\n  items: [x, y]\n" EXCEPTION("fields: [proc.name]\n    comps: [in]\n    values:\n    - [l]"), "r",
                     "(evt.type = execve and not proc.name in (x, y))");
    assert_condition(EXCEPTION("fields: proc.name\n    values: [a]") "- rule: r\n  override: {exceptions: append}\n  exceptions:\n"
                     "  - name: e\n    values: [b]\n  - name: f\n    fields: [proc.pname]\n    values: [[c]]\n", "r",
                     "(evt.type = execve and not proc.name in (a, b) and not proc.pname = c)");
}

static void test_exception_errors(void **state)
{
    (void)state;
    assert_refused(EXCEPTION("fields: proc.name\n    comps: ="), LOAD_ERR_VALIDATE, 7, 5,
                   "When fields is a single value, comps must be one of (in, pmatch, intersects) or a modifier operator (e.g. startswith "
                   "oneof)");
    assert_refused(EXCEPTION("fields: proc.name\n    comps: [in]"), LOAD_ERR_VALIDATE, 7, 5, "Fields and comps must both be strings");
    assert_refused(EXCEPTION("fields: [proc.name]\n    comps: in"), LOAD_ERR_VALIDATE, 7, 5,
                   "Fields and comps lists must have equal length");
    assert_refused(EXCEPTION("fields: []"), LOAD_ERR_VALIDATE, 7, 5, "Rule exception item must have fields property with a list of fields");
    assert_refused(EXCEPTION("fields: proc.name\n    values:"), LOAD_ERR_YAML_VALIDATE, 9, 12, "Rule exception values must be a sequence");
    assert_refused(EXCEPTION("fields: proc.name\n    values: [[a]]"), LOAD_ERR_VALIDATE, 7, 5,
                   "Expected values array to contain a list of strings");
    assert_refused(EXCEPTION("fields: [proc.name]\n    values: [a]"), LOAD_ERR_VALIDATE, 7, 5,
                   "Fields and values lists must have equal length");
    assert_refused(EXCEPTION("fields: [proc.name]\n    values: [['']]"), LOAD_ERR_YAML_VALIDATE, 9, 15, "Value must be non-empty");
    assert_refused(EXCEPTION("fields: [proc.name]") "- rule: r\n  override: {exceptions: append}\n  exceptions:\n  - name: e\n"
                   "    comps: [in]\n    values: [[a]]\n", LOAD_ERR_VALIDATE, 12, 5,
                   "Can not append exception comps to existing exception, only values");
    assert_refused(EXCEPTION("fields: [proc.name]\n    comps: [=]\n    values: [['a)']]"), LOAD_ERR_COMPILE_CONDITION, 7, 5,
                   "unexpected token after ')', expecting 'or', 'and'");
}

/* ---- a failed load ---- */

static void test_transaction(void **state)
{
    (void)state;
    struct ruleset *set = loaded("- list: l\n  items: [a]\n- macro: m\n  condition: proc.name in (l)\n" 
                                 RULE("r", "evt.type = execve and m"));
    static const char *const broken[] = {
        "- list: l\n  items: [b]\n  override: {items: append}\n- rule: r\n  condition: and (\n  override: {condition: append}\n",
        "- macro: m\n  condition: proc.nobody = x\n",
        "- rule: r\n  enabled: false\n- rule: new\n",
        "- rule: r\n  tags: [t]\n  override: {tags: append}\n- list: l\n  items: x\n",
        "- rule: [",
    };
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
            refused(set, broken[i]);
            assert_string_equal(condition_of(set, "r"), "(evt.type = execve and proc.name in (a))");
            assert_true(ruleset_find(set, "r")->enabled);
            assert_int_equal(ruleset_find(set, "r")->n_tags, 0);
            assert_int_equal(set->n_rules + set->n_macros + set->n_lists, 3);
        }
    assert_int_equal(load(set, "- list: l\n  items: [b]\n  override: {items: append}\n"), 0);
    assert_int_equal(set->n_errors, 0);
    assert_string_equal(condition_of(set, "r"), "(evt.type = execve and proc.name in (a, b))");
    ruleset_free(set);
}

/* Warnings and errors about what an earlier file defined name that file. */
static void test_other_file(void **state)
{
    (void)state;
    struct ruleset *set = ruleset_new();
    static const char first[] = "- macro: m\n  condition: proc.name = a\n" RULE("r", "evt.type = execve and m");
    static const char second[] = "- macro: m\n  condition: a.b = c\n";
    assert_int_equal(ruleset_load(set, "first.yaml", first, strlen(first)), 0);
    assert_int_equal(ruleset_load(set, "second.yaml", second, strlen(second)), -EINVAL);
    assert_string_equal(set->errors[0].file, "second.yaml");
    assert_string_equal(set->errors[0].item_name, "r");
    assert_string_equal(ruleset_find(set, "r")->file, "first.yaml");
    ruleset_free(set);
}

/* ---- what can never be ---- */

static void test_never_filled(void **state)
{
    (void)state;
    struct ruleset *set = loaded(RULE("field", "evt.type = execve and k8s.ns.name = a") RULE("event", "evt.type in (execve, splice)")
                                 RULE("fine", "evt.type = execve and not evt.type = splice"));
    assert_int_equal(set->n_warnings, 2);
    assert_int_equal(set->warnings[0].code, LOAD_NEVER_FILLED);
    assert_string_equal(set->warnings[0].text, "The condition of 'field' uses what no sensor tells: field 'k8s.ns.name'");
    assert_int_equal(set->warnings[0].line, 3);
    assert_int_equal(set->warnings[0].column, 36);
    assert_string_equal(set->warnings[1].text, "The condition of 'event' uses what no sensor tells: event 'splice'");
    ruleset_free(set);
}

/* ---- limits ---- */

struct maker {
    char *text;
    size_t size;
    FILE *out;
};

static FILE *make(struct maker *m)
{
    m->out = open_memstream(&m->text, &m->size);
    assert_non_null(m->out);
    return m->out;
}

/* Loads what was made and gives it back. */
static int load_made(struct maker *m, struct ruleset *set)
{
    fclose(m->out);
    int r = ruleset_load(set, "made.yaml", m->text, m->size);
    free(m->text);
    return r;
}

static void assert_made_refused(struct maker *m, uint32_t line, const char *message)
{
    struct ruleset *set = ruleset_new();
    assert_int_equal(load_made(m, set), -EINVAL);
    assert_non_null(strstr(set->errors[0].text, message));
    if (set->errors[0].line != line)
        fail_msg("%s: at line %u", message, set->errors[0].line);
    assert_int_equal(set->n_rules + set->n_lists + set->n_macros, 0);
    ruleset_free(set);
}

static void make_list(struct maker *m, int n)
{
    FILE *f = make(m);
    fprintf(f, "- list: big\n  items:\n");
    for (int i = 0; i < n; i++)
        fprintf(f, "  - item%d\n", i);
}

static void test_large_list(void **state)
{
    (void)state;
    struct maker m;
    struct ruleset *set = ruleset_new();
    make_list(&m, LIMIT_RULE_ITEMS);
    fputs(RULE("r", "evt.type = execve and proc.name in (big)"), m.out);
    assert_int_equal(load_made(&m, set), 0);
    assert_int_equal(ruleset_find(set, "r")->cond->children[1]->right->n_items, LIMIT_RULE_ITEMS);
    assert_int_equal(load(set, "- list: big\n  items: [one more]\n  override: {items: append}\n"), -EINVAL);
    assert_string_equal(set->errors[0].text, "The list holds more than 100000 items");
    ruleset_free(set);
    make_list(&m, 2 * LIMIT_RULE_ITEMS);
    assert_made_refused(&m, 3, "'items' holds more than 100000 items");
}

static void test_many(void **state)
{
    (void)state;
    struct maker m;
    FILE *f = make(&m);
    for (int i = 0; i <= LIMIT_RULES; i++)
        fprintf(f, "- {rule: r%d, desc: d, condition: evt.type = execve, output: o, priority: INFO}\n", i);
    assert_made_refused(&m, LIMIT_RULES + 1, "More than 4096 rules");
    f = make(&m);
    for (int i = 0; i <= LIMIT_RULE_LISTS; i++)
        fprintf(f, "- {list: l%d, items: []}\n", i);
    assert_made_refused(&m, LIMIT_RULE_LISTS + 1, "More than 16384 lists");
    f = make(&m);
    fprintf(f, "- rule: r\n  desc: d\n  condition: evt.type = execve\n  output: o\n  priority: INFO\n  exceptions:\n");
    for (int i = 0; i <= LIMIT_RULE_EXCEPTIONS; i++)
        fprintf(f, "  - {name: e%d, fields: proc.name}\n", i);
    assert_made_refused(&m, 7, "A rule holds more than 256 exceptions");
}

/* Few bytes that would be written out as many. */
static void test_explosions(void **state)
{
    (void)state;
    struct maker m;
    FILE *f = make(&m);
    fprintf(f, "- {list: l, items: &a [x, x, x, x, x, x, x, x, x, x]}\n");
    for (int i = 0; i < 9; i++)
        fprintf(f, "- {list: l%1$d, items: &%2$c [*%3$c, *%3$c, *%3$c, *%3$c, *%3$c, *%3$c, *%3$c, *%3$c]}\n", i, 'b' + i, 'a' + i);
    assert_made_refused(&m, 7, "more than 500000 values, aliases counted in full");
    f = make(&m);
    fprintf(f, "- {macro: m0, condition: proc.name = x}\n");
    for (int i = 1; i < 60; i++)
        fprintf(f, "- {macro: m%d, condition: m%d and m%d}\n", i, i - 1, i - 1);
    assert_made_refused(&m, 18, "once macros are put in");
    f = make(&m);
    for (int i = 0; i < 60; i++) /* the same, but none is resolved when the first is */
        fprintf(f, "- {macro: m%d, condition: m%d and m%d}\n", i, i + 1, i + 1);
    fprintf(f, "- {macro: m60, condition: proc.name = x}\n");
    for (int i = 0; i < 60; i++)
        fprintf(f, "- {macro: m%d, condition: and proc.name = y, override: {condition: append}}\n", i);
    assert_made_refused(&m, 1, "once macros are put in");
}

/* An error far down in macros within macros is found without much stack or time. */
static void test_deep_blame(void **state)
{
    (void)state;
    struct maker m;
    FILE *f = make(&m);
    fprintf(f, "- {macro: m0, condition: proc.nobody = x}\n");
    for (int i = 1; i < 4000; i++)
        fprintf(f, "- {macro: m%d, condition: not m%d}\n", i, i - 1);
    fputs(RULE("r", "evt.type = execve and m3999"), f);
    assert_made_refused(&m, 3937, "filter_check called with nonexistent field proc.nobody");
}

static void repeat(FILE *f, const char *text, int n)
{
    while (n--)
        fputs(text, f);
}

static void test_deep(void **state)
{
    (void)state;
    struct maker m;
    FILE *f = make(&m);
    fprintf(f, "- rule: r\n  tags: ");
    repeat(f, "[", 10000);
    assert_made_refused(&m, 2, "nested deeper than 64");
    f = make(&m);
    fprintf(f, "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: ");
    repeat(f, "(", 1500);
    fprintf(f, "proc.name = x");
    repeat(f, ")", 1500);
    assert_made_refused(&m, 5, "exceeded max depth limit of 1000");
    f = make(&m);
    fprintf(f, "- {macro: m0, condition: proc.name = x}\n");
    for (int i = 1; i < 10000; i++)
        fprintf(f, "- {macro: m%d, condition: not m%d}\n", i, i - 1);
    assert_made_refused(&m, LIMIT_RULE_DEPTH + 1, "nests deeper than 4096");
}

static void test_long(void **state)
{
    (void)state;
    struct maker m;
    FILE *f = make(&m);
    fprintf(f, "- macro: m\n  condition: proc.name = ");
    repeat(f, "x", LIMIT_RULES_SCALAR_BYTES);
    assert_made_refused(&m, 2, "a text is longer than 262144 bytes");
    f = make(&m);
    fprintf(f, "- list: ");
    repeat(f, "x", 2000);
    fprintf(f, "\n  items: []\n");
    assert_made_refused(&m, 1, "The name is longer than 1024 bytes");
    f = make(&m);
    fprintf(f, "- list: l0\n  items: [");
    repeat(f, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,", 100000);
    fprintf(f, "]\n- macro: m\n  condition: proc.name in (l0,l0,l0)\n");
    assert_made_refused(&m, 4, "longer than 16777216 bytes once lists are put in");
    f = make(&m);
    fprintf(f, "#");
    repeat(f, "xxxxxxxx", (LIMIT_RULES_FILE_BYTES >> 3) + 1);
    assert_made_refused(&m, 0, "The file is larger than 8388608 bytes");
}

/* Warnings beyond the limit are counted; an error is told all the same. */
static void test_many_warnings(void **state)
{
    (void)state;
    struct maker m;
    struct ruleset *set = ruleset_new();
    FILE *f = make(&m);
    for (int i = 0; i < LIMIT_RULE_MESSAGES + 5; i++)
        fprintf(f, "- something: %d\n", i);
    fprintf(f, "- x\n");
    assert_int_equal(load_made(&m, set), -EINVAL);
    assert_int_equal(set->n_warnings, LIMIT_RULE_MESSAGES);
    assert_int_equal(set->n_dropped, 5);
    assert_int_equal(set->errors[0].line, LIMIT_RULE_MESSAGES + 6);
    ruleset_free(set);
}

static void test_many_files(void **state)
{
    (void)state;
    struct ruleset *set = ruleset_new();
    for (int i = 0; i < LIMIT_RULES_FILES; i++)
        assert_int_equal(load(set, "- list: l\n  items: [x]\n"), 0);
    assert_string_equal(refused(set, "[]")->text, "More than 256 files");
    ruleset_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_yaml_errors),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_unknown_item),
        cmocka_unit_test(test_folded_position),
        cmocka_unit_test(test_quoted_position),
        cmocka_unit_test(test_appended_position),
        cmocka_unit_test(test_list_snippet),
        cmocka_unit_test(test_macro_position),
        cmocka_unit_test(test_hostile_snippet),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_booleans),
        cmocka_unit_test(test_own_keys),
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_override_words),
        cmocka_unit_test(test_override),
        cmocka_unit_test(test_list_references),
        cmocka_unit_test(test_list_text),
        cmocka_unit_test(test_list_order),
        cmocka_unit_test(test_macro_visibility),
        cmocka_unit_test(test_macro_loops),
        cmocka_unit_test(test_macro_shared),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_exception_errors),
        cmocka_unit_test(test_transaction),
        cmocka_unit_test(test_other_file),
        cmocka_unit_test(test_never_filled),
        cmocka_unit_test(test_large_list),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_explosions),
        cmocka_unit_test(test_deep_blame),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_many_warnings),
        cmocka_unit_test(test_many_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
