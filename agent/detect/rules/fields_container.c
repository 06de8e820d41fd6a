/* container.* and ecs.*: the container that an event is about. What Docker and the ECS agent tell may come later than the event: then the
 * answer is to wait. */
#include "agent/detect/rules/field_getters.h"

#include <fnmatch.h>
#include <string.h>

#define CLOCK_SLACK_NS 20000000ull /* file times come from a coarse clock, start times from ticks of 10 ms */
#define SHORT_ID 12

/* Missing for good, or not yet known? `of_ecs`: only the ECS agent knows it. */
static enum value_answer absent(const struct field_context *c, bool of_ecs)
{
    const struct container_facts *k = c->container;
    if (!k || c->facts_final)
        return VALUE_MISSING;
    if (of_ecs && k->from_docker && !k->task_id[0] && !k->task_arn[0])
        return VALUE_MISSING; /* no task */
    return (of_ecs ? k->from_ecs : k->from_docker || k->from_ecs) ? VALUE_MISSING : VALUE_WAIT;
}

static enum value_answer text_or_absent(const struct field_context *c, const char *text, bool of_ecs, struct value *out)
{
    const enum value_answer answer = value_name(out, text);
    return answer == VALUE_GOT ? VALUE_GOT : absent(c, of_ecs);
}

GETTER(container_text)
{
    const struct container_facts *k = c->container;
    const intptr_t which = ref->field->which;
    if (!k)
        return which == CONTAINER_ID || which == CONTAINER_NAME || which == CONTAINER_TYPE ? value_name(out, "host") : VALUE_MISSING;
    switch (which) {
    case CONTAINER_ID:
        return value_text(out, k->container_id, strnlen(k->container_id, SHORT_ID));
    case CONTAINER_FULL_ID:
        return value_name(out, k->container_id);
    case CONTAINER_NAME:
        return text_or_absent(c, k->docker_name, false, out);
    case CONTAINER_TYPE:
        return text_or_absent(c, k->runtime, false, out);
    case CONTAINER_IMAGE:
        return text_or_absent(c, k->image, false, out);
    case CONTAINER_IMAGE_ID:
        return text_or_absent(c, text_has_prefix(k->image_id, "sha256:") ? k->image_id + strlen("sha256:") : k->image_id, false, out);
    }
    return VALUE_MISSING;
}

/* repository[:tag][@digest]; a colon before the last slash is that of a registry's port. */
GETTER(container_image_part)
{
    const char *image = c->container ? c->container->image : "";
    const char *digest = strchr(image, '@');
    const size_t named = digest ? (size_t)(digest - image) : strlen(image);
    const char *slash = memrchr(image, '/', named);
    const char *last = slash ? slash + 1 : image;
    const char *colon = memchr(last, ':', named - (size_t)(last - image));
    if (!image[0])
        return absent(c, false);
    switch (ref->field->which) {
    case IMAGE_REPOSITORY:
        return value_text(out, image, colon ? (size_t)(colon - image) : named);
    case IMAGE_TAG:
        if (colon)
            return value_text(out, colon + 1, named - (size_t)(colon + 1 - image));
        return digest ? VALUE_MISSING : value_name(out, "latest");
    case IMAGE_DIGEST:
        return digest ? value_name(out, digest + 1) : absent(c, false);
    }
    return VALUE_MISSING;
}

GETTER(container_time)
{
    const struct container_facts *k = c->container;
    const uint64_t now_ns = c->ev->time_ns + (uint64_t)c->wall_offset_ns;
    if (!k || !k->started_wall_ns)
        return absent(c, false);
    if (ref->field->which == CONTAINER_START_TIME)
        return value_uint(out, k->started_wall_ns);
    return value_uint(out, now_ns > k->started_wall_ns ? now_ns - k->started_wall_ns : 0);
}

GETTER(container_flag)
{
    const struct container_facts *k = c->container;
    if (!k)
        return VALUE_MISSING;
    if (ref->field->which == CONTAINER_PRIVILEGED)
        return k->from_docker || k->privileged ? value_bool(out, k->privileged) : c->facts_final ? VALUE_MISSING : VALUE_WAIT;
    const bool network = ref->field->which == CONTAINER_HOST_NETWORK;
    const uint64_t own = network ? k->netns : k->pidns, host = !c->host ? 0 : network ? c->host->netns : c->host->pidns;
    return own && host ? value_bool(out, own == host) : VALUE_MISSING;
}

GETTER(container_ip)
{
    const struct container_facts *k = c->container;
    char address[46];
    struct text_out text;
    (void)ref;
    if (!k || (!k->address.family && !k->address6.family))
        return absent(c, false);
    address_format(k->address.family ? &k->address : &k->address6, address);
    scratch_begin(c, &text);
    text_out_bytes(&text, address, strlen(address));
    return scratch_end(c, &text, out);
}

