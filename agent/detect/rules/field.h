/* The table of fields that conditions and outputs can name: Falco's own names and types, and ours. A field that can never be filled here
 * is in the table all the same: rules that use it load, and are shown as not armed. */
#ifndef ECSGUARD_RULES_FIELD_H
#define ECSGUARD_RULES_FIELD_H

#include "agent/detect/rules/value.h"

enum field_argument {
    FIELD_ARGUMENT_NONE,
    FIELD_ARGUMENT_OPTIONAL_INDEX, /* a number, may be given */
    FIELD_ARGUMENT_KEY,            /* any text, must be given */
    FIELD_ARGUMENT_OPTIONAL_KEY,
};

/* How a field without argument that looks in several places is compared; its value is then a list. */
enum field_scope {
    FIELD_SCOPE_ONE,
    FIELD_SCOPE_ANY_ANCESTOR, /* true if the comparison holds for any ancestor */
    FIELD_SCOPE_EITHER_END,   /* fd.ip, fd.port, ...: for either end; != for both */
};

enum field_fill { FIELD_FILLED, FIELD_PARTLY, FIELD_NEVER };

/* Who fills a field, for `rules fields` and for saying whether a rule is armed. */
enum {
    FILL_EXEC = 1 << 0,   /* exec readers */
    FILL_PROC = 1 << 1,   /* process events, our process table */
    FILL_FILE = 1 << 2,
    FILL_FLOW = 1 << 3,
    FILL_FACTS = 1 << 4,  /* Docker, the ECS agent: may come late, see VALUE_WAIT */
    FILL_CGROUP = 1 << 5,
    FILL_TRACEFS = 1 << 6,
    FILL_OTHER = 1 << 7,  /* unix_diag, uevent, mountinfo */
    FILL_ALWAYS = 1 << 8, /* every event has it */
    FILL_DNS = 1 << 9,
    FILL_LISTEN = 1 << 10, /* listening sockets, looked at in intervals, and packet sockets */
};

struct field_ref;
struct field_context; /* one event with what is known about it: field_context.h */

/* Which name of a family is meant: the getter's own, so that one function fills several fields. */
struct rule_field {
    const char *name;
    enum value_type type;
    bool is_list;
    enum field_argument argument;
    bool words;         /* without argument: words joined by blanks, that can be had apart as well */
    bool dotted;        /* the key may follow a dot as well: "evt.arg.flags" */
    enum field_scope scope;
    enum field_fill fill;
    uint16_t filled_by; /* FILL_* */
    bool can_be_missing;
    const char *doc;    /* one line */
    /* NULL for FIELD_NEVER. Texts may be made in the context's scratch. */
    enum value_answer (*get)(struct field_context *c, const struct field_ref *ref, struct value *out);
    intptr_t which;
};

/* A field as a condition names it. */
struct field_ref {
    const struct rule_field *field;
    const char *argument; /* NULL = none */
    size_t argument_length;
    int64_t index;        /* of a number argument, -1 = none */
    uint16_t key;         /* of a named event argument: enum event_argument */
    bool words_apart;     /* NULs may stand between the words: nobody joins them for who does not look at what is between them */
};

extern const struct rule_field rule_fields[];
extern const size_t n_rule_fields;

/* The field `name` (without brackets); NULL if there is none. */
const struct rule_field *rule_field_find(const char *name, size_t length);

/* Fills *ref, which points into `name` and `argument` (NULL = none given). 0, or with the reference's words in `error`: -ENOENT for what
 * skip-if-unknown-filter forgives ("filter_check called with nonexistent field proc.nobody"), -EINVAL for what it does not ("unknown event
 * argument nobody"). */
int field_ref_init(struct field_ref *ref, const char *name, size_t length, const char *argument, size_t argument_length, char *error,
                   size_t error_size);

/* Words about a field, for people: its type; the form of its argument ("[KEY]", "([N])", "" = none); whether it is filled ("always": never
 * missing; "yes": may be missing; "partly"; "never"); by which sensors. */
struct text_out;
const char *rule_field_type_name(const struct rule_field *field);
const char *rule_field_argument_form(const struct rule_field *field);
const char *rule_field_fill_name(const struct rule_field *field);
void rule_field_print_sources(struct text_out *out, uint16_t filled_by);

/* Names of events (`evt.type`): every name that the reference knows has a small number. */
#define EVENT_NAMES_MAX 512

struct event_name_set {
    uint64_t bits[EVENT_NAMES_MAX / 64];
};

int event_name_find(const char *name, size_t length); /* -1 if there is none such */
const char *event_name(int number);
int event_names_count(void);

static inline bool event_name_set_has(const struct event_name_set *set, int number)
{
    return set->bits[number / 64] >> (number % 64) & 1;
}

/* What our sensors can tell, as classes of events; each answers to a set of names. */
enum event_class {
    CLASS_EXEC,     /* execve, execveat */
    CLASS_OPEN,     /* open, openat, openat2: read, write or execute */
    CLASS_CREATE,   /* + creat: a regular file that is new */
    CLASS_MKDIR,
    CLASS_SYMLINK,
    CLASS_LINK,
    CLASS_UNLINK,
    CLASS_RMDIR,
    CLASS_RENAME,
    CLASS_CHMOD,
    CLASS_CONNECT,  /* connect, sendto, sendmsg */
    CLASS_ACCEPT,   /* accept, accept4, recvfrom, recvmsg */
    CLASS_LISTEN,
    CLASS_FLOW_END, /* flow_end, a name of ours: a flow ended, or is told again with what it carried so far */
    CLASS_DNS,      /* dns, a name of ours */
    CLASS_SETUID,
    CLASS_SETGID,
    CLASS_SETSID,
    CLASS_PTRACE,
    CLASS_DUP,      /* dup, dup2, dup3: an inet socket on descriptor 0, 1 or 2, found at exec */
    CLASS_CLONE,    /* clone, clone3, fork, vfork */
    CLASS_EXIT,     /* procexit, exit, exit_group */
    CLASS_CONTAINER,/* container: its facts became known */
    CLASS_MOUNT,
    CLASS_SETNS,
    CLASS_UNSHARE,
    CLASS_MEMFD_CREATE,
    CLASS_BPF,
    CLASS_MODULE,   /* init_module, finit_module */
    CLASS_USERFAULTFD,
    CLASS_VM_WRITE, /* process_vm_writev */
    CLASS_SOCKET,   /* socket: packet sockets */
    CLASS_MAX,
};

struct event_class_info {
    const char *name;             /* "exec" */
    const char *const *events;    /* NULL-terminated; the first one is printed as %evt.type */
    uint16_t filled_by;
    const char *doc;
};

extern const struct event_class_info event_classes[CLASS_MAX];
void event_class_names(enum event_class class, struct event_name_set *out);

#endif
