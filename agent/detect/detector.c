#include "agent/detect/detector.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/listed.h"
#include "common/clock.h"
#include "common/text.h"

#define EPHEMERAL_PORT_MIN 32768
#define LINEAGE_BYTES 8192
#define LINEAGE_EXE 512
#define TCP_STATE_LISTEN 10

/* One a line: who adds one changes no other. */
extern const struct detector
    detector_new_binary,
    detector_fileless,
    detector_reverse_shell,
    detector_elevation,
    detector_ptrace,
    detector_proc_mem,
    detector_metadata_rebind,
    detector_anti_debugging,
    detector_vm_write,
    detector_new_library,
    detector_miner_cpu,
    detector_copied_tool,
    detector_port_scan,
    detector_udp_flood,
    detector_dga,
    detector_dns_tunnel,
    detector_listener_opened,
    detector_beacon,
    detector_data_volume,
    detector_instance_metadata,
    detector_task_credentials,
    detector_credential_path,
    detector_control_plane,
    detector_host_ports,
    detector_listener_called,
    detector_public_caller,
    detector_monitoring_tampered,
    detector_sequence;

const struct detector *const detectors[] = {
    &detector_new_binary,
    &detector_fileless,
    &detector_reverse_shell,
    &detector_elevation,
    &detector_ptrace,
    &detector_proc_mem,
    &detector_anti_debugging,
    &detector_vm_write,
    &detector_new_library,
    &detector_command_execution,
    &detector_command_evasion,
    &detector_command_persistence,
    &detector_command_privilege,
    &detector_command_discovery,
    &detector_sensitive_evasion,
    &detector_sensitive_persistence,
    &detector_sensitive_privilege,
    &detector_miner_cpu,
    &detector_malicious_file,
    &detector_malicious_custom,
    &detector_c2_address,
    &detector_c2_domain,
    &detector_crypto_address,
    &detector_crypto_domain,
    &detector_blackhole_address,
    &detector_blackhole_domain,
    &detector_droppoint_address,
    &detector_droppoint_domain,
    &detector_dga_domain,
    &detector_driveby_domain,
    &detector_phishing_domain,
    &detector_abused_domain,
    &detector_crypto_reputation_domain,
    &detector_malicious_domain,
    &detector_suspicious_domain,
    &detector_custom_address,
    &detector_custom_domain,
    &detector_listed_caller,
    &detector_tor_client,
    &detector_tor_relay,
    &detector_metadata_rebind,
    &detector_copied_tool,
    &detector_port_scan,
    &detector_udp_flood,
    &detector_dga,
    &detector_dns_tunnel,
    &detector_listener_opened,
    &detector_beacon,
    &detector_data_volume,
    &detector_instance_metadata,
    &detector_task_credentials,
    &detector_credential_path,
    &detector_control_plane,
    &detector_host_ports,
    &detector_listener_called,
    &detector_public_caller,
    &detector_monitoring_tampered,
    &detector_sequence,
    NULL,
};
#define N_DETECTORS (sizeof detectors / sizeof detectors[0] - 1)
_Static_assert(N_DETECTORS <= LIMIT_DETECTORS, "a turn has no room");

const struct detect_options detect_defaults = { .miner_cpu_percent = 80,
                                                .miner_time_ns = 300 * NS_PER_SECOND,
                                                .scan_ports = 50,
                                                .scan_addresses = 100,
                                                .data_volume_bytes = 100ull << 20,
                                                .listen_after_ns = 60 * NS_PER_SECOND };

/* Most detectors look at one or two kinds of events: nobody else is called. */
static void turns_init(struct detection *d)
{
    for (size_t kind = 0; kind < EVENT_KIND_MAX; kind++) {
        uint8_t *turn = d->turns[kind];
        for (size_t i = 0; i < N_DETECTORS; i++)
            if (detectors[i]->on >> kind & 1)
                *turn++ = (uint8_t)(i + 1);
        *turn = 0;
    }
}

int detection_init(struct detection *d)
{
    turns_init(d);
    d->host = "";
    d->options = detect_defaults;
    d->findings = calloc(LIMIT_OUTCOME_FINDINGS, sizeof *d->findings);
    d->signals = calloc(1, sizeof *d->signals);
    d->states = calloc(N_DETECTORS, sizeof *d->states);
    if (!d->findings || !d->signals || !d->states)
        return -ENOMEM;
    for (size_t i = 0; i < N_DETECTORS; i++) {
        if (!detectors[i]->state_bytes)
            continue;
        d->states[i] = calloc(1, detectors[i]->state_bytes);
        if (!d->states[i])
            return -ENOMEM;
    }
    return rules_state_init(&d->rules);
}

