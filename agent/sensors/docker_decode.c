#include "agent/sensors/docker_decode.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

#include "common/text.h"

#define LABEL "com.amazonaws.ecs."

/* The text at `key`, or "" when absent or of another type. */
static const char *get_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void set_text(struct event *ev, enum event_field field, const char *text)
{
    if (text[0])
        event_set_text(ev, field, text, strlen(text));
}

static bool is_full_id(const char *id)
{
    return strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64;
}

static const char *without_slash(const char *name)
{
    return name[0] == '/' ? name + 1 : name;
}

/* "amazon/amazon-ecs-agent:latest" is of repository "amazon/amazon-ecs-agent"; so is one named by its digest. */
static bool image_is_of(const char *image, const char *repository)
{
    size_t n = strlen(repository);
    return !strncmp(image, repository, n) && (!image[n] || image[n] == ':' || image[n] == '@');
}

static bool has_ecs_label(const json_t *labels)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
        if (text_has_prefix(key, LABEL))
            return true;
    return false;
}

static bool path_is_below(const char *path, const char *directory)
{
    size_t n = strlen(directory);
    return !strncmp(path, directory, n) && (!path[n] || path[n] == '/');
}

static bool mounts_of_agent(const json_t *mounts)
{
    bool socket = false, data = false;
    size_t i;
    json_t *mount;
    json_array_foreach((json_t *)(uintptr_t)mounts, i, mount) {
        const char *source = get_text(mount, "Source");
        socket |= !strcmp(source, "/var/run") || !strcmp(source, "/run") || !strcmp(source, "/var/run/docker.sock") ||
                  !strcmp(source, "/run/docker.sock");
        data |= path_is_below(source, "/var/lib/ecs") || path_is_below(source, "/etc/ecs");
    }
    return socket && data;
}

static enum container_role role_of(const json_t *root, const json_t *labels, const char *name, const char *image)
{
    const json_t *host_config = json_object_get(root, "HostConfig");
    const char *ecs_name = get_text(labels, LABEL "container-name");
    if ((!strcmp(ecs_name, "~internal~ecs~pause") || !strcmp(ecs_name, "~internal~ecs~pause~namespace") ||
         text_has_prefix(ecs_name, "~internal~ecs~pause-")) &&
        image_is_of(image, "amazon/amazon-ecs-pause") && text_has_prefix(name, "ecs-") &&
        !json_is_true(json_object_get(host_config, "Privileged")))
        return CONTAINER_ROLE_PAUSE;
    if (!strcmp(name, "ecs-agent") && image_is_of(image, "amazon/amazon-ecs-agent") &&
        !strcmp(get_text(host_config, "NetworkMode"), "host") && !has_ecs_label(labels) && mounts_of_agent(json_object_get(root, "Mounts")))
        return CONTAINER_ROLE_ECS_AGENT;
    return CONTAINER_ROLE_WORKLOAD;
}

static void add_address(struct docker_facts *facts, const char *text)
{
    struct address a;
    if (facts->n_addresses == DOCKER_ADDRESSES_MAX || address_parse(text, &a))
        return;
    for (int i = 0; i < facts->n_addresses; i++)
        if (address_equal(&facts->addresses[i], &a))
            return;
    facts->addresses[facts->n_addresses++] = a;
}

static void get_addresses(const json_t *settings, struct docker_facts *facts)
{
    static const char *const keys[] = { "IPAddress", "GlobalIPv6Address" };
    json_t *networks = json_object_get(settings, "Networks"), *network;
    const char *name;
    for (size_t i = 0; i < 2; i++) {
        add_address(facts, get_text(settings, keys[i]));
        json_object_foreach(networks, name, network)
            add_address(facts, get_text(network, keys[i]));
    }
}

/* Labels of the ECS agent (it writes them last, so that a task definition cannot override them). 0 or DOCKER_OTHER_TASK. */
static int set_labels(struct event *ev, const json_t *labels, const char *task_id)
{
    const char *arn = get_text(labels, LABEL "task-arn");
    const char *arn_task = text_basename(arn);
    if (arn[0] && task_id[0] && strcmp(arn_task, task_id))
        return DOCKER_OTHER_TASK;
    if (text_has_prefix(arn, "arn:")) {
        set_text(ev, F_TASK_ARN, arn);
        set_text(ev, F_TASK_ID, arn_task);
    }
    set_text(ev, F_CLUSTER, get_text(labels, LABEL "cluster"));
    set_text(ev, F_FAMILY, get_text(labels, LABEL "task-definition-family"));
    set_text(ev, F_REVISION, get_text(labels, LABEL "task-definition-version"));
    set_text(ev, F_CONTAINER_NAME, get_text(labels, LABEL "container-name"));
    return 0;
}

