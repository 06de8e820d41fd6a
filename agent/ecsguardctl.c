/* ecsguardctl(1): looks at what the agent wrote. Reads only; the agent needs not run. */
#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/ctl/ctl.h"
#include "common/clock.h"
#include "common/text.h"

const struct ctl_command ctl_commands[] = {
    { "status", ctl_status, "is the agent running, what does it cover, what did it lose", "status [--json]",
      "Exit status: 0 all is well, 1 degraded or the database cannot be read, 2 misuse, 3 the agent is not running.\n" },
    { "findings", ctl_findings, "list findings, or show one with its lineage and evidence", "findings [list] [OPTION...] | findings show ID",
      "  --since TIME       last seen at or after TIME: 90s, 15m, 24h, 7d (ago) or 2026-11-22T10:00:00Z\n"
      "  --severity LIST    info, low, medium, high, critical; \"high+\" is high and above; several with commas\n"
      "  --type GLOB        type of the finding, as '*ReverseShell' or 'DefenseEvasion:*'\n"
      "  --task ID|ARN      ECS task (the beginning of an id is enough)\n"
      "  --container X      container name, or the beginning of a container id\n"
      "  --suppressed       only those that a filter keeps from delivery; --all: these as well\n"
      "  --limit N          at most N findings, the newest (default 50, 0 = all)\n"
      "  --follow           then wait for new ones and for repeats\n"
      "ID is the finding's id or its beginning. show prints everything that is known.\n" },
    { "events", ctl_events, "list events, or write them as recorded events that replay reads", "events [OPTION...]",
      "  --kind KIND,...    only these kinds: exec, file, flow, ... (ecsguard-events(5))\n"
      "  --since TIME       at or after TIME: 90s, 15m, 24h, 7d (ago) or 2026-11-22T10:00:00Z\n"
      "  --until TIME       before TIME\n"
      "  --pid PID          of this process\n"
      "  --task ID|ARN      ECS task (the beginning of an id is enough)\n"
      "  --container X      container name, or the beginning of a container id\n"
      "  --limit N          at most N events, the newest (default 100, with --since or --json all; 0 = all)\n"
      "  --follow           then wait for new ones\n" },
    { "flows", ctl_flows, "list network flows, or what sent and received most", "flows [OPTION...]",
      "  --top              add up per container, direction and far end; the process is named where it is known\n"
      "  --to X             an address or network (203.0.113.0/24, 2001:db8::/32), or a name: with its subdomains, or *cdn*\n"
      "  --direction D      out, in or local\n"
      "  --since TIME       begun at or after TIME: 90s, 15m, 24h, 7d (ago) or 2026-11-22T10:00:00Z\n"
      "  --until TIME       begun before TIME\n"
      "  --task ID|ARN      ECS task (the beginning of an id is enough)\n"
      "  --container X      container name, or the beginning of a container id\n"
      "  --limit N          at most N (default 100, with --since or --json all; with --top 20; 0 = all)\n" },
    { "dns", ctl_dns, "list DNS queries and answers, or the names asked for most", "dns [OPTION...]",
      "  --name PATTERN     of this name or below it; with * and ? those that match\n"
      "  --type TYPE        only this type of records: A, AAAA, TXT, TYPE65534\n"
      "  --since TIME       at or after TIME: 90s, 15m, 24h, 7d (ago) or 2026-11-22T10:00:00Z\n"
      "  --task ID|ARN      ECS task (the beginning of an id is enough)\n"
      "  --container X      container name, or the beginning of a container id\n"
      "  --top              names by how often each container asked for them\n"
      "  --limit N          at most N rows, the newest or most frequent (default 100, with --since or --json all; --top 20; 0 = all)\n" },
    { "containers", ctl_containers, "list containers with their task, image and state", "containers [--all] [--json]",
      "  --all              also those that have ended\n" },
    { "replay", ctl_replay, "run recorded events through the detections, without root", "replay [OPTION...] FILE|-",
      "  --intel DIR        threat lists to use (default: none)\n"
      "  --rules PATH       rules file or directory, may be given again; none for no rules (default: the configured ones)\n"
      "  --sequences FILE   attack sequences to use (default: none)\n"
      "  --filters FILE     configuration whose filters (suppress) to use (default: none)\n"
      "  --verbose          show each finding in full\n"
      "Exit status: 0 all lines were read, 1 failed, 2 misuse or lines were refused.\n" },
    { "rules", ctl_rules, "check, list, explain and try rules",
      "rules check|list|explain|fields|test|backtest|catalogue [OPTION...] [ARGUMENT...]",
      "  check FILE...                  what is wrong with rules files or directories; exit status 1 when one is refused\n"
      "  list                           rules and detectors: armed or not on this host, and why; hits\n"
      "  explain NAME                   one of them: condition with everything put in, fields, sensors, hits, cost\n"
      "  fields                         what conditions and outputs can name\n"
      "  test FILE... --events FILE     rules over recorded events\n"
      "  backtest FILE... --since 7d    what rules would have found in the events of the database\n"
      "  catalogue                      all finding types: condition, limits, how to tune\n"
      "  --installed        load the configured rules first (check, test, backtest); check takes them alone, too\n"
      "  --rules PATH       rules file or directory instead of the configured ones, may be given again (list, explain, catalogue)\n"
      "  --tag GLOB         only what has such a tag: T1059*, mitre_persistence (list)\n"
      "  --type GLOB        only such a type of findings: '*SuspiciousCommand' (list)\n"
      "  --since TIME, --until TIME     7d, 24h, 15m (ago) or 2026-11-22T10:00 (backtest)\n"
      "  --scd              as the source of a manual page, scdoc(5) (catalogue)\n"
      "  --verbose          tags, places and whole reasons (list); findings in full (test, backtest)\n" },
    { "intel", ctl_intel, "threat lists: how each stands, what is wrong with a file, whether something is listed",
      "intel [list] | intel check FILE... | intel lookup VALUE...",
      "  list               the lists that the agent reads, and how fetching them goes\n"
      "  check FILE...      what is wrong with files of lists; exit status 1 when something is\n"
      "  lookup VALUE...    addresses, domains or SHA-256: what lists say; exit status 1 when none is listed\n" },
    { "config", ctl_config, "print the effective configuration, or what is wrong with it", "config [--config FILE]", "" },
    { NULL, NULL, NULL, NULL, NULL },
};

