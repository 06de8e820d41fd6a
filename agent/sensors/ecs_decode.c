#include "agent/sensors/ecs_decode.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "common/text.h"

static const char *get_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int ecs_decode_metadata(const char *bytes, size_t size, struct ecs_metadata *out)
{
    memset(out, 0, sizeof *out);
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    int r = json_is_object(root) ? 0 : -EINVAL;
    const char *cluster = get_text(root, "Cluster"), *arn = get_text(root, "ContainerInstanceArn");
    text_copy(out->cluster, sizeof out->cluster, cluster, strlen(cluster));
    text_copy(out->container_instance_arn, sizeof out->container_instance_arn, arn, strlen(arn));
    json_decref(root);
    return r;
}

static void add_addresses(struct ecs_container *c, const json_t *list)
{
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)(uintptr_t)list, i, entry) {
        const char *text = json_string_value(entry);
        if (text && c->n_addresses < ECS_ADDRESSES_MAX && !address_parse(text, &c->addresses[c->n_addresses]))
            c->n_addresses++;
    }
}

static void get_addresses(struct ecs_container *c, const json_t *networks)
{
    static const char *const keys[] = { "IPv4Addresses", "IPv6Addresses" };
    size_t i;
    json_t *network;
    c->awsvpc = !strcmp(get_text(json_array_get(networks, 0), "NetworkMode"), "awsvpc");
    for (size_t k = 0; k < 2; k++)
        json_array_foreach((json_t *)(uintptr_t)networks, i, network)
            add_addresses(c, json_object_get(network, keys[k]));
}

/* False without a usable Docker id. */
static bool get_container(struct ecs_container *c, const json_t *object)
{
    c->docker_id = get_text(object, "DockerId");
    c->docker_name = get_text(object, "DockerName");
    c->name = get_text(object, "Name");
    c->image = get_text(object, "Image");
    c->image_id = get_text(object, "ImageID");
    c->n_addresses = 0;
    get_addresses(c, json_object_get(object, "Networks"));
    return strlen(c->docker_id) == 64 && strspn(c->docker_id, "0123456789abcdef") == 64;
}

static bool is_task_arn(const char *arn)
{
    const char *resource = strstr(arn, ":task/");
    return text_has_prefix(arn, "arn:") && resource && text_basename(arn)[0];
}

static int decode_task(const json_t *task, void (*each)(void *user, const struct ecs_container *container), void *user)
{
    struct ecs_container c = { .task_arn = get_text(task, "Arn"), .task_id = "" };
    const json_t *containers = json_object_get(task, "Containers");
    int refused = 0;
    size_t i;
    json_t *entry;
    if (!json_is_object(task))
        return 1;
    if (is_task_arn(c.task_arn))
        c.task_id = text_basename(c.task_arn);
    else
        c.task_arn = "";
    c.family = get_text(task, "Family");
    c.revision = get_text(task, "Version");
    json_array_foreach((json_t *)(uintptr_t)containers, i, entry) {
        if (get_container(&c, entry))
            each(user, &c);
        else
            refused++;
    }
    return refused;
}

int ecs_decode_tasks(const char *bytes, size_t size, void (*each)(void *user, const struct ecs_container *container), void *user)
{
    int refused = -EINVAL;
    size_t i;
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL), *tasks = json_object_get(root, "Tasks"), *task;
    if (json_is_array(tasks)) {
        refused = 0;
        json_array_foreach(tasks, i, task)
            refused += decode_task(task, each, user);
    } else if (json_is_object(root) && (!tasks || json_is_null(tasks))) {
        refused = decode_task(root, each, user);
    }
    json_decref(root);
    return refused;
}

static void set_text(struct event *ev, enum event_field field, const char *text)
{
    if (text[0])
        event_set_text(ev, field, text, strlen(text));
}

/* "arn:aws:ecs:<region>:<account>:task/<cluster>/<id>"; old ARNs have no cluster. */
static void set_cluster(struct event *ev, const char *arn, const char *cluster)
{
    const char *resource = strstr(arn, ":task/");
    const char *start = resource ? resource + 6 : "", *end = strrchr(start, '/');
    if (cluster[0])
        set_text(ev, F_CLUSTER, cluster);
    else if (end && end != start)
        event_set_text(ev, F_CLUSTER, start, (size_t)(end - start));
}

void ecs_container_event(struct event *ev, const struct ecs_container *container, const char *cluster, bool own)
{
    set_text(ev, F_TASK_ARN, container->task_arn);
    set_text(ev, F_TASK_ID, container->task_id);
    set_cluster(ev, container->task_arn, cluster);
    set_text(ev, F_FAMILY, container->family);
    set_text(ev, F_REVISION, container->revision);
    if (container->n_addresses && (own || container->awsvpc))
        event_set(ev, F_SRC, src, container->addresses[0]);
    if (!own)
        return;
    set_text(ev, F_CONTAINER_NAME, container->name);
    set_text(ev, F_DOCKER_NAME, container->docker_name);
    set_text(ev, F_IMAGE, container->image);
    set_text(ev, F_IMAGE_ID, container->image_id);
}
