#include "agent/intel_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#define CATEGORY_DEFAULT "c2"

/* ---- one file ----------------------------------------------------------------------------------------------------- */

static int read_fd(struct intel_reader *reader, int fd)
{
    char *buffer = malloc(LIMIT_INTEL_PIECE_BYTES);
    uint64_t total = 0;
    ssize_t n = 0;
    int error = buffer ? 0 : -ENOMEM;
    while (!error && (n = read(fd, buffer, LIMIT_INTEL_PIECE_BYTES)) > 0) {
        total += (uint64_t)n;
        error = total > LIMIT_INTEL_FILE_BYTES ? -EFBIG : intel_reader_feed(reader, buffer, (size_t)n);
        if (error == -ENOSPC) /* goes on, to count what has no room */
            error = 0;
    }
    if (!error && n < 0)
        error = -errno;
    free(buffer);
    int end = intel_reader_end(reader);
    return error ? error : end;
}

static uint64_t mtime_ns(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * NS_PER_SECOND + (uint64_t)st->st_mtim.tv_nsec;
}

/* Whose directory it is may write lists into it, and root. */
static bool is_owned(const struct stat *file, const struct stat *dir)
{
    return file->st_uid == dir->st_uid || file->st_uid == 0;
}

static int read_file(struct intel *intel, int fd, const struct stat *dir, const struct intel_source *source, struct intel_list *list)
{
    struct intel_reader reader;
    struct stat st;
    if (fstat(fd, &st))
        return -errno;
    list->changed_wall_ns = mtime_ns(&st);
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (dir && !is_owned(&st, dir))
        return -EPERM;
    intel_reader_init(&reader, intel, source);
    int error = read_fd(&reader, fd);
    list->format = reader.format;
    list->n_entries = reader.n_entries;
    list->n_bad = reader.n_bad;
    list->n_other = reader.n_other;
    memcpy(list->category, reader.source.category, sizeof list->category);
    return error;
}

/* The category that a name begins with, as a whole word; the longest one: "tor-guard-2026" is tor-guard. */
static const char *category_of_name(const char *name)
{
    const char *best = NULL;
    for (int i = INTEL_OTHER + 1; i < INTEL_CATEGORIES; i++) {
        const char *category = intel_category_name((enum intel_category)i);
        size_t n = strlen(category);
        if (text_has_prefix(name, category) && (!name[n] || strchr("-_.", name[n])) && (!best || n > strlen(best)))
            best = category;
    }
    return best;
}

static const char *const suffixes[] = { ".txt", ".list", ".csv", ".xml", ".hosts" };

static bool has_list_suffix(const char *name)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (text_has_suffix(name, suffixes[i]))
            return true;
    return false;
}

/* What the name of a file says of the list in it. */
static void source_of_name(const char *file, struct intel_source *source, struct intel_list *list)
{
    const char *dot = has_list_suffix(file) ? strrchr(file, '.') : NULL;
    text_copy(list->name, sizeof list->name, file, dot ? (size_t)(dot - file) : strlen(file));
    const char *category = category_of_name(list->name);
    *source = (struct intel_source){ .list = list->name, .category_set = category != NULL, .trusted = text_has_prefix(file, "trusted"),
                                     .format = dot && !strcmp(dot, ".hosts") ? INTEL_HOSTS : dot &&
                                         !strcmp(dot, ".xml") ? INTEL_STIX : INTEL_AUTO };
    category = category ? category : CATEGORY_DEFAULT;
    memcpy(source->category, category, strlen(category) + 1);
    memcpy(list->category, source->category, sizeof list->category);
    list->trusted = source->trusted;
}

