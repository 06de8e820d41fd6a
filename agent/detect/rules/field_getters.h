/* Getters of the table of fields, one family a file, and what they share. A getter gets its type from the table; it gives texts that
 * live in the event, the image or the context's scratch. Private to the fields. */
#ifndef ECSGUARD_RULES_FIELD_GETTERS_H
#define ECSGUARD_RULES_FIELD_GETTERS_H

#include "agent/detect/rules/event_arguments.h"
#include "agent/detect/rules/field_context.h"
#include "common/text.h"

#define GETTER(name) enum value_answer name(struct field_context *c, const struct field_ref *ref, struct value *out)

/* ---- answers ---- */

static inline enum value_answer value_text(struct value *out, const char *data, size_t length)
{
    out->text.data = data;
    out->text.length = length;
    return VALUE_GOT;
}

enum value_answer value_name(struct value *out, const char *name); /* a C string; "" = missing */

static inline enum value_answer value_bool(struct value *out, bool value)
{
    out->boolean = value;
    return VALUE_GOT;
}

static inline enum value_answer value_uint(struct value *out, uint64_t value)
{
    out->u64 = value;
    return VALUE_GOT;
}

static inline enum value_answer value_int(struct value *out, int64_t value)
{
    out->i64 = value;
    return VALUE_GOT;
}

/* A text of the event; missing when it is unknown. */
static inline enum value_answer value_event_text(struct value *out, const struct event *ev, enum event_field field, struct text text)
{
    return event_knows(ev, field) ? value_text(out, event_text(ev, text), text.len) : VALUE_MISSING;
}

/* ---- texts and lists made for this event ---- */

/* NULL when the scratch is full: the value is then missing. */
void *scratch_take(struct field_context *c, size_t size);
/* Builds one text at the scratch's end. */
void scratch_begin(struct field_context *c, struct text_out *text);
enum value_answer scratch_end(struct field_context *c, struct text_out *text, struct value *out);
/* Names of the bits that are set, joined by '|'. */
struct bit_name {
    uint64_t bit;
    const char *name;
};
enum value_answer scratch_bits(struct field_context *c, uint64_t bits, const struct bit_name *names, size_t n, struct value *out);

/* ---- who acts ---- */

/* A process as fields see it. */
struct subject {
    const struct process *process; /* may be NULL while `image` is known */
    const struct image *image;     /* at the event's time */
    const char *comm;              /* then, too; NULL = unknown */
    const struct event *ev;        /* the exec event when it is about this process: it tells more, else NULL */
};

bool subject_self(const struct field_context *c, struct subject *s);
/* 1 = parent; stops at LIMIT_LINEAGE. */
bool subject_ancestor(const struct field_context *c, int64_t level, struct subject *s);
struct subject subject_of(const struct field_context *c, const struct process *process); /* not the acting one; NULL = none */

enum process_property {
    PROCESS_NAME, PROCESS_EXE, PROCESS_EXEPATH, PROCESS_ARGS, PROCESS_CMDLINE, PROCESS_EXELINE, PROCESS_PID, PROCESS_DURATION,
    PROCESS_START,
    PROCESS_VPID,
};
enum value_answer subject_property(struct field_context *c, const struct subject *s, enum process_property which, struct value *out);

/* Effective ids of who acts; false when unknown. Before the change in CLASS_SETUID. */
bool subject_uid(const struct field_context *c, uint32_t *uid);
bool subject_gid(const struct field_context *c, uint32_t *gid);

/* ---- files ---- */

/* What file.* and flags are about: the event's file, or the executable. */
struct file_facts {
    const char *path;
    size_t path_length;
    bool known; /* the numbers below */
    uint64_t dev, ino, size, ctime_wall_ns, mtime_wall_ns;
    uint32_t mode, uid, nlink;
};
bool file_facts_get(const struct field_context *c, struct file_facts *f);
/* Is it in the container's writable layer? Waits while the container's facts are awaited. False outside of containers. */
enum value_answer file_in_upper_layer(const struct field_context *c, bool *upper);
enum value_answer exe_in_upper_layer(const struct field_context *c, const struct subject *s, bool *upper);
bool exe_is_memfd(const struct subject *s);
bool exe_is_writable(const struct field_context *c, const struct subject *s, bool *writable);

