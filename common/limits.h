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
#define LIMIT_CGROUP_FILE_BYTES 65536 /* all of /proc/PID/cgroup: 14 controllers of cgroup v1 at most, each with a path */

/* One event: header plus the longest texts of an exec (cmdline, environ, exe, cwd, cgroup, three descriptor links). */
#define LIMIT_EVENT_TEXT_BYTES 32768
/* One event as a line of JSON: a byte of text is at most five ("\\xHH" with its backslash doubled), and 8 KiB for all else. */
#define LIMIT_EVENT_JSON_BYTES (5 * LIMIT_EVENT_TEXT_BYTES + 8192)
/* One finding: title, description, lineage and evidence as JSON. */
#define LIMIT_FINDING_TEXT_BYTES 32768
#define LIMIT_LINEAGE 16 /* entrypoint to shell is under 10 in practice; deeper trees are cut at the old end */

/* Rings between threads: single producer, single consumer, bytes; must be powers of two. */
#define LIMIT_EXEC_RING_BYTES (512u << 10)   /* per exec reader: ~600 execs, 150 ms of the worst storm measured */
#define LIMIT_EXEC_READERS 32                /* more CPUs share readers: 32 x 512 KiB = 16 MiB at most */
#define LIMIT_PROC_RING_BYTES (2u << 20)     /* ~3,500 fork/exit/id events waiting to be merged */
#define LIMIT_FILE_RING_BYTES (2u << 20)     /* ~2,700 file events */
#define LIMIT_FLOW_RING_BYTES (2u << 20)     /* ~4,400 flow events, 100 ms of 40,000/s */
#define LIMIT_PROCFS_RING_BYTES (256u << 10) /* ~350 writes to container /proc files */
#define LIMIT_MISC_RING_BYTES (1u << 20)     /* container facts, answers to requests, loss */
#define LIMIT_WRITER_RING_BYTES (8u << 20)   /* 0.3 s at 40,000 rows/s; beyond that plain events are dropped and counted */
#define LIMIT_WRITER_RESERVE_BYTES (1u << 20) /* of the writer ring, kept for findings: plain events may not fill it */

/* Netlink sockets. 8 MiB holds 10,082 connector messages (832 B each): over a second of the worst storm. */
#define LIMIT_NETLINK_RCVBUF_BYTES (8 << 20)

/* Exec readers. All fields of an exec cost ~120 us, the lean set ~30 us: 100/s are 1.2 % of a CPU, and more than hosts do outside of
 * builds and storms; twice as many in a burst. */
#define LIMIT_EXEC_FULL_PER_SECOND 100
#define LIMIT_EXEC_RT_PERCENT 30            /* of a CPU in one second under SCHED_FIFO; the next second runs at normal priority */
#define LIMIT_EXEC_RCVBUF_BYTES (1 << 20)   /* doubled by the kernel: 2,520 execs on one CPU, 0.3 s of the worst storm */
#define LIMIT_EXEC_PATHS 64                 /* per reader: paths of programs that run again and again, 20 KiB */
#define LIMIT_EXEC_PATH_AGE_NS 1000000000ull /* a renamed directory changes a path without a trace in the file: look again */
#define LIMIT_ENVIRON_SCAN_BYTES (128u << 10) /* per reader: LD_* variables are looked for in this much */
#define LIMIT_SCAN_SLICE 64                 /* processes per step of the /proc scan: ~10 ms of the loop */

/* Events wait this long to be sorted by kernel time, over all sources. Scheduling delays measured: p99 < 1 ms. */
#define LIMIT_HOLD_NS 8000000ull
/* The loop looks at busy sources this often instead of waking per event (a wake costs ~6 us, an event ~1.3 us). */
#define LIMIT_TICK_MS 5

