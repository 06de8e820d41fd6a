#include "agent/deliver/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int secret_read(const char *path, char *value, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, value, size - 1);
    int error = errno;
    close(fd);
    if (n < 0)
        return -error;
    value[n] = 0;
    size_t length = strcspn(value, "\r\n");
    if (!length || strlen(value) != (size_t)n || (size_t)n == size - 1)
        return -EINVAL;
    value[length] = 0;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            return -EINVAL;
    return 0;
}

const char *secret_error(int error)
{
    return error == -EINVAL ? "not one line of text" : strerror(-error);
}
