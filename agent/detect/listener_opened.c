/* New listeners: a container in which all has settled begins to accept connections. What opens its ports with the container, or again later by the same
 * program, is a service. What does not: a program that was written after the start, runs from memory or has been deleted; netcat and its kind; a shell; an
 * interpreter with its program on the command line; and what somebody put into the container from outside. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "agent/detect/ancestry.h"
#include "agent/detect/network.h"
#include "common/clock.h"
#include "common/text.h"

#define LATE_NS (600 * NS_PER_SECOND)
#define EPHEMERAL_PORT_MIN 32768

enum suspicion { SUSPECT_NOTHING, SUSPECT_NEW, SUSPECT_NO_FILE, SUSPECT_RELAY, SUSPECT_SHELL, SUSPECT_INLINE, SUSPECT_ENTERED };

struct settled {
    uint64_t programs[LIMIT_LISTENING_PROGRAMS]; /* that listen or did, by a hash; 0 = free */
    uint8_t n_programs, next;
};

struct state {
    struct hash_key key;
    struct net_slots slots;
    struct settled of[LIMIT_NET_CONTAINERS];
};

/* ---- programs ----------------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(name, *names))
            return true;
    return false;
}

static bool is_relay(const struct image *image)
{
    static const char *const relays[] = { "nc", "ncat", "netcat", "nc.traditional", "nc.openbsd", "nc.bsd", "socat", "telnetd",
                                          "in.telnetd", "utelnetd", "dropbear",
                                          "pwncat", "chisel", "gost", "frps", "rinetd", "sbd", "cryptcat", "websocat", NULL };
    static const char *const applets[] = { "nc", "netcat", "telnetd", "tcpsvd", "udpsvd", "httpd", "ftpd", "inetd", NULL };
    char name[64];
    image_name(image, name, sizeof name);
    if (is_one_of(name, relays))
        return true;
    if (strcmp(name, "busybox") && strcmp(name, "toybox"))
        return false;
    const char *argv = image_text(image, image->cmdline), *second = strlen(argv) + 1 < image->cmdline.len ? argv + strlen(argv) + 1 : "";
    return is_one_of(text_basename(argv), applets) || is_one_of(second, applets);
}

static bool is_interpreter(const char *name)
{
    static const char *const begins[] = { "python", "pypy", "perl", "ruby", "php", "node", "lua", "tclsh", "awk", "gawk", "mawk" };
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (text_has_prefix(name, begins[i]))
            return true;
    return false;
}

/* Modules that serve files to whoever asks. */
static bool serves_files(const struct image *image)
{
    const char *argv = image_text(image, image->cmdline), *end = argv + image->cmdline.len;
    for (int i = 0; argv < end && i < 4; argv += strlen(argv) + 1, i++)
        if (i && (!strcmp(argv, "http.server") || !strcmp(argv, "SimpleHTTPServer") || !strcmp(argv, "pyftpdlib")))
            return true;
    return false;
}

/* What makes it the same program: its file; of interpreters and shells the arguments too. */
static uint64_t program_hash(const struct state *state, const struct image *image)
{
    char name[64];
    struct hash_key key = state->key;
    image_name(image, name, sizeof name);
    key.k0 ^= image->dev ^ image->ino << 20;
    if (image_is_shell(image) || is_interpreter(name) || is_relay(image))
        key.k1 ^= hash_bytes(&key, image_text(image, image->cmdline), image->cmdline.len);
    return hash_bytes(&key, image_text(image, image->exe), image->exe.len) | 1;
}

static enum suspicion suspicion_of(struct detection *d, const struct step *s)
{
    const struct image *image = s->process ? s->process->image : NULL;
    if (!image)
        return SUSPECT_NOTHING;
    if (image_is_fileless(image))
        return SUSPECT_NO_FILE;
    if (image_is_new_in(d, s->container->id, image))
        return SUSPECT_NEW;
    if (is_relay(image))
        return SUSPECT_RELAY;
    if (image_is_shell(image))
        return SUSPECT_SHELL;
    if (image_is_inline_code(image) || serves_files(image))
        return SUSPECT_INLINE;
    return ancestry_of(d, s->process) == ANCESTRY_ENTERED ? SUSPECT_ENTERED : SUSPECT_NOTHING;
}

static const char *suspicion_text(enum suspicion suspicion)
{
    switch (suspicion) {
    case SUSPECT_NOTHING:
        return "";
    case SUSPECT_NEW:
        return "its program was written after the container started";
    case SUSPECT_NO_FILE:
        return "its program runs from memory or was deleted";
    case SUSPECT_RELAY:
        return "its program serves or relays whatever it is told to";
    case SUSPECT_SHELL:
        return "it is a shell";
    case SUSPECT_INLINE:
        return "its program stands on the command line";
    case SUSPECT_ENTERED:
        return "it was put into the container from outside after the start";
    }
    return "";
}

/* ---- listeners ---------------------------------------------------------------------------------------------------- */

static bool is_known(const struct settled *c, uint64_t program)
{
    for (int i = 0; i < LIMIT_LISTENING_PROGRAMS; i++)
        if (c->programs[i] == program)
            return true;
    return false;
}

