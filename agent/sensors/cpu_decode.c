#include "agent/sensors/cpu_decode.h"

#include <errno.h>
#include <string.h>

#include "common/text.h"

static int number(const char *data, size_t size, uint64_t factor, uint64_t *ns)
{
    size_t digits = 0;
    while (digits < size && data[digits] >= '0' && data[digits] <= '9')
        digits++;
    if (text_to_u64(data, digits, ns) || (digits < size && data[digits] != '\n'))
        return -EINVAL;
    return __builtin_mul_overflow(*ns, factor, ns) ? -EINVAL : 0;
}

int cpu_usage_decode(const char *data, size_t size, uint64_t *ns)
{
    static const char key[] = "usage_usec ";
    const size_t n = sizeof key - 1;
    if (size && data[0] >= '0' && data[0] <= '9')
        return number(data, size, 1, ns);
    while (size) {
        if (size > n && !memcmp(data, key, n))
            return number(data + n, size - n, 1000, ns);
        const char *end = memchr(data, '\n', size);
        size_t line = end ? (size_t)(end - data) + 1 : size;
        data += line;
        size -= line;
    }
    return -EINVAL;
}
