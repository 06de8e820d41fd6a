#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/fanotify.h>

#include "agent/sensors/fan_decode.h"

static uint8_t buffer[4096];
static size_t used;

static void put(const void *data, size_t size)
{
    memcpy(buffer + used, data, size);
    used += size;
}

static size_t begin(uint64_t mask, int32_t fd, int32_t pid)
{
    struct fanotify_event_metadata m = { .vers = FANOTIFY_METADATA_VERSION, .metadata_len = sizeof m, .mask = mask, .fd = fd, .pid = pid };
    size_t at = used;
    put(&m, sizeof m);
    return at;
}

static void end(size_t at)
{
    uint32_t len = (uint32_t)(used - at);
    memcpy(buffer + at, &len, 4);
}

/* An information record of an entry; `name` NULL for FAN_EVENT_INFO_TYPE_DFID. */
static void put_entry(uint8_t type, uint64_t inode, const char *name)
{
    uint32_t handle[4] = { 8, 1, (uint32_t)inode, (uint32_t)(inode >> 32) };
    uint8_t fsid[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    size_t at = used, name_size = name ? strlen(name) + 1 : 0;
    uint16_t len = (uint16_t)((4 + 8 + 16 + name_size + 3) & ~3u);
    uint8_t head[4] = { type, 0, (uint8_t)len, (uint8_t)(len >> 8) };
    put(head, 4);
    put(fsid, 8);
    put(handle, 16);
    if (name)
        put(name, name_size);
    memset(buffer + used, 0, at + len - used);
    used = at + len;
}

static int reset(void **state)
{
    (void)state;
    used = 0;
    return 0;
}

static void reads_descriptor_events(void **state)
{
    (void)state;
    struct fan_event e;
    end(begin(FAN_OPEN_EXEC, 7, 42));
    end(begin(FAN_CLOSE_WRITE, 8, 43));
    struct bytes left = bytes_of(buffer, used);
    assert_int_equal(fan_event_next(&left, &e), 1);
    assert_int_equal(e.mask, FAN_OPEN_EXEC);
    assert_int_equal(e.fd, 7);
    assert_int_equal(e.pid, 42);
    assert_null(e.from.handle);
    assert_int_equal(fan_event_next(&left, &e), 1);
    assert_int_equal(e.fd, 8);
    assert_int_equal(fan_event_next(&left, &e), 0);
}

static void reads_names_and_skips_unknown_records(void **state)
{
    (void)state;
    struct fan_event e;
    size_t at = begin(FAN_CREATE, FAN_NOFD, 42);
    uint8_t unknown[8] = { 99, 0, 8, 0, 1, 2, 3, 4 };
    put(unknown, sizeof unknown);
    put_entry(FAN_EVENT_INFO_TYPE_DFID_NAME, 77, "evil");
    put_entry(FAN_EVENT_INFO_TYPE_FID, 78, NULL);
    end(at);
    struct bytes left = bytes_of(buffer, used);
    assert_int_equal(fan_event_next(&left, &e), 1);
    assert_int_equal(e.from.name_len, 4);
    assert_memory_equal(e.from.name, "evil", 4);
    assert_int_equal(e.from.handle_size, 16);
    assert_int_equal(e.from.handle[8], 77);
    assert_int_equal(e.from.fsid[7], 8);
    assert_null(e.to.name);
}

static void reads_both_names_of_a_rename(void **state)
{
    (void)state;
    struct fan_event e;
    size_t at = begin(FAN_RENAME, FAN_NOFD, 42);
    put_entry(FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, 1, "a");
    put_entry(FAN_EVENT_INFO_TYPE_NEW_DFID_NAME, 2, "bb");
    end(at);
    struct bytes left = bytes_of(buffer, used);
    assert_int_equal(fan_event_next(&left, &e), 1);
    assert_memory_equal(e.from.name, "a", 1);
    assert_int_equal(e.to.name_len, 2);
    assert_int_equal(e.to.handle[8], 2);
}

static void a_directory_without_name(void **state)
{
    (void)state;
    struct fan_event e;
    size_t at = begin(FAN_ATTRIB | FAN_ONDIR, FAN_NOFD, 42);
    put_entry(FAN_EVENT_INFO_TYPE_DFID, 5, NULL);
    end(at);
    struct bytes left = bytes_of(buffer, used);
    assert_int_equal(fan_event_next(&left, &e), 1);
    assert_non_null(e.from.handle);
    assert_null(e.from.name);
}

static void refused(void)
{
    struct fan_event e;
    struct bytes left = bytes_of(buffer, used);
    assert_int_equal(fan_event_next(&left, &e), -EINVAL);
    assert_int_equal(fan_event_next(&left, &e), 0); /* and the rest is given up */
}

static void refuses_wrong_lengths(void **state)
{
    (void)state;
    size_t at = begin(FAN_CREATE, FAN_NOFD, 1);
    put_entry(FAN_EVENT_INFO_TYPE_DFID_NAME, 77, "evil");
    end(at);
    size_t whole = used;
    for (used = 1; used < whole; used++)
        refused(); /* event_len is beyond what was read */
    buffer[4] = FANOTIFY_METADATA_VERSION + 1;
    used = whole;
    refused();
    buffer[4] = FANOTIFY_METADATA_VERSION;
    for (size_t i = 24 + 2; i < 24 + 4; i++) { /* the record's length: 0, too long */
        uint8_t saved = buffer[i];
        buffer[i] = i == 24 + 2 ? 0 : 0x7f;
        refused();
        buffer[i] = saved;
    }
    uint32_t huge = 0xfffffff0; /* the handle's length */
    memcpy(buffer + 24 + 12, &huge, 4);
    refused();
}

static void refuses_a_name_without_end(void **state)
{
    (void)state;
    size_t at = begin(FAN_CREATE, FAN_NOFD, 1);
    put_entry(FAN_EVENT_INFO_TYPE_DFID_NAME, 77, "abcdefg");
    end(at);
    buffer[used - 1] = 'h';
    refused();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(reads_descriptor_events, reset),
        cmocka_unit_test_setup(reads_names_and_skips_unknown_records, reset),
        cmocka_unit_test_setup(reads_both_names_of_a_rename, reset),
        cmocka_unit_test_setup(a_directory_without_name, reset),
        cmocka_unit_test_setup(refuses_wrong_lengths, reset),
        cmocka_unit_test_setup(refuses_a_name_without_end, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
