/* Where threat lists are fetched from: the key intel.sources of the configuration file. Pure; used by the process that fetches and the one that
 * reads what was fetched. */
#ifndef ECSGUARD_INTEL_SOURCES_H
#define ECSGUARD_INTEL_SOURCES_H

#include "agent/detect/intel_reader.h"
#include "common/text.h"

struct intel_fetched_source {
    char name[INTEL_LIST_MAX];  /* letters, digits, - and _ : it names files */
    char url[LIMIT_CONFIG_TEXT_BYTES];
    char category[INTEL_CATEGORY_MAX];
    enum intel_format format;
    bool trusted;
    uint64_t interval_ns;
    uint64_t max_bytes;
    char public_key[LIMIT_CONFIG_TEXT_BYTES]; /* path of a PEM file; "" = the list is not signed */
    char ca_file[LIMIT_CONFIG_TEXT_BYTES];    /* "" = the system's authorities */
    char header[LIMIT_CONFIG_TEXT_BYTES];     /* "Name: value" or "Name: @/path"; "" = none */
};

struct intel_sources {
    uint32_t n;
    struct intel_fetched_source list[LIMIT_INTEL_SOURCES];
};

/* Of the text of a configuration file; everything but intel.sources is left to others. 0, or -EINVAL with one line in `error`, and no sources. */
int intel_sources_parse(struct intel_sources *s, const char *name, const char *data, size_t size, struct text_out *error);

#endif