GETTER(container_ecs)
{
    static const char *const roles[] = { "", "workload", "pause", "ecs-agent" };
    const struct container_facts *k = c->container;
    if (!k)
        return VALUE_MISSING;
    switch (ref->field->which) {
    case ECS_CLUSTER:
        return text_or_absent(c, k->cluster, false, out);
    case ECS_CONTAINER_NAME: /* of others the table keeps the runtime's name */
        return k->task_id[0] || k->task_arn[0] ? text_or_absent(c, k->name, false, out) : absent(c, false);
    case ECS_ROLE:
        return k->from_docker || k->from_ecs || k->role != CONTAINER_ROLE_WORKLOAD ? value_name(out, roles[k->role & 3]) : absent(c, false);
    case ECS_SERVICE:
        return text_or_absent(c, k->service, true, out);
    case ECS_TASK_ARN:
        return text_or_absent(c, k->task_arn, false, out);
    case ECS_TASK_FAMILY:
        return text_or_absent(c, k->family, false, out);
    case ECS_TASK_ID:
        return text_or_absent(c, k->task_id, false, out);
    case ECS_TASK_REVISION:
        return text_or_absent(c, k->revision, false, out);
    }
    return VALUE_MISSING;
}

/* ---- mounts: "source:destination:mode:rw:propagation", joined by commas ---- */

struct mount_entry {
    const char *all;
    size_t length;
    const char *parts[5];
    size_t lengths[5];
};

/* The next entry of the list at *at, or false. */
static bool next_mount(const char **at, struct mount_entry *m)
{
    if (!**at)
        return false;
    m->all = *at;
    m->length = strcspn(*at, ",");
    const char *part = *at, *end = *at + m->length;
    for (int i = 0; i < 5; i++) {
        const char *colon = i < 4 ? memchr(part, ':', (size_t)(end - part)) : NULL;
        m->parts[i] = part;
        m->lengths[i] = (size_t)((colon ? colon : end) - part);
        part = colon ? colon + 1 : end;
    }
    *at = *end ? end + 1 : end;
    return true;
}

static bool part_matches(const struct mount_entry *m, int part, const struct field_ref *ref)
{
    char pattern[256], text[513];
    if (ref->argument_length >= sizeof pattern || m->lengths[part] >= sizeof text)
        return false;
    memcpy(pattern, ref->argument, ref->argument_length);
    pattern[ref->argument_length] = 0;
    memcpy(text, m->parts[part], m->lengths[part]);
    text[m->lengths[part]] = 0;
    return fnmatch(pattern, text, 0) == 0;
}

static bool find_mount(const char *mounts, const struct field_ref *ref, struct mount_entry *m)
{
    const int part = ref->field->which == MOUNT_PART_DEST ? 1 : 0;
    for (int64_t i = 0; next_mount(&mounts, m); i++)
        if (ref->index >= 0 ? i == ref->index : part_matches(m, part, ref))
            return true;
    return false;
}

/* A mount that is not there is "N/A", as rules expect: missing would be taken for a match by their "not ... in". */
GETTER(container_mount)
{
    const struct container_facts *k = c->container;
    struct mount_entry m;
    if (!k)
        return VALUE_MISSING;
    if (!k->from_docker && !c->facts_final)
        return VALUE_WAIT;
    if (!find_mount(k->mounts, ref, &m))
        return value_name(out, "N/A");
    if (ref->field->which == MOUNT_ALL)
        return value_text(out, m.all, m.length);
    const intptr_t part = ref->field->which - MOUNT_PART_SOURCE; /* in the order of the list */
    return value_text(out, m.parts[part], m.lengths[part]);
}

GETTER(container_mounts)
{
    const struct container_facts *k = c->container;
    (void)ref;
    if (!k)
        return VALUE_MISSING;
    if (k->mounts[0] || k->from_docker)
        return value_text(out, k->mounts, strlen(k->mounts));
    return c->facts_final ? VALUE_MISSING : VALUE_WAIT;
}

/* ---- layers ---- */

/* A file of the image keeps the change time that it got when the image was unpacked; all that is made or changed in the container has a
 * later one. */
static enum value_answer in_upper_layer(const struct field_context *c, bool known, uint64_t dev, uint64_t ctime_ns, bool *upper)
{
    const struct container_facts *k = c->container;
    *upper = false;
    if (!known)
        return VALUE_MISSING;
    if (!k)
        return VALUE_GOT;
    if (!k->root_dev || !k->started_wall_ns)
        return c->facts_final ? VALUE_MISSING : VALUE_WAIT;
    *upper = dev == k->root_dev && ctime_ns > k->started_wall_ns + CLOCK_SLACK_NS;
    return VALUE_GOT;
}

enum value_answer exe_in_upper_layer(const struct field_context *c, const struct subject *s, bool *upper)
{
    if (s->ev && event_knows(s->ev, F_INO))
        return in_upper_layer(c, true, s->ev->dev, s->ev->ctime_wall_ns, upper);
    const bool known = s->image && s->image->has_file;
    return in_upper_layer(c, known, known ? s->image->dev : 0, known ? s->image->ctime_wall_ns : 0, upper);
}

/* In the writable layer is what the sensor finds there: its path on the host is the layer's and its own. */
enum value_answer file_in_upper_layer(const struct field_context *c, bool *upper)
{
    const struct event *ev = c->ev;
    struct subject self;
    *upper = false;
    if (ev->kind != EVENT_FILE)
        return subject_self(c, &self) ? exe_in_upper_layer(c, &self, upper) : VALUE_MISSING;
    if (!c->container || ev->host_path.len <= ev->path.len)
        return VALUE_GOT;
    const char *layer = c->container->upperdir;
    const size_t length = strlen(layer);
    if (!length)
        return c->facts_final ? VALUE_MISSING : VALUE_WAIT;
    *upper = ev->host_path.len == length + ev->path.len && memcmp(event_text(ev, ev->host_path), layer, length) == 0;
    return VALUE_GOT;
}
