/* An executable whose SHA-256 is on a threat list. At each program start the executable is looked up by device, inode and change time (which, unlike
 * the time of the last write, no user can set); only when it is not known yet, and any list holds hashes, is it hashed, in a worker
 * thread. Category "malware" is MaliciousFileExecuted; every other one, "custom" by default, is MaliciousFileExecuted.Custom.
 *
 * Limits: execution only, not presence, and not what ran before the agent; a script is known by its interpreter; files above 256 MiB are not
 * hashed; a program that ends and whose file is gone before its turn comes is not judged; a file that was changed since it was
 * executed is not hashed as that execution. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define DEADLINE_NS (30 * NS_PER_SECOND)
#define ANSWER_NS (10 * NS_PER_SECOND) /* a question that nobody answers for so long was dropped */
#define TRY_NS (50 * NS_PER_MS)
#define REFUSED_NS (600 * NS_PER_SECOND) /* what could not be hashed is tried again after this */
#define WAYS 4

struct known_file {
    uint64_t dev, ino, ctime_wall_ns; /* ino 0 = free */
    uint64_t used_ns;
    uint64_t refused_ns; /* could not be hashed then; 0 = digest is known */
    uint8_t digest[INTEL_DIGEST_BYTES];
};

struct question {
    uint64_t dev, ino, ctime_wall_ns, time_ns; /* time 0 = free */
};

struct state {
    struct known_file files[LIMIT_HASHES];
    struct question asked[LIMIT_HASH_JOBS];
};

/* ---- known files -------------------------------------------------------------------------------------------------- */

static struct known_file *ways_of(const struct detection *d, struct state *state, uint64_t dev, uint64_t ino)
{
    const uint64_t key[] = { dev, ino };
    return &state->files[hash_bytes(&d->tree->key, key, sizeof key) % (LIMIT_HASHES / WAYS) * WAYS];
}

static struct known_file *file_find(const struct detection *d, struct state *state, const struct image *image, uint64_t now_ns)
{
    struct known_file *ways = ways_of(d, state, image->dev, image->ino);
    for (int i = 0; i < WAYS; i++) {
        struct known_file *f = &ways[i];
        if (f->ino != image->ino || f->dev != image->dev || f->ctime_wall_ns != image->ctime_wall_ns)
            continue;
        if (f->refused_ns && f->refused_ns + REFUSED_NS < now_ns)
            return NULL;
        f->used_ns = now_ns;
        return f;
    }
    return NULL;
}

/* In the place of an older state of the same file, or of what was not used for the longest time. */
static struct known_file *file_add(const struct detection *d, struct state *state, const struct question *q, uint64_t now_ns)
{
    struct known_file *ways = ways_of(d, state, q->dev, q->ino), *place = &ways[0];
    for (int i = 0; i < WAYS; i++) {
        if (ways[i].ino == q->ino && ways[i].dev == q->dev) {
            place = &ways[i];
            break;
        }
        if (ways[i].used_ns < place->used_ns)
            place = &ways[i];
    }
    *place = (struct known_file){ .dev = q->dev, .ino = q->ino, .ctime_wall_ns = q->ctime_wall_ns, .used_ns = now_ns };
    return place;
}

/* ---- judging ------------------------------------------------------------------------------------------------------ */

struct execution {
    struct process *process; /* NULL = gone */
    const struct image *image;
    int32_t container;
    uint64_t time_ns;
    int64_t event_id;
};

