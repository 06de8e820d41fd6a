#include "agent/intel_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"

struct load {
    struct intel *intel;
    struct intel_files_result *result;
    char shown[4 * NAME_MAX + 1]; /* name of the file, escaped */
    uint32_t errors;              /* in this file */
};

static void on_error(void *context, uint32_t line, const char *text)
{
    struct load *load = context;
    load->result->bad_lines++;
    if (load->errors++ < LIMIT_INTEL_FILE_ERRORS)
        log_warn("intel", "%s:%u: %s", load->shown, line, text);
}

/* The whole lines of `buffer`; returns how many bytes of an unfinished one were moved to its start, or -errno. */
static ssize_t load_piece(struct load *load, struct intel_source *source, char *buffer, size_t size)
{
    const char *end = memrchr(buffer, '\n', size);
    size_t whole = end ? (size_t)(end - buffer) + 1 : 0;
    int r = intel_load_text(load->intel, source, buffer, whole);
    if (r)
        return r;
    if (!end && size == LIMIT_INTEL_PIECE_BYTES)
        return -EFBIG; /* a line of that length is no list */
    memmove(buffer, buffer + whole, size - whole);
    return (ssize_t)(size - whole);
}

static int load_fd(struct load *load, struct intel_source *source, int fd, char *buffer)
{
    size_t left = 0, total = 0;
    for (;;) {
        ssize_t n = read(fd, buffer + left, LIMIT_INTEL_PIECE_BYTES - left);
        if (n < 0)
            return -errno;
        if (n == 0)
            return intel_load_text(load->intel, source, buffer, left); /* a last line without newline */
        total += (size_t)n;
        if (total > LIMIT_INTEL_FILE_BYTES)
            return -EFBIG;
        n = load_piece(load, source, buffer, left + (size_t)n);
        if (n < 0)
            return (int)n;
        left = (size_t)n;
    }
}

static int load_file(struct load *load, int dir_fd, const char *name, char *buffer)
{
    char list[INTEL_LIST_MAX];
    struct stat st;
    struct intel_source source = { .list = list, .category = "c2", .on_error = on_error, .context = load };
    const char *dot = strrchr(name, '.');
    text_copy(list, sizeof list, name, (size_t)(dot - name));
    source.trusted = text_has_prefix(name, "trusted");
    load->errors = 0;
    /* O_NONBLOCK: a fifo must not hold us */
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int r = fstat(fd, &st) ? -errno : S_ISREG(st.st_mode) ? load_fd(load, &source, fd, buffer) : -EINVAL;
    close(fd);
    if (load->errors > LIMIT_INTEL_FILE_ERRORS)
        log_warn("intel", "%s: %u more bad lines", load->shown, load->errors - LIMIT_INTEL_FILE_ERRORS);
    return r;
}

static int is_list(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && (text_has_suffix(entry->d_name, ".txt") || text_has_suffix(entry->d_name, ".list"));
}

static int load_all(struct load *load, int dir_fd, struct dirent **names, int n, char *buffer)
{
    for (int i = 0; i < n; i++) {
        struct text_out shown;
        text_out_init(&shown, load->shown, sizeof load->shown);
        text_escape(&shown, names[i]->d_name, strlen(names[i]->d_name));
        int r = i < LIMIT_INTEL_FILES ? load_file(load, dir_fd, names[i]->d_name, buffer) : -EMFILE;
        if (r == -ENOMEM)
            return r;
        load->result->files += !r;
        load->result->failed += r != 0;
        if (r == -ENOSPC)
            log_error("intel", "%s: more than %d entries in all lists: the rest is left out", load->shown, LIMIT_INTEL_ENTRIES);
        else if (r)
            log_error("intel", "%s: not read to its end: %s", load->shown, strerror(-r));
    }
    return 0;
}

int intel_files_load(struct intel *intel, const char *directory, struct intel_files_result *result)
{
    struct intel_files_result unused;
    struct load load = { .intel = intel, .result = result ? result : &unused };
    struct dirent **names = NULL;
    memset(load.result, 0, sizeof *load.result);
    int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? intel_seal(intel) : -errno;
    char *buffer = malloc(LIMIT_INTEL_PIECE_BYTES);
    int n = buffer ? scandirat(dir_fd, ".", &names, is_list, alphasort) : -1;
    int r = n < 0 ? -errno : load_all(&load, dir_fd, names, n, buffer);
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    free(buffer);
    close(dir_fd);
    return r ? r : intel_seal(intel);
}
