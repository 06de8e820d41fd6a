#include "agent/detect/detector.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define EPHEMERAL_PORT_MIN 32768
#define LINEAGE_BYTES 8192
#define LINEAGE_EXE 512
#define TCP_STATE_LISTEN 10

extern const struct detector detector_new_binary, detector_fileless, detector_reverse_shell, detector_elevation, detector_ptrace,
    detector_proc_mem, detector_c2;

const struct detector *const detectors[] = {
    &detector_new_binary, &detector_fileless, &detector_reverse_shell, &detector_elevation,
    &detector_ptrace,     &detector_proc_mem, &detector_c2,            NULL,
};

int detection_init(struct detection *d)
{
    d->findings = calloc(LIMIT_OUTCOME_FINDINGS, sizeof *d->findings);
    return d->findings ? 0 : -ENOMEM;
}

void detection_fini(struct detection *d)
{
    free(d->findings);
    d->findings = NULL;
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

static void pending_free(struct detection *d, struct pending *p)
{
    image_release(d->tree, p->image);
    memset(p, 0, sizeof *p);
}

void detection_decide(struct detection *d, struct pending *p, uint64_t now_ns)
{
    uint64_t next = p->detector->due(d, p, now_ns);
    if (next)
        p->due_ns = next;
    else
        pending_free(d, p);
}

/* Each detector has its share: a flood of one kind cannot force the decisions of the others. */
static struct pending *pending_slot(struct detection *d, const struct detector *self, uint64_t now_ns)
{
    struct pending *oldest = NULL, *unused = NULL;
    int n = 0;
    for (int i = 0; i < LIMIT_PENDING; i++) {
        struct pending *p = &d->pending[i];
        if (!p->detector)
            unused = p;
        else if (p->detector == self && ++n && (!oldest || p->time_ns < oldest->time_ns))
            oldest = p;
    }
    if (unused && n < LIMIT_PENDING_EACH)
        return unused;
    d->n_forced++;
    oldest->deadline_ns = now_ns;
    detection_decide(d, oldest, now_ns);
    if (oldest->detector)
        pending_free(d, oldest);
    return oldest;
}

struct pending *detection_wait(struct detection *d, const struct detector *self, const struct step *step, uint64_t due_ns)
{
    struct pending *p = pending_slot(d, self, step->ev->time_ns);
    p->detector = self;
    p->due_ns = due_ns;
    p->time_ns = step->ev->time_ns;
    p->event_id = step->event_id;
    p->container = step->container ? step->container->id : 0;
    if (step->process) {
        p->pid = step->process->pid;
        p->start_ns = step->process->start_ns;
        p->image = step->process->image;
        if (p->image)
            p->image->refs++;
    }
    return p;
}

struct pending *detection_pending(struct detection *d, const struct detector *self, const struct process *process)
{
    for (int i = 0; i < LIMIT_PENDING; i++)
        if (d->pending[i].detector == self && d->pending[i].pid == process->pid && d->pending[i].start_ns == process->start_ns)
            return &d->pending[i];
    return NULL;
}

struct process *pending_process(struct detection *d, const struct pending *p)
{
    struct process *process = p->pid ? proctree_find(d->tree, p->pid) : NULL;
    return process && process->start_ns == p->start_ns ? process : NULL;
}

bool detection_request(struct detection *d, const struct request *request)
{
    if (d->out->n_requests == LIMIT_OUTCOME_REQUESTS)
        return false;
    d->out->requests[d->out->n_requests++] = *request;
    return true;
}

static bool outcome_has_room(const struct detection *d)
{
    return d->out->n_findings < LIMIT_OUTCOME_FINDINGS;
}

bool detection_tick(struct detection *d, uint64_t now_ns)
{
    for (int i = 0; i < LIMIT_PENDING; i++) {
        struct pending *p = &d->pending[i];
        if (!p->detector || p->due_ns > now_ns)
            continue;
        if (!outcome_has_room(d))
            return true;
        detection_decide(d, p, now_ns);
    }
    return false;
}

uint64_t detection_next_due(const struct detection *d)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < LIMIT_PENDING; i++)
        if (d->pending[i].detector && d->pending[i].due_ns < next)
            next = d->pending[i].due_ns;
    return next;
}

