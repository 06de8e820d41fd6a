/* An array that doubles: for programs that run once and end, not for the agent, whose tables are bounded. */
#ifndef ECSGUARD_ARRAY_H
#define ECSGUARD_ARRAY_H

#include <errno.h>
#include <stdlib.h>

/* Room for one more item of `size` bytes behind `n` of them. 0 or -ENOMEM. */
static inline int array_grow(void **array, size_t n, size_t *max, size_t size)
{
    if (n < *max)
        return 0;
    size_t more = *max ? 2 * *max : 64;
    void *bigger = realloc(*array, more * size);
    if (!bigger)
        return -ENOMEM;
    *array = bigger;
    *max = more;
    return 0;
}

#endif
