/* A shell whose input and output go over the network, told from descriptors, not from command lines:
 *
 *   socket: an inet socket is the shell's standard input or output (bash -i >& /dev/tcp/..., python dup2, nc -e);
 *   pty:    the shell is on a terminal whose other end is held by a process with an outbound connection (python pty.spawn, socat pty);
 *   fifo:   pipes lead from the shell to a process with an outbound connection and from one back (mkfifo f; cat f | sh | nc).
 *
 * Sockets do not say who opened the connection; an ephemeral local port means outbound. Remote administration that looks the same
 * (ECS Exec, SSM Session Manager) is recognised by its host-owned executable.
 *
 * Limits: a shell that opens its socket after it was started and does not hand it to another shell (exec 0<>/dev/tcp/...); a program that
 * holds the shell's pipes at descriptors above 2 and copies the data itself (proc_open, Popen with pipes, node's spawn); more than
 * one process between the shell and the connection. */
#include <stdio.h>
#include <string.h>

#include "agent/detect/detector.h"
#include "common/clock.h"
#include "common/text.h"

enum stage { STAGE_PTY, STAGE_PTY_PARENT, STAGE_PIPES };

#define PTY_ASK_NS (5 * NS_PER_MS)
#define PTY_DEADLINE_NS (3 * NS_PER_SECOND)
#define PIPES_DEADLINE_NS (10 * NS_PER_SECOND) /* nc connects when the other side answers */
#define PIPES_ASK_NS (40 * NS_PER_MS)

static bool is_pipe(const char *link)
{
    return text_has_prefix(link, "pipe:[");
}

static bool is_pty(const char *link)
{
    return text_has_prefix(link, "/dev/pts/") || text_has_prefix(link, "/pts/");
}

