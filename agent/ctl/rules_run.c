/* ecsguardctl rules test, backtest: rules over recorded events, and over those of the database. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ctl/finding_view.h"
#include "agent/ctl/recording.h"
#include "agent/ctl/replay_view.h"
#include "agent/ctl/rules.h"
#include "common/clock.h"

#define PROGRESS_NS (500 * NS_PER_MS)

struct run {
    struct ctl *ctl;
    struct replay replay;
    struct pipeline *pipeline;
    uint64_t shown_ns; /* when the progress was shown last */
    bool tty;
};

static int run_open(struct run *run, struct ctl *ctl, const struct rules_request *request)
{
    struct pipeline_options core = { .next_event_id = 1, .next_container_id = 1, .rules_only = true };
    struct rules *rules;
    memset(run, 0, sizeof *run);
    run->ctl = ctl;
    run->tty = isatty(STDERR_FILENO);
    replay_init(&run->replay);
    int status = ctl_rules_load(ctl, &request->paths, request->installed, &rules);
    if (status)
        return status;
    run->pipeline = pipeline_new(&core);
    if (!run->pipeline) {
        rules_free(rules);
        ctl_complain("not enough memory");
        return CTL_FAILED;
    }
    pipeline_set_rules(run->pipeline, rules);
    return CTL_OK;
}

static void run_close(struct run *run)
{
    pipeline_free(run->pipeline);
    replay_fini(&run->replay);
}

/* What each rule did, in the order of the files; of the configured ones only those that matched. */
static void print_summary(const struct run *run, const struct rules_request *request)
{
    const struct rules *rules = pipeline_rules(run->pipeline);
    char name[4 * LIMIT_RULE_NAME_BYTES + 1];
    uint64_t hits = 0;
    for (uint32_t i = 0; i < rules->set->n_rules; i++) {
        const struct rule_counters *c = program_counters(rules->program, i);
        hits += c->n_hits;
        if (!rules->set->rules[i].enabled || (request->installed && !c->n_hits))
            continue;
        terminal_safe(name, sizeof name, rules->set->rules[i].name);
        fprintf(stderr, "%10llu hit%s of %llu evaluations: %s\n", (unsigned long long)c->n_hits, c->n_hits == 1 ? "" : "s",
                (unsigned long long)c->n_evaluations, name);
    }
    fprintf(stderr, "%llu events, %llu hits, %zu findings\n", (unsigned long long)run->replay.n_replayed, (unsigned long long)hits,
            run->replay.n_findings);
}

static int complain_memory(int error)
{
    if (error)
        ctl_complain("%s", strerror(-error));
    return error ? CTL_FAILED : CTL_OK;
}

int rules_test(struct ctl *ctl, const struct rules_request *request)
{
    struct run run;
    int status = run_open(&run, ctl, request);
    if (!status)
        status = replay_view_load(&run.replay, request->events);
    if (!status)
        status = complain_memory(replay_run(&run.replay, run.pipeline));
    if (!status) {
        replay_view_print(ctl, &run.replay, request->verbose);
        print_summary(&run, request);
        status = run.replay.n_bad ? CTL_USAGE : CTL_OK;
    }
    run_close(&run);
    return status;
}

static void show_progress(struct run *run, uint64_t wall_ns)
{
    char text[32];
    uint64_t now_ns = clock_monotonic_ns();
    if (!run->tty || now_ns - run->shown_ns < PROGRESS_NS)
        return;
    run->shown_ns = now_ns;
    text_time(text, wall_ns);
    fprintf(stderr, "\r%llu events, at %s ", (unsigned long long)run->replay.n_replayed, text);
}

static int backtest_event(void *arg, const struct stamp *stamp, const struct event *ev)
{
    struct run *run = arg;
    (void)stamp;
    show_progress(run, ev->time_ns);
    return replay_event(&run->replay, run->pipeline, ev);
}

/* Containers and processes from before the time that is looked at. */
static int backtest_context(struct run *run, const struct query_events_filter *filter)
{
    FILE *file = tmpfile(), *out = run->ctl->term.out;
    if (!file) {
        ctl_complain("cannot make a temporary file: %s", strerror(errno));
        return CTL_FAILED;
    }
    run->ctl->term.out = file;
    int status = recording_context(run->ctl, filter);
    run->ctl->term.out = out;
    rewind(file);
    if (!status)
        status = complain_memory(replay_load(&run->replay, file, "database", stderr));
    fclose(file);
    for (size_t i = 0; i < run->replay.n_events && !status; i++)
        status = complain_memory(replay_event(&run->replay, run->pipeline, run->replay.events[i]));
    return status;
}

int rules_backtest(struct ctl *ctl, const struct rules_request *request)
{
    const struct query_events_filter filter = { .since_ns = request->since_ns, .until_ns = request->until_ns };
    struct run run;
    int status = run_open(&run, ctl, request);
    if (!status)
        status = ctl_db_open(ctl);
    if (!status)
        status = backtest_context(&run, &filter);
    if (!status) {
        int error = query_events(ctl->db, &filter, backtest_event, &run);
        if (!error)
            error = replay_end(&run.replay, run.pipeline);
        if (error)
            ctl_db_complain(ctl, error);
        status = error ? CTL_FAILED : CTL_OK;
    }
    if (run.shown_ns)
        fputc('\n', stderr);
    if (!status) {
        replay_view_print(ctl, &run.replay, request->verbose);
        print_summary(&run, request);
    }
    run_close(&run);
    return status;
}