void detection_fini(struct detection *d)
{
    rules_state_fini(&d->rules);
    for (size_t i = 0; d->states && i < N_DETECTORS; i++) {
        if (d->states[i] && detectors[i]->state_fini)
            detectors[i]->state_fini(d, d->states[i]);
        free(d->states[i]);
    }
    free(d->states);
    free(d->signals);
    free(d->findings);
    d->states = NULL;
    d->signals = NULL;
    d->findings = NULL;
}

void *detection_state(const struct detection *d, const struct detector *self)
{
    size_t i = d->current; /* mostly the one whose turn it is */
    if (detectors[i] == self)
        return d->states[i];
    for (i = 0; i < N_DETECTORS && detectors[i] != self;)
        i++;
    return i < N_DETECTORS ? d->states[i] : NULL;
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

static void pending_free(struct detection *d, struct pending *p)
{
    image_release(d->tree, p->image);
    memset(p, 0, sizeof *p);
}

void detection_decide(struct detection *d, struct pending *p, uint64_t now_ns)
{
    const uint64_t judged_before_ns = d->judged_ns;
    d->judged_ns = p->time_ns;
    uint64_t next = p->detector->due(d, p, now_ns);
    d->judged_ns = judged_before_ns;
    if (next)
        p->due_ns = next;
    else
        pending_free(d, p);
}

/* Each detector has its share: a flood of one kind cannot force the decisions of the others. Only where several have theirs full is no room left
 * for one that has none waiting; the oldest of all is decided then. */
static struct pending *pending_slot(struct detection *d, const struct detector *self, uint64_t now_ns)
{
    struct pending *oldest = NULL, *oldest_of_all = &d->pending[0], *unused = NULL;
    int n = 0;
    for (int i = 0; i < LIMIT_PENDING; i++) {
        struct pending *p = &d->pending[i];
        if (p->time_ns < oldest_of_all->time_ns)
            oldest_of_all = p;
        if (!p->detector)
            unused = p;
        else if (p->detector == self && ++n && (!oldest || p->time_ns < oldest->time_ns))
            oldest = p;
    }
    if (unused && n < LIMIT_PENDING_EACH)
        return unused;
    if (!oldest)
        oldest = oldest_of_all;
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

bool detection_has_room(const struct detection *d)
{
    return d->out->n_findings < LIMIT_OUTCOME_FINDINGS;
}

/* Tells the detectors that look at findings, in order. True if some must wait for room. */
static bool tell_signals(struct detection *d)
{
    const struct signal *signal;
    while ((signal = signals_untold(d->signals))) {
        for (int i = 0; detectors[i]; i++)
            if (detectors[i]->signal && !detectors[i]->signal(d, detectors[i], signal))
                return true;
        signals_tell(d->signals, signal);
    }
    return false;
}

bool detection_tick(struct detection *d, uint64_t now_ns)
{
    for (int i = 0; i < LIMIT_PENDING; i++) {
        struct pending *p = &d->pending[i];
        if (!p->detector || p->due_ns > now_ns)
            continue;
        if (!detection_has_room(d))
            return true;
        detection_decide(d, p, now_ns);
    }
    return rules_tick(d, now_ns) || tell_signals(d);
}

uint64_t detection_next_due(const struct detection *d)
{
    uint64_t next = signals_untold(d->signals) ? 0 : rules_next_due(d);
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
        if (by_flow && event_knows(ev, F_PID)) {
            p->asked_pid = ev->pid;
            p->owner = event_knows(ev, F_OWNER) ? ev->owner : OWNER_SOCKET;
        }
        if (event_knows(ev, F_PROTO) && ev->dst.family && p->n_sockets < PENDING_SOCKETS)
            p->sockets[p->n_sockets++] = (struct held_socket){ .fd = ev->fd, .proto = ev->proto, .tcp_state = ev->tcp_state,
                .local = ev->src, .peer = ev->dst, .local_port = ev->sport, .peer_port = ev->dport };
        if (event_knows(ev, F_PROTO) && !by_flow)
            continue; /* more follow; the last one has no socket */
        p->answered = true;
        if (detection_has_room(d))
            detection_decide(d, p, ev->time_ns);
        else
            p->due_ns = ev->time_ns;
    }
}

void detection_event(struct detection *d, const struct step *step)
{
    if (!d->began_ns)
        d->began_ns = step->ev->time_ns;
    d->judged_ns = step->ev->time_ns;
    if (step->ev->kind == EVENT_SOCKETS)
        take_answer(d, step->ev);
    for (const uint8_t *turn = d->turns[step->ev->kind]; *turn && !d->rules_only; turn++) {
        d->current = *turn - 1u;
        if (detection_has_room(d))
            detectors[d->current]->event(d, detectors[d->current], step);
    }
    d->current = 0;
    rules_event(d, step);
    tell_signals(d);
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

const struct image *image_then(const struct detection *d, const struct process *p)
{
    return p ? process_image_at(p, d->judged_ns) : NULL;
}

static json_t *process_json(const struct detection *d, const struct process *p, const struct image *image, size_t cmdline_max)
{
    char line[LIMIT_CMDLINE_BYTES * 2];
    const char *comm = image && image == p->earlier ? p->earlier_comm : p->comm;
    json_t *o = json_object();
    json_object_set_new(o, "pid", json_integer(p->pid));
    if (p->start_ns)
        evidence_time(o, "start", p->start_ns + (uint64_t)d->wall_offset_ns);
    if (p->has_ids)
        json_object_set_new(o, "uid", json_integer(p->euid));
    evidence_text(o, "comm", comm, strlen(comm));
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
static void set_lineage(struct detection *d, struct finding *f, const struct process *p, const struct image *image, uint64_t time_ns)
{
    json_t *all = json_array();
    size_t bytes = 0;
    for (int depth = 0; p && depth < LIMIT_LINEAGE && bytes < LINEAGE_BYTES; depth++) {
        json_t *entry = process_json(d, p, depth ? process_image_at(p, time_ns) : image, 512);
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
        set_lineage(d, f, process, image, time_ns);
    }
    return f;
}

/* Containers know their cluster, the host does not. */
static const char *cluster_of_host(const struct detection *d)
{
    for (uint32_t i = d->suppress ? d->containers->n_used : 0; i-- > 0;)
        if (d->containers->slots[i].cluster[0])
            return d->containers->slots[i].cluster;
    return "";
}

void detection_end(struct detection *d, struct finding *f, const char *key, json_t *evidence)
{
    const struct container_facts *c = container_by_id(d->containers, f->container);
    set_json(f, FT_EVIDENCE, evidence);
    finding_identify(f, c ? c->container_id : "host", key);
    const struct suppress_facts facts = { .container = c, .host = d->host, .cluster = cluster_of_host(d) };
    const struct suppress_filter *filter = suppress_match(d->suppress, f, &facts);
    if (filter)
        finding_set(f, FT_SUPPRESSED_BY, filter->name, strlen(filter->name));
    const struct process *process = f->pid ? proctree_find(d->tree, f->pid) : NULL;
    signals_note(d->signals, f, c, process ? process->parent_exec_id : 0, f->wall_ns - (uint64_t)d->wall_offset_ns);
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

bool step_is_syscall(const struct step *step, const char *name)
{
    return step->ev->kind == EVENT_SYSCALL && !strcmp(event_text(step->ev, step->ev->syscall), name);
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

bool image_is_new(const struct container_facts *c, const struct image *image, const struct file_origin *origin)
{
    if (!image->has_file || !c->started_wall_ns || image->ctime_wall_ns <= c->started_wall_ns + IMAGE_CLOCK_SLACK_NS)
        return false;
    /* Other file systems (volumes, tmpfs): only what this container itself wrote; a volume may be maintained from outside. */
    return image->dev == c->root_dev || (origin && origin->container == c->id);
}

bool image_is_new_in(const struct detection *d, int32_t container, const struct image *image)
{
    const struct container_facts *c = container_by_id(d->containers, container);
    return c && image_is_new(c, image, file_origins_find(d->origins, c->id, image_text(image, image->exe), image->exe.len));
}

bool image_is_fileless(const struct image *image)
{
    const char *exe = image_text(image, image->exe);
    return text_has_prefix(exe, "/memfd:") || text_has_prefix(exe, "memfd:") || text_has_prefix(exe, "/dev/shm/") ||
        (image->has_file && !image->nlink);
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
