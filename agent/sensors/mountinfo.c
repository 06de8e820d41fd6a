#include "agent/sensors/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/text.h"

char *mountinfo_line(char **text)
{
    char *line = *text;
    if (!*line)
        return NULL;
    char *end = strchr(line, '\n');
    *text = end ? end + 1 : line + strlen(line);
    if (end)
        *end = 0;
    return line;
}

static int octal(char c)
{
    return c >= '0' && c <= '7' ? c - '0' : -1;
}

/* The kernel writes blank, tab, newline, backslash (and comma in options) as \ooo. */
static char *unescape(char *text)
{
    char *to = text;
    for (char *p = text; *p;) {
        int a = -1, b = -1, c = -1;
        if (p[0] == '\\' && (a = octal(p[1])) >= 0 && (b = octal(p[2])) >= 0 && (c = octal(p[3])) >= 0 && a < 4 && (a | b | c)) {
            *to++ = (char)(a << 6 | b << 3 | c);
            p += 4;
        } else {
            *to++ = *p++;
        }
    }
    *to = 0;
    return text;
}

/* The next word of the line; NULL at its end. */
static char *word(char **at)
{
    char *p = *at;
    while (*p == ' ')
        p++;
    if (!*p)
        return NULL;
    char *end = strchr(p, ' ');
    *at = end ? end + 1 : p + strlen(p);
    if (end)
        *end = 0;
    return p;
}

static int number(const char *text, size_t length, uint32_t *out)
{
    uint64_t value;
    if (text_to_u64(text, length, &value) || value > UINT32_MAX)
        return -EINVAL;
    *out = (uint32_t)value;
    return 0;
}

static int device(const char *text, uint64_t *dev)
{
    uint32_t major_number, minor_number;
    const char *colon = strchr(text, ':');
    if (!colon || number(text, (size_t)(colon - text), &major_number) || number(colon + 1, strlen(colon + 1), &minor_number))
        return -EINVAL;
    *dev = makedev(major_number, minor_number);
    return 0;
}

static void overlay_options(char *options, struct mountinfo *mount)
{
    for (char *next, *p = options; p; p = next) {
        next = strchr(p, ',');
        if (next)
            *next++ = 0;
        if (text_has_prefix(p, "upperdir="))
            mount->upperdir = unescape(p + 9);
        else if (text_has_prefix(p, "lowerdir="))
            mount->lowerdir = unescape(p + 9);
        else if (text_has_prefix(p, "workdir="))
            mount->workdir = unescape(p + 8);
    }
}

int mountinfo_parse(char *line, struct mountinfo *mount)
{
    memset(mount, 0, sizeof *mount);
    char *at = line, *words[6];
    for (int i = 0; i < 6; i++)
        if (!(words[i] = word(&at)))
            return -EINVAL;
    if (number(words[0], strlen(words[0]), &mount->mount_id) || number(words[1], strlen(words[1]), &mount->parent_id) ||
        device(words[2], &mount->dev))
        return -EINVAL;
    mount->root = unescape(words[3]);
    mount->mount_point = unescape(words[4]);
    mount->options = words[5];
    for (char *tag = word(&at); !tag || strcmp(tag, "-"); tag = word(&at)) /* shared:N, master:N, ... */
        if (!tag)
            return -EINVAL;
        else
            mount->is_slave |= text_has_prefix(tag, "master:");
    char *super_options;
    if (!(mount->fs_type = word(&at)) || !(mount->source = word(&at)) || !(super_options = word(&at)))
        return -EINVAL;
    unescape(mount->source);
    if (!strcmp(mount->fs_type, "overlay"))
        overlay_options(super_options, mount);
    return 0;
}

bool mountinfo_is_remote(const struct mountinfo *mount)
{
    static const char *const types[] = { "fuse", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "afs", "lustre", "glusterfs",
                                         "virtiofs" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(mount->fs_type, types[i]))
            return true;
    return !strncmp(mount->fs_type, "fuse.", 5);
}

int mountinfo_upperdir(const struct mountinfo *mount, char *out, size_t size)
{
    if (!mount->upperdir)
        return -ENOENT;
    int base = 0;
    if (mount->upperdir[0] != '/') {
        const char *at = mount->mount_point + strlen(mount->mount_point);
        for (int levels = 0; levels < 2; levels++)
            do {
                if (at == mount->mount_point)
                    return -EINVAL;
            } while (*--at != '/');
        base = (int)(at - mount->mount_point) + 1;
    }
    int n = snprintf(out, size, "%.*s%s", base, mount->mount_point, mount->upperdir);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* `path` without `root`, which is at or above it; NULL if it is not. */
static const char *path_below(const char *path, const char *root)
{
    size_t n = strcmp(root, "/") ? strlen(root) : 0;
    return strncmp(path, root, n) || (path[n] && path[n] != '/') ? NULL : path + n;
}

int mountinfo_host_path(char *text, const struct mountinfo *mount, char *out, size_t size)
{
    struct mountinfo host;
    size_t best = 0;
    int result = -ENOENT;
    for (char *line; (line = mountinfo_line(&text));) {
        const char *rest;
        if (mountinfo_parse(line, &host) || host.dev != mount->dev || !(rest = path_below(mount->root, host.root)))
            continue;
        if (result >= 0 && strlen(host.root) <= best) /* the closest, of those the first */
            continue;
        best = strlen(host.root);
        bool top = !strcmp(host.mount_point, "/"), whole = !strcmp(rest, "/") || !*rest;
        int n = snprintf(out, size, "%s%s", top && !whole ? "" : host.mount_point, whole ? "" : rest);
        if (n < 0 || (size_t)n >= size)
            return -ENAMETOOLONG;
        result = whole;
    }
    return result;
}
