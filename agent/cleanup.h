/* `ecsguardd --cleanup`: removes what an agent that was killed left in the kernel: nft tables in network namespaces, a tracing instance. */
#ifndef ECSGUARD_CLEANUP_H
#define ECSGUARD_CLEANUP_H

/* Says in the log what it did. 0, or -errno: -EBUSY when an agent runs, -EIO when something stays. */
int cleanup_run(void);

#endif
