/* ecsguardctl rules list: rules and detectors, whether they can match on this host, and what they did. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ctl/rules.h"

struct filled {
    unsigned on, known;
};

static int take_component(json_t *row, void *arg)
{
    struct filled *filled = arg;
    unsigned fills = component_fills(row_string(row, "component"));
    filled->known |= fills;
    if (strcmp(row_string(row, "state"), "off"))
        filled->on |= fills;
    return 0;
}

/* What is not reported is as the configuration has it. */
static void read_health(struct ctl *ctl, struct rules_host *host)
{
    struct filled filled = { 0 };
    struct sql sql;
    sql_init(&sql, "SELECT component, state FROM health");
    host->reported = ctl_db_each(ctl, &sql, take_component, &filled) == CTL_OK && filled.known;
    sql_fini(&sql);
    if (host->reported)
        host->filled = (host->filled & ~filled.known) | filled.on;
}

int rules_host_read(struct ctl *ctl, const struct rules_request *request, struct rules_host *host)
{
    *host = (struct rules_host){ .priority_max = PRIORITY_DEBUG };
    if (ctl_config_load(ctl))
        return CTL_FAILED;
    host->filled = config_fills(ctl->config);
    if (!request->paths.n)
        rule_priority_find(ctl->config->rules.priority, &host->priority_max);
    if (ctl_db_try(ctl))
        read_health(ctl, host);
    return CTL_OK;
}

/* One of the words of `tags`. */
static bool has_tag(const char *tags, const char *glob)
{
    char tag[sizeof ((struct rule_status *)0)->tags];
    while (glob && *tags) {
        size_t n = strcspn(tags, " ");
        text_copy(tag, sizeof tag, tags, n);
        if (!fnmatch(glob, tag, FNM_CASEFOLD))
            return true;
        tags += n + (tags[n] == ' ');
    }
    return !glob;
}

static bool type_matches(const char *type, const char *glob)
{
    return !glob || !fnmatch(glob, type, FNM_CASEFOLD);
}

/* What the agent counted, by name: rows of the view `rules`. A database of an older agent has none. */
static json_t *counters;

static int take_counters(json_t *row, void *arg)
{
    (void)arg;
    json_object_set(counters, row_string(row, "name"), row);
    return 0;
}

static void read_counters(struct ctl *ctl)
{
    static const char *const statements[] = { "SELECT name FROM sqlite_master WHERE type = 'view' AND name = 'rules'",
                                              "SELECT name, evaluations, hits, cost_ns, loaded FROM rules" };
    counters = json_object();
    for (int i = 0; i < 2 && ctl_db_try(ctl); i++) {
        struct sql sql;
        sql_init(&sql, statements[i]);
        int status = ctl_db_each(ctl, &sql, take_counters, NULL);
        sql_fini(&sql);
        if (status || !json_object_size(counters))
            return;
    }
}

static void add_counters(struct ctl *ctl, json_t *row, const char *name)
{
    static const char *const columns[] = { "evaluations", "hits", "cost_ns", "loaded" };
    if (!counters)
        read_counters(ctl);
    const json_t *found = json_object_get(counters, name);
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        if (json_object_get(found, columns[i]))
            json_object_set(row, columns[i], json_object_get(found, columns[i]));
}

static json_t *status_row(struct ctl *ctl, const struct rule_status *status)
{
    json_t *row = json_object();
    json_object_set_new(row, "kind", json_string(status->kind));
    json_object_set_new(row, "name", json_string(status->name));
    json_object_set_new(row, "type", json_string(status->type));
    json_object_set_new(row, "severity", json_string(severity_name((enum severity)status->severity)));
    json_object_set_new(row, "state", json_string(status->state));
    json_object_set_new(row, "reason", json_string(status->reason));
    json_object_set_new(row, "file", status->file[0] ? json_string(status->file) : json_null());
    json_object_set_new(row, "line", status->line ? json_integer(status->line) : json_null());
    json_object_set_new(row, "tags", json_string(status->tags));
    add_counters(ctl, row, status->name);
    return row;
}

json_t *rules_row(struct ctl *ctl, const struct rule *rule, const struct rules_host *host)
{
    struct rule_status status;
    rule_status_of(rule, host->filled, host->priority_max, &status);
    return status_row(ctl, &status);
}

json_t *rules_detector_row(struct ctl *ctl, const struct detector *detector, const struct rules_host *host)
{
    struct rule_status status;
    detector_status_of(detector, host->filled, &status);
    return status_row(ctl, &status);
}

