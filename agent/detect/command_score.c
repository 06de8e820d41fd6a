/* Suspicious command lines. Each program that starts is looked at by its arguments: features of the table in command_features.c add up their
 * weights, and from 50 on the line is reported, low below 70, medium below 100, high from there. The finding's type is that of the class
 * (execution, defence evasion, persistence, privilege escalation) to which most of the score belongs.
 *
 * Looking around is told from a burst: different discovery commands that one session (container and session id; the parent where that is not
 * known) starts within two minutes, by their weights from 60 on and at least four kinds; low; in containers only, because on a host
 * it is mostly an administrator.
 *
 * Left out: lines of programs that show or search text (grep, git, vi, echo, ...) or have commands run elsewhere (docker exec, ssh); what a
 * package manager's scripts do to services and users; what the ECS agent does; firewall rules that the host's dockerd takes away; a line whose parent was just reported for the same features.
 *
 * Limits: commands inside a script file or typed into a running shell are seen one by one as they start, never as a whole, and a shell's own
 * commands (unset HISTFILE) not at all; only the first 4 KiB of a command line are known; other spellings than those in the table exist. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/command_matcher.h"
#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

#define BURST_NS (120 * NS_PER_SECOND)
#define BURST_SCORE 60
#define BURST_KINDS 4
#define NESTED_NS (30 * NS_PER_SECOND)
#define NESTED_DEPTH 4

/* A line that was reported. */
struct recent {
    int32_t pid;
    uint64_t start_ns, time_ns;
    uint64_t features[COMMAND_FEATURES_MAX / 64];
};

/* Discovery commands of one session. */
struct session {
    int32_t container, leader; /* leader: session id, or pid of the parent */
    uint64_t first_ns, last_ns;
    uint64_t kinds[COMMAND_FEATURES_MAX / 64];
    uint32_t score, n_kinds;
};

struct state {
    struct command_matcher *matcher;
    bool failed; /* no memory for it */
    uint64_t ordinary[LIMIT_COMMAND_KNOWN]; /* hashes of lines that score too little and look around for nothing: hosts run the same ones all day */
    struct recent recent[LIMIT_COMMAND_RECENT];
    uint32_t n_recent;
    struct session sessions[LIMIT_COMMAND_SESSIONS];
};

static void state_fini(struct detection *d, void *state)
{
    (void)d;
    command_matcher_free(((struct state *)state)->matcher);
}

static struct state *state_of(struct detection *d)
{
    struct state *state = detection_state(d, &detector_command_execution);
    if (!state->matcher && !state->failed) {
        state->matcher = command_matcher_new();
        state->failed = !state->matcher;
    }
    return state;
}

/* ---- what is not looked at ---------------------------------------------------------------------------------------- */

static bool image_is_one_of(const struct image *image, const char *const *names)
{
    char name[64];
    image_name(image, name, sizeof name);
    for (; *names; names++)
        if (!strcmp(name, *names))
            return true;
    return false;
}

static bool shows_text(const struct image *image)
{
    static const char *const names[] = { "grep", "egrep", "fgrep", "rg", "ag", "git", "vi", "vim", "vim.basic", "nano", "less", "more",
                                         "man", "echo",
                                         "printf", "logger", "jq", "head", "tail", "diff", "ecsguardctl", NULL };
    return image_is_one_of(image, names);
}

/* Clients that have commands run elsewhere: they are looked at there. What is left is a container that is started with the host in it. */
static bool runs_elsewhere(const struct image *image)
{
    static const char *const names[] = { "docker", "nerdctl", "podman", "ctr", "crictl", "kubectl", "aws", "ssh", "session-manager-plugin",
                                         NULL };
    return image_is_one_of(image, names);
}

static bool holds_host(const struct command_score *score)
{
    for (int i = 0; i < n_command_features; i++)
        if (command_has(score, i) && !strcmp(command_features[i].name, "container_with_host"))
            return true;
    return false;
}

static bool in_package_manager(struct detection *d, const struct process *p)
{
    static const char *const names[] = { "dpkg", "dpkg-deb", "apt", "apt-get", "aptitude", "unattended-upgrade", "rpm", "yum", "dnf", "dnf5",
                                         "microdnf", "apk", "zypper", "cloud-init", NULL };
    for (int depth = 0; (p = proctree_parent(d->tree, p)) && depth < LIMIT_LINEAGE; depth++) {
        const struct image *image = image_then(d, p);
        if (image && image_is_system(image) && image_is_one_of(image, names))
            return true;
    }
    return false;
}

/* What the host's Docker or containerd starts itself: dockerd flushes its firewall chains when it starts. A container can give its programs these
 * names, but it cannot be the host. */
