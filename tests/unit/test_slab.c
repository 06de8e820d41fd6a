/* Random taking and giving: blocks never overlap, the arena is never exceeded, and when all is given back the largest blocks are there again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/slab.h"

#define ARENA (8 * SLAB_MAX)
#define BLOCKS 1024

struct taken {
    uint8_t *at;
    size_t size;
    uint8_t mark;
};

static struct taken blocks[BLOCKS];

static void check_and_give(struct slab *slab, struct taken *t)
{
    for (size_t i = 0; i < t->size; i++)
        assert_int_equal(t->at[i], t->mark);
    slab_give(slab, t->at, t->size);
    *t = (struct taken){ 0 };
}

static void take(struct slab *slab, struct taken *t, uint8_t mark)
{
    size_t wanted = 1 + (size_t)rand() % (rand() % 8 ? 600 : SLAB_MAX), size = wanted, used = slab->used;
    t->at = slab_take(slab, &size);
    if (!t->at)
        return;
    assert_true(size >= wanted && size <= SLAB_MAX);
    assert_true(t->at >= slab->arena && t->at + size <= slab->arena + slab->size);
    assert_int_equal(slab->used, used + size);
    t->size = size;
    t->mark = mark;
    memset(t->at, mark, size);
}

static void random_use(void **state)
{
    struct slab slab;
    (void)state;
    srand(7);
    assert_int_equal(slab_init(&slab, ARENA), 0);
    for (int i = 0; i < 200000; i++) {
        struct taken *t = &blocks[rand() % BLOCKS];
        if (t->at)
            check_and_give(&slab, t);
        else
            take(&slab, t, (uint8_t)i);
    }
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].at)
            check_and_give(&slab, &blocks[i]);
    assert_int_equal(slab.used, 0);
    for (size_t i = 0; i < ARENA / SLAB_MAX; i++) {
        size_t size = SLAB_MAX;
        assert_non_null(slab_take(&slab, &size));
    }
    size_t size = 1;
    assert_null(slab_take(&slab, &size));
    slab_fini(&slab);
}

static void what_is_too_large_is_refused(void **state)
{
    struct slab slab;
    size_t size = SLAB_MAX + 1;
    (void)state;
    assert_int_equal(slab_init(&slab, ARENA), 0);
    assert_null(slab_take(&slab, &size));
    assert_int_equal(slab.begun, 0);
    slab_fini(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use),
        cmocka_unit_test(what_is_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
