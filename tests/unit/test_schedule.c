#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/deliver/schedule.h"
#include "common/clock.h"
#include "common/limits.h"

#define SEC NS_PER_SECOND

static const struct schedule_policy policy = { 10 * SEC, 1 * SEC, 300 * SEC, 100 };
static struct schedule s;

static bool answer(enum answer a, unsigned n, int64_t last)
{
    struct schedule_sent sent = { n, last };
    return schedule_answer(&s, a, &sent, 0, 0, s.next_ns);
}

static void back_off_grows_to_its_cap_and_is_spread(void **state)
{
    (void)state;
    for (unsigned failures = 0; failures < 100; failures++) {
        uint64_t cap = failures < 8 ? SEC << failures : 256 * SEC;
        assert_int_equal(schedule_backoff(&policy, failures, 0), SEC);
        assert_true(schedule_backoff(&policy, failures, cap - SEC) >= cap || failures >= 8);
        for (uint64_t random = 1; random; random <<= 1) {
            uint64_t delay = schedule_backoff(&policy, failures, random * 0x9e3779b97f4a7c15u);
            assert_true(delay >= SEC && delay <= 300 * SEC);
        }
    }
    assert_int_equal(schedule_backoff(&policy, 99, 299 * SEC), 300 * SEC);
}

static void accepted_batches_move_the_cursor_at_once(void **state)
{
    (void)state;
    schedule_init(&s, &policy, 5, 7 * SEC);
    assert_int_equal(s.next_ns, 7 * SEC);
    assert_false(answer(ANSWER_ACCEPTED, 100, 105));
    assert_int_equal(s.acknowledged, 105);
    assert_int_equal(s.next_ns, 7 * SEC);
    schedule_nothing(&s, 0, 7 * SEC);
    assert_int_equal(s.next_ns, 17 * SEC);
}

static void failures_wait_and_success_resets(void **state)
{
    (void)state;
    struct schedule_sent sent = { 10, 10 };
    schedule_init(&s, &policy, 0, 0);
    schedule_answer(&s, ANSWER_LATER, &sent, 0, SEC, 100 * SEC);
    assert_int_equal(s.next_ns, 102 * SEC);
    for (int i = 0; i < 200; i++)
        answer(ANSWER_LATER, 10, 10);
    assert_int_equal(s.acknowledged, 0);
    assert_int_equal(s.n_max, 100);
    answer(ANSWER_ACCEPTED, 10, 10);
    assert_int_equal(s.failures, 0);
}

static void the_receivers_wish_is_honoured_up_to_the_cap(void **state)
{
    (void)state;
    struct schedule_sent sent = { 1, 1 };
    schedule_init(&s, &policy, 0, 0);
    schedule_answer(&s, ANSWER_LATER, &sent, 60 * SEC, 0, 0);
    assert_int_equal(s.next_ns, 60 * SEC);
    schedule_answer(&s, ANSWER_LATER, &sent, 60 * SEC, SEC / 2, 0);
    assert_int_equal(s.next_ns, 60 * SEC + SEC / 2);
    schedule_answer(&s, ANSWER_LATER, &sent, 86400 * SEC, SEC / 2, 0);
    assert_int_equal(s.next_ns, 300 * SEC);
}

static void too_large_batches_shrink_and_grow_again(void **state)
{
    (void)state;
    schedule_init(&s, &policy, 0, 0);
    answer(ANSWER_TOO_LARGE, 100, 100);
    assert_int_equal(s.n_max, 50);
    answer(ANSWER_TOO_LARGE, 50, 50);
    answer(ANSWER_TOO_LARGE, 25, 25);
    answer(ANSWER_ACCEPTED, 12, 12);
    assert_int_equal(s.n_max, 24);
    for (int i = 0; i < 5; i++)
        answer(ANSWER_ACCEPTED, s.n_max, s.acknowledged + s.n_max);
    assert_int_equal(s.n_max, 100);
}

static void one_finding_too_large_goes_without_its_evidence(void **state)
{
    (void)state;
    schedule_init(&s, &policy, 0, 0);
    answer(ANSWER_TOO_LARGE, 1, 1);
    assert_true(s.slim);
    assert_int_equal(s.n_max, 1);
    answer(ANSWER_ACCEPTED, 1, 1);
    assert_false(s.slim);
    assert_int_equal(s.acknowledged, 1);
}

/* A receiver that refuses the revisions in `poison` and takes the rest; findings 1 to `last`. Returns how many requests it took until
 * nothing was left, or -1 after 1,000. `lost` counts good ones that were passed over. */
