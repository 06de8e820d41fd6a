/* The build id of a program (.note.gnu.build-id): the same for every copy of what one build made, stripped or not. elf(5). Pure: the caller
 * reads the bytes. */
#ifndef ECSGUARD_ELF_NOTE_H
#define ECSGUARD_ELF_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_NOTE_RANGES 8   /* note segments looked at; programs have one or two */
#define ELF_BUILD_ID_MAX 32 /* usually 20; a longer one is none */
#define ELF_BUILD_ID_MIN 8  /* a shorter one says too little */

/* Where in the file notes are, and how. */
struct elf_range {
    uint64_t offset, size;
    uint32_t align; /* 4 or 8 */
    bool big_endian;
};

/* The note segments of an ELF file by its first bytes: as many as its program headers within `size` tell. -EINVAL if it is no ELF file. */
int elf_note_ranges(const uint8_t *head, size_t size, struct elf_range out[ELF_NOTE_RANGES]);

/* The build id in the bytes of one range (which may be cut): its length, 0 = none. */
size_t elf_note_build_id(const struct elf_range *range, const uint8_t *notes, size_t size, uint8_t id[ELF_BUILD_ID_MAX]);

#endif
