/* Reads the threat lists of a directory: each NAME.txt or NAME.list is the list NAME (format: agent/detect/intel.h, default category "c2");
 * trusted*.txt and trusted*.list are trusted. */
#ifndef ECSGUARD_INTEL_FILES_H
#define ECSGUARD_INTEL_FILES_H

#include "agent/detect/intel.h"

struct intel_files_result {
    uint32_t files;  /* read */
    uint32_t failed; /* not or only partly read */
    uint32_t bad_lines;
};

/* Fills and seals `intel` (after intel_init()). Bad files and lines are logged as file:line and left out. 0, also when the directory does
 * not exist (no lists); -errno when it cannot be read, or -ENOMEM. `result` may be NULL. */
int intel_files_load(struct intel *intel, const char *directory, struct intel_files_result *result);

#endif
