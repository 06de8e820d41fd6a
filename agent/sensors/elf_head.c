#include "agent/sensors/elf_head.h"

#include <elf.h>
#include <string.h>

#include "common/text.h"

bool elf_head_is_loadable(const uint8_t *head, size_t size, const char *name)
{
    if (size < ELF_HEAD_BYTES || memcmp(head, ELFMAG, SELFMAG))
        return false;
    unsigned type = head[EI_DATA] == ELFDATA2MSB ? (unsigned)head[16] << 8 | head[17] : (unsigned)head[17] << 8 | head[16];
    return type == ET_DYN || (type == ET_REL && text_has_suffix(name, ".ko"));
}
