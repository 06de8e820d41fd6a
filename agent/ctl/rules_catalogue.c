/* ecsguardctl rules catalogue: every finding type with its exact condition, limits and how to tune it; from the rules and detectors
 * themselves. Also the source of ecsguard-findings(7). */
#include <stdlib.h>
#include <string.h>

#include "agent/ctl/finding_types.h"
#include "agent/ctl/rules.h"

#define TUNE_RULE "a file of your own in /etc/ecsguard/rules.d: override with append or replace, an exception, or enabled: false"
#define TUNE_DETECTOR "a filter under suppress in ecsguard.yaml"

struct catalogue {
    json_t **rows; /* by type and name */
    size_t n;
};

static int compare_rows(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int order = strcmp(row_string(x, "type"), row_string(y, "type"));
    if (!order) /* detectors first */
        order = strcmp(row_string(x, "kind"), row_string(y, "kind"));
    return order ? order : strcmp(row_string(x, "name"), row_string(y, "name"));
}

static const struct finding_type *type_find(const char *name)
{
    for (int i = 0; i < N_FINDING_TYPES; i++)
        if (!strcmp(finding_types[i].name, name))
            return &finding_types[i];
    return NULL;
}

static json_t *complete(json_t *row)
{
    const struct finding_type *type = type_find(row_string(row, "type"));
    json_object_set_new(row, "tune", json_string(strcmp(row_string(row, "kind"), "rule") ? TUNE_DETECTOR : TUNE_RULE));
    json_object_set_new(row, "type_covered", type ? json_string(finding_type_coverage(type)) : json_null());
    return row;
}

static int collect(struct catalogue *c, struct ctl *ctl, const struct ruleset *set, const struct rules_host *host)
{
    size_t n_detectors = 0;
    while (detectors[n_detectors])
        n_detectors++;
    *c = (struct catalogue){ .rows = calloc(n_detectors + set->n_rules + 1, sizeof *c->rows) };
    if (!c->rows)
        return CTL_FAILED;
    for (size_t i = 0; i < n_detectors; i++) {
        json_t *row = rules_detector_row(ctl, detectors[i], host);
        detectors_describe(row, detectors[i]);
        c->rows[c->n++] = complete(row);
    }
    for (uint32_t i = 0; i < set->n_rules; i++) {
        json_t *row = rules_row(ctl, &set->rules[i], host);
        rules_describe(row, &set->rules[i]);
        c->rows[c->n++] = complete(row);
    }
    qsort(c->rows, c->n, sizeof *c->rows, compare_rows);
    return CTL_OK;
}

static void release(struct catalogue *c)
{
    for (size_t i = 0; i < c->n; i++)
        json_decref(c->rows[i]);
    free(c->rows);
}

/* ---- for a terminal ---- */

static void print_entry(const struct terminal *t, const json_t *row, const char *type_before)
{
    const struct finding_type *type = type_find(row_string(row, "type"));
    if (strcmp(type_before, row_string(row, "type"))) {
        terminal_heading(t, row_string(row, "type"));
        if (type) {
            fprintf(t->out, "  covered %s\n", finding_type_coverage(type));
            terminal_wrap(t, 2, type->why);
        }
    }
    fputs("\n  ", t->out);
    terminal_last(t, STYLE_BOLD, 2, row_string(row, "name"));
    fprintf(t->out, "    %s, %s\n", row_string(row, "kind"), row_string(row, "severity"));
    terminal_wrap(t, 4, row_string(row, "description"));
    terminal_pair(t, "condition", row_string(row, "condition"));
    terminal_pair(t, "limits", row_string(row, "limits"));
    terminal_pair(t, "tune", row_string(row, "tune"));
    terminal_pair(t, "check next", row_string(row, "advice"));
}

/* ---- as the source of a manual page, scdoc(5) ---- */

static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("*_\\+`~", *text))
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_pair(FILE *out, const char *name, const char *text)
{
    if (!*text)
        return;
    fprintf(out, "\n\t%s: ", name);
    put_escaped(out, text);
    fputc('\n', out);
}

