#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/enrich/proctree.h"
#include "common/clock.h"

static struct proctree tree;
static union event_buffer buffer;
static uint64_t now = NS_PER_SECOND;

static int open_tree(void **state)
{
    (void)state;
    return proctree_init(&tree, 64, 1 << 20);
}

static int close_tree(void **state)
{
    (void)state;
    proctree_fini(&tree);
    return 0;
}

static struct process *apply(int64_t id)
{
    struct image *previous;
    struct process *p = proctree_apply(&tree, &buffer.event, id, &previous);
    image_release(&tree, previous);
    return p;
}

static struct event *make(enum event_kind kind, int32_t pid)
{
    event_init(&buffer.event, kind, SOURCE_PROC, now += NS_PER_MS);
    event_set(&buffer.event, F_PID, pid, pid);
    return &buffer.event;
}

static struct process *do_fork(int32_t parent, int32_t child)
{
    struct event *ev = make(EVENT_FORK, child);
    event_set(ev, F_PPID, ppid, parent);
    return apply(0);
}

static struct process *do_exec(int32_t pid, const char *exe, int64_t id)
{
    struct event *ev = make(EVENT_EXEC, pid);
    event_set_text(ev, F_EXE, exe, strlen(exe));
    event_set_text(ev, F_CMDLINE, exe, strlen(exe) + 1);
    return apply(id);
}

static struct process *do_uid(int32_t pid, uint32_t uid, uint32_t euid)
{
    struct event *ev = make(EVENT_UID, pid);
    event_set(ev, F_UID, uid, uid);
    event_set(ev, F_EUID, euid, euid);
    return apply(0);
}

static void children_inherit_until_they_exec(void **state)
{
    (void)state;
    do_exec(10, "/bin/bash", 1)->container = 7;
    struct process *child = do_fork(10, 11);
    assert_string_equal(process_exe(child), "/bin/bash");
    assert_int_equal(child->container, 7);
    assert_int_equal(child->parent_exec_id, 1);
    child = do_exec(11, "/bin/ls", 2);
    assert_string_equal(process_exe(child), "/bin/ls");
    assert_string_equal(process_exe(proctree_find(&tree, 10)), "/bin/bash");
    assert_string_equal(child->comm, "ls");
    assert_ptr_equal(proctree_parent(&tree, child), proctree_find(&tree, 10));
    assert_true(proctree_is_ancestor(&tree, proctree_find(&tree, 10), child));
}

static void a_reused_pid_is_another_process(void **state)
{
    (void)state;
    do_exec(10, "/bin/a", 1);
    struct process *first = do_fork(10, 20);
    uint64_t start = first->start_ns;
    make(EVENT_EXIT, 20);
    apply(0);
    struct process *second = do_fork(10, 20);
    assert_true(second->start_ns > start);
    assert_ptr_equal(proctree_find(&tree, 20), second);
    assert_ptr_not_equal(first, second);
}

static void an_exec_after_a_lost_fork_is_a_new_life(void **state)
{
    (void)state;
    do_exec(10, "/bin/a", 1);
    make(EVENT_EXIT, 10);
    apply(0);
    struct process *p = do_exec(10, "/bin/b", 2);
    assert_int_equal(p->exit_ns, 0);
    assert_string_equal(process_exe(p), "/bin/b");
}

static void the_dead_stay_for_their_grace_and_their_children(void **state)
{
    (void)state;
    do_exec(10, "/bin/sh", 1);
    do_fork(10, 11);
    make(EVENT_EXIT, 10);
    apply(0);
    do_fork(11, 12);
    make(EVENT_EXIT, 12);
    apply(0);
    proctree_expire(&tree, now);
    assert_non_null(proctree_find(&tree, 10));
    proctree_expire(&tree, now + 2 * LIMIT_PROCESS_GRACE_NS);
    assert_null(proctree_find(&tree, 12));
    assert_non_null(proctree_find(&tree, 10)); /* still the parent of 11 */
    make(EVENT_EXIT, 11);
    apply(0);
    proctree_expire(&tree, now + 2 * LIMIT_PROCESS_GRACE_NS);
    proctree_expire(&tree, now + 2 * LIMIT_PROCESS_GRACE_NS);
    assert_null(proctree_find(&tree, 10));
    assert_null(proctree_find(&tree, 11));
}

static void a_full_table_forgets_the_oldest_dead_first(void **state)
{
    (void)state;
    do_exec(1, "/sbin/init", 1);
    for (int32_t pid = 100; pid < 1100; pid++) {
        do_fork(1, pid);
        do_exec(pid, "/bin/true", pid);
        make(EVENT_EXIT, pid);
        apply(0);
    }
    assert_true(tree.n_evicted > 900);
    assert_string_equal(process_exe(proctree_find(&tree, 1)), "/sbin/init");
    assert_null(proctree_find(&tree, 100));
    assert_non_null(proctree_find(&tree, 1099));
    assert_true(tree.texts.used < 64 * 1024); /* images were given back */
}

