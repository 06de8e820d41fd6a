#include "agent/deliver/intel_meta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/deliver/cursor.h"
#include "agent/detect/intel.h"
#include "common/clock.h"
#include "common/text.h"

#define META_BYTES 2048

static const struct {
    const char *key;
    size_t offset, size;
} fields[] = {
#define FIELD(name) { #name, offsetof(struct intel_meta, name), sizeof((struct intel_meta *)0)->name }
    FIELD(url), FIELD(etag), FIELD(modified), FIELD(key),
#undef FIELD
};

size_t intel_meta_format(const struct intel_meta *meta, char *text, size_t size)
{
    struct text_out out;
    text_out_init(&out, text, size);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        text_out_printf(&out, "%s: %s\n", fields[i].key, (const char *)meta + fields[i].offset);
    return out.length;
}

static void take_line(struct intel_meta *meta, const char *line, size_t length)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        size_t n = strlen(fields[i].key);
        char *field = (char *)meta + fields[i].offset;
        if (length < n + 2 || memcmp(line, fields[i].key, n) || memcmp(line + n, ": ", 2))
            continue;
        if (!text_copy(field, fields[i].size, line + n + 2, length - n - 2))
            field[0] = 0; /* a part of a value is none */
    }
}

void intel_meta_parse(struct intel_meta *meta, const char *text, size_t size)
{
    memset(meta, 0, sizeof *meta);
    while (size) {
        const char *end = memchr(text, '\n', size);
        size_t n = end ? (size_t)(end - text) : size;
        take_line(meta, text, n);
        n += end != NULL;
        text += n;
        size -= n;
    }
}

void intel_meta_load(struct intel_meta *meta, int dir_fd, const char *name)
{
    char text[META_BYTES], file[INTEL_LIST_MAX + 8];
    struct stat st;
    memset(meta, 0, sizeof *meta);
    snprintf(file, sizeof file, "%s.meta", name);
    int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    ssize_t n = !fstat(fd, &st) && S_ISREG(st.st_mode) ? read(fd, text, sizeof text) : 0;
    close(fd);
    if (n <= 0)
        return;
    intel_meta_parse(meta, text, (size_t)n);
    meta->checked_wall_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_SECOND;
}

int intel_meta_store(const struct intel_meta *meta, const char *dir, const char *name)
{
    char text[META_BYTES], file[INTEL_LIST_MAX + 8];
    snprintf(file, sizeof file, "%s.meta", name);
    return cursor_replace_file(dir, file, text, intel_meta_format(meta, text, sizeof text), 0600, 0); /* a URL may hold a token */
}