/* ---- flows ---- */

struct flow_end {
    const struct address *address; /* NULL = none */
    uint16_t port;
};
/* False when the event has no flow: of EVENT_FLOW, EVENT_DNS, sockets and listening sockets. */
bool flow_ends(const struct field_context *c, struct flow_end *client, struct flow_end *server);
bool flow_is_server(const struct field_context *c, const struct flow_end *server); /* is `server`, as flow_ends() gave it, here? */
void flow_print(struct text_out *text, const struct field_context *c);

/* ---- arguments ---- */

enum value_answer argument_text(struct field_context *c, enum event_argument argument, struct value *out);
enum value_answer argument_raw(struct field_context *c, enum event_argument argument, struct value *out);

/* ---- getters ---- */

GETTER(event_number);
GETTER(event_time);
GETTER(event_raw_time);
GETTER(event_words);
GETTER(event_constant);
GETTER(event_false);
GETTER(event_type);
GETTER(event_type_is);
GETTER(event_category);
GETTER(event_host);
GETTER(event_open);
GETTER(event_result);
GETTER(event_argument);
GETTER(event_raw_argument);
GETTER(event_arguments);
GETTER(event_path);

enum { TIME_OF_DAY, TIME_OF_DAY_S, TIME_ISO, TIME_DATE, TIME_DATE_S };
enum { RAW_ALL, RAW_SECONDS, RAW_FRACTION };
enum { WORD_SYSCALL, WORD_EXIT, WORD_SUCCESS };
enum { OPEN_READ, OPEN_WRITE, OPEN_EXEC, OPEN_CREATE };
enum { ABSPATH_ANY };

GETTER(process_self);
GETTER(process_parent);
GETTER(process_ancestor);
GETTER(process_session);
GETTER(process_group);
GETTER(process_target);
GETTER(process_previous);
GETTER(process_args);
GETTER(process_env);
GETTER(process_number);
GETTER(process_text);
GETTER(process_exe_fact);
GETTER(process_namespace);
GETTER(process_stdio);
GETTER(process_fd_types);
GETTER(process_capabilities);
GETTER(process_entry);

enum {
    NUMBER_ARGS, NUMBER_ARGS_LENGTH, NUMBER_TTY, NUMBER_SID, NUMBER_PGID, NUMBER_VPGID, NUMBER_RUID, NUMBER_LOGIN_SHELL,
    NUMBER_IS_SID_LEADER,
    NUMBER_IS_PGID_LEADER, NUMBER_PIDNS_START,
};
enum { TEXT_CWD, TEXT_CGROUP };
enum {
    EXE_INO, EXE_CTIME, EXE_MTIME, EXE_CTIME_BEFORE_START, EXE_CTIME_AFTER_PIDNS, EXE_WRITABLE, EXE_UPPER, EXE_LOWER, EXE_MEMFD,
    EXE_DELETED,
};
enum { NAMESPACE_MNT, NAMESPACE_NET, NAMESPACE_PID };
enum { STDIO_TYPE = 0, STDIO_NAME = 4 }; /* plus the descriptor */
enum { CAPABILITY_EFFECTIVE, CAPABILITY_PERMITTED, CAPABILITY_INHERITABLE };
enum { ENTRY_KIND, ENTRY_ENTERED };

GETTER(user_number);
GETTER(user_text);

enum { USER_UID, USER_LOGINUID, USER_GID };
enum { USER_NAME, USER_HOME, USER_SHELL, USER_LOGIN_NAME, USER_GROUP_NAME };

GETTER(fd_text);
GETTER(fd_number);
GETTER(fd_flag);
GETTER(fd_address);
GETTER(fd_domain);
GETTER(fd_port);