/* A program with arguments of this length, and whatever else is long. */
static struct process *exec_long(int32_t pid, size_t cmdline, size_t others)
{
    static char text[4096];
    memset(text, 'a', sizeof text);
    struct event *ev = make(EVENT_EXEC, pid);
    event_set_text(ev, F_CMDLINE, text, cmdline);
    event_set_text(ev, F_EXE, text, others);
    event_set_text(ev, F_CWD, text, others);
    event_set_text(ev, F_STDIN, text, others);
    event_set_text(ev, F_STDOUT, text, others);
    return apply(1);
}

/* Images of the small are given back as room for large ones, and a storm that is over cuts no command line any more. */
static void a_storm_of_short_programs_leaves_room_for_long_ones(void **state)
{
    (void)state;
    proctree_fini(&tree);
    assert_int_equal(proctree_init(&tree, 8192, 1 << 20), 0);
    for (int32_t pid = 100; pid < 8100; pid++) {
        do_exec(pid, "/bin/true", pid);
        make(EVENT_EXIT, pid);
        apply(0);
    }
    for (int i = 0; i < 100; i++)
        proctree_expire(&tree, now + 2 * LIMIT_PROCESS_GRACE_NS);
    assert_int_equal(tree.texts.used, 0);
    const struct process *p = exec_long(10000, 2000, 10);
    assert_non_null(p->image);
    assert_int_equal(p->image->cmdline.len, 2000);
    assert_int_equal(tree.n_images_lost, 0);
}

/* Long paths everywhere: not all of it is kept, but the program is known. */
static void a_program_with_long_texts_everywhere_is_known(void **state)
{
    (void)state;
    const struct process *p = exec_long(10, 4000, 4000);
    assert_non_null(p->image);
    assert_int_equal(p->image->exe.len, 512);
    assert_int_equal(tree.n_images_lost, 0);
}

/* The end of a process is told before its last execution, and there is no room: the oldest dead is itself. */
static void a_dead_process_is_not_dropped_while_it_is_used(void **state)
{
    (void)state;
    proctree_fini(&tree);
    assert_int_equal(proctree_init(&tree, 64, SLAB_MAX), 0);
    do_exec(10, "/bin/true", 10);
    for (int32_t pid = 100; tree.texts.used < tree.texts.size; pid++)
        do_exec(pid, "/bin/true", pid);
    uint64_t early = now;
    make(EVENT_EXIT, 10);
    apply(0);
    now = early - NS_PER_MS;
    struct process *p = do_exec(10, "/bin/last", 11);
    assert_int_equal(p->pid, 10);
    assert_ptr_equal(proctree_find(&tree, 10), p);
    assert_null(p->image);
    assert_int_equal(tree.n_images_lost, 1);
    assert_true(tree.texts.used < tree.texts.size); /* the former image was given back, once */
    assert_string_equal(process_exe(do_exec(10, "/bin/last", 12)), "/bin/last");
}

/* What is about a child can be judged after its parent has executed another program. */
static void what_it_ran_before_is_known_by_time(void **state)
{
    (void)state;
    struct process *p = do_exec(10, "/bin/sh", 1);
    const uint64_t as_shell = now;
    do_fork(10, 11);
    p = do_exec(10, "/bin/postgres", 2);
    const uint64_t as_server = now;
    assert_ptr_equal(process_image_at(p, as_server), p->image);
    assert_string_equal(process_comm_at(p, as_server), "postgres");
    assert_int_equal(process_image_at(p, as_shell)->exec_id, 1);
    assert_string_equal(process_comm_at(p, as_shell), "sh");
    assert_int_equal(process_image_at(p, 1)->exec_id, 1); /* the oldest that is known */
    const struct process *child = proctree_find(&tree, 11);
    assert_int_equal(process_image_at(child, as_shell)->exec_id, 1);
    for (int64_t id = 3; id < 100; id++)
        p = do_exec(10, "/bin/other", id);
    const size_t used = tree.texts.used;
    do_exec(10, "/bin/other", 100);
    assert_int_equal(tree.texts.used, used); /* two are kept, no more */
}

static void becoming_root_is_noticed_once(void **state)
{
    (void)state;
    do_exec(10, "/bin/sh", 1);
    do_uid(10, 1000, 1000);
    struct process *p = do_fork(10, 11);
    p = do_exec(11, "/bin/app", 2);
    assert_false(p->had_root); /* ids known, not root in this image */
    p = do_uid(11, 1000, 0);
    assert_true(p->was_user);
    assert_int_equal(p->was_uid, 1000);
    do_uid(10, 0, 0);
    do_uid(10, 0, 1000);
    p = do_uid(10, 0, 0);
    assert_false(p->was_user); /* a daemon that takes its root id back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(children_inherit_until_they_exec, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(a_reused_pid_is_another_process, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(an_exec_after_a_lost_fork_is_a_new_life, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(the_dead_stay_for_their_grace_and_their_children, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(a_full_table_forgets_the_oldest_dead_first, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(a_storm_of_short_programs_leaves_room_for_long_ones, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(a_program_with_long_texts_everywhere_is_known, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(a_dead_process_is_not_dropped_while_it_is_used, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(what_it_ran_before_is_known_by_time, open_tree, close_tree),
        cmocka_unit_test_setup_teardown(becoming_root_is_noticed_once, open_tree, close_tree),
    };
    return cmocka_run_group_tests_name("proctree", tests, NULL, NULL);
}
