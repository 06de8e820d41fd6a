/* Values that stand in a file, not in the configuration: tokens. */
#ifndef ECSGUARD_SECRET_H
#define ECSGUARD_SECRET_H

#include <stddef.h>

/* The first line of a file. 0 or -errno; -EINVAL when it cannot be a header value. */
int secret_read(const char *path, char *value, size_t size);
/* "not one line of text" or the reason of the system. */
const char *secret_error(int error);

#endif
