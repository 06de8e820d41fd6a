/* A command line with the credentials path of another task. The path is all that is needed to get a task's keys (they are served to whoever names
 * it), and a task has its own in its environment. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/text.h"

#define ID_BYTES 48
#define PATH "/v2/credentials"
#define VARIABLE "AWS_CONTAINER_CREDENTIALS_"

/* The ids that environments of a container's processes have shown, the latest. */
struct known {
    int32_t container; /* 0 = free */
    char id[ID_BYTES];
};

struct state {
    struct known known[LIMIT_CREDENTIAL_PATHS]; /* a circle */
    uint32_t n;
};

static bool is_id_letter(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

/* The id behind the path in `text`: "/v2/credentials/ID" or "?id=ID". False without one of at least 8 letters. */
static bool find_id(const char *text, size_t size, char id[ID_BYTES])
{
    const char *at = memmem(text, size, PATH, strlen(PATH)), *end = text + size;
    size_t n = 0;
    if (!at)
        return false;
    at += strlen(PATH);
    if (end - at > 4 && !memcmp(at, "?id=", 4))
        at += 4;
    else if (at < end && *at == '/')
        at++;
    while (at < end && n < ID_BYTES - 1 && is_id_letter(*at))
        id[n++] = *at++;
    id[n] = 0;
    return n >= 8;
}

static const struct known *known_of(const struct state *state, int32_t container)
{
    for (int i = 0; i < LIMIT_CREDENTIAL_PATHS; i++)
        if (state->known[i].container == container)
            return &state->known[i];
    return NULL;
}

static void learn(struct state *state, int32_t container, const char *id)
{
    if (known_of(state, container))
        return;
    struct known *k = &state->known[state->n++ % LIMIT_CREDENTIAL_PATHS];
    k->container = container;
    text_copy(k->id, sizeof k->id, id, strlen(id));
}

/* The variable's value in an environment. */
static bool own_id(const struct event *ev, char id[ID_BYTES])
{
    const char *env = event_text(ev, ev->environ);
    const char *at = memmem(env, ev->environ.len, VARIABLE, strlen(VARIABLE));
    return at && find_id(at, strnlen(at, (size_t)(env + ev->environ.len - at)), id);
}

/* Long environments are cut down to the loader's variables: then nothing can be said. */
static bool environ_is_whole(const struct event *ev)
{
    const char *at = event_text(ev, ev->environ), *end = at + ev->environ.len;
    for (; at < end; at += strlen(at) + 1)
        if (!text_has_prefix(at, "LD_"))
            return true;
    return false;
}

static void report(struct detection *d, const struct detector *self, const struct step *s, const char *id, const char *own)
{
    char key[ID_BYTES + 16];
    struct finding *f = detection_begin(d, self, s->process, s->process->image, s->container->id, s->ev->time_ns, s->event_id);
    json_t *e = json_object();
    finding_printf(f, FT_DESCRIPTION, "%s was started with the credentials path of %s: %.8s..., %s.", s->process->comm, "another task", id,
                   own[0] ? "its container has another one" : "its container has none");
    evidence_text(e, "id_begins", id, 8);
    json_object_set_new(e, "container_has_own", json_boolean(own[0] != 0));
    snprintf(key, sizeof key, "credentials %s", id);
    detection_end(d, f, key, e);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    char id[ID_BYTES], own[ID_BYTES] = "";
    const struct event *ev = s->ev;
    if ((ev->kind != EVENT_EXEC && ev->kind != EVENT_PROCESS) || !s->container || s->container->role != CONTAINER_ROLE_WORKLOAD || !s->process ||
        !s->process->image)
        return;
    struct state *state = detection_state(d, self);
    const struct known *known = known_of(state, s->container->id);
    if (!known && own_id(ev, own)) {
        learn(state, s->container->id, own);
        known = known_of(state, s->container->id);
    }
    if (ev->kind != EVENT_EXEC || !find_id(event_text(ev, ev->cmdline), ev->cmdline.len, id))
        return;
    if (!own[0] && !own_id(ev, own) && known)
        text_copy(own, sizeof own, known->id, strlen(known->id));
    if (own[0] ? strcmp(own, id) != 0 && (!known || strcmp(known->id, id) != 0) : environ_is_whole(ev))
        report(d, self, s, id, own);
}

const struct detector detector_credential_path = {
    .rule = "other_task_credentials",
    .type = "CredentialAccess:Runtime/TaskCredentialAccess",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0006 T1552.005 TA0008 T1550.001",
    .title = "Credentials of another task were asked for by command",
    .condition = "A program is executed in a container with a path /v2/credentials/ID among its arguments whose ID is not the one that the "
                 "container's environment has in "
                 "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or the whole environment is known and has none.",
    .limits = "Arguments only: what a program asks for by itself is not seen. An environment that is too long to be kept whole says "
              "nothing, unless another process of "
              "the container had a shorter one.",
    .advice = "Who else runs on this host: the path was taken from another task's environment or from the ECS agent's files. "
              "/var/log/ecs/audit.log says whether keys were handed "
              "out; look in CloudTrail for that task role's calls, and replace the other task.",
    .needs = FILL_EXEC | FILL_CGROUP,
    .on = ON(EXEC) | ON(PROCESS),
    .event = event,
    .state_bytes = sizeof(struct state),
};
