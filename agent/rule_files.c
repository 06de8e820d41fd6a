#include "agent/rule_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"

/* Messages are escaped where they are made; paths that were not read are not. */
static void put_clean(struct text_out *out, const char *text)
{
    text_clean(out, text ? text : "", text ? strlen(text) : 0);
}

void rule_message_print(struct text_out *out, const struct rule_message *message)
{
    put_clean(out, message->file);
    if (message->line)
        text_out_printf(out, ":%u:%u", message->line, message->column);
    text_out_printf(out, ": %s", rule_code_name(message->code));
    if (message->item_type && message->item_type[0]) {
        text_out_printf(out, " in %s '", message->item_type);
        put_clean(out, message->item_name);
        text_out_printf(out, "'");
    }
    text_out_printf(out, ": ");
    put_clean(out, message->text);
    if (message->snippet && message->snippet[0])
        text_out_printf(out, "\n%s", message->snippet); /* escaped where it was made */
}

static void tell(struct rule_files_listener *listener, struct rule_files_result *result, const struct rule_message *message)
{
    if (listener)
        listener->message(listener, message);
    if (!rule_code_is_error(message->code)) {
        result->n_warnings++;
        return;
    }
    if (result->first_error[0])
        return;
    struct text_out line;
    struct rule_message bare = *message;
    bare.snippet = NULL;
    text_out_init(&line, result->first_error, sizeof result->first_error);
    rule_message_print(&line, &bare);
}

static void tell_errno(struct rule_files_listener *listener, struct rule_files_result *result, const char *path, int error)
{
    const char *text = error == -EFBIG ? "the file is larger than 8 MiB: split it" : error == -EINVAL ? "not a regular file" : strerror(-error);
    const struct rule_message message = { .code = LOAD_ERR_FILE_READ, .file = path,
                                          .text = error == -EMFILE ? "too many rules files in this directory" : text };
    tell(listener, result, &message);
}

/* All bytes of a regular file, malloc'ed. */
static int read_file(int dir_fd, const char *name, char **data, size_t *size)
{
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not hold us */
    int error = fd < 0 || fstat(fd, &st) ? -errno : !S_ISREG(st.st_mode) ? -EINVAL : st.st_size > (off_t)LIMIT_RULES_FILE_BYTES ? -EFBIG : 0;
    char *buffer = error ? NULL : malloc((size_t)st.st_size + 1);
    size_t n = 0;
    ssize_t got = 1;
    if (!error && !buffer)
        error = -ENOMEM;
    while (!error && n < (size_t)st.st_size && got > 0) {
        got = read(fd, buffer + n, (size_t)st.st_size - n);
        error = got < 0 ? -errno : 0;
        n += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    if (error) {
        free(buffer);
        return error;
    }
    *data = buffer;
    *size = n;
    return 0;
}

/* Only the last file decides what is used. */
static bool is_about_use(const struct rule_message *message)
{
    return message->code == LOAD_UNUSED_LIST || message->code == LOAD_UNUSED_MACRO;
}

void rule_files_tell_unused(const struct ruleset *set, struct rule_files_listener *listener, struct rule_files_result *result)
{
    for (uint32_t i = 0; i < set->n_warnings; i++)
        if (is_about_use(&set->warnings[i]))
            tell(listener, result, &set->warnings[i]);
}

static int load_at(struct ruleset *set, int dir_fd, const char *name, const char *shown, struct rule_files_listener *listener,
                   struct rule_files_result *result)
{
    char *data;
    size_t size;
    int error = read_file(dir_fd, name, &data, &size);
    result->n_files++;
    if (error) {
        result->n_failed++;
        tell_errno(listener, result, shown, error);
        return error;
    }
    error = ruleset_load(set, shown, data, size);
    free(data);
    for (uint32_t i = 0; i < set->n_errors; i++)
        tell(listener, result, &set->errors[i]);
    for (uint32_t i = 0; i < set->n_warnings; i++) /* every load compiles all rules again: the others' were told with their files */
        if (set->warnings[i].file && !strcmp(set->warnings[i].file, shown) && !is_about_use(&set->warnings[i]))
            tell(listener, result, &set->warnings[i]);
    result->n_failed += error != 0;
    return error;
}

int rule_file_load(struct ruleset *set, const char *path, struct rule_files_listener *listener, struct rule_files_result *result)
{
    return load_at(set, AT_FDCWD, path, path, listener, result);
}

static int is_rules_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && (text_has_suffix(entry->d_name, ".yaml") || text_has_suffix(entry->d_name, ".yml"));
}

bool rule_files_missing(const char *directory)
{
    return directory[0] && access(directory, F_OK) && errno == ENOENT;
}

int rule_files_load(struct ruleset *set, const char *directory, struct rule_files_listener *listener, struct rule_files_result *result)
{
    struct dirent **names = NULL;
    int error = 0;
    int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int n = scandirat(dir_fd, ".", &names, is_rules_file, alphasort);
    if (n < 0)
        error = -errno;
    for (int i = 0; i < n; i++) {
        char shown[LIMIT_PATH_BYTES + 256];
        snprintf(shown, sizeof shown, "%s/%s", directory, names[i]->d_name);
        if (i >= LIMIT_RULES_FILES) {
            tell_errno(listener, result, shown, -EMFILE);
            result->n_failed++;
        } else if (error != -ENOMEM) {
            error = load_at(set, dir_fd, names[i]->d_name, shown, listener, result) == -ENOMEM ? -ENOMEM : 0;
        }
        free(names[i]);
    }
    free(names);
    close(dir_fd);
    return error;
}