/* File sensor. */
#define LIMIT_OVERLAYS 1024                  /* 80 B and two paths each: 300 KiB when full */
#define LIMIT_OVERLAY_GRACE_NS 30000000000ull /* events of an unmounted overlay may still be queued */
#define LIMIT_DIR_CACHE 2048                 /* directory handles: 112 B and a path each: 450 KiB when full */
#define LIMIT_DIR_CACHE_NS 30000000000ull    /* should a move be missed, its old path is believed no longer than this */
#define LIMIT_LAYER_FILESYSTEMS 16           /* marked file systems that hold layers or watched host paths */
#define LIMIT_CONTAINER_MOUNTS 32            /* own /proc and tmpfs mounts marked per container */
#define LIMIT_CONTAINER_MARKS 4096           /* ... and altogether: 40 B each */
#define LIMIT_FILE_WATCHES 256               /* single files, 16 B each */
#define LIMIT_PENDING_CONTAINERS 256         /* containers whose own /proc is awaited */
#define LIMIT_PENDING_NS 5000000000ull       /* it came 0.2 to 1.9 s after the fork */
#define LIMIT_FILE_COMMANDS_BYTES (64u << 10) /* commands of the loop to the sensor */
#define LIMIT_MOUNTINFO_BYTES (4u << 20)     /* 200 B a mount, overlays up to 4 KiB: over 1,000 containers */
#define LIMIT_RESCAN_DIRS 4096               /* directories waiting in a rescan; one in a deeper or wider tree is counted as lost */
#define LIMIT_RESCAN_SLICE 512               /* entries looked at before live events get their turn: ~1 ms */
#define LIMIT_PID_SCAN 4096                  /* processes looked at to translate a pid where the kernel cannot: 40 ms */

/* Tables of the core. */
#define LIMIT_PROCESSES 32768       /* the kernel's default pid_max; ~160 B each, touched lazily: 5 MiB when full */
#define LIMIT_IMAGE_BYTES (8u << 20) /* texts of exec images, shared by forks: ~30,000 of the usual 256 B */
#define LIMIT_PROCESS_GRACE_NS 30000000000ull /* the dead stay this long: late file, flow and container facts name them */
#define LIMIT_CONTAINERS 1024       /* ~3 KiB each: 3 MiB. ECS allows at most 120 tasks an instance */
#define LIMIT_FILE_ORIGINS 16384    /* who wrote this file: ~320 B each, 5 MiB */
#define LIMIT_PENDING 256           /* decisions that wait for a fact, 1.2 KiB each */
#define LIMIT_PENDING_EACH 64       /* ... of one detector */
#define LIMIT_PIPE_ENDS 1024        /* programs last started with a pipe or fifo: a pipeline's members start together; 24 B each */
#define LIMIT_INTEL_ENTRIES 1000000 /* addresses and networks: 32 B each */

#define LIMIT_INTEL_TAGS 1024       /* pairs of list and category: 96 B each, allocated as needed */
#define LIMIT_INTEL_FILES 256
#define LIMIT_INTEL_FILE_BYTES (64u << 20) /* read in pieces of LIMIT_INTEL_PIECE_BYTES; a million lines are about 16 MiB */
#define LIMIT_INTEL_PIECE_BYTES (256u << 10)
#define LIMIT_INTEL_FILE_ERRORS 20  /* lines logged per file; further ones are only counted */

/* Flows. */
#define LIMIT_FLOW_TWINS 32768          /* flows that may be reported by two namespaces: 80 B each, 2.6 MB when full */
#define LIMIT_FLOW_DATAGRAM_BYTES 4096  /* one conntrack event is under 600 B; 32 buffers are read by one call */
#define LIMIT_FLOW_RESYNC_EVENTS 16384  /* flows told by one resync: the table of a host may hold 262,144 */
#define LIMIT_FLOW_RESYNC_NS 10000000000ull /* a resync begins at most this often */

/* Who owns a socket. */
#define LIMIT_SOCKET_FDS 256             /* descriptors looked at, of one process */
#define LIMIT_PROC_NET_BYTES (1u << 20)  /* of each /proc/PID/net file: ~7,000 sockets */

/* Outcome of one step of the pipeline. */
#define LIMIT_OUTCOME_FINDINGS 8
#define LIMIT_OUTCOME_REQUESTS 8
#define LIMIT_OUTCOME_CONTAINERS 8
#define LIMIT_REQUEST_JOBS 16    /* questions looked up at the same time; ~55 KiB each */
#define LIMIT_REQUEST_SOCKETS 32 /* told of one process; a relay holds one or two */

