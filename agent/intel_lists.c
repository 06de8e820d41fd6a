#include "agent/intel_lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect_files.h"
#include "agent/health.h"
#include "common/clock.h"
#include "common/log.h"

#define SOURCE_LATE 3 /* intervals without a word of the server, before that is told */

static void intel_free(struct intel *intel)
{
    if (intel)
        intel_fini(intel);
    free(intel);
}

/* ---- in the worker thread ----------------------------------------------------------------------------------------- */

static struct intel_files_options options_of(const struct intel_lists *l)
{
    return (struct intel_files_options){ .shipped = l->config->intel.shipped_dir, .dir = l->config->intel.dir, .fetched = l->fetched_dir,
                                         .sources = &l->fresh_sources, .bytes_max = l->config->intel.max_memory_bytes };
}

static int read_lists(struct intel_lists *l, const struct intel_files_options *options)
{
    l->fresh = malloc(sizeof *l->fresh);
    if (!l->fresh)
        return -ENOMEM;
    intel_init(l->fresh);
    int error = intel_files_load(l->fresh, options, &l->fresh_result);
    if (error) {
        intel_free(l->fresh);
        l->fresh = NULL;
    }
    return error;
}

/* As the configuration file names them now, if it is asked for. */
static int read_sources(struct intel_lists *l)
{
    struct text_out error;
    text_out_init(&error, l->fresh_reason, sizeof l->fresh_reason);
    int r = l->forced ? intel_sources_load(&l->fresh_sources, l->config_path, &error) : 0;
    if (r)
        l->fresh_sources = l->sources;
    return r;
}

static void work(uv_work_t *request)
{
    struct intel_lists *l = request->data;
    const struct intel_files_options options = options_of(l);
    intel_free(l->old);
    l->old = NULL;
    l->fresh = NULL;
    l->fresh_error = 0;
    l->fresh_error = read_sources(l);
    uint64_t state = intel_files_state(&options), start = clock_monotonic_ns();
    intel_files_checked(&options, l->fresh_checked_wall_ns);
    l->has_changed = l->forced || state != l->state;
    if (!l->has_changed)
        return;
    l->state = state; /* what cannot be read is tried again when it has changed */
    if (l->fresh_error && !l->current) { /* at start: the other lists are better than none */
        log_error("intel", "no list is fetched: %s", l->fresh_reason);
        l->fresh_error = 0;
    }
    if (!l->fresh_error && (l->fresh_error = read_lists(l, &options)))
        snprintf(l->fresh_reason, sizeof l->fresh_reason, "cannot read the lists: %s", strerror(-l->fresh_error));
    l->fresh_ns = clock_monotonic_ns() - start;
}

/* ---- on the loop -------------------------------------------------------------------------------------------------- */

static void log_lists(const struct intel_lists *l)
{
    struct intel_counts n;
    intel_count_kinds(l->current, &n);
    log_info("intel", "%llu addresses, %llu networks, %llu domains and %llu hashes from %u lists in %llu ms (%u files and %llu lines refused)",
             (unsigned long long)(n.addresses4 + n.addresses6), (unsigned long long)(n.networks4 + n.networks6), (unsigned long long)n.domains,
             (unsigned long long)n.hashes, l->result.files, (unsigned long long)(l->load_ns / NS_PER_MS), l->result.failed,
             (unsigned long long)l->result.bad_lines);
}

static void take(struct intel_lists *l)
{
    memcpy(l->checked_wall_ns, l->fresh_checked_wall_ns, sizeof l->checked_wall_ns);
    if (!l->has_changed)
        return;
    memcpy(l->error, l->fresh_reason, sizeof l->error);
    l->refused = l->fresh_error != 0;
    if (l->refused) {
        l->n_failures++;
        log_error("intel", "the lists in force stay: %s", l->error);
        return;
    }
    if (l->pipeline)
        pipeline_set_intel(l->pipeline, l->fresh);
    l->old = l->current; /* nobody holds on to what it told: it is given back at the next look */
    l->current = l->fresh;
    l->fresh = NULL;
    l->result = l->fresh_result;
    l->sources = l->fresh_sources;
    l->load_ns = l->fresh_ns;
    l->loaded_wall_ns = clock_ns(CLOCK_REALTIME);
    log_lists(l);
}

static void look(struct intel_lists *l, bool forced);

static void free_old(uv_work_t *request)
{
    struct intel_lists *l = request->data;
    intel_free(l->old);
    l->old = NULL;
}

static void after_free(uv_work_t *request, int status)
{
    struct intel_lists *l = request->data;
    (void)status;
    l->working = false;
    if (l->again)
        look(l, true);
}

static void after_work(uv_work_t *request, int status)
{
    struct intel_lists *l = request->data;
    l->working = false;
    if (status)
        return;
    take(l);
    if (l->old) /* hundreds of megabytes take the kernel a while */
        l->working = uv_queue_work(l->loop, &l->work, free_old, after_free) == 0;
    else if (l->again)
        look(l, true);
}

