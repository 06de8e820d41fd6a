/* ecsguardctl rules SUBCOMMAND */
#include <string.h>

#include "agent/ctl/rules.h"

static const struct option options[] = { CTL_OPTIONS,
                                         { "events", required_argument, NULL, 'e' },
                                         { "installed", no_argument, NULL, 'i' },
                                         { "scd", no_argument, NULL, 'm' },
                                         { "rules", required_argument, NULL, 'r' },
                                         { "since", required_argument, NULL, 's' },
                                         { "tag", required_argument, NULL, 't' },
                                         { "type", required_argument, NULL, 'y' },
                                         { "until", required_argument, NULL, 'u' },
                                         { "verbose", no_argument, NULL, 'v' },
                                         { NULL, 0, NULL, 0 } };

static const struct subcommand {
    const char *name;
    int (*run)(struct ctl *ctl, const struct rules_request *request);
    enum { TAKES_NOTHING, TAKES_NAME, TAKES_FILES } takes;
    bool needs_events;
} subcommands[] = {
    { "check", rules_check, TAKES_FILES, false },       { "list", rules_list, TAKES_NOTHING, false },
    { "explain", rules_explain, TAKES_NAME, false },    { "fields", rules_fields, TAKES_NOTHING, false },
    { "test", rules_test, TAKES_FILES, true },          { "backtest", rules_backtest, TAKES_FILES, false },
    { "catalogue", rules_catalogue, TAKES_NOTHING, false },
};

static const struct subcommand *subcommand_find(const char *name)
{
    for (size_t i = 0; i < sizeof subcommands / sizeof subcommands[0]; i++)
        if (!strcmp(subcommands[i].name, name))
            return &subcommands[i];
    return NULL;
}

static int take_option(struct ctl *ctl, struct rules_request *r, int option)
{
    switch (option) {
    case 'e':
        r->events = optarg;
        return CTL_OK;
    case 'i':
        r->installed = true;
        return CTL_OK;
    case 'm':
        r->scd = true;
        return CTL_OK;
    case 'r':
        return rule_paths_add(&r->paths, optarg) ? CTL_OK : ctl_misuse("rules", "takes at most %d files", CTL_RULE_PATHS);
    case 's':
    case 'u':
        if (ctl_time(optarg, ctl->now_wall_ns, option == 's' ? &r->since_ns : &r->until_ns))
            return ctl_misuse("rules", "cannot read the time '%s': 7d, 24h, 15m ago, or 2026-11-22T10:00", optarg);
        return CTL_OK;
    case 't':
        r->tag = optarg;
        return CTL_OK;
    case 'y':
        r->type = optarg;
        return CTL_OK;
    default:
        r->verbose = true;
        return CTL_OK;
    }
}

static int take_arguments(struct rules_request *r, const struct subcommand *sub, int argc, char **argv)
{
    int n = argc - optind;
    switch (sub->takes) {
    case TAKES_NOTHING:
        return n ? ctl_misuse("rules", "%s takes no argument: '%s'", sub->name, argv[optind]) : CTL_OK;
    case TAKES_NAME:
        if (n != 1)
            return ctl_misuse("rules", "%s needs the name of one rule or detector (in quotes)", sub->name);
        r->name = argv[optind];
        return CTL_OK;
    case TAKES_FILES:
        if (!n && !(r->installed && sub->run == rules_check))
            return ctl_misuse("rules", "%s needs a rules file", sub->name);
        for (int i = optind; i < argc; i++)
            if (!rule_paths_add(&r->paths, argv[i]))
                return ctl_misuse("rules", "%s takes at most %d files", sub->name, CTL_RULE_PATHS);
        return sub->needs_events && !r->events ? ctl_misuse("rules", "%s needs --events FILE", sub->name) : CTL_OK;
    }
    return CTL_USAGE;
}

int ctl_rules(struct ctl *ctl, int argc, char **argv)
{
    struct rules_request request = { 0 };
    int option, status = CTL_OK;
    while ((option = ctl_getopt(ctl, "rules", argc, argv, options, &status)) >= 0)
        if ((status = take_option(ctl, &request, option)))
            return status;
    if (option == CTL_DONE)
        return status;
    if (optind == argc)
        return ctl_misuse("rules", "needs one of check, list, explain, fields, test, backtest, catalogue");
    const struct subcommand *sub = subcommand_find(argv[optind]);
    if (!sub)
        return ctl_misuse("rules", "there is no subcommand '%s'", argv[optind]);
    optind++;
    status = take_arguments(&request, sub, argc, argv);
    return status ? status : sub->run(ctl, &request);
}
