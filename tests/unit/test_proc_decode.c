#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/proc_decode.h"

#define DATAGRAM_BYTES 76

static union event_buffer buffer;
static struct event *const ev = &buffer.event;

/* A datagram as Linux 6.18 sent it (x86-64), of one short life: fork, setsid, prctl, ptrace, setgid, setuid, exec, exit. */
static void load(const char *name, uint8_t out[DATAGRAM_BYTES])
{
    char path[512];
    snprintf(path, sizeof path, TEST_SRCDIR "/tests/fixtures/proc/%s.bin", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(out, 1, DATAGRAM_BYTES, f), DATAGRAM_BYTES);
    fclose(f);
}

static int decode(const void *data, size_t size)
{
    event_init(ev, EVENT_NONE, SOURCE_PROC, 0);
    return proc_decode(data, size, ev);
}

static int decode_fixture(const char *name)
{
    uint8_t data[DATAGRAM_BYTES];
    load(name, data);
    return decode(data, sizeof data);
}

static void each_kind_of_the_kernel_is_decoded(void **state)
{
    (void)state;
    assert_int_equal(decode_fixture("fork"), PROC_DECODED_EVENT);
    assert_int_equal(ev->kind, EVENT_FORK);
    assert_int_equal(ev->pid, 23370);
    assert_int_equal(ev->ppid, 23357);
    assert_true(ev->time_ns > 0);
    assert_int_equal(decode_fixture("exec"), PROC_DECODED_EVENT);
    assert_int_equal(ev->kind, EVENT_EXEC);
    assert_int_equal(ev->pid, 23370);
    assert_int_equal(decode_fixture("sid"), PROC_DECODED_EVENT);
    assert_int_equal(ev->kind, EVENT_SID);
    assert_int_equal(ev->sid, 23370);
    assert_int_equal(decode_fixture("ptrace"), PROC_DECODED_EVENT);
    assert_int_equal(ev->kind, EVENT_PTRACE);
    assert_int_equal(ev->pid, 23370);
    assert_int_equal(ev->target_pid, 23377);
    assert_int_equal(decode_fixture("comm"), PROC_DECODED_EVENT);
    assert_int_equal(ev->kind, EVENT_COMM);
    assert_string_equal(event_text(ev, ev->comm), "kworker/0:1");
}

static void ids_are_real_and_effective(void **state)
{
    (void)state;
    uint8_t data[DATAGRAM_BYTES];
    load("uid", data);
    data[64] = data[65] = 0; /* euid 0: what a set-user-ID program does */
    assert_int_equal(decode(data, sizeof data), PROC_DECODED_EVENT);
    assert_int_equal(ev->kind, EVENT_UID);
    assert_int_equal(ev->uid, 1000);
    assert_int_equal(ev->euid, 0);
    assert_int_equal(decode_fixture("gid"), PROC_DECODED_EVENT);
    assert_int_equal(ev->kind, EVENT_GID);
    assert_int_equal(ev->pid, 23370); /* sent for another thread of the process */
    assert_int_equal(ev->gid, 1000);
    assert_int_equal(ev->egid, 1000);
    assert_false(event_knows(ev, F_UID));
}

static void exit_status_is_split(void **state)
{
    (void)state;
    uint8_t data[DATAGRAM_BYTES];
    assert_int_equal(decode_fixture("exit"), PROC_DECODED_EVENT);
    assert_int_equal(ev->kind, EVENT_EXIT);
    assert_int_equal(ev->exit_code, 7);
    assert_int_equal(ev->exit_signal, 0);
    load("exit", data);
    data[60] = 0x80 | 11; /* SIGSEGV with a core dump */
    data[61] = 0;
    assert_int_equal(decode(data, sizeof data), PROC_DECODED_EVENT);
    assert_int_equal(ev->exit_code, 0);
    assert_int_equal(ev->exit_signal, 11);
}