static void set_state(struct event *ev, const json_t *state, struct docker_facts *facts)
{
    uint64_t started;
    json_int_t pid = json_integer_value(json_object_get(state, "Pid"));
    bool has_pid = pid > 0 && pid <= INT_MAX, has_start = !text_to_time(get_text(state, "StartedAt"), &started);
    if (has_pid)
        event_set(ev, F_PID, pid, (int32_t)pid);
    if (has_start)
        event_set(ev, F_STARTED_WALL_NS, started_wall_ns, started);
    facts->running = has_pid && has_start && json_is_true(json_object_get(state, "Running"));
}

static void set_upperdir(struct event *ev, const json_t *driver)
{
    const char *upperdir = get_text(json_object_get(driver, "Data"), "UpperDir");
    if (!strcmp(get_text(driver, "Name"), "overlay2") && upperdir[0] == '/')
        set_text(ev, F_UPPERDIR, upperdir);
}

/* In a list where ':' and ',' divide they become '?'. */
static void put_part(struct text_out *out, const char *text)
{
    for (size_t n; *text; text += n) {
        n = strcspn(text, ":,");
        text_out_bytes(out, text, n);
        if (!n)
            text_out_bytes(out, "?", n = 1);
    }
}

/* Those that fit. */
static void set_mounts(struct event *ev, const json_t *mounts)
{
    char all[1025];
    struct text_out out;
    size_t i;
    json_t *mount;
    text_out_init(&out, all, sizeof all);
    json_array_foreach((json_t *)(uintptr_t)mounts, i, mount) {
        const struct text_out before = out;
        const char *const parts[] = { get_text(mount, "Source"), get_text(mount, "Destination"), get_text(mount, "Mode"),
                                      json_is_true(json_object_get(mount, "RW")) ? "true" : "false", get_text(mount, "Propagation") };
        for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
            text_out_bytes(&out, part ? ":" : ",", part || out.length);
            put_part(&out, parts[part]);
        }
        if (out.cut || !parts[1][0])
            out = before;
    }
    if (out.length)
        event_set_text(ev, F_MOUNTS, all, out.length);
}

static int set_container(struct event *ev, const json_t *root, const char *container_id, const char *task_id, struct docker_facts *facts)
{
    const json_t *config = json_object_get(root, "Config"), *labels = json_object_get(config, "Labels");
    const char *name = without_slash(get_text(root, "Name")), *image = get_text(config, "Image");
    const json_t *privileged = json_object_get(json_object_get(root, "HostConfig"), "Privileged");
    event_set(ev, F_CONTAINER_PHASE, container_phase, CONTAINER_FACTS);
    set_text(ev, F_CONTAINER_ID, container_id);
    set_text(ev, F_RUNTIME, "docker");
    set_text(ev, F_DOCKER_NAME, name);
    set_text(ev, F_IMAGE, image);
    set_text(ev, F_IMAGE_ID, get_text(root, "Image"));
    if (json_is_boolean(privileged))
        event_set(ev, F_PRIVILEGED, privileged, json_is_true(privileged));
    int r = set_labels(ev, labels, task_id);
    if (!event_knows(ev, F_CONTAINER_NAME))
        set_text(ev, F_CONTAINER_NAME, name);
    event_set(ev, F_CONTAINER_ROLE, container_role, (uint8_t)(r ? CONTAINER_ROLE_WORKLOAD : role_of(root, labels, name, image)));
    set_state(ev, json_object_get(root, "State"), facts);
    set_upperdir(ev, json_object_get(root, "GraphDriver"));
    set_mounts(ev, json_object_get(root, "Mounts"));
    get_addresses(json_object_get(root, "NetworkSettings"), facts);
    if (facts->n_addresses)
        event_set(ev, F_SRC, src, facts->addresses[0]);
    return r;
}

int docker_decode_container(const char *bytes, size_t size, const char *container_id, const char *task_id, struct event *ev,
                            struct docker_facts *facts)
{
    int r = -EINVAL;
    memset(facts, 0, sizeof *facts);
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    const char *id = get_text(root, "Id");
    if (id[0])
        r = strcmp(id, container_id) ? DOCKER_OTHER_CONTAINER : set_container(ev, root, container_id, task_id, facts);
    json_decref(root);
    return r;
}

int docker_decode_list(const char *bytes, size_t size, void (*each)(void *user, const char *container_id), void *user)
{
    int refused = -EINVAL;
    size_t i;
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL), *entry;
    if (json_is_array(root)) {
        refused = 0;
        json_array_foreach(root, i, entry) {
            const char *id = get_text(entry, "Id");
            if (is_full_id(id))
                each(user, id);
            else
                refused++;
        }
    }
    json_decref(root);
    return refused;
}