int intel_file_read(struct intel *intel, const char *path, struct intel_source *source, struct intel_list *list)
{
    intel_error *on_error = source->on_error;
    void *context = source->context;
    *list = (struct intel_list){ 0 };
    source_of_name(text_basename(path), source, list);
    source->on_error = on_error;
    source->context = context;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    list->error = read_file(intel, fd, NULL, source, list);
    close(fd);
    return list->error;
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

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

/* Categories that no finding type belongs to may be meant so, or be a slip of the pen. */
static void tell_categories(const struct load *load, uint32_t first_tag)
{
    uint32_t n = 0;
    for (uint32_t i = first_tag; i < load->intel->n_tags; i++)
        if (load->intel->tags[i].kind == INTEL_OTHER && n++ < LIMIT_INTEL_FILE_ERRORS)
            log_info("intel", "%s: \"%s\" is none of our categories (ecsguard-intel(5)): only rules can ask for it", load->shown,
                     load->intel->tags[i].category);
}

static int load_list(struct load *load, int dir_fd, const char *file, const struct stat *dir, struct intel_source *source,
                     struct intel_list *list)
{
    struct text_out shown;
    uint32_t first_tag = load->intel->n_tags;
    text_out_init(&shown, load->shown, sizeof load->shown);
    text_escape(&shown, file, strlen(file));
    load->errors = 0;
    source->on_error = on_error;
    source->context = load;
    /* O_NONBLOCK: a fifo must not hold us. What another process wrote is no way to another file either. */
    int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (list->fetched ? O_NOFOLLOW : 0));
    if (fd < 0)
        return -errno;
    int r = read_file(load->intel, fd, dir, source, list);
    close(fd);
    if (load->errors > LIMIT_INTEL_FILE_ERRORS)
        log_warn("intel", "%s: %u more bad lines", load->shown, load->errors - LIMIT_INTEL_FILE_ERRORS);
    tell_categories(load, first_tag);
    return r;
}

/* There is room for one more. */
static struct intel_list *next_list(struct intel_files_result *result)
{
    struct intel_list *list = &result->lists[result->n_lists++];
    *list = (struct intel_list){ 0 };
    return list;
}

static int note_result(struct load *load, struct intel_list *list, int r)
{
    list->error = r;
    load->result->files += !r;
    load->result->failed += r != 0;
    if (r == -ENOSPC)
        log_error("intel", "%s: no room for more entries, the rest is left out: see intel.max_memory", load->shown);
    else if (r == -EPERM)
        log_error("intel", "%s: left out: it belongs to somebody who does not own the directory", load->shown);
    else if (r)
        log_error("intel", "%s: not read to its end: %s", load->shown, r == -EILSEQ ? "not a list" : strerror(-r));
    return r == -ENOMEM ? r : 0;
}

static int is_list_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && has_list_suffix(entry->d_name);
}

static int load_directory(struct load *load, const char *directory)
{
    struct dirent **names = NULL;
    struct stat dir;
    int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int n = fstat(dir_fd, &dir) ? -1 : scandirat(dir_fd, ".", &names, is_list_file, alphasort), error = n < 0 ? -errno : 0;
    for (int i = 0; i < n; i++) {
        if (load->result->n_lists < LIMIT_INTEL_FILES && !error) {
            struct intel_source source;
            struct intel_list *list = next_list(load->result);
            source_of_name(names[i]->d_name, &source, list);
            error = note_result(load, list, load_list(load, dir_fd, names[i]->d_name, &dir, &source, list));
        } else if (!error) {
            load->result->failed++;
        }
        free(names[i]);
    }
    free(names);
    close(dir_fd);
    if (load->result->n_lists == LIMIT_INTEL_FILES)
        log_error("intel", "more than %d lists: those behind \"%s\" are left out", LIMIT_INTEL_FILES,
                  load->result->lists[LIMIT_INTEL_FILES - 1].name);
    return error;
}

static void file_of_source(const struct intel_fetched_source *source, const char *suffix, char file[INTEL_LIST_MAX + 8])
{
    snprintf(file, INTEL_LIST_MAX + 8, "%s%s", source->name, suffix);
}

