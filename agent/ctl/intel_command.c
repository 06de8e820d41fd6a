/* ecsguardctl intel: the threat lists, as the agent reads them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ctl/ctl.h"
#include "agent/detect_files.h"
#include "agent/intel_files.h"
#include "common/log.h"

static const struct option options[] = { CTL_OPTIONS, { NULL, 0, NULL, 0 } };

struct lists {
    struct intel intel;
    struct intel_sources sources;
    struct intel_files_result result;
    char fetched[LIMIT_CONFIG_TEXT_BYTES + 8];
};

/* With the configuration of the agent. */
static int lists_load(const struct ctl *ctl, struct lists *l)
{
    char line[1400];
    struct text_out error;
    const struct config *c = ctl->config;
    text_out_init(&error, line, sizeof line);
    if (intel_sources_load(&l->sources, ctl->config_path, &error)) {
        ctl_complain("%s", line);
        return CTL_FAILED;
    }
    snprintf(l->fetched, sizeof l->fetched, "%s/intel", c->delivery.state_dir);
    const struct intel_files_options files = { .shipped = c->intel.shipped_dir, .dir = c->intel.dir, .fetched = l->fetched,
                                               .sources = &l->sources,
                                               .bytes_max = c->intel.max_memory_bytes };
    intel_init(&l->intel);
    int r = intel_files_load(&l->intel, &files, &l->result); /* complains itself */
    if (r == -EACCES)
        ctl_complain("the lists that were fetched can only be read by root");
    return r ? CTL_FAILED : CTL_OK;
}

/* ---- list --------------------------------------------------------------------------------------------------------- */

/* What the uploader says of a list: its object in status.json, borrowed, or NULL. */
static const json_t *fetch_status(const json_t *status, const char *name)
{
    size_t i;
    json_t *list;
    json_array_foreach(json_object_get(status, "lists"), i, list)
        if (!strcmp(row_string(list, "name"), name))
            return list;
    return NULL;
}

static const char *problem_of(const struct intel_list *list, const json_t *fetched)
{
    if (list->error == -ENOENT && !*row_string(fetched, "error"))
        return "not fetched yet; systemctl status ecsguard-uploader";
    if (*row_string(fetched, "error"))
        return row_string(fetched, "error");
    return list->error == -EILSEQ ? "not a list" : list->error == -ENOSPC ? "no room for all of it: intel.max_memory" : list->error ? strerror(-list->error) : "";
}

static json_t *list_json(const struct intel_list *list, const json_t *fetched)
{
    char changed[32] = "", checked[32] = "";
    if (list->changed_wall_ns)
        text_time(changed, list->changed_wall_ns);
    if (list->checked_wall_ns)
        text_time(checked, list->checked_wall_ns);
    return json_pack("{s:s,s:s,s:s,s:b,s:b,s:I,s:I,s:I,s:s,s:s,s:s}", "list", list->name, "category", list->category, "format",
                     intel_format_name(list->format), "trusted", list->trusted, "fetched", list->fetched, "entries", (json_int_t)list->n_entries,
                     "bad_lines", (json_int_t)list->n_bad, "other", (json_int_t)list->n_other, "changed", changed, "checked", checked, "problem",
                     problem_of(list, fetched));
}

static void print_list(const struct ctl *ctl, const struct intel_list *list, const json_t *fetched)
{
    const struct terminal *t = &ctl->term;
    const char *problem = problem_of(list, fetched);
    char ago[16] = "-", entries[24], bad[24];
    snprintf(entries, sizeof entries, "%" PRIu64, list->n_entries);
    snprintf(bad, sizeof bad, "%" PRIu64, list->n_bad);
    if (list->changed_wall_ns)
        terminal_ago(ago, list->changed_wall_ns, ctl->now_wall_ns);
    terminal_cell(t, STYLE_PLAIN, 25, list->name);
    terminal_cell(t, STYLE_PLAIN, 19, list->trusted ? "(trusted)" : list->category);
    terminal_cell(t, STYLE_PLAIN, 11, intel_format_name(list->format));
    terminal_cell(t, STYLE_PLAIN, -9, entries);
    terminal_cell(t, list->n_bad ? STYLE_YELLOW : STYLE_PLAIN, -8, bad);
    terminal_cell(t, STYLE_PLAIN, 1, "");
    terminal_cell(t, STYLE_PLAIN, 11, ago);
    terminal_last(t, *problem ? STYLE_RED : STYLE_PLAIN, 84, problem);
}

static int intel_list(struct ctl *ctl, int argc, char **argv)
{
    static struct lists l;
    static const struct {
        const char *title;
        int width;
    } columns[] = { { "LIST", 25 }, { "CATEGORY", 19 }, { "FORMAT", 11 }, { "ENTRIES", -9 }, { "BAD", -8 }, { "", 1 }, { "CHANGED", 11 } };
    char path[2048], bytes[16];
    json_error_t ignored;
    (void)argv;
    if (argc)
        return ctl_misuse("intel", "list takes no argument");
    if (lists_load(ctl, &l))
        return CTL_FAILED;
    snprintf(path, sizeof path, "%s/status.json", ctl->config->delivery.state_dir);
    json_t *status = json_load_file(path, 0, &ignored);
    for (size_t i = 0; !ctl->json && i < sizeof columns / sizeof columns[0]; i++)
        terminal_cell(&ctl->term, STYLE_BOLD, columns[i].width, columns[i].title);
    if (!ctl->json)
        terminal_last(&ctl->term, STYLE_BOLD, 84, "PROBLEM");
    for (uint32_t i = 0; i < l.result.n_lists; i++) {
        const struct intel_list *list = &l.result.lists[i];
        const json_t *fetched = list->fetched ? fetch_status(status, list->name) : NULL;
        json_t *row = ctl->json ? list_json(list, fetched) : NULL;
        if (row)
            ctl_print_json(ctl, row, false);
        else
            print_list(ctl, list, fetched);
        json_decref(row);
    }
    json_decref(status);
    terminal_bytes(bytes, l.intel.bytes);
    if (!ctl->json)
        fprintf(ctl->term.out, "%" PRIu64 " different entries, %s\n", intel_count(&l.intel), bytes);
    intel_fini(&l.intel);
    return CTL_OK;
}