/* Storage. */
#define LIMIT_EVIDENCE_PER_FINDING 1000 /* further repeats raise the count only */
#define LIMIT_GROUP_ROWS 4096           /* rows in one transaction */
#define LIMIT_GROUP_MS 100              /* plain events wait at most this long for their commit */
#define LIMIT_GROUP_FINDINGS 64         /* findings in one transaction: announced as soon as they are durable */
#define LIMIT_CLOSE_MS 5000             /* at the end, a database that refuses is tried this long before the rest is given up */
#define LIMIT_RETRY_MS 1000             /* pause before a refused group is tried again */
#define LIMIT_DB_BYTES (1ull << 30)     /* default size of the database file: weeks of an ordinary host */
#define LIMIT_DB_BYTES_LEAST (8ull << 20) /* an eighth is kept free, and must hold the largest row */
#define LIMIT_EVENT_DAYS 30
#define LIMIT_FINDING_DAYS 365
#define LIMIT_DB_CACHE_KIB 2048         /* SQLite's page cache: inserts touch the right edge of few trees */
#define LIMIT_WAL_FRAMES 2048           /* pages in the log before a checkpoint: 16 MiB of disk, 16 KiB of index */
#define LIMIT_WAL_BYTES (256ull << 20)  /* a reader that never ends keeps the log growing: beyond this, plain events are dropped */
#define LIMIT_PRUNE_ROWS 4096           /* the oldest rows leave in steps of this many: ~10 ms each */

/* Answers from Docker and the ECS agent. An instance holds at most 120 tasks: 2 containers each are ~150 KiB. Parsed, JSON takes up to
 * 15 times its size for a moment. */
#define LIMIT_HTTP_BODY_BYTES (1u << 20)
/* Recorded events are sorted by time in memory before they are replayed: a million typical ones. */
#define LIMIT_REPLAY_BYTES (1u << 30)
/* Different findings of one replay, kept to add up repeats: ~2 KiB each. */
#define LIMIT_REPLAY_FINDINGS 10000

#define LIMIT_HTTP_TIMEOUT_MS 2000
#define LIMIT_HTTP_PARALLEL 4 /* requests under way; each holds one body */
#define LIMIT_HTTP_QUEUE 64   /* requests that wait for their turn, 600 B each */
#define LIMIT_DOCKER_BODY_BYTES (1u << 20) /* facts of one container: 5 KiB in practice, long environments some 100 KiB */
#define LIMIT_DOCKER_RETRY_NS 10000000000ull /* Docker answers 404 for a container that it has not committed yet */
#define LIMIT_ECS_INTERVAL_NS 500000000ull   /* at most 2 requests a second: the ECS agent has other work */
#define LIMIT_ECS_RETRY_NS 300000000000ull   /* a container that the ECS agent does not know for 5 minutes is not asked for again */
#define LIMIT_ABSENT_BACKOFF_NS 30000000000ull /* longest pause between tries when nobody answers */

/* Container sensor. A container costs one inotify watch, its task one more; 1 KiB of kernel memory and 400 B of ours each. */
#define LIMIT_CGROUP_WATCHES 4096
#define LIMIT_CGROUP_DEPTH 8          /* ecstasks.slice, five slices of an old dashed task id, the container's scope, one more */
#define LIMIT_CONTAINER_PIDS 4096     /* processes of one container that are announced at once; the others are known by their parents */
#define LIMIT_CONTAINER_SETTLE_NS 5000000000ull /* the runtime takes 0.2 to 2 s from the first process to the container's own root */
#define LIMIT_CONTAINER_MOUNTINFO_BYTES (256u << 10) /* /proc/PID/mountinfo of one container; 200 mounts are 30 KiB */

/* Configuration. The default file with all its comments is 6 KiB; texts are paths, URLs and tokens. */
#define LIMIT_CONFIG_FILE_BYTES (256u << 10)
#define LIMIT_CONFIG_TEXT_BYTES 1024
#define LIMIT_CONFIG_LIST 16 /* items of a list option: 16 KiB each */

/* Delivery: one batch buffer of delivery.batch_bytes plus one finding. */
#define LIMIT_DELIVERY_FINDING_BYTES (256u << 10) /* one finding as JSON; a larger one goes without lineage and evidence */
#define LIMIT_DELIVERY_EVIDENCE 16                /* latest occurrences sent with a finding; the rest stays in the database */
#define LIMIT_DELIVERY_ANSWER_BYTES (64u << 10)   /* of the receiver's answer; what is beyond is not read */
#define LIMIT_DELIVERY_REFUSALS 3                 /* a finding refused alone this often is stepped over */
#define LIMIT_DELIVERY_HELD 16                    /* findings stepped over before it must be the receiver that is wrong */
#define LIMIT_DELIVERY_SECRET_BYTES 8192          /* a header value read from a file */
#define LIMIT_DELIVERY_TIMEOUT_MS 30000           /* one request, everything included */
#define LIMIT_DELIVERY_CONNECT_MS 10000
#define LIMIT_DELIVERY_STOP_MS 1500               /* SIGTERM waits this long for the answer to a request under way */

#endif
