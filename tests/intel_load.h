/* For tests and benchmarks: a whole list at once. */
#ifndef ECSGUARD_TESTS_INTEL_LOAD_H
#define ECSGUARD_TESTS_INTEL_LOAD_H

#include "agent/detect/intel_reader.h"

static inline int intel_load_text(struct intel *intel, const struct intel_source *source, const char *text, size_t size)
{
    struct intel_reader reader;
    intel_reader_init(&reader, intel, source);
    intel_reader_feed(&reader, text, size);
    return intel_reader_end(&reader);
}

#endif