static bool is_of_host_runtime(struct detection *d, const struct step *s)
{
    static const char *const names[] = { "dockerd", "containerd", NULL };
    const struct process *parent = proctree_parent(d->tree, s->process);
    const struct image *image = image_then(d, parent);
    return !s->container && image && !parent->container && image_is_system(image) && image_is_one_of(image, names);
}

static unsigned left_out(struct detection *d, const struct step *s)
{
    const unsigned upkeep = 1u << COMMAND_DEFENSE_EVASION | 1u << COMMAND_PERSISTENCE | 1u << COMMAND_PRIVILEGE_ESCALATION;
    bool is_agent = s->container && s->container->role == CONTAINER_ROLE_ECS_AGENT;
    if (is_agent || in_package_manager(d, s->process))
        return upkeep;
    return is_of_host_runtime(d, s) ? 1u << COMMAND_DEFENSE_EVASION : 0;
}

/* sudo sh -c X, sh -c "bash -c X": one matter. */
static bool was_reported(struct detection *d, struct state *state, const struct process *p, const struct command_score *score, uint64_t now_ns)
{
    for (int depth = 0; p && depth < NESTED_DEPTH; depth++, p = proctree_parent(d->tree, p))
        for (int i = 0; i < LIMIT_COMMAND_RECENT; i++) {
            const struct recent *r = &state->recent[i];
            bool covers = true;
            for (int w = 0; w < COMMAND_FEATURES_MAX / 64; w++)
                covers &= !(score->features[w] & ~r->features[w]);
            if (r->pid == p->pid && r->start_ns == p->start_ns && r->time_ns + NESTED_NS > now_ns && covers)
                return true;
        }
    return false;
}

static void note_reported(struct state *state, const struct process *p, const struct command_score *score, uint64_t now_ns)
{
    struct recent *r = &state->recent[state->n_recent++ % LIMIT_COMMAND_RECENT];
    *r = (struct recent){ .pid = p->pid, .start_ns = p->start_ns, .time_ns = now_ns };
    memcpy(r->features, score->features, sizeof r->features);
}

/* ---- one line ----------------------------------------------------------------------------------------------------- */

static enum severity severity_of(uint32_t score)
{
    return score >= COMMAND_SCORE_HIGH ? SEVERITY_HIGH : score >= COMMAND_SCORE_MEDIUM ? SEVERITY_MEDIUM : SEVERITY_LOW;
}

static json_t *features_json(const uint64_t *features, struct text_out *names, const char *key)
{
    json_t *list = json_array();
    for (int i = 0; i < n_command_features; i++) {
        if (!(features[i / 64] >> (i % 64) & 1))
            continue;
        const struct command_feature *f = &command_features[i];
        json_t *o = json_object();
        json_object_set_new(o, "feature", json_string(f->name));
        json_object_set_new(o, "weight", json_integer(f->weight));
        json_object_set_new(o, "meaning", json_string(f->what));
        json_array_append_new(list, o);
        text_out_printf(names, "%s%s", names->length ? ", " : "", !strcmp(key, "feature") ? f->name : f->what);
    }
    return list;
}

static const struct detector *detector_of(enum command_class class)
{
    switch (class) {
    case COMMAND_DEFENSE_EVASION:
        return &detector_command_evasion;
    case COMMAND_PERSISTENCE:
        return &detector_command_persistence;
    case COMMAND_PRIVILEGE_ESCALATION:
        return &detector_command_privilege;
    case COMMAND_DISCOVERY:
        return &detector_command_discovery;
    case COMMAND_EXECUTION:
    case COMMAND_CONTEXT:
        break;
    }
    return &detector_command_execution;
}

static void report_line(struct detection *d, const struct step *s, const struct command_score *score)
{
    char names[2048], meanings[4096], key[LIMIT_PATH_BYTES + 2048];
    struct text_out list, words;
    const struct image *image = s->process->image;
    struct detector as = *detector_of(score->class);
    as.severity = severity_of(score->total);
    text_out_init(&list, names, sizeof names);
    text_out_init(&words, meanings, sizeof meanings);
    json_decref(features_json(score->features, &words, "meaning"));
    struct finding *f = detection_begin(d, &as, s->process, image, s->container ? s->container->id : 0, s->ev->time_ns, s->event_id);
    json_t *e = json_object();
    json_object_set_new(e, "score", json_integer(score->total));
    json_object_set_new(e, "reported_from", json_integer(COMMAND_SCORE_LOW));
    json_object_set_new(e, "features", features_json(score->features, &list, "feature"));
    if (score->limited)
        json_object_set_new(e, "made_to_be_slow", json_true());
    finding_printf(f, FT_DESCRIPTION, "A command line scores %u (reported from %d): %s.", score->total, COMMAND_SCORE_LOW, meanings);
    snprintf(key, sizeof key, "%s\n%s", image_text(image, image->exe), names);
    detection_end(d, f, key, e);
}