static void remember(struct detection *d, struct settled *c, uint64_t program)
{
    if (is_known(c, program))
        return;
    d->n_forgotten += c->programs[c->next] != 0;
    c->programs[c->next] = program;
    c->next = (uint8_t)((c->next + 1) % LIMIT_LISTENING_PROGRAMS);
    if (c->n_programs < LIMIT_LISTENING_PROGRAMS)
        c->n_programs++;
}

static void report(struct detection *d, const struct detector *self, const struct step *s, enum suspicion suspicion, uint64_t age_ns)
{
    const struct event *ev = s->ev;
    const struct image *image = s->process ? s->process->image : NULL;
    struct finding *f = detection_begin(d, self, s->process, image, s->container->id, ev->time_ns, s->event_id);
    json_t *e = json_object();
    char name[64] = "", key[192];
    image_name(image, name, sizeof name);
    evidence_address(e, "address", &ev->src, ev->sport);
    json_object_set_new(e, "protocol", json_string(ip_proto_name(ev->proto)));
    if (age_ns)
        json_object_set_new(e, "seconds_after_start", json_integer((json_int_t)(age_ns / NS_PER_SECOND)));
    json_object_set_new(e, "process_known", json_boolean(image != NULL));
    if (suspicion != SUSPECT_NOTHING) {
        json_object_set_new(e, "why", json_string(suspicion_text(suspicion)));
        f->severity = SEVERITY_MEDIUM;
    }
    finding_printf(f, FT_DESCRIPTION, "%s began to listen on %s port %u%s%s%s.",
                   s->process ? s->process->comm : "A process (not identified)", ip_proto_name(ev->proto),
                   ev->sport, address_is_loopback(&ev->src) ? " of the loopback address" : "", suspicion ? ": " : "", suspicion_text(suspicion));
    snprintf(key, sizeof key, "%s %u %s", ip_proto_name(ev->proto), ev->sport, name);
    detection_end(d, f, key, e);
}

/* How long after its container's start; 0 = not known. */
static uint64_t age_of(const struct detection *d, const struct step *s)
{
    uint64_t wall_ns = s->ev->time_ns + (uint64_t)d->wall_offset_ns, started_ns = s->container->started_wall_ns;
    return started_ns && wall_ns > started_ns ? wall_ns - started_ns : 0;
}

/* Sockets without a fixed port wait for answers, or for somebody who was told the port. */
static bool is_for_strangers(const struct event *ev)
{
    return ev->proto == IPPROTO_TCP && ev->sport < EPHEMERAL_PORT_MIN && !address_is_loopback(&ev->src);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    bool fresh;
    if (ev->listen_phase == LISTEN_END || !s->container)
        return;
    struct state *state = detection_state(d, self);
    if (!state->key.k0)
        state->key = hash_key_random();
    int at = net_slots_take(d, &state->slots, net_scope(s), ev->time_ns, &fresh);
    struct settled *c = &state->of[at];
    if (fresh)
        memset(c, 0, sizeof *c);
    const struct image *image = s->process ? s->process->image : NULL;
    uint64_t program = image ? program_hash(state, image) : 0, age_ns = age_of(d, s);
    bool known = program && is_known(c, program), first = !c->n_programs;
    if (program)
        remember(d, c, program);
    if (ev->listen_phase != LISTEN_NEW || known || age_ns < d->options.listen_after_ns ||
        (ev->proto == IPPROTO_UDP && ev->sport >= EPHEMERAL_PORT_MIN))
        return;
    enum suspicion suspicion = suspicion_of(d, s);
    if (suspicion == SUSPECT_NOTHING && (first || age_ns < LATE_NS || !is_for_strangers(ev)))
        return;
    report(d, self, s, suspicion, age_ns);
}

const struct detector detector_listener_opened = {
    .rule = "listener_opened",
    .type = "Persistence:Runtime/NewListener",
    .severity = SEVERITY_LOW,
    .mitre = "TA0003 T1205 TA0011 T1571",
    .title = "A container began to accept connections long after it had started",
    .advice = "Who started the program: see its lineage, and ecsguardctl events --container ID. Can the port be reached from outside "
              "(published ports, security groups)? "
              "A service that opens ports on demand: suppress this type for its task family and program.",
    .condition = "In a container at least network.listen_after (60 s) after its start a socket listens that did not before, of a program "
                 "that has not listened in this "
                 "container yet (interpreters and shells: with these arguments). Medium severity: the program was written or changed after "
                 "the start, runs "
                 "from memory or was deleted, is netcat, socat or the like, a shell, an interpreter with its program on the command line "
                 "(or Python's "
                 "http.server), or was put into the container from outside (docker exec). Low severity: any other program, on a TCP port "
                 "below 32768, not of "
                 "the loopback address, at least 10 minutes after the start and when something else has listened before. UDP sockets on "
                 "ports from 32768 on are left out.",
    .limits = "Listeners are looked at in intervals: one that closes sooner is not seen. What listens within the first minute is part of "
              "the service. A listener "
              "by code injected into a service counts as the service. The host itself is not looked at.",
    .needs = FILL_LISTEN | FILL_CGROUP,
    .helps = FILL_EXEC | FILL_FILE,
    .on = ON(LISTEN),
    .event = event,
    .state_bytes = sizeof(struct state),
};