/* An answer belongs to the decision that asked: by flow, or by the process whose sockets were asked for. */
static void take_answer(struct detection *d, const struct event *ev)
{
    for (int i = 0; i < LIMIT_PENDING; i++) {
        struct pending *p = &d->pending[i];
        bool by_flow = event_knows(ev, F_FLOW_ID);
        if (!p->detector || (by_flow ? p->flow_id != ev->flow_id : p->flow_id || p->asked_pid != ev->pid))
            continue;
        if (by_flow && event_knows(ev, F_PID))
            p->asked_pid = ev->pid;
        if (event_knows(ev, F_PROTO) && ev->dst.family && p->n_sockets < PENDING_SOCKETS)
            p->sockets[p->n_sockets++] = (struct held_socket){ .fd = ev->fd, .proto = ev->proto, .tcp_state = ev->tcp_state,
                .local = ev->src, .peer = ev->dst, .local_port = ev->sport, .peer_port = ev->dport };
        if (event_knows(ev, F_PROTO) && !by_flow)
            continue; /* more follow; the last one has no socket */
        p->answered = true;
        if (outcome_has_room(d))
            detection_decide(d, p, ev->time_ns);
        else
            p->due_ns = ev->time_ns;
    }
}

void detection_event(struct detection *d, const struct step *step)
{
    if (step->ev->kind == EVENT_SOCKETS)
        take_answer(d, step->ev);
    for (int i = 0; detectors[i]; i++)
        if (detectors[i]->event && outcome_has_room(d))
            detectors[i]->event(d, detectors[i], step);
}

/* ---- findings ----------------------------------------------------------------------------------------------------- */

static json_t *escaped(const char *text, size_t length)
{
    char buf[8192];
    struct text_out out;
    text_out_init(&out, buf, sizeof buf);
    text_escape(&out, text, length);
    return json_stringn(buf, out.length);
}

void evidence_text(json_t *object, const char *key, const char *text, size_t length)
{
    json_object_set_new(object, key, escaped(text, length));
}

void evidence_time(json_t *object, const char *key, uint64_t wall_ns)
{
    char text[32];
    text_time(text, wall_ns);
    json_object_set_new(object, key, json_string(text));
}

void evidence_address(json_t *object, const char *key, const struct address *address, uint16_t port)
{
    char text[46], both[64];
    address_format(address, text);
    snprintf(both, sizeof both, address->family == 6 ? "[%s]:%u" : "%s:%u", text, port);
    json_object_set_new(object, key, json_string(both));
}

json_t *evidence_socket(const struct held_socket *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "fd", json_integer(s->fd));
    json_object_set_new(o, "protocol", s->proto == IPPROTO_TCP ? json_string("tcp") : s->proto == IPPROTO_UDP ? json_string("udp")
                                                                                                           : json_integer(s->proto));
    evidence_address(o, "local", &s->local, s->local_port);
    evidence_address(o, "peer", &s->peer, s->peer_port);
    return o;
}

static void command_line(const struct image *image, char *buf, size_t size)
{
    char line[LIMIT_CMDLINE_BYTES + 512];
    struct text_out raw, out;
    text_out_init(&raw, line, sizeof line);
    text_argv(&raw, image_text(image, image->cmdline), image->cmdline.len);
    text_out_init(&out, buf, size);
    text_escape(&out, line, raw.length);
}

static json_t *process_json(const struct detection *d, const struct process *p, const struct image *image, size_t cmdline_max)
{
    char line[LIMIT_CMDLINE_BYTES * 2];
    json_t *o = json_object();
    json_object_set_new(o, "pid", json_integer(p->pid));
    if (p->start_ns)
        evidence_time(o, "start", p->start_ns + (uint64_t)d->wall_offset_ns);
    if (p->has_ids)
        json_object_set_new(o, "uid", json_integer(p->euid));
    evidence_text(o, "comm", p->comm, strlen(p->comm));
    if (image) {
        evidence_text(o, "exe", image_text(image, image->exe), image->exe.len < LINEAGE_EXE ? image->exe.len : LINEAGE_EXE);
        command_line(image, line, cmdline_max < sizeof line ? cmdline_max : sizeof line);
        json_object_set_new(o, "cmdline", json_string(line));
        json_object_set_new(o, "event", json_integer(image->exec_id));
    }
    const struct container_facts *c = container_by_id(d->containers, p->container);
    json_object_set_new(o, "container", json_string(c ? c->container_id : "host"));
    return o;
}

json_t *evidence_process(const struct detection *d, const struct process *p)
{
    return process_json(d, p, p->image, 1024);
}

static void set_json(struct finding *f, enum finding_text which, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text)
        finding_set(f, which, text, strlen(text));
    free(text);
    json_decref(json);
}

/* Nearest first, as many ancestors as fit into half a finding: the rest is for what was seen. */
static void set_lineage(struct detection *d, struct finding *f, const struct process *p, const struct image *image)
{
    json_t *all = json_array();
    size_t bytes = 0;
    for (int depth = 0; p && depth < LIMIT_LINEAGE && bytes < LINEAGE_BYTES; depth++) {
        json_t *entry = process_json(d, p, depth ? p->image : image, 512);
        bytes += json_dumpb(entry, NULL, 0, JSON_COMPACT);
        json_array_append_new(all, entry);
        p = proctree_parent(d->tree, p);
    }
    set_json(f, FT_LINEAGE, all);
}