/* A path that may be a fifo: the link does not tell, what it is connected to does. */
static bool is_path(const char *link)
{
    static const char *const devices[] = { "/dev/pts/", "/pts/", "/dev/tty", "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                           "/dev/urandom", "/dev/console" };
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        if (text_has_prefix(link, devices[i]))
            return false;
    return link[0] == '/';
}

static void report(struct detection *d, const struct detector *self, const struct process *shell, const struct image *image, int32_t container,
                   uint64_t time_ns, int64_t event_id, const char *form, const struct held_socket *socket, const struct process *holder)
{
    char peer[46], key[LIMIT_PATH_BYTES + 128];
    address_format(&socket->peer, peer);
    struct finding *f = detection_begin(d, self, shell, image, container, time_ns, event_id);
    json_t *e = json_object();
    json_object_set_new(e, "form", json_string(form));
    json_object_set_new(e, "socket", evidence_socket(socket));
    json_object_set_new(e, "direction", json_string(socket_is_outbound(socket) ? "outbound" : "inbound"));
    evidence_text(e, "stdin", image_text(image, image->stdin_link), image->stdin_link.len);
    evidence_text(e, "stdout", image_text(image, image->stdout_link), image->stdout_link.len);
    evidence_text(e, "stderr", image_text(image, image->stderr_link), image->stderr_link.len);
    if (holder && holder != shell)
        json_object_set_new(e, "connection_held_by", evidence_process(d, holder));
    finding_printf(f, FT_DESCRIPTION, "A shell's input and output go over the network (%s): connection %s %s port %u%s%s.", form,
                   socket_is_outbound(socket) ? "to" : "with", peer, socket->peer_port, holder && holder != shell ? ", held by " : "",
                   holder && holder != shell ? holder->comm : "");
    /* a loop that reconnects is one matter; another shell or another peer is another */
    snprintf(key, sizeof key, "%s\n%s:%u", image_text(image, image->exe), peer, socket->peer_port);
    detection_end(d, f, key, e);
}

/* ---- a socket as standard input or output ------------------------------------------------------------------------- */

static bool socket_form(struct detection *d, const struct detector *self, const struct step *s)
{
    const struct event *ev = s->ev;
    if (!event_knows(ev, F_PROTO) || !event_knows(ev, F_FD))
        return false;
    struct held_socket held = { .fd = ev->fd, .proto = ev->proto, .tcp_state = ev->tcp_state, .local = ev->src, .peer = ev->dst,
                                .local_port = ev->sport, .peer_port = ev->dport };
    if (!socket_is_connected(&held))
        return false;
    report(d, self, s->process, s->process->image, s->container ? s->container->id : 0, ev->time_ns, s->event_id, "socket", &held, s->process);
    return true;
}

/* ---- a pty whose master is held by a process with a connection ---------------------------------------------------- */

/* The session workers of ECS Exec and SSM: on the host by name, in a container only if the file is a mount from the host. */
static bool is_remote_admin(const struct detection *d, const struct process *p)
{
    const char *exe = process_exe(p);
    bool named = text_has_suffix(exe, "/ssm-session-worker") || text_has_suffix(exe, "/amazon-ssm-agent");
    if (!named)
        return false;
    const struct container_facts *c = container_by_id(d->containers, p->container);
    if (!c)
        return image_is_system(p->image);
    return (text_has_prefix(exe, "/ecs-execute-command-") && p->image->has_file && c->root_dev && p->image->dev != c->root_dev);
}

/* The holder serves this one outbound connection. A web terminal or an application server has connections of its clients too, and a
 * login service inbound ones only. */
static const struct held_socket *outbound_of(const struct pending *p)
{
    const struct held_socket *found = NULL;
    for (int i = 0; i < p->n_sockets; i++) {
        if (!socket_is_connected(&p->sockets[i]))
            continue;
        if (!socket_is_outbound(&p->sockets[i]))
            return NULL;
        found = &p->sockets[i];
    }
    return found;
}

/* When there is room for no more questions in this step: false, ask again. */
static bool ask(struct detection *d, struct pending *p, int32_t pid)
{
    struct request request = { .kind = REQUEST_SOCKETS, .pid = pid };
    p->answered = false;
    p->n_sockets = 0;
    p->asked_pid = detection_request(d, &request) ? pid : 0;
    return p->asked_pid != 0;
}

static uint64_t due_pty(struct detection *d, struct pending *p, uint64_t now_ns)
{
    struct process *shell = pending_process(d, p), *holder = p->asked_pid ? proctree_find(d->tree, p->asked_pid) : NULL;
    if (p->answered) {
        const struct held_socket *socket = holder && !is_remote_admin(d, holder) ? outbound_of(p) : NULL;
        if (socket) {
            report(d, p->detector, shell, p->image, p->container, p->time_ns, p->event_id, "pty", socket, holder);
            return 0;
        }
        /* socat and others fork: the grandparent may hold the connection */
        struct process *next = holder && p->stage == STAGE_PTY ? proctree_parent(d->tree, holder) : NULL;
        if (!next || next->container != holder->container || is_remote_admin(d, holder))
            return 0;
        if (!ask(d, p, next->pid))
            return now_ns + PTY_ASK_NS;
        p->stage = STAGE_PTY_PARENT;
        return now_ns + PTY_DEADLINE_NS;
    }
    if (now_ns >= p->deadline_ns)
        return 0;
    struct process *parent = shell ? proctree_parent(d->tree, shell) : NULL;
    if (p->asked_pid || !parent)
        return p->deadline_ns;
    return ask(d, p, parent->pid) ? p->deadline_ns : now_ns + PTY_ASK_NS;
}

/* ---- pipes to and from the network -------------------------------------------------------------------------------- */

static uint64_t link_hash(const struct detection *d, const char *link)
{
    return is_pipe(link) || is_path(link) ? hash_bytes(&d->tree->key, link, strlen(link)) | 1 : 0;
}

static void note_pipe_ends(struct detection *d, const struct process *p)
{
    uint64_t in = link_hash(d, image_text(p->image, p->image->stdin_link)), out = link_hash(d, image_text(p->image, p->image->stdout_link));
    if (in || out)
        d->pipe_ends[d->n_pipe_ends++ % LIMIT_PIPE_ENDS] = (struct pipe_end){ in, out, p->pid };
}

/* Who lately started with this pipe or file as its standard input (or output). */
static struct process *find_by_stdio(struct detection *d, const char *link, bool by_stdin, const struct process *not_this)
{
    uint64_t hash = link_hash(d, link);
    for (uint32_t i = 0; hash && i < LIMIT_PIPE_ENDS && i < d->n_pipe_ends; i++) {
        const struct pipe_end *end = &d->pipe_ends[(d->n_pipe_ends - 1 - i) % LIMIT_PIPE_ENDS];
        if ((by_stdin ? end->in_hash : end->out_hash) != hash)
            continue;
        struct process *p = proctree_find(d->tree, end->pid);
        if (p && p != not_this && p->image &&
            !strcmp(link, image_text(p->image, by_stdin ? p->image->stdin_link : p->image->stdout_link)))
            return p;
    }
    return NULL;
}

static bool argv_names(const struct image *image, const char *path)
{
    const char *argv = image_text(image, image->cmdline), *end = argv + image->cmdline.len;
    for (; argv < end; argv += strlen(argv) + 1)
        if (!strcmp(argv, path) || (text_has_suffix(path, argv) && strlen(argv) > 1))
            return true;
    return false;
}

/* Does what `relay` writes come back to the shell's standard input? Through a fifo that the shell (or a cat before it) reads. */
static bool leads_back(struct detection *d, const struct process *shell, const struct image *image, const struct process *relay)
{
    const char *in = image_text(image, image->stdin_link), *out = image_text(relay->image, relay->image->stdout_link);
    if (!strcmp(in, out))
        return is_path(in) || is_pipe(in); /* coproc: both ends straight to the relay */
    if (!is_path(out))
        return false;
    struct process *feeder = is_pipe(in) ? find_by_stdio(d, in, false, shell) : NULL;
    return feeder && (argv_names(feeder->image, out) || !strcmp(image_text(feeder->image, feeder->image->stdin_link), out));
}

static uint64_t due_pipes(struct detection *d, struct pending *p, uint64_t now_ns)
{
    struct process *shell = pending_process(d, p), *relay = p->asked_pid ? proctree_find(d->tree, p->asked_pid) : NULL;
    if (p->answered && relay) {
        p->answered = false;
        for (int i = 0; i < p->n_sockets; i++)
            if (socket_is_connected(&p->sockets[i])) {
                report(d, p->detector, shell, p->image, p->container, p->time_ns, p->event_id, "fifo", &p->sockets[i], relay);
                return 0;
            }
        /* not connected yet: ask again later */
        return now_ns < p->deadline_ns ? now_ns + 5 * PIPES_ASK_NS : 0;
    }
    if (now_ns >= p->deadline_ns || !shell || shell->exit_ns)
        return 0;
    relay = find_by_stdio(d, image_text(p->image, p->image->stdout_link), true, shell);
    if (relay && leads_back(d, shell, p->image, relay))
        ask(d, p, relay->pid);
    else if (now_ns > p->time_ns + NS_PER_SECOND)
        return 0; /* an ordinary pipeline */
    return now_ns + 2 * PIPES_ASK_NS;
}

static uint64_t due(struct detection *d, struct pending *p, uint64_t now_ns)
{
    return p->stage == STAGE_PIPES ? due_pipes(d, p, now_ns) : due_pty(d, p, now_ns);
}

static void event(struct detection *d, const struct detector *self, const struct step *s)
{
    if (!s->process || !s->process->image)
        return;
    note_pipe_ends(d, s->process);
    if (!image_is_shell(s->process->image) || socket_form(d, self, s))
        return;
    const struct image *image = s->process->image;
    const char *in = image_text(image, image->stdin_link), *out = image_text(image, image->stdout_link);
    if (is_pty(in)) {
        struct process *parent = proctree_parent(d->tree, s->process);
        const struct image *starter = image_then(d, parent);
        if (!parent || image_is_shell(starter) || image_is_runtime(starter))
            return; /* a shell from a shell is decided at the first one; the runtime's terminal is docker exec -t */
        struct pending *p = detection_wait(d, self, s, s->ev->time_ns + PTY_ASK_NS);
        p->stage = STAGE_PTY;
        p->deadline_ns = s->ev->time_ns + PTY_DEADLINE_NS;
    } else if ((is_pipe(in) || is_path(in)) && is_pipe(out)) {
        struct pending *p = detection_wait(d, self, s, s->ev->time_ns + PIPES_ASK_NS);
        p->stage = STAGE_PIPES;
        p->deadline_ns = s->ev->time_ns + PIPES_DEADLINE_NS;
    }
}

const struct detector detector_reverse_shell = {
    .rule = "reverse_shell",
    .type = "Execution:Runtime/ReverseShell",
    .severity = SEVERITY_HIGH,
    .mitre = "TA0002 T1059.004 TA0011 T1071",
    .title = "A shell is connected to the network",
    .advice = "Somebody may be typing in it now. Stop the task or cut its network, keep the container for analysis, and read what the shell ran: "
              "ecsguardctl events --container ID. How did its parent come to start it?",
    .condition = "A shell has a connected inet socket as standard input or output, or is on a terminal whose other end is held by a process with one "
                 "outbound connection, or its pipes lead to and from such a process. ECS Exec and SSM sessions are told apart by their executable.",
    .limits = "Not seen: a shell that opens its socket itself after it was started (exec 0<>/dev/tcp/...), a program that holds the shell's pipes above "
              "descriptor 2 and copies the data, more than one process between shell and connection.",
    .needs = FILL_EXEC,
    .on = ON(EXEC),
    .event = event,
    .due = due,
};
