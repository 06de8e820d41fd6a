#include "agent/detect_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

/* All of a regular file of at most `max` bytes, in `*data`, which the caller frees. Its size or -errno. */
static ssize_t file_read(int dir_fd, const char *name, size_t max, char **data)
{
    struct stat st;
    size_t n = 0;
    ssize_t got = 0;
    *data = NULL;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* non-blocking: it may turn out to be a fifo */
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &st) ? -errno : !S_ISREG(st.st_mode) ? -EINVAL : 0;
    if (!error && !(*data = malloc(max + 1)))
        error = -ENOMEM;
    while (!error && n <= max && (got = read(fd, *data + n, max + 1 - n)) != 0) {
        if (got < 0)
            error = -errno;
        else
            n += (size_t)got;
    }
    close(fd);
    if (!error && n > max)
        error = -EFBIG;
    if (error) {
        free(*data);
        *data = NULL;
    }
    return error ? error : (ssize_t)n;
}

/* The text of the configuration file: its size, 0 when there is no such file, or -errno with a line in `error`. */
static ssize_t config_read(const char *path, char **data, struct text_out *error)
{
    ssize_t n = file_read(AT_FDCWD, path, LIMIT_CONFIG_FILE_BYTES, data);
    if (n < 0 && n != -ENOENT)
        text_out_printf(error, "%s: %s", path, strerror((int)-n));
    return n == -ENOENT ? 0 : n;
}

int intel_sources_load(struct intel_sources *s, const char *path, struct text_out *error)
{
    char *data;
    ssize_t n = config_read(path, &data, error);
    s->n = 0;
    int result = n > 0 ? intel_sources_parse(s, path, data, (size_t)n, error) : (int)n;
    free(data);
    return result;
}

int suppress_file_load(struct suppress *s, const char *path, struct text_out *error)
{
    char *data;
    ssize_t n = config_read(path, &data, error);
    memset(s, 0, sizeof *s);
    if (n <= 0)
        return (int)n;
    int result = suppress_parse(s, path, data, (size_t)n, error);
    free(data);
    return result;
}

/* ---- sequences ---------------------------------------------------------------------------------------------------- */

static void sequence_file(struct sequences *s, int dir_fd, const char *name, struct sequence_files_result *result)
{
    char line[1400], shown[512], *data;
    struct text_out error, safe;
    ssize_t n = file_read(dir_fd, name, LIMIT_SEQUENCE_FILE_BYTES, &data);
    if (n == -ENOENT)
        return;
    text_out_init(&safe, shown, sizeof shown);
    text_escape(&safe, name, strlen(name));
    text_out_init(&error, line, sizeof line);
    if (n < 0)
        text_out_printf(&error, "%s: %s", shown, strerror((int)-n));
    if (n < 0 || sequences_parse(s, shown, data, (size_t)n, &error)) {
        log_error("sequences", "%s", line);
        result->failed++;
    } else {
        result->files++;
    }
    free(data);
}

static int is_yaml(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && text_has_suffix(entry->d_name, ".yaml");
}

static int sequence_directory(struct sequences *s, const char *directory, struct sequence_files_result *result)
{
    struct dirent **names = NULL;
    int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int n = scandirat(dir_fd, ".", &names, is_yaml, alphasort), error = n < 0 ? -errno : 0;
    for (int i = 0; i < n; i++) {
        if (i < LIMIT_SEQUENCE_FILES)
            sequence_file(s, dir_fd, names[i]->d_name, result);
        free(names[i]);
    }
    if (n > LIMIT_SEQUENCE_FILES) {
        log_error("sequences", "%s holds more than %d files: the rest is left out", directory, LIMIT_SEQUENCE_FILES);
        result->failed += (uint32_t)(n - LIMIT_SEQUENCE_FILES);
    }
    free(names);
    close(dir_fd);
    return error;
}

int sequence_files_load(struct sequences *s, const char *shipped, const char *directory, struct sequence_files_result *result)
{
    memset(s, 0, sizeof *s);
    *result = (struct sequence_files_result){ 0 };
    if (shipped[0])
        sequence_file(s, AT_FDCWD, shipped, result);
    return directory[0] ? sequence_directory(s, directory, result) : 0;
}
