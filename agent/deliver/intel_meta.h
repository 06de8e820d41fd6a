/* What is remembered of a fetched list, beside it: NAME.meta, lines of "key: value". */
#ifndef ECSGUARD_INTEL_META_H
#define ECSGUARD_INTEL_META_H

#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

struct intel_meta {
    char url[LIMIT_CONFIG_TEXT_BYTES];
    char etag[256], modified[64]; /* the server's, for the next request; "" = none */
    char key[65];                 /* hex digits of the public key that the list was checked with; "" = none */
    uint64_t checked_wall_ns;     /* by the time of the file; 0 = never */
};

/* Pure. The length of the text. */
size_t intel_meta_format(const struct intel_meta *meta, char *text, size_t size);
/* Pure. What is not understood is left empty. */
void intel_meta_parse(struct intel_meta *meta, const char *text, size_t size);

/* From the directory; all empty when there is none. */
void intel_meta_load(struct intel_meta *meta, int dir_fd, const char *name);
/* 0 or -errno. */
int intel_meta_store(const struct intel_meta *meta, const char *dir, const char *name);

#endif
