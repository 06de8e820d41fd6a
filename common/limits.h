/* Every bound of the agent, with its reason and what it costs in memory. A full table is an answer: the oldest
 * entry leaves and is counted. */
#ifndef ECSGUARD_LIMITS_H
#define ECSGUARD_LIMITS_H

/* Texts taken from processes. The kernel allows 2 MiB of argv; what tells an attack apart stands in the first 4 KiB. */
#define LIMIT_CMDLINE_BYTES 4096
#define LIMIT_ENVIRON_BYTES 4096
#define LIMIT_PATH_BYTES 4096 /* PATH_MAX */
#define LIMIT_COMM_BYTES 16   /* TASK_COMM_LEN */
#define LIMIT_CGROUP_BYTES 4096

/* One event: header plus the longest texts of an exec (cmdline, environ, exe, cwd, cgroup, three descriptor links). */
#define LIMIT_EVENT_TEXT_BYTES 32768
/* One finding: title, description, lineage and evidence as JSON. */
#define LIMIT_FINDING_TEXT_BYTES 32768
#define LIMIT_LINEAGE 16 /* entrypoint to shell is under 10 in practice; deeper trees are cut at the old end */

/* Rings between threads: single producer, single consumer, bytes; must be powers of two. */
#define LIMIT_EXEC_RING_BYTES (512u << 10)   /* per exec reader: ~600 execs, 150 ms of the worst storm measured */
#define LIMIT_EXEC_READERS 32                /* more CPUs share readers: 32 x 512 KiB = 16 MiB at most */
#define LIMIT_PROC_RING_BYTES (2u << 20)     /* ~3,500 fork/exit/id events waiting to be merged */
#define LIMIT_FILE_RING_BYTES (4u << 20)     /* ~5,500 file events */
#define LIMIT_FLOW_RING_BYTES (4u << 20)     /* ~6,500 flow events */
#define LIMIT_MISC_RING_BYTES (1u << 20)     /* container facts, answers to requests, loss */
#define LIMIT_WRITER_RING_BYTES (8u << 20)   /* 0.3 s at 40,000 rows/s; beyond that plain events are dropped and counted */
#define LIMIT_WRITER_RESERVE_BYTES (1u << 20) /* of the writer ring, kept for findings: plain events may not fill it */

/* Netlink sockets. 8 MiB holds 10,082 connector messages (832 B each): over a second of the worst storm. */
#define LIMIT_NETLINK_RCVBUF_BYTES (8 << 20)

/* Events wait this long to be sorted by kernel time, over all sources. Scheduling delays measured: p99 < 1 ms. */
#define LIMIT_HOLD_NS 8000000ull
/* The loop looks at busy sources this often instead of waking per event (a wake costs ~6 us, an event ~1.3 us). */
#define LIMIT_TICK_MS 5

/* Tables of the core. */
#define LIMIT_PROCESSES 65536       /* 160 B each, touched lazily: 10 MiB when all are live */
#define LIMIT_IMAGES 32768          /* exec images; forks share them */
#define LIMIT_IMAGE_BYTES (16u << 20) /* texts of all images */
#define LIMIT_PROCESS_GRACE_NS 30000000000ull /* the dead stay this long: late file, flow and container facts name them */
#define LIMIT_CONTAINERS 1024       /* ~3 KiB each: 3 MiB. ECS allows at most 120 tasks an instance */
#define LIMIT_FILE_ORIGINS 16384    /* who wrote this file: ~320 B each, 5 MiB */
#define LIMIT_PENDING 256           /* decisions that wait for a fact, per detector */
#define LIMIT_INTEL_ENTRIES 1000000 /* addresses and networks: 32 B each */

/* Outcome of one step of the pipeline. */
#define LIMIT_OUTCOME_FINDINGS 8
#define LIMIT_OUTCOME_REQUESTS 8
#define LIMIT_OUTCOME_CONTAINERS 8

/* Storage. */
#define LIMIT_EVIDENCE_PER_FINDING 1000 /* further repeats raise the count only */
#define LIMIT_GROUP_ROWS 4096           /* rows in one transaction */
#define LIMIT_GROUP_MS 100              /* plain events wait at most this long for their commit */

/* Answers from Docker and the ECS agent. 120 tasks of 10 containers are about 1 MiB. */
#define LIMIT_HTTP_BODY_BYTES (4u << 20)
#define LIMIT_HTTP_TIMEOUT_MS 2000

#endif