static void look(struct intel_lists *l, bool forced)
{
    l->again = l->working && (forced || l->again);
    if (l->working)
        return;
    l->forced = forced;
    l->working = uv_queue_work(l->loop, &l->work, work, after_work) == 0;
}

static void on_timer(uv_timer_t *timer)
{
    look(timer->data, false);
}

int intel_lists_open(struct intel_lists *l, uv_loop_t *loop, const struct config *config, const char *config_path)
{
    l->config = config;
    l->config_path = config_path;
    l->loop = loop;
    l->work.data = l->timer.data = l;
    snprintf(l->fetched_dir, sizeof l->fetched_dir, "%s/intel", config->delivery.state_dir);
    uv_timer_init(loop, &l->timer);
    l->forced = true;
    work(&l->work);
    take(l);
    if (l->current)
        return 0;
    l->current = calloc(1, sizeof *l->current);
    return l->current ? 0 : -ENOMEM;
}

void intel_lists_start(struct intel_lists *l, struct pipeline *pipeline)
{
    const uint64_t ms = l->config->intel.check_interval_ns / NS_PER_MS;
    l->pipeline = pipeline;
    pipeline_set_intel(pipeline, l->current);
    uv_timer_start(&l->timer, on_timer, ms, ms);
}

void intel_lists_reload(struct intel_lists *l)
{
    look(l, true);
}

void intel_lists_close(struct intel_lists *l)
{
    intel_free(l->current);
    intel_free(l->old);
    intel_free(l->fresh);
    l->current = l->old = l->fresh = NULL;
}

/* ---- health ------------------------------------------------------------------------------------------------------- */

static bool was_fetched(const struct intel_lists *l, const char *name)
{
    for (uint32_t i = 0; i < l->result.n_lists; i++)
        if (l->result.lists[i].fetched && !strcmp(l->result.lists[i].name, name))
            return l->result.lists[i].error != -ENOENT;
    return false;
}

static void source_reason(const struct intel_lists *l, uint64_t wall_ns, struct text_out *out)
{
    for (uint32_t i = 0; i < l->sources.n && !out->length; i++) {
        const struct intel_fetched_source *source = &l->sources.list[i];
        if (!was_fetched(l, source->name))
            text_out_printf(out, "the list %s was not fetched yet: ecsguardctl intel", source->name);
        else if (l->checked_wall_ns[i] + SOURCE_LATE * source->interval_ns < wall_ns)
            text_out_printf(out, "the list %s could not be fetched for a long time: ecsguardctl intel", source->name);
    }
}

/* The first thing that is wrong, most telling first. */
static void reason_of(const struct intel_lists *l, uint64_t wall_ns, struct text_out *out)
{
    if (l->error[0])
        text_out_printf(out, "%s: %s", l->refused ? "the last reload was refused, the lists before it are in force" : "no list is fetched",
                        l->error);
    else if (l->current->n_refused)
        text_out_printf(out, "%llu entries had no room: see intel.max_memory", (unsigned long long)l->current->n_refused);
    for (uint32_t i = 0; i < l->result.n_lists && !out->length; i++) {
        const struct intel_list *list = &l->result.lists[i];
        if (list->error && list->error != -ENOENT)
            text_out_printf(out, "the list %s was not read to its end: %s", list->name,
                            list->error == -EILSEQ ? "not a list" : strerror(-list->error));
    }
    source_reason(l, wall_ns, out);
}

void intel_lists_report(const struct intel_lists *l, struct writer *writer, uint64_t wall_ns)
{
    struct intel_counts n;
    struct health row;
    struct text_out reason;
    char text[sizeof row.reason];
    uint64_t oldest = 0;
    intel_count_kinds(l->current, &n);
    for (uint32_t i = 0; i < l->result.n_lists; i++)
        if (l->result.lists[i].changed_wall_ns && (!oldest || l->result.lists[i].changed_wall_ns < oldest))
            oldest = l->result.lists[i].changed_wall_ns;
    const struct health_counter counters[] = {
        { "addresses", n.addresses4 + n.addresses6 }, { "networks", n.networks4 + n.networks6 },
        { "domains", n.domains },                     { "hashes", n.hashes },
        { "trusted", n.trusted },                     { "files", l->result.files },
        { "files_refused", l->result.failed },        { "bad_lines", l->result.bad_lines },
        { "no_room", l->current->n_refused },         { "bytes", l->current->bytes },
        { "loaded", l->loaded_wall_ns / NS_PER_SECOND }, { "load_ms", l->load_ns / NS_PER_MS },
        { "oldest", oldest / NS_PER_SECOND },         { "reloads_refused", l->n_failures },
    };
    text_out_init(&reason, text, sizeof text);
    reason_of(l, wall_ns, &reason);
    health_of("intel", text[0] ? SENSOR_DEGRADED : SENSOR_OK, text, counters, sizeof counters / sizeof counters[0], wall_ns, &row);
    writer_put_health(writer, &row);
}
