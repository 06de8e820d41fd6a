/* CPU time used by a control group, as the kernel writes it. Pure. */
#ifndef ECSGUARD_CPU_DECODE_H
#define ECSGUARD_CPU_DECODE_H

#include <stddef.h>
#include <stdint.h>

/* Content of cpuacct.usage (cgroup v1: nanoseconds) or cpu.stat (v2: "usage_usec MICROSECONDS" on a line of its own). 0 or -EINVAL. */
int cpu_usage_decode(const char *data, size_t size, uint64_t *ns);

#endif
