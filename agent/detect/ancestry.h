/* How a process came to be in its container, and what kind of program it is: to tell a person or an intruder from the task's own work. Pure. */
#ifndef ECSGUARD_ANCESTRY_H
#define ECSGUARD_ANCESTRY_H

#include "agent/detect/detector.h"

enum ancestry {
    ANCESTRY_UNKNOWN,
    ANCESTRY_HOST,
    ANCESTRY_MAIN,     /* the container's first process */
    ANCESTRY_SCRIPT,   /* started by the first process where that is a shell or an init: only such stand between */
    ANCESTRY_SERVICE,  /* started by another program of the task, such as a web server */
    ANCESTRY_ENTERED,  /* put in from outside: docker exec, a health check */
    ANCESTRY_ECS_EXEC, /* a session of ECS Exec */
};

enum ancestry ancestry_of(struct detection *d, const struct process *p);
const char *ancestry_words(enum ancestry ancestry); /* "started by a program of the task" */

/* A program that people and scripts use to talk to a server: curl, wget, nc, ... */
bool image_is_client(const struct image *image);
/* An interpreter with its program on the command line (python -c ...). */
bool image_is_inline_code(const struct image *image);

/* Why this process is not one that is expected to use credentials and metadata services, for people; NULL = it is expected. What a start script does,
 * and what a program of the task does by itself, is expected; a tool, a shell or code of a command line that a program of the task
 * started, or that was put in from outside, is not, and neither is a new or fileless binary. *severity: medium, of people's sessions low. */
const char *unexpected_user(struct detection *d, const struct process *p, enum severity *severity);

#endif
