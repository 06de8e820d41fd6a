/* Reads what the detections are configured with beside rules and threat lists: the filters and sources of the configuration file, and the attack
 * sequences, shipped and own. */
#ifndef ECSGUARD_DETECT_FILES_H
#define ECSGUARD_DETECT_FILES_H

#include "agent/detect/intel_sources.h"
#include "agent/detect/sequences.h"
#include "agent/detect/suppress.h"

/* The filters of the configuration file at `path`. 0, also when there is no such file; else -errno with a line in `error`, and no filters. */
int suppress_file_load(struct suppress *s, const char *path, struct text_out *error);

/* The same for the places that threat lists are fetched from. */
int intel_sources_load(struct intel_sources *s, const char *path, struct text_out *error);

struct sequence_files_result {
    uint32_t files;  /* read */
    uint32_t failed; /* refused: logged, the others are used */
};

/* The sequences of `shipped` ("" = none), then those of each *.yaml in `directory` ("" = none) in order of name, into `s` (overwritten).
 * Neither needs to exist. Refused files are logged and left out. 0, or -errno when the directory cannot be read. */
int sequence_files_load(struct sequences *s, const char *shipped, const char *directory, struct sequence_files_result *result);

#endif
