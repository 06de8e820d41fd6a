/* Where fields get their values from: one event of ours. Scratch texts, and which class an event is of. */
#include "agent/detect/rules/field_context.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/detect/rules/field_getters.h"

void field_context_init(struct field_context *c, struct eval *eval)
{
    memset(c, 0, sizeof *c);
    c->source.get = field_context_get;
    c->eval = eval;
}

enum value_answer field_context_get(struct value_source *source, const struct field_ref *ref, struct value *out)
{
    struct field_context *c = (struct field_context *)source;
    if (!ref->field->get)
        return VALUE_MISSING;
    out->type = ref->field->type;
    out->is_list = false;
    return ref->field->get(c, ref, out);
}

/* ---- scratch ---- */

enum value_answer value_name(struct value *out, const char *name)
{
    const size_t length = strlen(name);
    return length ? value_text(out, name, length) : VALUE_MISSING;
}

void *scratch_take(struct field_context *c, size_t size)
{
    return eval_room(c->eval, size);
}

void scratch_begin(struct field_context *c, struct text_out *text)
{
    static char nowhere[1];
    const size_t room = EVAL_SCRATCH_BYTES - c->eval->scratch_used;
    text_out_init(text, room ? c->eval->scratch + c->eval->scratch_used : nowhere, room ? room : sizeof nowhere);
}

enum value_answer scratch_end(struct field_context *c, struct text_out *text, struct value *out)
{
    /* When it was cut, asking for more than there is gets it counted. */
    if (!eval_room(c->eval, text->cut ? EVAL_SCRATCH_BYTES + 1 : text->length + 1))
        return VALUE_MISSING;
    return value_text(out, text->buf, text->length);
}

enum value_answer scratch_bits(struct field_context *c, uint64_t bits, const struct bit_name *names, size_t n, struct value *out)
{
    struct text_out text;
    scratch_begin(c, &text);
    for (size_t i = 0; i < n; i++) {
        if (!(bits & names[i].bit))
            continue;
        if (text.length)
            text_out_bytes(&text, "|", 1);
        text_out_bytes(&text, names[i].name, strlen(names[i].name));
    }
    return scratch_end(c, &text, out);
}

/* ---- classes ---- */

/* The sensor found the file's other name. */
static bool is_further_name(const struct event *ev)
{
    return ev->old_path.len && strcmp(event_text(ev, ev->old_path), event_text(ev, ev->path)) != 0;
}

/* A file of the image that appears in the writable layer is not new: what was done to it is told by the event that follows. A further name of
 * it is (and makes it appear as well, under its own). */
static int class_of_new_entry(const struct event *ev)
{
    if (is_further_name(ev))
        return CLASS_LINK;
    if (event_knows(ev, F_COPIED_UP) && ev->copied_up)
        return -1;
    if (!event_knows(ev, F_MODE))
        return CLASS_CREATE;
    if (S_ISDIR(ev->mode))
        return CLASS_MKDIR;
    if (S_ISLNK(ev->mode))
        return CLASS_SYMLINK;
    return S_ISREG(ev->mode) && ev->nlink > 1 ? CLASS_LINK : CLASS_CREATE;
}

static int class_of_file(const struct event *ev)
{
    switch ((enum file_op)ev->file_op) {
    case FILE_CREATE:
        return class_of_new_entry(ev);
    case FILE_DELETE:
        return event_knows(ev, F_MODE) && S_ISDIR(ev->mode) ? CLASS_RMDIR : CLASS_UNLINK;
    case FILE_MOVE:
        return CLASS_RENAME;
    case FILE_ATTRIB:
        return CLASS_CHMOD;
    case FILE_CLOSE_WRITE:
    case FILE_MODIFY:
    case FILE_OPEN:
        return CLASS_OPEN;
    case FILE_OPEN_EXEC: /* the execution itself is told by its own event */
        return -1;
    }
    return -1;
}

static bool is_of_host(const struct field_context *c, const struct address *address)
{
    for (uint32_t i = 0; c->host && i < c->host->n_addresses; i++)
        if (address_equal(&c->host->addresses[i], address))
            return true;
    return false;
}

