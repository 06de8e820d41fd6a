#include "agent/deliver/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/text.h"

#define MAGIC "ecsguard-cursor 1 "

int cursor_format(char line[CURSOR_BYTES], const char *database, int64_t revision)
{
    char check[33];
    if (strlen(database) != 32 || strspn(database, "0123456789abcdef") != 32 || revision < 0)
        return -EINVAL;
    int n = snprintf(line, CURSOR_BYTES, MAGIC "%s %" PRId64, database, revision);
    hash_hex(line, (size_t)n, check);
    return n + snprintf(line + n, CURSOR_BYTES - (size_t)n, " %s\n", check);
}

/* Takes a line exactly as cursor_format() writes it: what it says is formatted again and compared. */
int cursor_parse(const char *line, size_t length, const char *database, int64_t *revision)
{
    char copy[CURSOR_BYTES] = "", again[CURSOR_BYTES], identity[33];
    uint64_t value;
    size_t at = strlen(MAGIC);
    if (length >= sizeof copy || length < at + 33)
        return CURSOR_DAMAGED;
    memcpy(copy, line, length);
    text_copy(identity, sizeof identity, copy + at, 32);
    const char *digits = copy + at + 33;
    if (text_to_u64(digits, strspn(digits, "0123456789"), &value) || value > INT64_MAX)
        return CURSOR_DAMAGED;
    int n = cursor_format(again, identity, (int64_t)value);
    if (n < 0 || (size_t)n != length || memcmp(copy, again, length))
        return CURSOR_DAMAGED;
    if (strcmp(identity, database))
        return CURSOR_OTHER;
    *revision = (int64_t)value;
    return CURSOR_OK;
}

static int open_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* At most `size` bytes of a regular file: the length, or -errno. Anything else at that name reads as empty. */
static ssize_t read_at(int dir, const char *name, char *data, size_t size)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ELOOP ? 0 : -errno;
    ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, data, size) : 0;
    int error = errno;
    close(fd);
    return n < 0 ? -error : n;
}

int cursor_load(const char *dir, const char *database, int64_t *revision)
{
    char line[CURSOR_BYTES];
    int fd = open_dir(dir);
    if (fd < 0)
        return fd;
    ssize_t n = read_at(fd, CURSOR_FILE, line, sizeof line);
    int result = n == -ENOENT ? CURSOR_NONE : n < 0 ? (int)n : cursor_parse(line, (size_t)n, database, revision);
    if ((result == CURSOR_DAMAGED || result == CURSOR_OTHER) && renameat(fd, CURSOR_FILE, fd, CURSOR_FILE ".refused") < 0)
        result = -errno;
    close(fd);
    return result;
}

int cursor_store(const char *dir, const char *database, int64_t revision)
{
    char line[CURSOR_BYTES];
    int n = cursor_format(line, database, revision);
    return n < 0 ? n : cursor_replace_file(dir, CURSOR_FILE, line, (size_t)n, 0600, 1);
}

static int write_file(int fd, const void *data, size_t size, int durable)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)data + done, size - done);
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return durable && fsync(fd) < 0 ? -errno : 0;
}

int cursor_replace_file(const char *dir, const char *name, const void *data, size_t size, unsigned mode, int durable)
{
    char temporary[64];
    int dir_fd = open_dir(dir);
    if (dir_fd < 0)
        return dir_fd;
    snprintf(temporary, sizeof temporary, "%s.new", name);
    unlinkat(dir_fd, temporary, 0); /* left by a crash, or a link of someone else */
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int result = fd < 0 ? -errno : write_file(fd, data, size, durable);
    if (fd >= 0 && fchmod(fd, mode) < 0 && !result)
        result = -errno;
    if (fd >= 0 && close(fd) < 0 && !result)
        result = -errno;
    if (!result && renameat(dir_fd, temporary, dir_fd, name) < 0)
        result = -errno;
    if (!result && durable && fsync(dir_fd) < 0)
        result = -errno;
    if (result && fd >= 0)
        unlinkat(dir_fd, temporary, 0);
    close(dir_fd);
    return result;
}
