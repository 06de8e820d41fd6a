#include "agent/detect/ancestry.h"

#include <string.h>

#include "common/clock.h"
#include "common/text.h"


static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(name, *names))
            return true;
    return false;
}

/* What starts the task's programs and does nothing else. */
static bool is_starter(const struct image *image)
{
    static const char *const inits[] = { "tini", "tini-static", "dumb-init", "docker-init", "catatonit", "s6-svscan", "s6-supervise",
                                         "s6-rc", "execlineb",
                                         "runsv", "runsvdir", "my_init", "init", "supervisord", "pause", "env", "su-exec", "gosu", "timeout", NULL };
    char name[64];
    image_name(image, name, sizeof name);
    return image_is_shell(image) || is_one_of(name, inits);
}

/* ECS Exec starts its agent from a mount of the host's files: the path alone could be imitated, the device cannot. */
static bool is_ecs_exec(const struct container_facts *c, const struct process *p)
{
    return text_has_prefix(process_exe(p), "/ecs-execute-command-") && p->image->has_file && c->root_dev && p->image->dev != c->root_dev;
}

enum ancestry ancestry_of(struct detection *d, const struct process *p)
{
    const struct container_facts *c = container_by_id(d->containers, p->container);
    bool service = false, ecs_exec = false;
    if (!c)
        return p->container_known ? ANCESTRY_HOST : ANCESTRY_UNKNOWN;
    if (p->pid == c->init_pid)
        return ANCESTRY_MAIN;
    for (int i = 0; i < LIMIT_LINEAGE; i++) {
        ecs_exec |= is_ecs_exec(c, p);
        const struct process *parent = proctree_parent(d->tree, p);
        if (!parent || parent->container != p->container)
            return !p->entered ? ANCESTRY_UNKNOWN : ecs_exec ? ANCESTRY_ECS_EXEC : ANCESTRY_ENTERED;
        const struct image *starter = image_then(d, parent);
        service |= !starter || !is_starter(starter);
        if (parent->pid == c->init_pid)
            return service ? ANCESTRY_SERVICE : ANCESTRY_SCRIPT;
        p = parent;
    }
    return ANCESTRY_UNKNOWN;
}

const char *ancestry_words(enum ancestry ancestry)
{
    switch (ancestry) {
    case ANCESTRY_UNKNOWN:
        return "of unknown parents";
    case ANCESTRY_HOST:
        return "a process of the host";
    case ANCESTRY_MAIN:
        return "the container's first process";
    case ANCESTRY_SCRIPT:
        return "started by the start script";
    case ANCESTRY_SERVICE:
        return "started by a program of the task";
    case ANCESTRY_ENTERED:
        return "put into the container from outside";
    case ANCESTRY_ECS_EXEC:
        return "in a session of ECS Exec";
    }
    return "";
}

bool image_is_client(const struct image *image)
{
    static const char *const clients[] = { "curl", "wget", "wget2", "nc", "ncat", "netcat", "nc.openbsd", "nc.traditional", "socat",
                                           "telnet", "lynx", "links",
                                           "http", "https", "xh", "fetch", "aria2c", "lwp-request", "GET", "openssl", "ec2-metadata", "ec2metadata",
                                           "busybox", "toybox", NULL };
    char name[64];
    image_name(image, name, sizeof name);
    return is_one_of(name, clients);
}

static bool is_interpreter(const char *name)
{
    static const char *const begins[] = { "python", "perl", "ruby", "php", "node", "lua", "tclsh", "awk", "gawk", "mawk", NULL };
    for (const char *const *b = begins; *b; b++)
        if (text_has_prefix(name, *b))
            return true;
    return false;
}

bool image_is_inline_code(const struct image *image)
{
    static const char *const options[] = { "-c", "-e", "-E", "-r", "-ne", "-pe", "--eval", "--run", NULL };
    char name[64];
    const char *argv = image_text(image, image->cmdline), *end = argv + image->cmdline.len;
    image_name(image, name, sizeof name);
    if (!is_interpreter(name))
        return false;
    argv += strlen(argv) + 1;
    if (argv >= end) /* its program is its input */
        return true;
    for (; argv < end && *argv == '-'; argv += strlen(argv) + 1)
        if (is_one_of(argv, options) || !strcmp(argv, "-"))
            return true;
    return false;
}

const char *unexpected_user(struct detection *d, const struct process *p, enum severity *severity)
{
    enum ancestry ancestry = ancestry_of(d, p);
    *severity = SEVERITY_MEDIUM;
    if (!p->image)
        return NULL;
    if (image_is_fileless(p->image))
        return "a program that is in no file of the image";
    if (image_is_new_in(d, p->container, p->image))
        return "a program that is new in the container";
    bool handy = image_is_client(p->image) || image_is_shell(p->image) || image_is_inline_code(p->image);
    if (!handy || rules_list_has(d, "user_known_metadata_readers", p->comm))
        return NULL;
    if (ancestry == ANCESTRY_SERVICE)
        return "a tool that a program of the task started";
    *severity = SEVERITY_LOW;
    if (ancestry == ANCESTRY_ENTERED || ancestry == ANCESTRY_ECS_EXEC)
        return "a tool that was put in from outside";
    return NULL;
}