enum { FD_NAME, FD_DIRECTORY, FD_FILENAME, FD_TYPE, FD_TYPECHAR, FD_L4PROTO, FD_SOCKFAMILY, FD_CONTAINER_NAME, FD_CONTAINER_DIRECTORY };
enum { FD_NUM, FD_DEV, FD_DEV_MAJOR, FD_DEV_MINOR, FD_INO };
enum { FD_IS_SERVER, FD_IS_UPPER, FD_IS_LOWER, FD_IS_FLOW };
enum { END_CLIENT, END_SERVER, END_LOCAL, END_REMOTE, END_EITHER };

GETTER(file_text);
GETTER(file_number);
GETTER(file_flag);
GETTER(file_writer);
GETTER(file_fs_path);
GETTER(mount_text);

enum { FILE_PATH, FILE_HOST_PATH, FILE_OLD_PATH, FILE_LINK_TARGET, FILE_SHA256, FILE_OP_NAME, FILE_ORIGIN };
enum { FILE_MODE, FILE_UID, FILE_NLINK, FILE_SIZE, FILE_INO, FILE_CTIME, FILE_MTIME };
enum { FILE_IS_COPIED_UP, FILE_IS_DELETED, FILE_IS_EXECUTABLE, FILE_IS_SETUID, FILE_IS_SETGID, FILE_IS_UPPER,
       FILE_IS_NEW_LIBRARY, FILE_IS_LOADED };
enum { WRITER_EXE, WRITER_CMDLINE, WRITER_PID, WRITER_UID, WRITER_AGE };
enum { FS_NAME, FS_SOURCE, FS_TARGET };
enum { MOUNT_SOURCE, MOUNT_TYPE, MOUNT_TARGET, MODULE_NAME };

GETTER(flow_number);
GETTER(flow_text);
GETTER(flow_real_address);
GETTER(flow_real_port);

enum { FLOW_BYTES_IN, FLOW_BYTES_OUT, FLOW_PACKETS_IN, FLOW_PACKETS_OUT };
enum { FLOW_TEXT_PHASE, FLOW_TEXT_DIRECTION, FLOW_TEXT_DOMAIN, FLOW_TEXT_OWNER };

GETTER(dns_text);
GETTER(dns_number);
GETTER(dns_list);

enum { DNS_TEXT_OP, DNS_TEXT_NAME, DNS_TEXT_TYPE, DNS_TEXT_RCODE };
enum { DNS_NUMBER_ID, DNS_NUMBER_CLASS, DNS_NUMBER_SIZE, DNS_NUMBER_LABELS, DNS_NUMBER_TRUNCATED };
enum { DNS_LIST_ADDRESSES, DNS_LIST_CNAMES, DNS_LIST_DATA };

GETTER(container_text);
GETTER(container_image_part);
GETTER(container_time);
GETTER(container_flag);
GETTER(container_ip);
GETTER(container_mount);
GETTER(container_mounts);
GETTER(container_ecs);

enum { CONTAINER_ID, CONTAINER_FULL_ID, CONTAINER_NAME, CONTAINER_TYPE, CONTAINER_IMAGE, CONTAINER_IMAGE_ID };
enum { IMAGE_REPOSITORY, IMAGE_TAG, IMAGE_DIGEST };
enum { CONTAINER_START_TIME, CONTAINER_DURATION };
enum { CONTAINER_PRIVILEGED, CONTAINER_HOST_NETWORK, CONTAINER_HOST_PID };
enum { MOUNT_ALL, MOUNT_PART_SOURCE, MOUNT_PART_DEST, MOUNT_PART_MODE, MOUNT_PART_RDWR, MOUNT_PART_PROPAGATION };
enum { ECS_CLUSTER, ECS_CONTAINER_NAME, ECS_ROLE, ECS_SERVICE, ECS_TASK_ARN, ECS_TASK_FAMILY, ECS_TASK_ID, ECS_TASK_REVISION };

#endif
