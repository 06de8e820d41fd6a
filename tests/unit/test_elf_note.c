#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/elf_note.h"

static struct {
    Elf64_Ehdr head;
    Elf64_Phdr segments[3];
    struct note {
        Elf64_Nhdr head;
        char name[4];
        uint8_t data[20];
    } notes[2];
} program;

static int start(void **state)
{
    (void)state;
    memset(&program, 0, sizeof program);
    memcpy(program.head.e_ident, ELFMAG, SELFMAG);
    program.head.e_ident[EI_CLASS] = ELFCLASS64;
    program.head.e_ident[EI_DATA] = ELFDATA2LSB;
    program.head.e_phoff = offsetof(__typeof__(program), segments);
    program.head.e_phentsize = sizeof(Elf64_Phdr);
    program.head.e_phnum = 3;
    program.segments[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = offsetof(__typeof__(program), notes), .p_filesz = sizeof program.notes, .p_align = 4 };
    program.notes[0] = (struct note){ { 4, 20, 1 }, "GNU", { 0 } };
    program.notes[1] = (struct note){ { 4, 20, NT_GNU_BUILD_ID }, "GNU", { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 } };
    return 0;
}

static size_t build_id(uint8_t id[ELF_BUILD_ID_MAX])
{
    struct elf_range ranges[ELF_NOTE_RANGES];
    assert_int_equal(elf_note_ranges((const uint8_t *)&program, sizeof program, ranges), 1);
    assert_int_equal(ranges[0].offset, offsetof(__typeof__(program), notes));
    assert_int_equal(ranges[0].size, sizeof program.notes);
    return elf_note_build_id(&ranges[0], (const uint8_t *)program.notes, sizeof program.notes, id);
}

static void the_build_id_is_found_among_notes(void **state)
{
    (void)state;
    uint8_t id[ELF_BUILD_ID_MAX];
    assert_int_equal(build_id(id), 20);
    assert_memory_equal(id, program.notes[1].data, 20);
    memcpy(program.notes[1].name, "Gnu", 4);
    assert_int_equal(build_id(id), 0);
}

static void both_classes_and_byte_orders(void **state)
{
    (void)state;
    struct elf_range ranges[ELF_NOTE_RANGES];
    uint8_t small[sizeof(Elf64_Ehdr) + sizeof(Elf32_Phdr)] = { 0 }, id[ELF_BUILD_ID_MAX];
    memcpy(small, ELFMAG, SELFMAG);
    small[EI_CLASS] = ELFCLASS32;
    small[EI_DATA] = ELFDATA2MSB;
    small[offsetof(Elf32_Ehdr, e_phoff) + 3] = sizeof(Elf64_Ehdr);
    small[offsetof(Elf32_Ehdr, e_phentsize) + 1] = sizeof(Elf32_Phdr);
    small[offsetof(Elf32_Ehdr, e_phnum) + 1] = 1;
    uint8_t *p = small + sizeof(Elf64_Ehdr);
    p[3] = PT_NOTE;
    p[offsetof(Elf32_Phdr, p_offset) + 2] = 1;
    p[offsetof(Elf32_Phdr, p_filesz) + 3] = 36;
    assert_int_equal(elf_note_ranges(small, sizeof small, ranges), 1);
    assert_int_equal(ranges[0].offset, 256);
    assert_int_equal(ranges[0].size, 36);
    assert_true(ranges[0].big_endian);
    static const uint8_t note[] = { 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, NT_GNU_BUILD_ID, 'G', 'N', 'U', 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    assert_int_equal(elf_note_build_id(&ranges[0], note, sizeof note, id), 8);
    assert_int_equal(id[7], 8);
}

static void bad_files_have_none(void **state)
{
    (void)state;
    struct elf_range ranges[ELF_NOTE_RANGES];
    uint8_t id[ELF_BUILD_ID_MAX];
    assert_int_equal(elf_note_ranges((const uint8_t *)"#!/bin/sh", 9, ranges), -EINVAL);
    assert_int_equal(elf_note_ranges((const uint8_t *)&program, sizeof(Elf64_Ehdr) - 1, ranges), -EINVAL);
    assert_int_equal(elf_note_ranges((const uint8_t *)&program, sizeof(Elf64_Ehdr), ranges), 0); /* headers beyond what was read */
    program.head.e_phoff = UINT64_MAX;
    assert_int_equal(elf_note_ranges((const uint8_t *)&program, sizeof program, ranges), 0);
    program.head.e_phoff = sizeof(Elf64_Ehdr);
    program.head.e_phentsize = 1;
    assert_int_equal(elf_note_ranges((const uint8_t *)&program, sizeof program, ranges), 0);
    start(state);
    program.notes[0].head.n_namesz = UINT32_MAX;
    assert_int_equal(build_id(id), 0);
    start(state);
    program.notes[0].head.n_descsz = UINT32_MAX;
    assert_int_equal(build_id(id), 0);
    start(state);
    program.notes[1].head.n_descsz = 4; /* too short to tell programs apart */
    assert_int_equal(build_id(id), 0);
    start(state);
    program.head.e_ident[EI_CLASS] = 7;
    assert_int_equal(elf_note_ranges((const uint8_t *)&program, sizeof program, ranges), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_build_id_is_found_among_notes, start),
        cmocka_unit_test_setup(both_classes_and_byte_orders, start),
        cmocka_unit_test_setup(bad_files_have_none, start),
    };
    return cmocka_run_group_tests_name("elf_note", tests, NULL, NULL);
}
