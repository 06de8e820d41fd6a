/* Decisions that wait: the table is shared, and full at times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/detector.h"

#define N_WAITING (LIMIT_PENDING / LIMIT_PENDING_EACH)

static struct detection d;
static int n_decided[N_WAITING + 1];

static struct detector waiting[N_WAITING + 1];

static uint64_t decide(struct detection *detection, struct pending *p, uint64_t now_ns)
{
    (void)detection;
    assert_true(p->deadline_ns <= now_ns);
    n_decided[p->detector - waiting]++;
    return 0;
}

static void wait_for(int detector, uint64_t time_ns)
{
    struct event ev = { .time_ns = time_ns };
    struct step step = { .ev = &ev };
    struct pending *p = detection_wait(&d, &waiting[detector], &step, time_ns + 1000);
    assert_non_null(p);
    assert_ptr_equal(p->detector, &waiting[detector]);
}

static int start(void **state)
{
    (void)state;
    memset(&d, 0, sizeof d);
    memset(n_decided, 0, sizeof n_decided);
    for (int i = 0; i <= N_WAITING; i++)
        waiting[i].due = decide;
    return 0;
}

static void a_flood_of_one_kind_forces_its_own_only(void **state)
{
    (void)state;
    wait_for(1, 1);
    for (int i = 0; i < LIMIT_PENDING_EACH + 5; i++)
        wait_for(0, 10 + (uint64_t)i);
    assert_int_equal(n_decided[0], 5);
    assert_int_equal(n_decided[1], 0);
    assert_int_equal(d.n_forced, 5);
}

static void a_full_table_has_room_for_another_kind(void **state)
{
    (void)state;
    for (int i = 0; i < LIMIT_PENDING; i++)
        wait_for(i % N_WAITING, 10 + (uint64_t)i);
    assert_int_equal(d.n_forced, 0);
    wait_for(N_WAITING, 1000);
    assert_int_equal(n_decided[0], 1); /* the oldest of all */
    wait_for(N_WAITING, 1001);
    assert_int_equal(n_decided[N_WAITING], 1); /* from now on its own */
    assert_int_equal(d.n_forced, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_flood_of_one_kind_forces_its_own_only, start),
        cmocka_unit_test_setup(a_full_table_has_room_for_another_kind, start),
    };
    return cmocka_run_group_tests_name("pending", tests, NULL, NULL);
}
