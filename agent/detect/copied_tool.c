/* A container executes a copy of a known tool (shell, interpreter, downloader, netcat, ...) under another name, by which rules would not know it. A
 * file that is new in its container (see new_binary.c) is compared, once for each device, inode and change time, with the tools at the usual places
 * of the container's root and of the host's: by build id, and by content. A worker thread does that (REQUEST_TOOL).
 *
 * Left out: the tool itself under its own path, a package that brings it, names that only add a version or variant (python3.11, nc.openbsd), applets of
 * busybox, shells under a shell's name, task families that build.
 *
 * Limits: a copy that was changed and has no build id; a tool of which neither root has the original at a usual place; hard links, which are
 * the same file; a program whose file is gone before its turn comes; at most LIMIT_TOOL_QUESTIONS new files a second. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define DEADLINE_NS (30 * NS_PER_SECOND)
#define ANSWER_NS (10 * NS_PER_SECOND) /* a question that nobody answers for so long was dropped */
#define TRY_NS (50 * NS_PER_MS)

/* An executable of which the answer is known. */
struct answer {
    uint64_t dev, ino, ctime_wall_ns; /* ino 0 = free */
    uint64_t used_ns;
    uint64_t n_compared;
    bool on_host, same_content;
    char original[128]; /* "" = it is no copy */
};

struct state {
    struct answer answers[LIMIT_TOOL_FILES];
    struct {
        uint64_t dev, ino, ctime_wall_ns, time_ns; /* time 0 = nothing is asked */
    } asked;
    uint64_t second_ns; /* in which questions are counted */
    uint32_t n_questions;
};

static struct answer *answer_find(struct state *state, const struct image *image, uint64_t now_ns)
{
    for (int i = 0; i < LIMIT_TOOL_FILES && state->answers[i].ino; i++) {
        struct answer *a = &state->answers[i];
        if (a->ino == image->ino && a->dev == image->dev && a->ctime_wall_ns == image->ctime_wall_ns) {
            a->used_ns = now_ns;
            return a;
        }
    }
    return NULL;
}

/* In a free place, else in that of what was not used for the longest time. */
static struct answer *answer_place(struct state *state)
{
    struct answer *place = &state->answers[0];
    for (int i = 0; i < LIMIT_TOOL_FILES && place->ino; i++)
        if (!state->answers[i].ino || state->answers[i].used_ns < place->used_ns)
            place = &state->answers[i];
    return place;
}

