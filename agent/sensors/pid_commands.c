#include "agent/sensors/pid_commands.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/limits.h"

int pid_commands_init(struct pid_commands *c)
{
    c->fd = -1;
    if (ring_init(&c->ring, LIMIT_PID_COMMANDS_BYTES))
        return -ENOMEM;
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return c->fd < 0 ? -errno : 0;
}

void pid_commands_fini(struct pid_commands *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    ring_fini(&c->ring);
}

void pid_commands_wake(struct pid_commands *c)
{
    uint64_t one = 1;
    if (write(c->fd, &one, sizeof one) < 0)
        return; /* EAGAIN: it is awake already */
}

int pid_commands_send(struct pid_commands *c, bool add, int32_t pid)
{
    struct pid_command *command = ring_reserve(&c->ring, sizeof *command, 0);
    if (!command)
        return -EAGAIN;
    *command = (struct pid_command){ .add = add, .pid = pid };
    ring_commit(&c->ring, sizeof *command);
    pid_commands_wake(c);
    return 0;
}

bool pid_commands_next(struct pid_commands *c, struct pid_command *command)
{
    uint64_t count;
    size_t size;
    const struct pid_command *next = ring_peek(&c->ring, &size);
    if (!next && read(c->fd, &count, sizeof count) > 0)
        next = ring_peek(&c->ring, &size); /* one may have come since */
    if (!next)
        return false;
    *command = *next;
    ring_pop(&c->ring);
    return true;
}
