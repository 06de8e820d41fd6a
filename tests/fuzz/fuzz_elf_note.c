/* The first bytes of a program, and its note segments: ranges from the headers, as far as they lie in the data. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sensors/elf_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_range ranges[ELF_NOTE_RANGES], whole = { .align = 4 };
    uint8_t id[ELF_BUILD_ID_MAX];
    int n = elf_note_ranges(data, size, ranges);
    for (int i = 0; i < n; i++) {
        const struct elf_range *r = &ranges[i];
        size_t left = r->offset < size ? size - (size_t)r->offset : 0;
        size_t length = elf_note_build_id(r, data + (left ? r->offset : 0), r->size < left ? (size_t)r->size : left, id);
        if (length > sizeof id || (length && length < ELF_BUILD_ID_MIN))
            abort();
    }
    uint8_t *notes = malloc(size ? size : 1); /* on its own, so that a read beyond it is noticed */
    memcpy(notes, data, size);
    whole.align = size & 1 ? 8 : 4;
    elf_note_build_id(&whole, notes, size, id);
    free(notes);
    return 0;
}
