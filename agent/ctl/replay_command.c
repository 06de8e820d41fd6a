/* ecsguardctl replay */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/ctl/replay_view.h"
#include "agent/ctl/rule_loading.h"
#include "agent/detect_files.h"
#include "agent/intel_files.h"

static const struct option options[] = { CTL_OPTIONS,
                                         { "filters", required_argument, NULL, 'F' },
                                         { "intel", required_argument, NULL, 'i' },
                                         { "rules", required_argument, NULL, 'r' },
                                         { "sequences", required_argument, NULL, 's' },
                                         { "verbose", no_argument, NULL, 'v' },
                                         { NULL, 0, NULL, 0 } };

/* What the events are judged by. */
struct judgement {
    const char *intel_dir, *sequences_file, *filters_file; /* NULL = none */
    struct rule_paths rule_paths;
    char host[256];
    struct intel intel;
    struct sequences sequences;
    struct suppress filters;
};

static int judgement_load(struct judgement *j)
{
    char line[1400];
    struct text_out reason;
    struct sequence_files_result result = { 0 };
    gethostname(j->host, sizeof j->host - 1);
    intel_init(&j->intel);
    static struct intel_files_result listed;
    const struct intel_files_options lists = { .dir = j->intel_dir };
    int error = intel_files_load(&j->intel, &lists, &listed);
    if (error)
        ctl_complain("cannot read the threat lists of %s: %s", j->intel_dir, strerror(-error));
    text_out_init(&reason, line, sizeof line);
    if (!error && j->filters_file && (error = suppress_file_load(&j->filters, j->filters_file, &reason)))
        ctl_complain("%s", line);
    if (!error && j->sequences_file)
        error = sequence_files_load(&j->sequences, j->sequences_file, "", &result);
    return error || result.failed ? CTL_FAILED : CTL_OK;
}

/* Takes the rules. */
static int run(struct replay *r, struct judgement *j, struct rules *rules)
{
    struct pipeline_options core = { .next_event_id = 1, .next_container_id = 1, .intel = &j->intel, .sequences = &j->sequences,
                                     .suppress = &j->filters, .host = j->host };
    struct pipeline *p = pipeline_new(&core);
    if (p)
        pipeline_set_rules(p, rules);
    else
        rules_free(rules);
    int result = p ? replay_run(r, p) : -ENOMEM;
    pipeline_free(p);
    if (result)
        ctl_complain("not enough memory");
    return result ? CTL_FAILED : CTL_OK;
}

static int replay(struct ctl *ctl, const char *path, struct judgement *j, bool verbose)
{
    struct replay r;
    struct rules *rules = NULL;
    replay_init(&r);
    int status = judgement_load(j);
    if (!status)
        status = ctl_rules_load(ctl, &j->rule_paths, false, &rules);
    if (!status && (status = replay_view_load(&r, path)))
        rules_free(rules);
    if (!status)
        status = run(&r, j, rules);
    if (!status) {
        replay_view_print(ctl, &r, verbose);
        fprintf(stderr, "%zu events replayed, %llu lines refused, %zu findings\n", r.n_events, (unsigned long long)r.n_bad, r.n_findings);
    }
    if (!status && r.n_bad)
        status = CTL_USAGE;
    replay_fini(&r);
    intel_fini(&j->intel);
    return status;
}

int ctl_replay(struct ctl *ctl, int argc, char **argv)
{
    static struct judgement judgement;
    bool verbose = false;
    int option, status;
    while ((option = ctl_getopt(ctl, "replay", argc, argv, options, &status)) >= 0) {
        if (option == 'i')
            judgement.intel_dir = optarg;
        if (option == 's')
            judgement.sequences_file = optarg;
        if (option == 'F')
            judgement.filters_file = optarg;
        if (option == 'r' && !rule_paths_add(&judgement.rule_paths, optarg))
            return ctl_misuse("replay", "takes at most %d times --rules", CTL_RULE_PATHS);
        verbose |= option == 'v';
    }
    if (option == CTL_DONE)
        return status;
    if (optind + 1 != argc)
        return ctl_misuse("replay", "needs one file of recorded events, or - for standard input");
    return replay(ctl, argv[optind], &judgement, verbose);
}