/* ---- looking around ----------------------------------------------------------------------------------------------- */

static struct session *session_of(struct state *state, const struct process *p, uint64_t now_ns)
{
    int32_t leader = p->sid ? p->sid : p->ppid;
    struct session *oldest = &state->sessions[0];
    for (int i = 0; i < LIMIT_COMMAND_SESSIONS; i++) {
        struct session *s = &state->sessions[i];
        if (s->first_ns && s->container == p->container && s->leader == leader && s->first_ns + BURST_NS > now_ns)
            return s;
        if (s->last_ns < oldest->last_ns)
            oldest = s;
    }
    *oldest = (struct session){ .container = p->container, .leader = leader, .first_ns = now_ns };
    return oldest;
}

static void report_burst(struct detection *d, const struct step *s, const struct session *burst)
{
    char meanings[4096], key[64];
    struct text_out words;
    text_out_init(&words, meanings, sizeof meanings);
    struct finding *f = detection_begin(d, &detector_command_discovery, s->process, s->process->image, s->container->id, s->ev->time_ns,
                                        s->event_id);
    json_t *e = json_object();
    json_object_set_new(e, "score", json_integer(burst->score));
    json_object_set_new(e, "reported_from", json_integer(BURST_SCORE));
    json_object_set_new(e, "seconds", json_integer((json_int_t)((s->ev->time_ns - burst->first_ns) / NS_PER_SECOND)));
    json_object_set_new(e, "features", features_json(burst->kinds, &words, "meaning"));
    finding_printf(f, FT_DESCRIPTION, "One session asked within %llu seconds: %s.",
                   (unsigned long long)((s->ev->time_ns - burst->first_ns) / NS_PER_SECOND + 1), meanings);
    snprintf(key, sizeof key, "%d", burst->leader);
    detection_end(d, f, key, e);
}

static void note_discovery(struct detection *d, struct state *state, const struct step *s, int kind)
{
    struct session *burst = session_of(state, s->process, s->ev->time_ns);
    bool before = burst->score >= BURST_SCORE && burst->n_kinds >= BURST_KINDS;
    burst->last_ns = s->ev->time_ns;
    if (burst->kinds[kind / 64] >> (kind % 64) & 1)
        return;
    burst->kinds[kind / 64] |= 1ull << (kind % 64);
    burst->score += command_features[kind].weight;
    burst->n_kinds++;
    if (!before && burst->score >= BURST_SCORE && burst->n_kinds >= BURST_KINDS)
        report_burst(d, s, burst);
}

/* ---- the detectors ------------------------------------------------------------------------------------------------ */

/* The arguments joined by blanks; the command by its name without the directory. */
static size_t join(const struct image *image, char *line, size_t size)
{
    const char *argv = image_text(image, image->cmdline);
    size_t n = image->cmdline.len;
    const char *name = text_basename(argv);
    size_t skip = n && name < argv + n ? (size_t)(name - argv) : 0;
    n -= skip;
    n = n < size ? n : size - 1;
    memcpy(line, argv + skip, n);
    while (n && !line[n - 1])
        n--;
    for (size_t i = 0; i < n; i++)
        if (!line[i])
            line[i] = ' ';
    line[n] = 0;
    return n;
}

/* Notes what a command that looks around asked for. True if it is one. */
static bool look_around(struct detection *d, struct state *state, const struct step *s, const char *line, size_t n)
{
    int kind = command_discovery(state->matcher, line, n);
    if (kind < 0)
        return false;
    if (s->container && !image_is_shell(s->process->image) && detection_has_room(d) && !in_package_manager(d, s->process))
        note_discovery(d, state, s, kind);
    return true;
}