static int deliver(int64_t last, uint64_t poison, bool refuses_all, int *lost)
{
    uint64_t taken = 0;
    int requests = 0;
    int64_t first = s.acknowledged;
    while (requests < 1000 && s.acknowledged < last) {
        unsigned n = 0;
        bool bad = refuses_all;
        int64_t at = s.position;
        for (; at < last && n < s.n_max; n++, at++)
            bad |= poison >> (at + 1) & 1;
        if (!n) {
            schedule_nothing(&s, 0, s.next_ns);
            requests++;
            continue;
        }
        for (int64_t i = s.position + 1; !bad && i <= at; i++)
            taken |= 1ull << i;
        answer(bad ? ANSWER_REFUSED : ANSWER_ACCEPTED, n, at);
        requests++;
    }
    *lost = 0;
    for (int64_t i = first + 1; i <= s.acknowledged; i++)
        *lost += !(taken >> i & 1) && !(poison >> i & 1);
    return s.acknowledged == last ? requests : -1;
}

static void one_poisonous_finding_does_not_stop_delivery(void **state)
{
    (void)state;
    int lost;
    for (int at = 1; at < 60; at++) {
        schedule_init(&s, &policy, 0, 0);
        int requests = deliver(60, 1ull << at, false, &lost);
        assert_true(requests > 0 && requests < 40);
        assert_int_equal(lost, 0);
        assert_int_equal(s.skipped, 1);
    }
}

static void several_poisonous_findings_are_skipped_and_nothing_else(void **state)
{
    (void)state;
    int lost;
    schedule_init(&s, &policy, 0, 0);
    assert_true(deliver(60, 0x7ull << 5 | 1ull << 20 | 1ull << 59, false, &lost) > 0);
    assert_int_equal(lost, 0);
    assert_int_equal(s.skipped, 5);
}

static void a_receiver_that_refuses_everything_loses_nothing(void **state)
{
    (void)state;
    int lost;
    for (int64_t last = 1; last <= 60; last++) {
        schedule_init(&s, &policy, 0, 0);
        assert_int_equal(deliver(last, 0, true, &lost), -1);
        assert_int_equal(s.acknowledged, 0);
        assert_int_equal(s.skipped, 0);
        assert_true(deliver(last, 0, false, &lost) > 0);
        assert_int_equal(lost, 0);
        assert_int_equal(s.skipped, 0);
    }
}

static void a_refused_last_finding_waits_for_a_proof(void **state)
{
    (void)state;
    int lost;
    schedule_init(&s, &policy, 0, 0);
    assert_int_equal(deliver(10, 1u << 10, false, &lost), -1);
    assert_int_equal(s.acknowledged, 9);
    assert_true(deliver(11, 1u << 10, false, &lost) > 0);
    assert_int_equal(lost, 0);
    assert_int_equal(s.skipped, 1);
}

static void statuses_are_sorted(void **state)
{
    (void)state;
    assert_int_equal(schedule_answer_of(200), ANSWER_ACCEPTED);
    assert_int_equal(schedule_answer_of(204), ANSWER_ACCEPTED);
    assert_int_equal(schedule_answer_of(413), ANSWER_TOO_LARGE);
    assert_int_equal(schedule_answer_of(400), ANSWER_REFUSED);
    assert_int_equal(schedule_answer_of(422), ANSWER_REFUSED);
    static const long later[] = { 0, 100, 301, 302, 401, 403, 404, 408, 429, 500, 502, 503, 599, 999 };
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        assert_int_equal(schedule_answer_of(later[i]), ANSWER_LATER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(back_off_grows_to_its_cap_and_is_spread),
        cmocka_unit_test(accepted_batches_move_the_cursor_at_once),
        cmocka_unit_test(failures_wait_and_success_resets),
        cmocka_unit_test(the_receivers_wish_is_honoured_up_to_the_cap),
        cmocka_unit_test(too_large_batches_shrink_and_grow_again),
        cmocka_unit_test(one_finding_too_large_goes_without_its_evidence),
        cmocka_unit_test(one_poisonous_finding_does_not_stop_delivery),
        cmocka_unit_test(several_poisonous_findings_are_skipped_and_nothing_else),
        cmocka_unit_test(a_receiver_that_refuses_everything_loses_nothing),
        cmocka_unit_test(a_refused_last_finding_waits_for_a_proof),
        cmocka_unit_test(statuses_are_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