static bool is_of_container(const struct container_facts *container, const struct address *address)
{
    return address_equal(&container->address, address) || address_equal(&container->address6, address);
}

static int class_of_flow(const struct event *ev, const struct field_context *c)
{
    if (ev->flow_phase == FLOW_BURST)
        return -1; /* its flows were told one by one */
    if (ev->flow_phase != FLOW_NEW)
        return event_knows(ev, F_BYTES_OUT) ? CLASS_FLOW_END : -1;
    if (event_knows(ev, F_DIRECTION))
        return ev->direction == DIRECTION_IN ? CLASS_ACCEPT : CLASS_CONNECT;
    const struct address *server = event_knows(ev, F_REPLY_SRC) ? &ev->reply_src : &ev->dst;
    if (c->container && c->container->address.family + c->container->address6.family)
        return !is_of_container(c->container, &ev->src) && is_of_container(c->container, server) ? CLASS_ACCEPT : CLASS_CONNECT;
    return !is_of_host(c, &ev->src) && is_of_host(c, server) ? CLASS_ACCEPT : CLASS_CONNECT;
}

static int class_of_syscall(const struct event *ev)
{
    static const struct {
        const char *name;
        enum event_class class;
    } known[] = {
        { "ptrace", CLASS_PTRACE },       { "mount", CLASS_MOUNT },         { "move_mount", CLASS_MOUNT },
        { "fsmount", CLASS_MOUNT },       { "setns", CLASS_SETNS },         { "unshare", CLASS_UNSHARE },
        { "memfd_create", CLASS_MEMFD_CREATE }, { "bpf", CLASS_BPF },       { "init_module", CLASS_MODULE },
        { "finit_module", CLASS_MODULE }, { "userfaultfd", CLASS_USERFAULTFD }, { "process_vm_writev", CLASS_VM_WRITE },
        { "socket", CLASS_SOCKET },
    };
    const char *name = event_text(ev, ev->syscall);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].class;
    return -1;
}

int event_class_of(const struct event *ev, const struct field_context *c)
{
    switch ((enum event_kind)ev->kind) {
    case EVENT_EXEC:
        return CLASS_EXEC;
    case EVENT_FILE:
        return class_of_file(ev);
    case EVENT_FLOW:
        return class_of_flow(ev, c);
    case EVENT_DNS:
        return CLASS_DNS;
    case EVENT_SYSCALL:
        return class_of_syscall(ev);
    case EVENT_FORK:
        return CLASS_CLONE;
    case EVENT_EXIT:
        return CLASS_EXIT;
    case EVENT_UID:
        return CLASS_SETUID;
    case EVENT_GID:
        return CLASS_SETGID;
    case EVENT_SID:
        return CLASS_SETSID;
    case EVENT_PTRACE:
        return CLASS_PTRACE;
    case EVENT_SOCKETS:
        return event_knows(ev, F_TCP_STATE) && ev->tcp_state == TCP_LISTEN ? CLASS_LISTEN : -1;
    case EVENT_UNIX:
        return CLASS_CONNECT;
    case EVENT_MOUNT:
        return CLASS_MOUNT;
    case EVENT_MODULE:
        return CLASS_MODULE;
    case EVENT_CONTAINER:
        return CLASS_CONTAINER;
    case EVENT_NONE:
    case EVENT_COMM:
    case EVENT_PROCESS:
    case EVENT_CGROUP:
    case EVENT_LOSS:
    case EVENT_CPU:
    case EVENT_HASH:
    case EVENT_NETNS:
    case EVENT_KIND_MAX:
        return -1;
    case EVENT_LISTEN:
        return ev->listen_phase == LISTEN_NEW ? CLASS_LISTEN : -1;
    }
    return -1;
}

int event_class_also(const struct event *ev)
{
    return ev->kind == EVENT_EXEC && event_knows(ev, F_FD) && ev->fd >= 0 && ev->fd <= 2 && event_knows(ev, F_PROTO) ? CLASS_DUP : -1;
}