/* ---- for people ---- */

#define WIDE 110  /* from here on there is room for the type as well */
#define REASON 15 /* indent */

static enum style state_style(const char *state)
{
    return !strcmp(state, "armed") ? STYLE_GREEN : !strcmp(state, "partly armed") ? STYLE_YELLOW : !strcmp(state, "inert") ? STYLE_RED : STYLE_DIM;
}

static void print_cells(const struct terminal *t, enum style state, enum style severity, const char *const texts[5])
{
    bool wide = !t->width || t->width >= WIDE;
    terminal_cell(t, state, 13, texts[0]);
    terminal_cell(t, severity, 9, texts[1]);
    terminal_cell(t, STYLE_PLAIN, -7, texts[2]);
    terminal_cell(t, STYLE_PLAIN, 2, "");
    if (!wide) {
        terminal_last(t, STYLE_BOLD, 31, texts[3]);
        return;
    }
    terminal_cell(t, STYLE_BOLD, 48, texts[3]);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    terminal_last(t, STYLE_PLAIN, 80, texts[4]);
}

/* In short why it is not armed, in long all that is known. */
static void print_more(const struct terminal *t, const json_t *row, bool verbose)
{
    const char *reason = row_string(row, "reason");
    char place[600], number[24];
    if (*reason)
        terminal_wrap_some(t, REASON, reason, verbose ? 0 : 2);
    if (!verbose)
        return;
    if (*row_string(row, "tags"))
        terminal_wrap(t, REASON, row_string(row, "tags"));
    if (!*row_string(row, "file"))
        return;
    snprintf(place, sizeof place, "%s:%s", row_string(row, "file"), row_text(row, "line", number));
    terminal_wrap(t, REASON, place);
}

static void print_row(struct ctl *ctl, const json_t *row, bool verbose)
{
    const struct terminal *t = &ctl->term;
    char hits[24];
    if (ctl->json) {
        ctl_print_json(ctl, row, false);
        return;
    }
    print_cells(t, state_style(row_string(row, "state")), terminal_severity_style(row_string(row, "severity")),
                (const char *const[]){ row_string(row, "state"), row_string(row, "severity"), row_text(row, "hits", hits), row_string(row, "name"),
                                       row_string(row, "type") });
    print_more(t, row, verbose);
}

struct tally {
    unsigned n, armed, partly, inert, disabled;
};

static void count_state(struct tally *tally, const char *state)
{
    tally->n++;
    tally->armed += !strcmp(state, "armed");
    tally->partly += !strcmp(state, "partly armed");
    tally->inert += !strcmp(state, "inert");
    tally->disabled += !strcmp(state, "disabled");
}

static void list_one(struct ctl *ctl, json_t *row, const struct rules_request *request, struct tally *tally)
{
    if (type_matches(row_string(row, "type"), request->type) && has_tag(row_string(row, "tags"), request->tag)) {
        if (!tally->n && !ctl->json)
            print_cells(&ctl->term, STYLE_BOLD, STYLE_BOLD, (const char *const[]){ "STATE", "SEVERITY", "HITS", "NAME", "TYPE" });
        print_row(ctl, row, request->verbose);
        count_state(tally, row_string(row, "state"));
    }
    json_decref(row);
}

int rules_list(struct ctl *ctl, const struct rules_request *request)
{
    struct rule_files_result result;
    struct tally tally = { 0 };
    struct rules_host host;
    struct ruleset *set;
    int status = rules_host_read(ctl, request, &host);
    if (!status)
        status = ctl_ruleset_load(ctl, &request->paths, false, NULL, &set, &result);
    if (status)
        return status;
    for (int i = 0; detectors[i]; i++)
        list_one(ctl, rules_detector_row(ctl, detectors[i], &host), request, &tally);
    for (uint32_t i = 0; i < set->n_rules; i++)
        list_one(ctl, rules_row(ctl, &set->rules[i], &host), request, &tally);
    ruleset_free(set);
    fflush(stdout);
    fprintf(stderr, "%u listed: %u armed, %u partly, %u inert, %u disabled%s\n", tally.n, tally.armed, tally.partly, tally.inert, tally.disabled,
            host.reported ? "" : " (no agent has reported here: by the sensors that the configuration leaves on)");
    return result.n_failed ? CTL_FAILED : CTL_OK;
}
