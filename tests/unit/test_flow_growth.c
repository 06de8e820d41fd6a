#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/sensors/flow_growth.h"

static struct flow_growth growth;

static int start(void **state)
{
    (void)state;
    return flow_growth_init(&growth);
}

static int stop(void **state)
{
    (void)state;
    flow_growth_fini(&growth);
    return 0;
}

static bool tell(uint64_t n, uint64_t bytes)
{
    struct event ev;
    event_init(&ev, EVENT_FLOW, SOURCE_FLOW, 1);
    event_set(&ev, F_FLOW_ID, flow_id, n << 32 | 1);
    event_set(&ev, F_BYTES_OUT, bytes_out, bytes / 2);
    event_set(&ev, F_BYTES_IN, bytes_in, bytes - bytes / 2);
    return flow_growth_tell(&growth, &ev);
}

static bool next_round(uint64_t n, uint64_t bytes)
{
    flow_growth_round(&growth);
    return tell(n, bytes);
}

static void a_flow_is_told_when_it_is_long_and_when_it_grew(void **state)
{
    (void)state;
    assert_false(next_round(1, 1000)); /* it may be young */
    assert_false(tell(1, 1000));       /* twice in one dump */
    assert_true(next_round(1, 1000));
    assert_false(next_round(1, 1000));
    assert_false(next_round(1, 10000));
    assert_true(next_round(1, 20000));
    assert_true(next_round(1, 10u << 20));
    assert_false(next_round(1, 11u << 20)); /* less than an eighth */
    assert_true(next_round(1, 12u << 20));
    assert_true(next_round(1, 1ull << 40));
    assert_true(next_round(1, (1ull << 40) + (16u << 20))); /* but no more than 16 MiB unsaid */
}

static void what_left_the_table_is_another_flow_when_it_comes_back(void **state)
{
    (void)state;
    next_round(1, 1000);
    assert_true(next_round(1, 1000));
    flow_growth_round(&growth);
    flow_growth_round(&growth);
    assert_false(next_round(1, 900000));
    assert_true(next_round(1, 900000));
    assert_false(next_round(1, 500)); /* fewer bytes than before: the same id, another flow */
    assert_true(next_round(1, 600));
}

static void a_flow_without_counters_is_not_told(void **state)
{
    (void)state;
    struct event ev;
    event_init(&ev, EVENT_FLOW, SOURCE_FLOW, 1);
    event_set(&ev, F_FLOW_ID, flow_id, 7);
    flow_growth_round(&growth);
    assert_false(flow_growth_tell(&growth, &ev));
    flow_growth_round(&growth);
    assert_false(flow_growth_tell(&growth, &ev));
}

static void a_full_set_tells_those_it_has(void **state)
{
    (void)state;
    const uint64_t sets = LIMIT_FLOW_GROWTH / 8;
    for (int round = 0; round < 2; round++) {
        flow_growth_round(&growth);
        for (uint64_t i = 1; i <= 9; i++)
            assert_int_equal(tell(i * sets, 5000), round == 1 && i <= 8);
    }
    assert_int_equal(growth.n_untold, 2);
    flow_growth_round(&growth);
    flow_growth_round(&growth);
    assert_false(tell(9 * sets, 5000)); /* the others are gone: there is room */
    assert_int_equal(growth.n_untold, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_flow_is_told_when_it_is_long_and_when_it_grew, start, stop),
        cmocka_unit_test_setup_teardown(what_left_the_table_is_another_flow_when_it_comes_back, start, stop),
        cmocka_unit_test_setup_teardown(a_flow_without_counters_is_not_told, start, stop),
        cmocka_unit_test_setup_teardown(a_full_set_tells_those_it_has, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