static void threads_detach_and_others_are_nothing(void **state)
{
    (void)state;
    uint8_t data[DATAGRAM_BYTES];
    assert_int_equal(decode_fixture("fork-thread"), PROC_DECODED_NOTHING);
    assert_int_equal(decode_fixture("exit-thread"), PROC_DECODED_NOTHING);
    assert_int_equal(decode_fixture("comm-thread"), PROC_DECODED_NOTHING);
    load("ptrace", data);
    memset(data + 60, 0, 8);
    assert_int_equal(decode(data, sizeof data), PROC_DECODED_NOTHING);
    load("exec", data);
    data[39] = 0x40; /* a core dump */
    data[36] = 0;
    assert_int_equal(decode(data, sizeof data), PROC_DECODED_NOTHING);
    load("exec", data);
    data[16] = 9; /* another connector */
    assert_int_equal(decode(data, sizeof data), PROC_DECODED_NOTHING);
    load("exec", data);
    data[4] = 2; /* NLMSG_ERROR */
    assert_int_equal(decode(data, sizeof data), PROC_DECODED_NOTHING);
}

static void the_answer_to_listen_is_known(void **state)
{
    (void)state;
    uint8_t data[DATAGRAM_BYTES];
    assert_int_equal(decode_fixture("ack"), PROC_DECODED_ACK);
    assert_int_equal(ev->exit_code, 0);
    load("ack", data);
    data[52] = 1;
    assert_int_equal(decode(data, sizeof data), PROC_DECODED_ACK);
    assert_int_equal(ev->exit_code, 1);
}

/* Each length is given in its own allocation, so that a sanitizer sees every read past the end. */
static void truncated_datagrams_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "ack", "fork", "exec", "uid", "gid", "sid", "ptrace", "comm", "exit" };
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        for (size_t size = 0; size < DATAGRAM_BYTES; size++) {
            uint8_t data[DATAGRAM_BYTES], *cut = malloc(size + 1);
            load(names[n], data);
            memcpy(cut, data, size);
            assert_int_equal(decode(cut, size), -EINVAL); /* nlmsg_len is longer than what came */
            if (size >= 4) {
                uint32_t claimed = (uint32_t)size;
                memcpy(cut, &claimed, 4);
                assert_int_equal(decode(cut, size), -EINVAL); /* cn_msg.len is */
            }
            free(cut);
        }
    }
}

static void short_bodies_are_refused(void **state)
{
    (void)state;
    uint8_t data[DATAGRAM_BYTES];
    for (uint16_t len = 0; len < 32; len++) {
        load("comm", data);
        memcpy(data + 32, &len, 2);
        assert_int_equal(decode(data, sizeof data), -EINVAL);
    }
}

static void wild_lengths_and_pids_are_refused(void **state)
{
    (void)state;
    uint8_t data[DATAGRAM_BYTES];
    static const uint32_t lengths[] = { 0, 1, 15, DATAGRAM_BYTES + 1, 0x7fffffff, 0xffffffff };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        load("exec", data);
        memcpy(data, &lengths[i], 4);
        assert_int_equal(decode(data, sizeof data), -EINVAL);
    }
    load("exec", data);
    memset(data + 32, 0xff, 2);
    assert_int_equal(decode(data, sizeof data), -EINVAL);
    load("exec", data);
    memset(data + 56, 0xff, 4);
    assert_int_equal(decode(data, sizeof data), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_the_kernel_is_decoded),
        cmocka_unit_test(ids_are_real_and_effective),
        cmocka_unit_test(exit_status_is_split),
        cmocka_unit_test(threads_detach_and_others_are_nothing),
        cmocka_unit_test(the_answer_to_listen_is_known),
        cmocka_unit_test(truncated_datagrams_are_refused),
        cmocka_unit_test(short_bodies_are_refused),
        cmocka_unit_test(wild_lengths_and_pids_are_refused),
    };
    return cmocka_run_group_tests_name("proc_decode", tests, NULL, NULL);
}