struct finding *detection_begin(struct detection *d, const struct detector *self, const struct process *process,
                                const struct image *image, int32_t container, uint64_t time_ns, int64_t event_id)
{
    char line[LIMIT_CMDLINE_BYTES * 2];
    struct finding *f = &d->findings[d->out->n_findings];
    finding_init(f);
    f->severity = (uint8_t)self->severity;
    f->wall_ns = time_ns + (uint64_t)d->wall_offset_ns;
    f->event_id = event_id;
    f->container = container;
    finding_set(f, FT_TYPE, self->type, strlen(self->type));
    finding_set(f, FT_RULE, self->rule, strlen(self->rule));
    finding_set(f, FT_TITLE, self->title, strlen(self->title));
    finding_set(f, FT_ADVICE, self->advice, strlen(self->advice));
    finding_set(f, FT_MITRE, self->mitre, strlen(self->mitre));
    if (image) {
        struct text_out out;
        f->exec_id = image->exec_id;
        text_out_init(&out, line, sizeof line);
        text_escape(&out, image_text(image, image->exe), image->exe.len);
        finding_set(f, FT_EXE, line, out.length);
        command_line(image, line, sizeof line);
        finding_set(f, FT_CMDLINE, line, strlen(line));
    }
    if (process) {
        struct text_out out;
        f->pid = process->pid;
        f->uid = process->euid;
        text_out_init(&out, line, sizeof line);
        text_escape(&out, process->comm, strlen(process->comm));
        finding_set(f, FT_COMM, line, out.length);
        set_lineage(d, f, process, image);
    }
    return f;
}

void detection_end(struct detection *d, struct finding *f, const char *key, json_t *evidence)
{
    const struct container_facts *c = container_by_id(d->containers, f->container);
    set_json(f, FT_EVIDENCE, evidence);
    finding_identify(f, c ? c->container_id : "host", key);
    d->out->findings[d->out->n_findings++] = f;
}

/* ---- words about processes ---------------------------------------------------------------------------------------- */

void image_name(const struct image *image, char *out, size_t size)
{
    out[0] = 0;
    if (!image || !image->exe.len)
        return;
    text_copy(out, size, text_basename(image_text(image, image->exe)), size);
    size_t n = strlen(out);
    if (n > 10 && !strcmp(out + n - 10, " (deleted)"))
        out[n - 10] = 0;
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(name, *names))
            return true;
    return false;
}

bool image_is_shell(const struct image *image)
{
    static const char *const shells[] = { "sh", "bash", "dash", "zsh", "ash", "ksh", "ksh93", "mksh", "fish", "csh", "tcsh", "rbash",
                                          "rzsh", "oksh", "yash", "pwsh", NULL };
    static const char *const multicall[] = { "busybox", "toybox", NULL };
    char name[64];
    image_name(image, name, sizeof name);
    if (is_one_of(name, shells))
        return true;
    if (!is_one_of(name, multicall))
        return false;
    /* busybox: the applet is argv[0], or argv[1] when called by its own name */
    const char *argv = image_text(image, image->cmdline), *applet = text_basename(argv);
    if (*applet == '-')
        applet++; /* login shell */
    if (is_one_of(applet, multicall) && strlen(argv) + 1 < image->cmdline.len)
        applet = argv + strlen(argv) + 1;
    return is_one_of(applet, shells);
}

bool image_is_system(const struct image *image)
{
    static const char *const places[] = { "/usr/", "/bin/", "/sbin/", "/opt/", "/snap/" };
    const char *exe = image_text(image, image->exe);
    bool placed = false;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        placed |= text_has_prefix(exe, places[i]);
    return placed && (!image->has_file || image->file_uid == 0);
}

bool image_is_runtime(const struct image *image)
{
    static const char *const runtimes[] = { "runc", "crun", "youki", "runsc", "docker-runc", "nvidia-container-runtime",
                                            "containerd-shim", "containerd-shim-runc-v1", "containerd-shim-runc-v2", "conmon", NULL };
    char name[64];
    image_name(image, name, sizeof name);
    return image && image_is_system(image) && is_one_of(name, runtimes);
}

bool socket_is_connected(const struct held_socket *s)
{
    return s->peer.family && s->peer_port && s->tcp_state != TCP_STATE_LISTEN;
}

bool socket_is_outbound(const struct held_socket *s)
{
    return socket_is_connected(s) && s->local_port >= EPHEMERAL_PORT_MIN;
}
