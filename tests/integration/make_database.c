/* make_database EVENTS.jsonl DATABASE: recorded events through the pipeline into a database, as the agent does it, without root. For the
 * tests of ecsguardctl and of the uploader. The events must be in order of time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pipeline.h"
#include "common/clock.h"
#include "common/event_json.h"
#include "storage/store.h"

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "make_database: %s: %s\n", what, detail);
    exit(1);
}

static void put(struct store *store, const struct outcome *out)
{
    uint64_t count;
    int error = 0;
    for (int i = 0; i < out->n_containers; i++)
        error |= store_container(store, out->containers[i]);
    if (out->store)
        error |= store_event(store, &out->stamp, out->event);
    for (int i = 0; i < out->n_findings; i++)
        error |= store_finding(store, out->findings[i], &count);
    if (error)
        fail("store", store_error(store));
}

static void tick(struct store *store, struct pipeline *p, uint64_t until_ns)
{
    struct outcome out;
    uint64_t due;
    while ((due = pipeline_next_due(p)) < until_ns) {
        bool more = true;
        while (more) {
            more = pipeline_tick(p, due, &out);
            put(store, &out);
        }
    }
}

static void put_health(struct store *store, const char *component, const char *state, const char *reason, const char *counters)
{
    struct health row = { .wall_ns = clock_ns(CLOCK_REALTIME) };
    snprintf(row.component, sizeof row.component, "%s", component);
    snprintf(row.state, sizeof row.state, "%s", state);
    snprintf(row.reason, sizeof row.reason, "%s", reason);
    snprintf(row.counters, sizeof row.counters, "%s", counters);
    if (store_health(store, &row))
        fail("store", store_error(store));
}

int main(int argc, char **argv)
{
    static char line[LIMIT_EVENT_JSON_BYTES];
    static union event_buffer buffer;
    struct store_options options = { .host = "ip-10-0-0-7" };
    struct pipeline_options core = { .next_event_id = 1, .next_container_id = 1 };
    struct pipeline *p = pipeline_new(&core);
    struct store *store;
    struct outcome out;
    char error[256];
    FILE *in = argc == 3 ? fopen(argv[1], "r") : NULL;
    if (!in || !p)
        fail("usage", "make_database EVENTS.jsonl DATABASE");
    if (store_open(&store, argv[2], &options) || store_begin(store))
        fail("cannot open", argv[2]);
    uint64_t now_ns = 0;
    while (fgets(line, sizeof line, in)) {
        if (event_from_json(line, strlen(line), &buffer, 0, error, sizeof error))
            fail(line, error);
        now_ns = buffer.event.time_ns;
        tick(store, p, now_ns);
        pipeline_event(p, &buffer.event, &out);
        put(store, &out);
    }
    tick(store, p, now_ns + 10 * NS_PER_SECOND);
    put_health(store, "exec", "ok", "", "{\"events\":12,\"lost\":0,\"overflows\":0,\"resyncs\":0,\"malformed\":0,\"queue_bytes\":0}");
    put_health(store, "flow", "off", "no connection tracking: the kernel module nf_conntrack is not loaded; modprobe nf_conntrack",
               "{\"events\":0,\"lost\":3}");
    if (store_commit(store))
        fail("commit", store_error(store));
    store_close(store);
    pipeline_free(p);
    fclose(in);
    return 0;
}
