#include "agent/sensors/elf_note.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

static uint64_t number(const uint8_t *at, size_t size, bool big_endian)
{
    uint64_t n = 0;
    for (size_t i = 0; i < size; i++)
        n = n << 8 | at[big_endian ? i : size - 1 - i];
    return n;
}

/* Both classes have the same fields in headers of other sizes. */
struct layout {
    size_t phoff, phentsize, phnum;         /* in the file header */
    size_t entry, offset, filesz, align;    /* in a program header */
    size_t word;                            /* bytes of an offset */
};

static const struct layout layouts[] = {
    { offsetof(Elf32_Ehdr, e_phoff), offsetof(Elf32_Ehdr, e_phentsize), offsetof(Elf32_Ehdr, e_phnum), sizeof(Elf32_Phdr),
      offsetof(Elf32_Phdr, p_offset), offsetof(Elf32_Phdr, p_filesz), offsetof(Elf32_Phdr, p_align), 4 },
    { offsetof(Elf64_Ehdr, e_phoff), offsetof(Elf64_Ehdr, e_phentsize), offsetof(Elf64_Ehdr, e_phnum), sizeof(Elf64_Phdr),
      offsetof(Elf64_Phdr, p_offset), offsetof(Elf64_Phdr, p_filesz), offsetof(Elf64_Phdr, p_align), 8 },
};

int elf_note_ranges(const uint8_t *head, size_t size, struct elf_range out[ELF_NOTE_RANGES])
{
    if (size < sizeof(Elf64_Ehdr) || memcmp(head, ELFMAG, SELFMAG) || (head[EI_CLASS] != ELFCLASS32 && head[EI_CLASS] != ELFCLASS64))
        return -EINVAL;
    const struct layout *l = &layouts[head[EI_CLASS] == ELFCLASS64];
    bool big = head[EI_DATA] == ELFDATA2MSB;
    uint64_t at = number(head + l->phoff, l->word, big), entry = number(head + l->phentsize, 2, big);
    int n = 0;
    if (entry < l->entry)
        return 0;
    for (uint64_t left = number(head + l->phnum, 2, big); left && n < ELF_NOTE_RANGES && at <= size && size - at >= l->entry; left--,
         at += entry) {
        const uint8_t *p = head + at;
        if (number(p, 4, big) != PT_NOTE)
            continue;
        out[n++] = (struct elf_range){ .offset = number(p + l->offset, l->word, big), .size = number(p + l->filesz, l->word, big),
                                       .align = number(p + l->align, l->word, big) == 8 ? 8 : 4, .big_endian = big };
    }
    return n;
}

size_t elf_note_build_id(const struct elf_range *range, const uint8_t *notes, size_t size, uint8_t id[ELF_BUILD_ID_MAX])
{
    const size_t pad = range->align - 1;
    while (size >= sizeof(Elf64_Nhdr)) {
        size_t name = number(notes, 4, range->big_endian), length = number(notes + 4, 4, range->big_endian);
        uint64_t type = number(notes + 8, 4, range->big_endian);
        size_t data = (sizeof(Elf64_Nhdr) + name + pad) & ~pad; /* neither sum can overflow: both are 32 bits */
        if (data > size || length > size - data)
            return 0;
        if (type == NT_GNU_BUILD_ID && name == sizeof ELF_NOTE_GNU && !memcmp(notes + sizeof(Elf64_Nhdr), ELF_NOTE_GNU, name) &&
            length >= ELF_BUILD_ID_MIN && length <= ELF_BUILD_ID_MAX) {
            memcpy(id, notes + data, length);
            return length;
        }
        size_t next = (data + length + pad) & ~pad;
        if (next >= size)
            return 0;
        notes += next;
        size -= next;
    }
    return 0;
}