static const char common_help[] = "  --json             for programs: JSON Lines (status, show: one object)\n"
                                  "  --db PATH          database (default: the configured one)\n"
                                  "  --config FILE      configuration (default " CONFIG_PATH ")\n"
                                  "  --help, --version\n";

const struct ctl_command *ctl_command_find(const char *name)
{
    for (const struct ctl_command *c = ctl_commands; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

void ctl_complain(const char *format, ...)
{
    char line[2048], safe[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    terminal_safe(safe, sizeof safe, line);
    fprintf(stderr, "ecsguardctl: %s\n", safe);
}

int ctl_misuse(const char *command, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    ctl_complain("%s", line);
    fprintf(stderr, "Try 'ecsguardctl%s%s --help'.\n", *command ? " " : "", command);
    return CTL_USAGE;
}

static void print_help(void)
{
    puts("Usage: ecsguardctl COMMAND [OPTION...]\n\nCommands:");
    for (const struct ctl_command *c = ctl_commands; c->name; c++)
        printf("  %-12s %s\n", c->name, c->summary);
    printf("\nOptions of every command:\n%s\n'ecsguardctl COMMAND --help' says more; so does ecsguardctl(1).\n", common_help);
}

static void print_command_help(const struct ctl_command *c)
{
    printf("Usage: ecsguardctl %s\n%c%s.\n\n%s\n%s", c->usage, c->summary[0] - 'a' + 'A', c->summary + 1, c->help, common_help);
}

int ctl_getopt(struct ctl *ctl, const char *command, int argc, char **argv, const struct option *options, int *status)
{
    const struct ctl_command *c = ctl_command_find(command);
    for (;;) {
        int option = getopt_long(argc, argv, c ? "h" : "+hV", options, NULL);
        switch (option) {
        case 1:
            ctl->json = true;
            continue;
        case 2:
            ctl->db_path = optarg;
            continue;
        case 3:
            ctl->config_path = optarg;
            continue;
        case 4:
        case 'V':
            puts("ecsguardctl " PACKAGE_VERSION);
            *status = CTL_OK;
            return CTL_DONE;
        case 'h':
            if (c)
                print_command_help(c);
            else
                print_help();
            *status = CTL_OK;
            return CTL_DONE;
        case '?':
            fprintf(stderr, "Try 'ecsguardctl%s%s --help'.\n", c ? " " : "", command);
            *status = CTL_USAGE;
            return CTL_DONE;
        default:
            return option;
        }
    }
}

static uint64_t ago_unit_ns(const char *unit)
{
    static const struct {
        char name;
        uint64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 7 * 86400 } };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (unit[0] == units[i].name && !unit[1])
            return units[i].seconds * NS_PER_SECOND;
    return 0;
}

int ctl_time(const char *text, uint64_t now_wall_ns, uint64_t *wall_ns)
{
    static const char *const endings[] = { "", "Z", ":00Z", "T00:00:00Z" };
    size_t digits = strspn(text, "0123456789");
    uint64_t n, unit = ago_unit_ns(text + digits);
    if (!strcmp(text, "now")) {
        *wall_ns = now_wall_ns;
        return 0;
    }
    if (digits && unit) {
        if (text_to_u64(text, digits, &n) || n > now_wall_ns / unit)
            return -EINVAL;
        *wall_ns = now_wall_ns - n * unit;
        return 0;
    }
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char full[64];
        if (snprintf(full, sizeof full, "%s%s", text, endings[i]) < (int)sizeof full && !text_to_time(full, wall_ns))
            return 0;
    }
    return -EINVAL;
}

void ctl_print_json(const struct ctl *ctl, const json_t *object, bool pretty)
{
    json_dumpf(object, ctl->term.out, pretty ? JSON_INDENT(2) : JSON_COMPACT);
    fputc('\n', ctl->term.out);
}

const char *row_string(const json_t *row, const char *column)
{
    const char *text = json_string_value(json_object_get(row, column));
    return text ? text : "";
}

int64_t row_number(const json_t *row, const char *column)
{
    return (int64_t)json_integer_value(json_object_get(row, column));
}

const char *row_text(const json_t *row, const char *column, char number[24])
{
    const json_t *value = json_object_get(row, column);
    if (!json_is_integer(value))
        return row_string(row, column);
    snprintf(number, 24, "%lld", (long long)json_integer_value(value));
    return number;
}

uint64_t row_time(const json_t *row, const char *column)
{
    uint64_t ns;
    return text_to_time(row_string(row, column), &ns) ? 0 : ns;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { CTL_OPTIONS, { NULL, 0, NULL, 0 } };
    static struct config config;
    struct ctl ctl = { .config_path = CONFIG_PATH, .config = &config, .now_wall_ns = clock_ns(CLOCK_REALTIME) };
    int status;
    setlocale(LC_CTYPE, "C.UTF-8"); /* widths; the texts are UTF-8 whatever the user's locale is */
    terminal_init(&ctl.term, stdout);
    if (ctl_getopt(&ctl, "", argc, argv, options, &status) == CTL_DONE)
        return status;
    if (optind == argc) {
        print_help();
        return CTL_USAGE;
    }
    const struct ctl_command *command = ctl_command_find(argv[optind]);
    if (!command)
        return ctl_misuse("", "there is no command '%s'", argv[optind]);
    argc -= optind;
    argv += optind;
    argv[0] = (char[]){ "ecsguardctl" }; /* the name in getopt's messages */
    optind = 0;
    status = command->run(&ctl, argc, argv);
    ctl_db_close(&ctl);
    if (fflush(stdout) || ferror(stdout)) {
        ctl_complain("cannot write: %s", strerror(errno));
        return CTL_FAILED;
    }
    return status;
}