static void judge(struct detection *d, const struct known_file *file, const struct execution *x)
{
    struct intel_match match;
    char hex[2 * INTEL_DIGEST_BYTES + 1], path[1024];
    struct text_out out;
    if (file->refused_ns || !d->intel || !intel_lookup_hash(d->intel, file->digest, &match))
        return;
    const struct detector *as = strcmp(match.category, "malware") ? &detector_malicious_custom : &detector_malicious_file;
    for (int i = 0; i < INTEL_DIGEST_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", file->digest[i]);
    text_out_init(&out, path, sizeof path);
    text_escape(&out, image_text(x->image, x->image->exe), x->image->exe.len);
    struct finding *f = detection_begin(d, as, x->process, x->image, x->container, x->time_ns, x->event_id);
    json_t *e = json_object();
    json_object_set_new(e, "path", json_string(path));
    json_object_set_new(e, "sha256", json_string(hex));
    evidence_text(e, "list", match.list, strlen(match.list));
    evidence_text(e, "category", match.category, strlen(match.category));
    finding_printf(f, FT_DESCRIPTION, "%s was executed; its SHA-256 is on the list %s (%s).", path, match.list, match.category);
    detection_end(d, f, hex, e);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static bool is_asked(const struct state *state, const struct image *image, uint64_t now_ns)
{
    for (int i = 0; i < LIMIT_HASH_JOBS; i++) {
        const struct question *q = &state->asked[i];
        if (q->time_ns && q->time_ns + ANSWER_NS > now_ns && q->ino == image->ino && q->dev == image->dev)
            return true;
    }
    return false;
}

static void ask(struct detection *d, struct state *state, const struct pending *p, uint64_t now_ns)
{
    struct question *place = NULL;
    const struct container_facts *c = container_by_id(d->containers, p->container);
    for (int i = 0; i < LIMIT_HASH_JOBS && !place; i++)
        if (!state->asked[i].time_ns || state->asked[i].time_ns + ANSWER_NS <= now_ns)
            place = &state->asked[i];
    if (!place || is_asked(state, p->image, now_ns))
        return;
    struct request request = { .kind = REQUEST_HASH, .pid = p->pid, .container = p->container, .dev = p->image->dev, .ino = p->image->ino,
                               .ctime_wall_ns = p->image->ctime_wall_ns, .root_pid = c ? c->init_pid : 0 };
    if (!text_copy(request.path, sizeof request.path, image_text(p->image, p->image->exe), p->image->exe.len))
        request.path[0] = 0;
    if (detection_request(d, &request))
        *place = (struct question){ .dev = request.dev, .ino = request.ino, .ctime_wall_ns = request.ctime_wall_ns, .time_ns = now_ns };
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    struct state *state = detection_state(d, &detector_malicious_file);
    if (!p->image)
        return 0;
    const struct known_file *file = file_find(d, state, p->image, now_ns);
    if (file) {
        struct execution x = { pending_process(d, p), p->image, p->container, p->time_ns, p->event_id };
        judge(d, file, &x);
        return 0;
    }
    if (now_ns >= p->deadline_ns)
        return 0;
    ask(d, state, p, now_ns);
    return now_ns + TRY_NS;
}

static void take_answer(struct detection *d, const struct detector *self, struct state *state, const struct event *ev)
{
    struct question *q = NULL;
    for (int i = 0; i < LIMIT_HASH_JOBS && !q; i++)
        if (state->asked[i].time_ns && state->asked[i].ino == ev->ino && state->asked[i].dev == ev->dev)
            q = &state->asked[i];
    if (!q || event_knows(ev, F_COUNT)) /* asked by another detector */
        return;
    struct known_file *file = file_add(d, state, q, ev->time_ns);
    if (!event_knows(ev, F_SHA256) || intel_digest_parse(event_text(ev, ev->sha256), ev->sha256.len, file->digest))
        file->refused_ns = ev->time_ns;
    *q = (struct question){ 0 };
    for (int i = 0; i < LIMIT_PENDING; i++) /* those that wait for it, and a place for the next question */
        if (d->pending[i].detector == self)
            d->pending[i].due_ns = ev->time_ns;
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    struct state *state;
    if (s->ev->kind == EVENT_HASH) {
        take_answer(d, self, detection_state(d, self), s->ev);
        return;
    }
    if (s->ev->kind != EVENT_EXEC || !d->intel || !intel_has_hashes(d->intel) || !s->process || !s->process->image ||
        !s->process->image->has_file)
        return;
    state = detection_state(d, self);
    const struct known_file *file = file_find(d, state, s->process->image, s->ev->time_ns);
    if (file) {
        struct execution x = { s->process, s->process->image, s->container ? s->container->id : 0, s->ev->time_ns, s->event_id };
        judge(d, file, &x);
        return;
    }
    struct pending *p = detection_wait(d, self, s, s->ev->time_ns + TRY_NS);
    p->deadline_ns = s->ev->time_ns + DEADLINE_NS;
    ask(d, state, p, s->ev->time_ns);
}

#define ADVICE                                                                                                                    \
    "Stop the task and keep its container. Who brought the file: see the finding NewBinaryExecuted of the same path, or the image it came with. " \
    "Look for the same hash elsewhere: ecsguardctl findings --type '*MaliciousFile*'."

const struct detector detector_malicious_file = {
    .rule = "malicious_file",
    .type = "Execution:Runtime/MaliciousFileExecuted",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0002 T1204.002",
    .title = "A file known as malware was executed",
    .condition = "A process executes a file whose SHA-256 is on a threat list with the category malware. Files are hashed once for each "
                 "device, inode and change time.",
    .limits = "Execution only; scripts are known by their interpreter; files above 256 MiB, and files gone or changed before their "
              "turn, are not hashed.",
    .advice = ADVICE,
    .needs = FILL_EXEC,
    .on = ON(HASH) | ON(EXEC),
    .event = event,
    .due = due,
    .state_bytes = sizeof(struct state),
};

const struct detector detector_malicious_custom = {
    .rule = "malicious_file_custom",
    .type = "Execution:Runtime/MaliciousFileExecuted.Custom",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0002 T1204.002",
    .title = "A file of one of your own lists was executed",
    .condition = "A process executes a file whose SHA-256 is on a threat list with another category than malware (custom by default).",
    .limits = "As for MaliciousFileExecuted.",
    .advice = ADVICE,
    .needs = FILL_EXEC,
};
