/* conformance [-v] DIR [KIND...]: runs the cases of all kinds, or of those given. -v tells every difference. Fails when a kind is below
 * 99 % or a case differs that known_differences.txt does not name, or one that it names agrees. */
#include "tests/conformance/conformance.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct kind {
    const char *name;
    conformance_run *run;
    unsigned percent_min; /* 0 = PERCENT_MIN */
} kinds[] = {
    { "filter-parse", run_filter_parse },
    { "filter-positions", run_filter_positions },
    { "unescape", run_unescape },
    { "escape", run_escape },
    { "rule-load", run_rule_load },
    { "stock-compile", run_stock_compile },
    { "filter-compile", run_filter_compile },
    { "filter-warning", run_filter_warning },
    { "filter-eval", run_filter_eval },
    { "path-prefix", run_path_prefix },
    { "format", run_format },
    { "rule-replay", run_rule_replay },
    { "rule-behaviour", run_rule_behaviour, .percent_min = 95 }, /* some are about what our sensors cannot see */
};

#define N_KINDS (sizeof kinds / sizeof *kinds)
#define KNOWN_MAX 256
#define PERCENT_MIN 99

/* A line "ID REASON" of known_differences.txt. */
struct known {
    char id[64], reason[512];
    bool seen;
};

struct runner {
    const char *dir;
    bool verbose, failed;
    struct known known[KNOWN_MAX];
    size_t n_known;
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("conformance: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

void conformance_differ_say(struct conformance *c, const char *format, ...)
{
    size_t used = strlen(c->difference);
    va_list args;
    va_start(args, format);
    vsnprintf(c->difference + used, sizeof c->difference - used, format, args);
    va_end(args);
    used = strlen(c->difference);
    if (used && used + 1 < sizeof c->difference && c->difference[used - 1] != '\n')
        memcpy(c->difference + used, "\n", 2);
}

void conformance_differ(struct conformance *c, const char *what, const char *expected, const char *got)
{
    conformance_differ_say(c, "%s:\n  expected %s\n  got      %s\n", what, expected ? expected : "nothing", got ? got : "nothing");
}

void conformance_compare(struct conformance *c, const char *what, const char *expected, const char *got)
{
    if (!expected || !got ? expected != got : strcmp(expected, got) != 0)
        conformance_differ(c, what, expected, got);
}

const json_t *conformance_get(const struct conformance *c, const char *path)
{
    const json_t *at = c->test;
    char name[128];
    while (at && *path) {
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        at = json_object_get(at, name);
        path += n + (path[n] == '.');
    }
    return json_is_null(at) ? NULL : at;
}

const char *conformance_text(const struct conformance *c, const char *path, size_t *length)
{
    const json_t *at = conformance_get(c, path);
    if (length)
        *length = json_string_length(at);
    return json_string_value(at);
}

bool conformance_bool(const struct conformance *c, const char *path, bool absent)
{
    const json_t *at = conformance_get(c, path);
    return at ? json_is_true(at) : absent;
}

char *conformance_file(const struct conformance *c, const char *name, size_t *length)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", c->dir, name);
    FILE *f = fopen(path, "r");
    if (!f)
        die("%s: %s", path, strerror(errno));
    char *text = NULL;
    size_t n = 0, size = 0, got;
    FILE *memory = open_memstream(&text, &size);
    for (char buf[4096]; memory && (got = fread(buf, 1, sizeof buf, f)) > 0; n += got)
        fwrite(buf, 1, got, memory);
    if (!memory || ferror(f) || fclose(memory))
        die("%s: cannot be read", path);
    fclose(f);
    if (length)
        *length = n;
    return text;
}

static void known_read(struct runner *runner, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        die("%s: %s", path, strerror(errno));
    char line[1024];
    while (fgets(line, sizeof line, f)) {
        struct known *known = &runner->known[runner->n_known];
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (runner->n_known == KNOWN_MAX)
            die("%s: more than %d lines", path, KNOWN_MAX);
        if (sscanf(line, "%63s %511[^\n]", known->id, known->reason) != 2)
            die("%s: no reason for %s", path, known->id);
        runner->n_known++;
    }
    fclose(f);
}

static struct known *known_find(struct runner *runner, const char *id)
{
    for (size_t i = 0; i < runner->n_known; i++)
        if (!strcmp(runner->known[i].id, id))
            return &runner->known[i];
    return NULL;
}

/* True if it agrees. */
static bool case_run(struct runner *runner, const struct kind *kind, const json_t *test)
{
    struct conformance c = { .dir = runner->dir, .test = test };
    const char *id = conformance_text(&c, "id", NULL);
    if (!id || !conformance_get(&c, "expect"))
        die("a case of %s has no id or nothing is expected", kind->name);
    kind->run(&c);
    struct known *known = known_find(runner, id);
    bool agrees = !c.difference[0];
    if (known) {
        known->seen = true;
        if (agrees)
            conformance_differ_say(&c, "agrees, but is listed as a known difference");
    }
    bool unexpected = agrees == !!known;
    runner->failed |= unexpected;
    if (unexpected || (!agrees && runner->verbose))
        printf("%s%s%s:\n%s", id, known && !agrees ? ", known: " : "", known && !agrees ? known->reason : "", c.difference);
    return agrees;
}

static void kind_run(struct runner *runner, const struct kind *kind)
{
    char path[4096], *line = NULL;
    snprintf(path, sizeof path, "%s/cases/%s.jsonl", runner->dir, kind->name);
    FILE *f = fopen(path, "r");
    if (!f)
        die("%s: %s", path, strerror(errno));
    size_t size = 0, n = 0, passed = 0;
    for (ssize_t length; (length = getline(&line, &size, f)) > 0; n++) {
        json_error_t error;
        json_t *test = json_loadb(line, (size_t)length, JSON_ALLOW_NUL, &error);
        if (!test)
            die("%s: line %zu: %s", path, n + 1, error.text);
        passed += case_run(runner, kind, test);
        json_decref(test);
    }
    free(line);
    fclose(f);
    printf("conformance: %s %zu of %zu\n", kind->name, passed, n);
    const unsigned percent_min = kind->percent_min ? kind->percent_min : PERCENT_MIN;
    if (!n || passed * 100 < n * percent_min) {
        printf("conformance: %s is below %u %%\n", kind->name, percent_min);
        runner->failed = true;
    }
}

/* Lines for cases that are not there say something about nothing; only told when all kinds were run. */
static void known_check(struct runner *runner)
{
    for (size_t i = 0; i < runner->n_known; i++)
        if (!runner->known[i].seen) {
            printf("conformance: %s is listed as a known difference, but there is no such case\n", runner->known[i].id);
            runner->failed = true;
        }
}

static const struct kind *kind_find(const char *name)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (!strcmp(kinds[i].name, name))
            return &kinds[i];
    die("no such kind: %s", name);
}

int main(int argc, char **argv)
{
    static struct runner runner;
    int option;
    while ((option = getopt(argc, argv, "v")) == 'v')
        runner.verbose = true;
    if (option != -1 || optind == argc) {
        fprintf(stderr, "usage: conformance [-v] DIR [KIND...]\n");
        return 2;
    }
    runner.dir = argv[optind++];
    known_read(&runner, TEST_SRCDIR "/tests/conformance/known_differences.txt");
    if (optind == argc) {
        for (size_t i = 0; i < N_KINDS; i++)
            kind_run(&runner, &kinds[i]);
        known_check(&runner);
    }
    for (; optind < argc; optind++)
        kind_run(&runner, kind_find(argv[optind]));
    return runner.failed;
}