static void report(struct detection *d, const struct pending *p, const struct answer *a)
{
    char path[1024], original[512];
    struct text_out out;
    const struct image *image = p->image;
    const struct file_origin *origin = file_origins_find(d->origins, p->container, image_text(image, image->exe), image->exe.len);
    struct finding *f = detection_begin(d, p->detector, pending_process(d, p), image, p->container, p->time_ns, p->event_id);
    json_t *e = json_object();
    text_out_init(&out, path, sizeof path);
    text_escape(&out, image_text(image, image->exe), image->exe.len);
    text_out_init(&out, original, sizeof original);
    text_escape(&out, a->original, strlen(a->original));
    evidence_text(e, "path", image_text(image, image->exe), image->exe.len);
    evidence_text(e, "original", a->original, strlen(a->original));
    json_object_set_new(e, "original_on", json_string(a->on_host ? "host" : "container"));
    json_object_set_new(e, "same", json_string(a->same_content ? "content" : "build id"));
    json_object_set_new(e, "tools_compared", json_integer((json_int_t)a->n_compared));
    evidence_time(e, "changed", image->ctime_wall_ns);
    if (origin) {
        json_t *w = json_object();
        json_object_set_new(w, "pid", json_integer(origin->pid));
        evidence_text(w, "exe", origin->exe, strlen(origin->exe));
        evidence_text(w, "cmdline", origin->cmdline, strlen(origin->cmdline));
        json_object_set_new(e, "writer", w);
    }
    finding_printf(f, FT_DESCRIPTION, "%s was executed: it has the same %s as %s%s, and came or changed after the container started.", path,
                   a->same_content ? "content" : "build id", original, a->on_host ? " of the host" : "");
    detection_end(d, f, image_text(image, image->exe), e);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static bool may_ask(struct state *state, uint64_t now_ns)
{
    if (now_ns >= state->second_ns + NS_PER_SECOND) {
        state->second_ns = now_ns;
        state->n_questions = 0;
    }
    return state->n_questions < LIMIT_TOOL_QUESTIONS && (!state->asked.time_ns || state->asked.time_ns + ANSWER_NS <= now_ns);
}

static void ask(struct detection *d, struct state *state, const struct pending *p, uint64_t now_ns)
{
    const struct container_facts *c = container_by_id(d->containers, p->container);
    if (!may_ask(state, now_ns))
        return;
    struct request request = { .kind = REQUEST_TOOL, .pid = p->pid, .container = p->container, .dev = p->image->dev, .ino = p->image->ino,
                               .ctime_wall_ns = p->image->ctime_wall_ns, .root_pid = c ? c->init_pid : 0 };
    if (!text_copy(request.path, sizeof request.path, image_text(p->image, p->image->exe), p->image->exe.len))
        request.path[0] = 0;
    if (!detection_request(d, &request))
        return;
    state->n_questions++;
    state->asked.dev = request.dev;
    state->asked.ino = request.ino;
    state->asked.ctime_wall_ns = request.ctime_wall_ns;
    state->asked.time_ns = now_ns;
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    struct state *state = detection_state(d, p->detector);
    const struct container_facts *c = container_by_id(d->containers, p->container);
    uint64_t again_ns;
    int is_new = new_binary_is(d, p, now_ns, &again_ns);
    if (is_new < 0)
        return again_ns;
    if (!is_new || container_builds(d, c))
        return 0;
    const struct answer *a = answer_find(state, p->image, now_ns);
    if (a) {
        if (a->original[0])
            report(d, p, a);
        return 0;
    }
    if (now_ns >= p->deadline_ns) {
        d->n_not_compared++;
        return 0;
    }
    ask(d, state, p, now_ns);
    return now_ns + TRY_NS;
}

static void take_answer(struct detection *d, const struct detector *self, const struct event *ev)
{
    struct state *state = detection_state(d, self);
    if (!event_knows(ev, F_COUNT) || !state->asked.time_ns || ev->ino != state->asked.ino || ev->dev != state->asked.dev)
        return;
    const struct text original = event_knows(ev, F_HOST_PATH) ? ev->host_path : ev->path;
    struct answer *a = answer_place(state);
    *a = (struct answer){ .dev = ev->dev, .ino = ev->ino, .ctime_wall_ns = state->asked.ctime_wall_ns, .used_ns = ev->time_ns,
                          .n_compared = ev->count, .on_host = event_knows(ev, F_HOST_PATH),
                          .same_content = !strcmp(event_text(ev, ev->reason), "same content") };
    text_copy(a->original, sizeof a->original, event_text(ev, original), original.len);
    state->asked.time_ns = 0;
    for (int i = 0; i < LIMIT_PENDING; i++) /* those that wait for it, and for a place for the next question */
        if (d->pending[i].detector == self && d->pending[i].due_ns > ev->time_ns)
            d->pending[i].due_ns = ev->time_ns;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (s->ev->kind == EVENT_HASH)
        take_answer(d, self, s->ev);
    if (s->ev->kind != EVENT_EXEC || !new_binary_may_be(d, s))
        return;
    struct pending *p = detection_wait(d, self, s, s->ev->time_ns + 10 * NS_PER_MS);
    p->deadline_ns = s->ev->time_ns + DEADLINE_NS;
}

const struct detector detector_copied_tool = {
    .rule = "copied_tool",
    .type = "Execution:Runtime/SuspiciousTool",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0002 TA0005 T1036.003",
    .title = "A copy of a known tool runs under another name",
    .advice = "Who made the copy (writer)? Under another name a tool evades rules by name: see what it did next, ecsguardctl events --pid PID. A "
              "copy of your own: give it the tool's name, or suppress the finding by its exe.",
    .condition = "A container executes a file that came or changed after its start and has the build id or the content of a shell, interpreter, "
                 "downloader, network, container or mining tool at the usual places of the container or the host, under a name that is not that "
                 "tool's. Not: versions and variants (python3.11, nc.openbsd), applets of busybox, task families of build_task_families.",
    .limits = "A changed copy without build id, tools that are nowhere at a usual place, hard links, files gone before their turn; 20 new files "
              "a second are compared, others at that pace for 30 s.",
    .needs = FILL_EXEC | FILL_CGROUP,
    .helps = FILL_FILE,
    .on = ON(EXEC) | ON(HASH),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};