/* ---- check -------------------------------------------------------------------------------------------------------- */

struct check {
    const struct ctl *ctl;
    const char *path;
};

static void print_error(void *context, uint32_t line, const char *text)
{
    const struct check *check = context;
    json_t *row = check->ctl->json ? json_pack("{s:s,s:i,s:s}", "file", check->path, "line", (int)line, "problem", text) : NULL;
    if (row)
        ctl_print_json(check->ctl, row, false);
    else
        printf("%s:%u: %s\n", check->path, line, text);
    json_decref(row);
}

static bool check_file(const struct ctl *ctl, const char *path)
{
    struct check check = { ctl, path };
    struct intel_source source = { .on_error = print_error, .context = &check };
    struct intel_list list;
    struct intel intel;
    intel_init(&intel);
    int r = intel_file_read(&intel, path, &source, &list);
    if (r && r != -EILSEQ) {
        ctl_complain("%s: %s", path, r == -ENOSPC ? "more entries than the agent takes" : strerror(-r));
    } else if (!ctl->json) {
        printf("%s: %s, %" PRIu64 " entries, category %s%s, %" PRIu64 " bad lines", path, intel_format_name(list.format), list.n_entries,
               list.category,
               list.trusted ? " (trusted)" : "", list.n_bad);
        printf(list.n_other ? ", %" PRIu64 " of kinds that are not looked for\n" : "\n", list.n_other);
    }
    for (uint32_t i = 0; i < intel.n_tags && !ctl->json; i++)
        if (intel.tags[i].kind == INTEL_OTHER)
            printf("%s: the category \"%s\" is none that a finding type belongs to\n", path, intel.tags[i].category);
    intel_fini(&intel);
    return !r && !list.n_bad;
}

static int intel_check(struct ctl *ctl, int argc, char **argv)
{
    bool good = true;
    if (!argc)
        return ctl_misuse("intel", "check needs a FILE");
    for (int i = 0; i < argc; i++)
        good &= check_file(ctl, argv[i]);
    return good ? CTL_OK : CTL_FAILED;
}

/* ---- lookup ------------------------------------------------------------------------------------------------------- */

static bool ask(const struct intel *intel, const char *value, struct intel_match *match)
{
    uint8_t digest[INTEL_DIGEST_BYTES];
    struct address address;
    if (!intel_digest_parse(value, strlen(value), digest))
        return intel_lookup_hash(intel, digest, match);
    if (!address_parse(value, &address))
        return intel_lookup(intel, &address, match);
    return intel_lookup_domain(intel, value, strlen(value), match);
}

static void print_match(const struct ctl *ctl, const char *value, bool listed, const struct intel_match *match)
{
    char by[64] = "", safe[1024];
    json_t *row = ctl->json ? json_pack("{s:s,s:b,s:b,s:s,s:s}", "value", value, "listed", listed, "trusted", match->trusted, "list",
                                        match->list, "category",
                                        match->category) : NULL;
    if (match->prefix)
        snprintf(by, sizeof by, ", as part of a /%u", match->prefix);
    terminal_safe(safe, sizeof safe, value);
    if (row)
        ctl_print_json(ctl, row, false);
    else if (listed)
        printf("%s: %s, list %s%s%s%s\n", safe, match->category, match->list, match->prefix == 32 || match->prefix == 128 ? "" : by,
               match->skipped ? ", by " : "", match->skipped ? safe + match->skipped : "");
    else if (match->trusted)
        printf("%s: trusted, list %s\n", safe, match->list);
    else
        printf("%s: not listed\n", safe);
    json_decref(row);
}

static int intel_lookup_values(struct ctl *ctl, int argc, char **argv)
{
    static struct lists l;
    bool listed = false;
    if (!argc)
        return ctl_misuse("intel", "lookup needs an address, domain or SHA-256");
    log_open(LOG_LEVEL_ERROR); /* bad lines are for list and check */
    if (lists_load(ctl, &l))
        return CTL_FAILED;
    for (int i = 0; i < argc; i++) {
        struct intel_match match;
        bool found = ask(&l.intel, argv[i], &match);
        print_match(ctl, argv[i], found, &match);
        listed |= found;
    }
    intel_fini(&l.intel);
    return listed ? CTL_OK : CTL_FAILED;
}

int ctl_intel(struct ctl *ctl, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct ctl *ctl, int argc, char **argv);
    } verbs[] = { { "list", intel_list }, { "check", intel_check }, { "lookup", intel_lookup_values } };
    int status;
    if (ctl_getopt(ctl, "intel", argc, argv, options, &status) == CTL_DONE)
        return status;
    const char *verb = optind < argc ? argv[optind++] : "list";
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (!strcmp(verb, verbs[i].name))
            return ctl_config_load(ctl) ? CTL_FAILED : verbs[i].run(ctl, argc - optind, argv + optind);
    return ctl_misuse("intel", "unknown: '%s'", verb);
}
