/* SHA-256 of a file of limited size. */
#ifndef ECSGUARD_FILE_HASH_H
#define ECSGUARD_FILE_HASH_H

#include <stdint.h>

/* Of a regular file of at most `max` bytes, from its start: 64 hex digits and a NUL in `hex`. 0 or -errno (-EFBIG). */
int file_hash(int fd, uint64_t max, char hex[65]);

#endif