static int load_fetched_list(struct load *load, int dir_fd, const struct stat *dir, const struct intel_fetched_source *from)
{
    char file[INTEL_LIST_MAX + 8];
    struct stat st;
    if (load->result->n_lists == LIMIT_INTEL_FILES)
        return 0;
    struct intel_list *list = next_list(load->result);
    const char *category = from->category[0] ? from->category : category_of_name(from->name);
    struct intel_source source = { .list = list->name, .category_set = category != NULL, .trusted = from->trusted, .format = from->format };
    category = category ? category : CATEGORY_DEFAULT;
    memcpy(source.category, category, strlen(category) + 1);
    memcpy(list->category, source.category, sizeof list->category);
    memcpy(list->name, from->name, sizeof list->name);
    list->trusted = from->trusted;
    list->fetched = true;
    file_of_source(from, ".meta", file);
    if (!fstatat(dir_fd, file, &st, AT_SYMLINK_NOFOLLOW))
        list->checked_wall_ns = mtime_ns(&st);
    file_of_source(from, ".list", file);
    int r = dir_fd < 0 ? -ENOENT : load_list(load, dir_fd, file, dir, &source, list);
    if (r == -ENOENT) { /* not fetched yet */
        list->error = r;
        return 0;
    }
    return note_result(load, list, r);
}

static int load_fetched(struct load *load, const struct intel_files_options *o)
{
    struct stat dir;
    if (!o->fetched || !o->fetched[0] || !o->sources || !o->sources->n)
        return 0;
    /* a directory of the process that fetches: not by way of a link that it could have put there */
    int error = 0, dir_fd = open(o->fetched, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir_fd < 0 && errno != ENOENT)
        return -errno;
    if (dir_fd >= 0 && fstat(dir_fd, &dir))
        error = -errno;
    for (uint32_t i = 0; i < o->sources->n && !error; i++)
        error = load_fetched_list(load, dir_fd, &dir, &o->sources->list[i]);
    if (dir_fd >= 0)
        close(dir_fd);
    return error;
}

int intel_files_load(struct intel *intel, const struct intel_files_options *options, struct intel_files_result *result)
{
    struct load load = { .intel = intel, .result = result };
    const char *const dirs[] = { options->dir, options->shipped }; /* of equal entries the first loaded stays: the administrator's */
    int error = 0;
    memset(result, 0, sizeof *result);
    if (options->bytes_max)
        intel->bytes_max = options->bytes_max;
    for (int i = 0; i < 2 && !error; i++)
        if (dirs[i] && dirs[i][0] && (error = load_directory(&load, dirs[i])))
            log_error("intel", "cannot read %s: %s", dirs[i], strerror(-error));
    if (!error && (error = load_fetched(&load, options)))
        log_error("intel", "cannot read %s: %s", options->fetched, strerror(-error));
    return error ? error : intel_seal(intel);
}

/* ---- has anything changed? ---------------------------------------------------------------------------------------- */

static uint64_t state_of(int dir_fd, const char *name)
{
    static const struct hash_key key = { 1, 2 };
    struct stat st;
    if (fstatat(dir_fd, name, &st, 0))
        return 0;
    const uint64_t facts[] = { mtime_ns(&st), (uint64_t)st.st_size, st.st_ino, st.st_dev, hash_bytes(&key, name, strlen(name)) };
    return hash_bytes(&key, facts, sizeof facts);
}

static uint64_t directory_state(const char *directory)
{
    const struct dirent *entry;
    uint64_t sum = 0;
    DIR *dir = directory && directory[0] ? opendir(directory) : NULL;
    while (dir && (entry = readdir(dir)))
        if (is_list_file(entry))
            sum += state_of(dirfd(dir), entry->d_name); /* in whatever order */
    if (dir)
        closedir(dir);
    return sum;
}

uint64_t intel_files_state(const struct intel_files_options *o)
{
    return directory_state(o->shipped) + 3 * directory_state(o->dir) + 5 * directory_state(o->fetched);
}

void intel_files_checked(const struct intel_files_options *o, uint64_t checked_wall_ns[LIMIT_INTEL_SOURCES])
{
    char file[INTEL_LIST_MAX + 8];
    struct stat st;
    int dir_fd = o->fetched && o->fetched[0] ? open(o->fetched, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
    for (uint32_t i = 0; i < o->sources->n; i++) {
        file_of_source(&o->sources->list[i], ".meta", file);
        checked_wall_ns[i] = dir_fd >= 0 && !fstatat(dir_fd, file, &st, AT_SYMLINK_NOFOLLOW) ? mtime_ns(&st) : 0;
    }
    if (dir_fd >= 0)
        close(dir_fd);
}