/* Type, how far it is covered, and by what. */
static void put_well_known(FILE *out, const struct catalogue *c)
{
    for (int i = 0; i < N_FINDING_TYPES; i++) {
        const char *separator = "";
        fputs("*", out);
        put_escaped(out, finding_types[i].name);
        fprintf(out, "*: %s\n\t", finding_type_coverage(&finding_types[i]));
        put_escaped(out, finding_types[i].why);
        fputs("\n\n\tBy ", out);
        for (size_t j = 0; j < c->n; j++) {
            if (strcmp(row_string(c->rows[j], "type"), finding_types[i].name))
                continue;
            fprintf(out, "%s_", separator);
            put_escaped(out, row_string(c->rows[j], "name"));
            fputc('_', out);
            separator = ", ";
        }
        fputs("\n\n", out);
    }
}

static void put_entry(FILE *out, const json_t *row, const char *type_before)
{
    if (strcmp(type_before, row_string(row, "type"))) {
        fputs("## ", out);
        put_escaped(out, row_string(row, "type"));
        fputs("\n\n", out);
    }
    fputc('*', out);
    put_escaped(out, row_string(row, "name"));
    fprintf(out, "* (%s, %s)\n\t", row_string(row, "kind"), row_string(row, "severity"));
    put_escaped(out, row_string(row, "description"));
    fputc('\n', out);
    put_pair(out, "Condition", row_string(row, "condition"));
    put_pair(out, "Limits", row_string(row, "limits"));
    put_pair(out, "Check next", row_string(row, "advice"));
    fputc('\n', out);
}

static const char page_begin[] =
    "ecsguard-findings(7)\n\n"
    "# NAME\n\n"
    "ecsguard-findings - what ecsguard finds: types, exact conditions, limits, tuning\n\n"
    "# DESCRIPTION\n\n"
    "Every type of finding, with the rules and detectors that make it. This page is made from them: *ecsguardctl rules catalogue* prints "
    "the same for\n"
    "the rules of this host, your own ones included, and *ecsguardctl rules list* says which of them are armed here.\n\n"
    "A _rule_ is a text in the language of *ecsguard-rules*(5). It is tuned by a file of your own in _/etc/ecsguard/rules.d_, which "
    "overrides it with\n"
    "*append* or *replace*, adds an exception, or has *enabled: false*. A _detector_ is part of the program; what it finds is tuned by a "
    "filter under\n"
    "_suppress_ in *ecsguard.yaml*(5), which works for findings of rules as well.\n\n"
    "# THE WELL-KNOWN TYPES\n\n"
    "The 46 types about processes, files and the kernel, the network and DNS that the managed service for this platform has: how far each "
    "is covered, and by what.\n\n";

static const char page_end[] = "# SEE ALSO\n\n*ecsguard-rules*(5), *ecsguardctl*(1), *ecsguard.yaml*(5), *ecsguardd*(8)\n";

static void print_page(FILE *out, const struct catalogue *c)
{
    fputs(page_begin, out);
    put_well_known(out, c);
    fputs("# ALL TYPES\n\n", out);
    for (size_t i = 0; i < c->n; i++)
        put_entry(out, c->rows[i], i ? row_string(c->rows[i - 1], "type") : "");
    fputs(page_end, out);
}

int rules_catalogue(struct ctl *ctl, const struct rules_request *request)
{
    struct rule_files_result result;
    struct catalogue c = { 0 };
    struct rules_host host;
    struct ruleset *set;
    int status = rules_host_read(ctl, request, &host);
    if (!status)
        status = ctl_ruleset_load(ctl, &request->paths, false, NULL, &set, &result);
    if (status)
        return status;
    status = collect(&c, ctl, set, &host);
    if (request->scd)
        print_page(ctl->term.out, &c);
    for (size_t i = 0; i < c.n && !request->scd; i++)
        if (ctl->json)
            ctl_print_json(ctl, c.rows[i], false);
        else
            print_entry(&ctl->term, c.rows[i], i ? row_string(c.rows[i - 1], "type") : "");
    release(&c);
    ruleset_free(set);
    return status || result.n_failed ? CTL_FAILED : CTL_OK;
}
