#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "agent/deliver/batch.h"

static struct batch batch;

static struct delivery_finding finding_with(int64_t revision)
{
    return (struct delivery_finding){
        .revision = revision, .count = 3, .pid = 42, .evidence_total = 2,
        .id = "0123456789abcdef0123456789abcdef", .type = "Execution:Runtime/ReverseShell", .rule = "reverse_shell", .severity = "high",
        .title = "A \"shell\"", .description = "d", .advice = "", .mitre = "TA0002  T1059.004 ", .status = "open",
        .first_seen = "2026-11-22T23:59:42.123Z", .last_seen = "2026-11-22T23:59:43.123Z", .host = "h", .cluster = "c",
        .exe = "/bin/sh", .cmdline = "sh -c '\\x01'", .user = "root", .lineage = "[{\"pid\":1}]", .n_evidence = 1,
        .evidence = { { .time = "t", .exe = "/bin/sh", .cmdline = "sh", .user = "root", .facts = "{\"dst\":\"192.0.2.1\"}", .pid = 42 } },
    };
}

static json_t *body(void)
{
    json_error_t error;
    batch_end(&batch);
    assert_int_equal(strlen(batch.body), batch.length);
    json_t *json = json_loadb(batch.body, batch.length, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s: %s", error.text, batch.body);
    return json;
}

static const char *text_at(json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void a_finding_is_complete(void **state)
{
    (void)state;
    struct delivery_finding f = finding_with(7);
    batch_begin(&batch, "host \"1\"", 10, false);
    assert_int_equal(batch_add(&batch, &f), 0);
    json_t *json = body(), *one = json_array_get(json_object_get(json, "findings"), 0);
    assert_string_equal(text_at(json, "schema"), "ecsguard.findings/1");
    assert_string_equal(text_at(json, "host"), "host \"1\"");
    assert_string_equal(text_at(json, "batch_id"), batch.id);
    assert_string_equal(text_at(one, "delivery_id"), "0123456789abcdef0123456789abcdef-7");
    assert_string_equal(text_at(one, "title"), "A \"shell\"");
    assert_true(json_is_null(json_object_get(one, "advice")));
    assert_true(json_is_null(json_object_get(one, "task_arn")));
    assert_int_equal(json_array_size(json_object_get(one, "mitre")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(one, "mitre"), 1)), "T1059.004");
    assert_string_equal(text_at(json_object_get(one, "process"), "cmdline"), "sh -c '\\x01'");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(one, "lineage"), 0), "pid")), 1);
    json_t *evidence = json_array_get(json_object_get(one, "evidence"), 0);
    assert_string_equal(text_at(json_object_get(evidence, "facts"), "dst"), "192.0.2.1");
    json_decref(json);
}

static void the_same_findings_have_the_same_ids(void **state)
{
    (void)state;
    char first[33];
    struct delivery_finding a = finding_with(1), b = finding_with(2);
    batch_begin(&batch, "h", 10, false);
    batch_add(&batch, &a);
    batch_add(&batch, &b);
    memcpy(first, batch.id, 33);
    assert_int_equal(batch.last_revision, 2);
    batch_begin(&batch, "h", 10, true);
    batch_add(&batch, &a);
    assert_string_not_equal(first, batch.id);
    batch_add(&batch, &b);
    assert_string_equal(first, batch.id);
}

static void batches_are_bounded_by_count_and_bytes(void **state)
{
    (void)state;
    struct delivery_finding f = finding_with(1);
    batch_begin(&batch, "h", 2, false);
    assert_int_equal(batch_add(&batch, &f), 0);
    assert_int_equal(batch_add(&batch, &f), 0);
    assert_int_equal(batch_add(&batch, &f), BATCH_FULL);
    batch_begin(&batch, "h", 1000, false);
    while (batch_add(&batch, &f) == 0)
        continue;
    assert_true(batch.n > 2 && batch.n < 1000);
    json_decref(body());
    assert_true(batch.length <= batch.bytes_max);
    assert_true(batch.length > batch.bytes_max - 2000);
}

static void huge_findings_go_alone_and_without_their_evidence(void **state)
{
    (void)state;
    struct delivery_finding f = finding_with(1), small = finding_with(2);
    char *big = malloc(LIMIT_DELIVERY_FINDING_BYTES + 1);
    assert_non_null(big);
    memset(big, 'x', LIMIT_DELIVERY_FINDING_BYTES);
    big[LIMIT_DELIVERY_FINDING_BYTES] = 0;
    f.evidence[0].cmdline = big;
    batch_begin(&batch, "h", 10, false);
    assert_int_equal(batch_add(&batch, &f), 0);
    json_t *json = body(), *one = json_array_get(json_object_get(json, "findings"), 0);
    assert_true(json_is_true(json_object_get(one, "truncated")));
    assert_null(json_object_get(one, "evidence"));
    json_decref(json);
    f.evidence[0].cmdline = big + LIMIT_DELIVERY_FINDING_BYTES / 2; /* larger than a batch, but not too large */
    batch_begin(&batch, "h", 10, false);
    assert_int_equal(batch_add(&batch, &f), 0);
    assert_int_equal(batch_add(&batch, &small), BATCH_FULL);
    json = body();
    assert_true(json_is_false(json_object_get(json_array_get(json_object_get(json, "findings"), 0), "truncated")));
    json_decref(json);
    free(big);
}

static void spoilt_texts_do_not_spoil_the_batch(void **state)
{
    (void)state;
    struct delivery_finding f = finding_with(1);
    f.lineage = "[{\"pid\":1},{\"cut";
    f.evidence[0].facts = "\xff{}";
    f.title = "cut \xc3";
    f.cmdline = "\x01\x02\n";
    batch_begin(&batch, "\xff", 10, false);
    assert_int_equal(batch_add(&batch, &f), 0);
    json_t *json = body(), *one = json_array_get(json_object_get(json, "findings"), 0);
    assert_string_equal(text_at(one, "lineage"), "[{\"pid\":1},{\"cut");
    assert_string_equal(text_at(one, "title"), "cut \\xc3");
    assert_string_equal(text_at(json, "host"), "\\xff");
    assert_string_equal(text_at(json_object_get(one, "process"), "cmdline"), "\x01\x02\n");
    json_decref(json);
    memset(&f, 0, sizeof f);
    f.id = "x";
    batch_begin(&batch, NULL, 10, false);
    assert_int_equal(batch_add(&batch, &f), 0);
    json_decref(body());
}

static int make(void **state)
{
    (void)state;
    return batch_init(&batch, 64 << 10);
}

static int destroy(void **state)
{
    (void)state;
    batch_fini(&batch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_finding_is_complete),
        cmocka_unit_test(the_same_findings_have_the_same_ids),
        cmocka_unit_test(batches_are_bounded_by_count_and_bytes),
        cmocka_unit_test(huge_findings_go_alone_and_without_their_evidence),
        cmocka_unit_test(spoilt_texts_do_not_spoil_the_batch),
    };
    return cmocka_run_group_tests(tests, make, destroy);
}
