#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/enrich/container_table.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define TASK_1 "11111111111111111111111111111111"
#define TASK_2 "22222222222222222222222222222222"

static struct container_table table;
static union event_buffer buffer;
static bool created, changed;

static int open_table(void **state)
{
    (void)state;
    return container_table_init(&table, 4, 7);
}

static int close_table(void **state)
{
    (void)state;
    container_table_fini(&table);
    return 0;
}

static struct event *facts(enum event_source source, const char *id)
{
    struct event *ev = &buffer.event;
    event_init(ev, EVENT_CONTAINER, source, 1);
    event_set(ev, F_CONTAINER_PHASE, container_phase, CONTAINER_FACTS);
    event_set_text(ev, F_CONTAINER_ID, id, strlen(id));
    return ev;
}

static struct container_facts *apply(void)
{
    return container_apply(&table, &buffer.event, &created, &changed);
}

static void facts_of_several_sources_add_up(void **state)
{
    (void)state;
    struct event *ev = facts(SOURCE_CGROUP, ID_A);
    event_set_text(ev, F_TASK_ID, TASK_1, 32);
    event_set_text(ev, F_UPPERDIR, "/l/diff", 7);
    event_set(ev, F_ROOT_DEV, root_dev, 70);
    event_set(ev, F_NSID, nsid, 3);
    struct container_facts *c = apply();
    assert_true(created && changed);
    assert_int_equal(c->id, 7);
    ev = facts(SOURCE_DOCKER, ID_A);
    event_set_text(ev, F_IMAGE, "shop:8", 6);
    event_set(ev, F_SRC, src, ((struct address){ 4, { 172, 17, 0, 2 } }));
    assert_ptr_equal(apply(), c);
    assert_true(!created && changed);
    apply();
    assert_false(changed); /* the same again */
    assert_string_equal(c->image, "shop:8");
    assert_ptr_equal(container_by_upperdir(&table, "/l/diff/x", 7), c);
    assert_ptr_equal(container_by_root_dev(&table, 70), c);
    assert_ptr_equal(container_by_nsid(&table, 3), c);
    assert_ptr_equal(container_by_address(&table, &c->address), c);
    assert_null(container_by_nsid(&table, -1));
    assert_null(container_by_upperdir(&table, "/l/dif", 6));
}

static void the_control_group_decides_about_the_task(void **state)
{
    (void)state;
    struct event *ev = facts(SOURCE_CGROUP, ID_A);
    event_set_text(ev, F_TASK_ID, TASK_1, 32);
    struct container_facts *c = apply();
    ev = facts(SOURCE_DOCKER, ID_A); /* labels that somebody else wrote */
    event_set_text(ev, F_TASK_ID, TASK_2, 32);
    apply();
    assert_string_equal(c->task_id, TASK_1);
    assert_int_equal(table.n_conflicts, 1);
}

static void a_full_table_forgets_an_ended_one_first(void **state)
{
    (void)state;
    char id[65];
    for (int i = 0; i < 4; i++) {
        snprintf(id, sizeof id, "%064d", i);
        facts(SOURCE_CGROUP, id);
        apply();
    }
    snprintf(id, sizeof id, "%064d", 2);
    container_by_name(&table, id)->ended_wall_ns = 1;
    facts(SOURCE_CGROUP, ID_A);
    struct container_facts *c = apply();
    assert_int_equal(c->id, 11);
    assert_int_equal(table.n_evicted, 1);
    assert_null(container_by_name(&table, id));
    assert_null(container_by_id(&table, 9));
    assert_ptr_equal(container_by_id(&table, 11), c);
    assert_non_null(container_by_id(&table, 7));
}

static void what_names_no_container_makes_none(void **state)
{
    (void)state;
    facts(SOURCE_DOCKER, "");
    assert_null(apply());
    assert_null(container_by_id(&table, 0));
    assert_null(container_by_id(&table, -7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(facts_of_several_sources_add_up, open_table, close_table),
        cmocka_unit_test_setup_teardown(the_control_group_decides_about_the_task, open_table, close_table),
        cmocka_unit_test_setup_teardown(a_full_table_forgets_an_ended_one_first, open_table, close_table),
        cmocka_unit_test_setup_teardown(what_names_no_container_makes_none, open_table, close_table),
    };
    return cmocka_run_group_tests_name("container_table", tests, NULL, NULL);
}
