/* Tells shared libraries and kernel modules by the first bytes of a file: elf(5). Pure. */
#ifndef ECSGUARD_ELF_HEAD_H
#define ECSGUARD_ELF_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_HEAD_BYTES 20 /* up to e_machine */

/* True for what a process or the kernel can load: a shared object (by whatever name; also a position-independent program), or a
 * relocatable object whose name ends in ".ko". */
bool elf_head_is_loadable(const uint8_t *head, size_t size, const char *name);

#endif
