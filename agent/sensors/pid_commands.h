/* Tells a sensor's thread which containers there are, each by one of its processes: from the loop, through a ring. */
#ifndef ECSGUARD_PID_COMMANDS_H
#define ECSGUARD_PID_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ring.h"

struct pid_command {
    bool add; /* else remove */
    int32_t pid;
};

struct pid_commands {
    struct ring ring;
    int fd; /* eventfd(2), readable while commands wait; also to wake the thread at the end */
};

int pid_commands_init(struct pid_commands *c); /* 0 or -errno */
void pid_commands_fini(struct pid_commands *c);

/* From the loop's thread only: 0, or -EAGAIN when too many wait. */
int pid_commands_send(struct pid_commands *c, bool add, int32_t pid);
void pid_commands_wake(struct pid_commands *c);
/* The sensor's thread: false when none is left. */
bool pid_commands_next(struct pid_commands *c, struct pid_command *command);

#endif
