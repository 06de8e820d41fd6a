/* Reads a file of tests/fixtures. TEST_SRCDIR is the top of the source tree. */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static inline char *fixture_read(const char *name, size_t *size)
{
    char path[512];
    snprintf(path, sizeof path, TEST_SRCDIR "/tests/fixtures/%s", name);
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        abort();
    }
    char *data = malloc(1 << 20);
    *size = fread(data, 1, 1 << 20, f);
    fclose(f);
    return data;
}

#endif
