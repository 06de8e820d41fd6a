/* A private instance of the kernel's tracing: buffers, enabled events and filters of our own, that disturb no other user of tracing and go with
 * rmdir(2). Owns the directory instances/ecsguard; one agent on the host can have it. */
#ifndef ECSGUARD_TRACEFS_H
#define ECSGUARD_TRACEFS_H

#include <stddef.h>
#include <sys/types.h>

struct tracefs {
    int instances_fd; /* "instances", locked for as long as ours exists: a living agent is told from one that crashed */
    int fd;           /* our instance */
};

/* Makes the instance; what an agent that crashed left is removed first. 0, or a negative errno with a sentence in `why`: -ENOENT without
 * tracefs, -EBUSY while another agent has it. Mounts nothing. */
int tracefs_open(struct tracefs *t, char *why, size_t why_size);
/* Removes it; its files must be closed. 0 or -errno. */
int tracefs_close(struct tracefs *t);

/* A file of the instance. 0 or -errno. */
int tracefs_write(const struct tracefs *t, const char *path, const char *text);
/* At most size - 1 bytes and a NUL. How many, or -errno. */
ssize_t tracefs_read(const struct tracefs *t, const char *path, char *text, size_t size);

#endif
