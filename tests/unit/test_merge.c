#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/merge.h"

static struct ring rings[3];
static struct merge merge;

static int open_rings(void **state)
{
    (void)state;
    merge = (struct merge){ 0 };
    for (int i = 0; i < 3; i++) {
        if (ring_init(&rings[i], 1 << 16))
            return -1;
        merge_add(&merge, &rings[i]);
    }
    return 0;
}

static int close_rings(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        ring_fini(&rings[i]);
    return 0;
}

static void put(int ring, uint64_t time_ns)
{
    struct event *ev = ring_reserve(&rings[ring], sizeof *ev, 0);
    assert_non_null(ev);
    event_init(ev, EVENT_EXIT, SOURCE_PROC, time_ns);
    ring_commit(&rings[ring], ev->size);
}

static void expect(uint64_t now_ns, uint64_t time_ns)
{
    const struct event *ev = merge_peek(&merge, now_ns);
    assert_non_null(ev);
    assert_int_equal(ev->time_ns, time_ns);
    merge_pop(&merge);
}

static void events_come_in_order_of_time_over_all_rings(void **state)
{
    (void)state;
    put(0, 10);
    put(0, 40);
    put(1, 20);
    put(1, 30);
    put(2, 5);
    uint64_t late = 50 + LIMIT_HOLD_NS;
    const uint64_t order[] = { 5, 10, 20, 30, 40 };
    for (int i = 0; i < 5; i++)
        expect(late, order[i]);
    assert_null(merge_peek(&merge, late));
    assert_true(merge_is_empty(&merge));
}

static void an_event_waits_for_what_came_before_it(void **state)
{
    (void)state;
    put(0, 1000);
    assert_null(merge_peek(&merge, 1000 + LIMIT_HOLD_NS - 1));
    put(1, 900); /* delivered later, happened before */
    expect(1000 + LIMIT_HOLD_NS, 900);
    expect(1000 + LIMIT_HOLD_NS, 1000);
}

static void at_the_end_nothing_waits(void **state)
{
    (void)state;
    put(0, 1000);
    assert_false(merge_is_empty(&merge));
    expect(UINT64_MAX, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_come_in_order_of_time_over_all_rings, open_rings, close_rings),
        cmocka_unit_test_setup_teardown(an_event_waits_for_what_came_before_it, open_rings, close_rings),
        cmocka_unit_test_setup_teardown(at_the_end_nothing_waits, open_rings, close_rings),
    };
    return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
