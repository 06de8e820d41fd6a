#include "agent/sensors/maps.h"

#include <string.h>

bool maps_line_is_code(const char *line, size_t length, const char *path, size_t path_length)
{
    static const char deleted[] = " (deleted)";
    const char *permissions = memchr(line, ' ', length);
    const char *name = memchr(line, '/', length);
    if (!permissions || !name || length - (size_t)(permissions - line) < 4 || permissions[3] != 'x')
        return false;
    size_t n = length - (size_t)(name - line);
    if (n < path_length || memcmp(name, path, path_length))
        return false;
    return n == path_length || (n == path_length + sizeof deleted - 1 && !memcmp(name + path_length, deleted, sizeof deleted - 1));
}