static void judge(struct detection *d, struct state *state, const struct step *s, const char *line, size_t n, uint64_t hash)
{
    struct command_score score;
    bool looks = look_around(d, state, s, line, n);
    bool found = command_score_line(state->matcher, line, n, 0, &score) && score.total >= COMMAND_SCORE_LOW;
    if (!found && !looks)
        state->ordinary[hash % LIMIT_COMMAND_KNOWN] = hash;
    if (!found || shows_text(s->process->image) || (runs_elsewhere(s->process->image) && !holds_host(&score)) || !detection_has_room(d))
        return;
    unsigned leave_out = left_out(d, s);
    if (leave_out && (!command_score_line(state->matcher, line, n, leave_out, &score) || score.total < COMMAND_SCORE_LOW))
        return;
    if (was_reported(d, state, s->process, &score, s->ev->time_ns))
        return;
    report_line(d, s, &score);
    note_reported(state, s->process, &score, s->ev->time_ns);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    char line[LIMIT_CMDLINE_BYTES + 1];
    (void)self;
    if (!s->process || !s->process->image || !s->process->image->cmdline.len)
        return;
    struct state *state = state_of(d);
    if (!state->matcher || image_is_runtime(s->process->image))
        return;
    size_t n = join(s->process->image, line, sizeof line);
    uint64_t hash = hash_bytes(&d->tree->key, line, n);
    if (state->ordinary[hash % LIMIT_COMMAND_KNOWN] != hash)
        judge(d, state, s, line, n, hash);
}

#define ADVICE                                                                                                                            \
    "Who started it: an entrypoint, a deployment, a person, or a service that should start no commands? The lineage says. See what it did next: " \
    "ecsguardctl events --pid PID. A command of your own: suppress it by its exe or cmdline."

/* One looks at the lines for all; the others lend type and words. */
const struct detector detector_command_execution = {
    .rule = "suspicious_command",
    .type = "Execution:Runtime/SuspiciousCommand",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0002 T1059.004",
    .title = "A command line runs code in a suspicious way",
    .condition = "The features of a command line (table in the source: downloads run unseen, decoded or obfuscated code, shells tied to "
                 "the network, hidden files in /tmp, ...) add up to 50 (low), 70 (medium) or 100 (high), most of it for execution.",
    .limits = "Commands of a script file or of a running shell are seen one by one as they start, a shell's own ones not at all; the "
              "first 4 KiB of a line.",
    .advice = ADVICE,
    .needs = FILL_EXEC,
    .on = ON(EXEC),
    .event = event,
    .state_bytes = sizeof(struct state),
    .state_fini = state_fini,
};

const struct detector detector_command_evasion = {
    .rule = "suspicious_command_evasion",
    .type = "DefenseEvasion:Runtime/SuspiciousCommand",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0005 T1562 T1070",
    .title = "A command weakens a defence or removes traces",
    .condition = "As for Execution:Runtime/SuspiciousCommand, most of the score for: firewall, SELinux, AppArmor, audit or security "
                 "services off, logs or history removed, ld.so.preload. Not: scripts of package managers, the ECS agent, what the host's "
                 "dockerd or containerd starts itself.",
    .limits = "As for Execution:Runtime/SuspiciousCommand.",
    .advice = ADVICE,
    .needs = FILL_EXEC,
};

const struct detector detector_command_persistence = {
    .rule = "suspicious_command_persistence",
    .type = "Persistence:Runtime/SuspiciousCommand",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0003 T1053.003 T1098 T1136",
    .title = "A command leaves a way to come back",
    .condition = "As for Execution:Runtime/SuspiciousCommand, most of the score for: crontabs, units, start-up and login scripts, ssh "
                 "keys, users and passwords. Not: scripts of package managers, the ECS agent.",
    .limits = "As for Execution:Runtime/SuspiciousCommand.",
    .advice = ADVICE,
    .needs = FILL_EXEC,
};

const struct detector detector_command_privilege = {
    .rule = "suspicious_command_privilege",
    .type = "PrivilegeEscalation:Runtime/SuspiciousCommand",
    .severity = SEVERITY_MEDIUM,
    .mitre = "TA0004 T1548 T1611",
    .title = "A command reaches for more rights",
    .condition = "As for Execution:Runtime/SuspiciousCommand, most of the score for: powerful groups, sudoers, setuid bits, "
                 "capabilities, the host's namespaces or file system, release_agent, core_pattern. Not: scripts of package managers, the "
                 "ECS agent.",
    .limits = "As for Execution:Runtime/SuspiciousCommand.",
    .advice = ADVICE,
    .needs = FILL_EXEC,
};

const struct detector detector_command_discovery = {
    .rule = "suspicious_command_discovery",
    .type = "Discovery:Runtime/SuspiciousCommand",
    .severity = SEVERITY_LOW,
    .mitre = "TA0007 T1082 T1033 T1087",
    .title = "A session looks around as an intruder would",
    .condition = "One session in a container runs at least four kinds of commands that look around (who am I, users, processes, network, "
                 "credentials of the task, ...) within two minutes, with weights of 60 or more in sum.",
    .limits = "Containers only; what a shell asks without starting a program is not seen.",
    .advice = ADVICE,
    .needs = FILL_EXEC,
};
