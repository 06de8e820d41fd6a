#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/sensors/conntrack_guard.h"
#include "common/clock.h"
#include "common/limits.h"

static const struct guard_policy policy = { .withdraw_percent = 80, .return_percent = 60 };

#define MAX 262144u
#define T0 (1000 * NS_PER_SECOND)

static struct conntrack_guard started(uint64_t now_ns)
{
    struct conntrack_guard g;
    conntrack_guard_init(&g, now_ns);
    return g;
}

static enum guard_advice look(struct conntrack_guard *g, unsigned percent, uint64_t now_ns)
{
    return conntrack_guard_look(g, &policy, MAX / 100 * percent + 1000, MAX, now_ns);
}

static void withdraws_and_returns(void **state)
{
    struct conntrack_guard g = started(T0);
    (void)state;
    assert_int_equal(g.next_ns, T0);
    assert_int_equal(look(&g, 10, T0), GUARD_STAY);
    assert_int_equal(look(&g, 79, T0 + 1), GUARD_STAY);
    assert_int_equal(conntrack_guard_look(&g, &policy, MAX * 4ull / 5, MAX, T0 + 2), GUARD_WITHDRAW);
    assert_true(g.withdrawn);
    assert_int_equal(look(&g, 10, T0 + LIMIT_GUARD_PAUSE_NS), GUARD_STAY); /* not so soon: nearly */
    assert_int_equal(look(&g, 60, T0 + LIMIT_GUARD_PAUSE_NS + 2), GUARD_STAY);
    assert_int_equal(look(&g, 59, T0 + LIMIT_GUARD_PAUSE_NS + 3), GUARD_RETURN);
    assert_false(g.withdrawn);
}

/* From 0 flows, made as fast as can be, a look comes before the table is full. */
static void is_there_in_time(void **state)
{
    static const uint32_t limits[] = { 10000, 32768, 65536, 262144, 1048576 };
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct conntrack_guard g = started(T0);
        uint64_t now_ns = T0, count = 0;
        while (conntrack_guard_look(&g, &policy, (uint32_t)count, limits[i], now_ns) == GUARD_STAY) {
            assert_true(g.next_ns > now_ns && g.next_ns <= now_ns + LIMIT_GUARD_IDLE_NS);
            count += (g.next_ns - now_ns) * LIMIT_GUARD_FLOWS_PER_SECOND / NS_PER_SECOND;
            now_ns = g.next_ns;
            assert_true(count <= limits[i]);
        }
        assert_true(count >= limits[i] * 4ull / 5);
    }
}

static void idle_looks_fall_together(void **state)
{
    struct conntrack_guard a = started(T0 + 1), b = started(T0 + 500 * NS_PER_MS);
    (void)state;
    look(&a, 1, T0 + 1);
    look(&b, 2, T0 + 500 * NS_PER_MS);
    assert_int_equal(a.next_ns, b.next_ns);
    assert_int_equal(a.next_ns, T0 + NS_PER_SECOND);
}

static void pauses_grow(void **state)
{
    struct conntrack_guard g = started(T0);
    uint64_t now_ns = T0, last_ns = 0;
    (void)state;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(look(&g, 90, now_ns), GUARD_WITHDRAW);
        uint64_t began_ns = now_ns;
        while (look(&g, 5, now_ns) != GUARD_RETURN)
            now_ns = g.next_ns;
        assert_true(now_ns - began_ns >= last_ns);
        last_ns = now_ns - began_ns;
        now_ns++;
    }
    assert_in_range(last_ns, LIMIT_GUARD_PAUSE_MAX_NS, LIMIT_GUARD_PAUSE_MAX_NS + NS_PER_SECOND);
    now_ns += LIMIT_GUARD_CALM_NS; /* then it was calm: begin anew */
    assert_int_equal(look(&g, 90, now_ns), GUARD_WITHDRAW);
    assert_int_equal(g.pause_ns, LIMIT_GUARD_PAUSE_NS);
}

static void forgets_what_keeps_it_full(void **state)
{
    struct conntrack_guard g = started(T0);
    (void)state;
    assert_int_equal(look(&g, 80, T0), GUARD_WITHDRAW);
    assert_int_equal(look(&g, 80, T0 + LIMIT_GUARD_FLUSH_NS - 1), GUARD_STAY);
    assert_int_equal(look(&g, 80, T0 + LIMIT_GUARD_FLUSH_NS), GUARD_FLUSH);
    assert_int_equal(look(&g, 80, T0 + LIMIT_GUARD_FLUSH_NS + 1), GUARD_STAY);
    assert_int_equal(look(&g, 0, T0 + LIMIT_GUARD_FLUSH_NS + 2), GUARD_RETURN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(withdraws_and_returns),   cmocka_unit_test(is_there_in_time), cmocka_unit_test(idle_looks_fall_together),
        cmocka_unit_test(pauses_grow), cmocka_unit_test(forgets_what_keeps_it_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
