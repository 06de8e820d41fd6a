/* Reads the threat lists: those that come with the package, those of the administrator (each NAME.txt, .list, .csv, .xml or .hosts is the list NAME), and
 * those that ecsguard-uploader fetched. Without another word, a list has the category that its name begins with ("phishing-brand.txt"), else "c2"; lists
 * whose name begins with "trusted" are trusted. Of fetched lists only what the configuration names is read, with what it says of it: the
 * process that talks to the network does not choose which list is trusted. */
#ifndef ECSGUARD_INTEL_FILES_H
#define ECSGUARD_INTEL_FILES_H

#include "agent/detect/intel_reader.h"
#include "agent/detect/intel_sources.h"

struct intel_files_options {
    const char *shipped, *dir, *fetched; /* directories; "" or NULL = none */
    const struct intel_sources *sources; /* of `fetched`; NULL = none */
    uint64_t bytes_max;                  /* 0 = LIMIT_INTEL_BYTES */
};

/* One list, for people. */
struct intel_list {
    char name[INTEL_LIST_MAX];
    char category[INTEL_CATEGORY_MAX]; /* of lines that do not say */
    enum intel_format format;
    bool trusted, fetched;
    uint64_t n_entries, n_bad, n_other;
    uint64_t changed_wall_ns; /* 0 = there is no such file */
    uint64_t checked_wall_ns; /* fetched ones: when the server last said that this is the list; else 0 */
    int error;                /* 0, or why it was not read to its end */
};

struct intel_files_result {
    uint32_t files;  /* read */
    uint32_t failed; /* not or only partly read */
    uint64_t bad_lines;
    uint32_t n_lists;
    struct intel_list lists[LIMIT_INTEL_FILES];
};

/* Fills and seals `intel` (after intel_init()). Bad files and lines are logged as file:line and left out. 0, also when a directory does
 * not exist (no lists); -errno when one cannot be read, or -ENOMEM. */
int intel_files_load(struct intel *intel, const struct intel_files_options *options, struct intel_files_result *result);

/* A number that is another one when a list was added, removed or changed. */
uint64_t intel_files_state(const struct intel_files_options *options);

/* When the server last confirmed each of the sources; 0 = never. */
void intel_files_checked(const struct intel_files_options *options, uint64_t checked_wall_ns[LIMIT_INTEL_SOURCES]);

/* One file by its name, for ecsguardctl: 0 or -errno. Errors go to `on_error`; the list is not sealed. */
int intel_file_read(struct intel *intel, const char *path, struct intel_source *source, struct intel_list *list);

#endif
