#include "agent/sensors/uevent_decode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/text.h"

struct field {
    const char *at; /* NULL = not there */
    size_t size;
};

/* The value of `key` ("ACTION=") among the NUL-terminated settings. */
static struct field setting(const char *bytes, size_t size, const char *key)
{
    size_t key_size = strlen(key);
    for (size_t at = 0; at < size;) {
        size_t n = strnlen(bytes + at, size - at);
        if (n >= key_size && !memcmp(bytes + at, key, key_size))
            return (struct field){ bytes + at + key_size, n - key_size };
        at += n + 1;
    }
    return (struct field){ NULL, 0 };
}

static bool is(struct field f, const char *text)
{
    return f.at && f.size == strlen(text) && !memcmp(f.at, text, f.size);
}

int uevent_decode(const char *bytes, size_t size, char name[64])
{
    static const char prefix[] = "/module/";
    const char *end = memchr(bytes, 0, size), *at_sign = size ? memchr(bytes, '@', size) : NULL;
    if (!end || !at_sign || at_sign > end)
        return -EINVAL;
    const char *settings = end + 1;
    size_t left = size - (size_t)(settings - bytes);
    struct field path = setting(settings, left, "DEVPATH=");
    if (!path.at || !is(setting(settings, left, "SUBSYSTEM="), "module") || setting(settings, left, "SYNTH_UUID=").at)
        return UEVENT_OTHER;
    size_t length = path.size - (sizeof prefix - 1);
    if (path.size < sizeof prefix || memcmp(path.at, prefix, sizeof prefix - 1) || memchr(path.at + sizeof prefix - 1, '/', length))
        return UEVENT_OTHER; /* drivers below a module */
    if (length >= 64)
        return -EINVAL;
    memcpy(name, path.at + sizeof prefix - 1, length);
    name[length] = 0;
    struct field action = setting(settings, left, "ACTION=");
    return is(action, "add") ? UEVENT_MODULE_ADDED : is(action, "remove") ? UEVENT_MODULE_REMOVED : UEVENT_OTHER;
}
