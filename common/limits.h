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
#define LIMIT_DOMAIN_BYTES 1024      /* a DNS name has 255 bytes, each at most four as text ("\255") */
#define LIMIT_DNS_RECORDS 64         /* of one answer, as values of a rule: 3 KiB of its scratch */
#define LIMIT_DNS_ANSWERS_BYTES 4096 /* records of one answer as text: ~60 addresses */
#define LIMIT_CGROUP_FILE_BYTES 65536 /* all of /proc/PID/cgroup: 14 controllers of cgroup v1 at most, each with a path */

/* One event: header plus the longest texts of an exec (cmdline, environ, exe, cwd, cgroup, three descriptor links). */
#define LIMIT_EVENT_TEXT_BYTES 32768
/* One event as a line of JSON: a byte of text is at most five ("\\xHH" with its backslash doubled), and 8 KiB for all else. */
#define LIMIT_EVENT_JSON_BYTES (5 * LIMIT_EVENT_TEXT_BYTES + 8192)
/* One finding: title, description, lineage and evidence as JSON. */
#define LIMIT_FINDING_TEXT_BYTES 32768
#define LIMIT_LINEAGE 16 /* entrypoint to shell is under 10 in practice; deeper trees are cut at the old end */

/* Rings between threads: single producer, single consumer, bytes; must be powers of two. */
#define LIMIT_EXEC_RING_BYTES (512u << 10)   /* per exec reader: ~600 execs, 150 ms of the worst storm measured; */
#define LIMIT_EXEC_RING_MAX_BYTES (4u << 20) /* ... more where there are few: the loop may not run for a second when all CPUs are busy, and */
#define LIMIT_EXEC_RINGS_BYTES (8u << 20)    /* ... this is for all of them together, if that is not less than the former for each */
#define LIMIT_EXEC_READERS 32                /* more CPUs share readers: 32 x 512 KiB = 16 MiB at most */
#define LIMIT_PROC_RING_BYTES (2u << 20)     /* ~3,500 fork/exit/id events waiting to be merged */
#define LIMIT_FILE_RING_BYTES (2u << 20)     /* ~2,700 file events */
#define LIMIT_FLOW_RING_BYTES (2u << 20)     /* ~4,400 flow events, 100 ms of 40,000/s */
#define LIMIT_DNS_RING_BYTES (4u << 20)      /* ~4,900 DNS messages, 120 ms of 20,000 questions a second and their answers */
#define LIMIT_PROCFS_RING_BYTES (256u << 10) /* ~350 writes to container /proc files */
#define LIMIT_SMALL_RING_BYTES (128u << 10)  /* mounts, unix sockets, kernel modules: ~200 events, rare ones */
#define LIMIT_MISC_RING_BYTES (1u << 20)     /* container facts, answers to requests, loss */
#define LIMIT_WRITER_RING_BYTES (8u << 20)   /* 0.3 s at 40,000 rows/s; beyond that plain events are dropped and counted */
#define LIMIT_WRITER_RESERVE_BYTES (1u << 20) /* of the writer ring, kept for findings: plain events may not fill it */

/* Netlink sockets. 8 MiB holds 10,082 connector messages (832 B each): over a second of the worst storm. */
#define LIMIT_NETLINK_RCVBUF_BYTES (8 << 20)

/* Exec readers. All fields of an exec cost ~135 us, the lean set ~30 us: 100/s are 1.4 % of a CPU, and more than hosts do outside of
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
#define LIMIT_SENSITIVE_HOMES 32             /* home directories looked into, per container: each costs ~20 us when it starts */
#define LIMIT_SENSITIVE_ENTRIES 256          /* of a sensitive directory, when a hard link's other name is looked for */
#define LIMIT_LINK_LOOKUPS 50                /* such searches in a second, ~300 us each: package managers link by the thousand */
#define LIMIT_PENDING_LOADS 32               /* opens of new libraries of which it is not known yet whether they are loaded; 200 B each */
#define LIMIT_MAPS_BYTES (1u << 20)          /* of /proc/PID/maps: ~8,000 mappings */
#define LIMIT_LIBRARY_MARKS 1024             /* newly written libraries watched per overlay; each keeps an inode (~1 KiB) in the kernel, and 8 B here */
#define LIMIT_PENDING_CONTAINERS 256         /* containers whose own /proc is awaited */
#define LIMIT_PENDING_NS 5000000000ull       /* it came 0.2 to 1.9 s after the fork */
#define LIMIT_MOUNT_WATCHES 512              /* containers whose mount tables are followed: 2 descriptors and 4 KiB each */
#define LIMIT_KNOWN_MOUNTS 512               /* ... mounts of each, 8 B */
#define LIMIT_UNIX_WATCHES 64                /* containers that can reach a runtime's socket: monitoring and CI, rarely more than one or two */
#define LIMIT_UNIX_CONNECTIONS 64            /* ... connections of each at one time; further ones are not told */
#define LIMIT_UNIX_INTERVAL_NS 50000000ull   /* a look costs 20 to 160 us: under 0.3 % of a CPU for each such container */
#define LIMIT_UNIX_SHARE 20                  /* ... a container with many sockets makes it dear: the next comes after 20 times what it took, 5 % of a CPU */
#define LIMIT_UNIX_OWNERS_NS 20000000ull     /* CPU time in one look after which no further client's process is searched: one costs 0.1 to 40 ms */
#define LIMIT_MODULES 1024                   /* known kernel modules, 64 B each */
#define LIMIT_MODULES_BYTES (256u << 10)     /* /proc/modules: ~100 B each */
#define LIMIT_MODULES_COMPARE_NS 60000000000ull /* uevents tell at once; this finds what they did not */
#define LIMIT_PID_COMMANDS_BYTES (16u << 10) /* containers that start or end while a sensor's thread is busy: 1,000 */
#define LIMIT_FILE_COMMANDS_BYTES (64u << 10) /* commands of the loop to the sensor */
#define LIMIT_MOUNTINFO_BYTES (4u << 20)     /* 200 B a mount, overlays up to 4 KiB: over 1,000 containers */
#define LIMIT_RESCAN_DIRS 4096               /* directories waiting in a rescan; one in a deeper or wider tree is counted as lost */
#define LIMIT_RESCAN_SLICE 512               /* entries looked at before live events get their turn: ~1 ms */
#define LIMIT_PID_SCAN 4096                  /* processes looked at to translate a pid where the kernel cannot: 40 ms */

/* System call sensor. */
#define LIMIT_TRACE_BUFFER_KIB 64       /* kernel memory of each CPU: ~1,000 calls; more of them in one tick are a flood */
#define LIMIT_TRACE_PAGE_BYTES 65536    /* one page of that buffer, as large as a memory page: 64 KiB on some arm64 kernels */
#define LIMIT_TRACE_CPUS 1024           /* 24 B and a descriptor each; further CPUs are not read, and health says so */
#define LIMIT_SYSCALLS_PER_SECOND 200   /* told of each system call; further ones are counted as lost. 40 us each: 8 % of a CPU at most */

/* Tables of the core. */
#define LIMIT_PROCESSES 32768       /* the kernel's default pid_max; ~160 B each, touched lazily: 5 MiB when full */
#define LIMIT_IMAGE_BYTES (8u << 20) /* texts of exec images, shared by forks: ~25,000 of the usual 330 B */
#define LIMIT_PROCESS_GRACE_NS 30000000000ull /* the dead stay this long: late file, flow and container facts name them */
#define LIMIT_CONTAINERS 1024       /* ~4 KiB each: 4 MiB. ECS allows at most 120 tasks an instance */
#define LIMIT_FILE_ORIGINS 16384    /* who wrote this file: ~320 B each, 5 MiB */
#define LIMIT_LATE_EXECS 1024       /* execs read too late, until their files are told: 24 B each */
#define LIMIT_LATE_EXEC_NS 300000000ull /* ... which takes milliseconds, in storms longer */
#define LIMIT_LATE_EXEC_FILES 512   /* files opened last for execution, by process: 1.5 KiB each, 768 KiB */
#define LIMIT_LATE_EXEC_PATH 512    /* bytes of their paths; of longer ones nothing is kept */
#define LIMIT_DETECTORS 96          /* a byte each and kind of event */
#define LIMIT_PENDING 256           /* decisions that wait for a fact, 1.2 KiB each */
#define LIMIT_PENDING_EACH 64       /* ... of one detector */
#define LIMIT_PIPE_ENDS 1024        /* programs last started with a pipe or fifo: a pipeline's members start together; 24 B each */
#define LIMIT_SIGNALS 1024          /* findings remembered for what is telling only together: ~450 B each, 450 KiB */
#define LIMIT_SIGNALS_EACH 64       /* ... of one container, or of the host */
#define LIMIT_INTEL_ENTRIES 64000000 /* of all lists: numbers of 32 bits count them */
#define LIMIT_INTEL_BYTES (16ull << 30) /* what intel.max_memory may be set to; agent/detect/intel.h says what an entry takes */

#define LIMIT_HASHES 4096           /* files whose SHA-256 is known: 80 B each, 320 KiB */
#define LIMIT_HASH_JOBS 2           /* files hashed at the same time, so that other questions find a thread */
#define LIMIT_HASH_FILE_BYTES (256ull << 20) /* a larger file is not hashed: ~0.2 to 1 s of one CPU, once per file */
#define LIMIT_INTEL_TAGS 4096       /* pairs of list and category: 100 B each, allocated as needed */
#define LIMIT_INTEL_FILES 256       /* 160 B each for what is told of them */
#define LIMIT_INTEL_SOURCES 16      /* lists that are fetched: 5 KiB each */
#define LIMIT_INTEL_FETCH_BYTES (256u << 20) /* ... of one, unpacked, unless its max_size says otherwise */
#define LIMIT_INTEL_FILE_BYTES (1u << 30) /* read in pieces of LIMIT_INTEL_PIECE_BYTES; a million lines are about 16 MiB */
#define LIMIT_INTEL_PIECE_BYTES (256u << 10)
#define LIMIT_INTEL_LINE_BYTES (64u << 10) /* one line, or one record of a CSV */
#define LIMIT_INTEL_FILE_ERRORS 20  /* lines logged per file; further ones are only counted */
#define LIMIT_TOOLS 64              /* different tools of one root that an executable is compared with; 300 B each, for the time of it */
#define LIMIT_TOOL_BYTES (64ull << 20) /* ... by content, if it is not larger, and only where the sizes agree */
#define LIMIT_TOOL_JOBS 1           /* executables compared at the same time */
#define LIMIT_TOOL_FILES 512        /* executables of which the answer is known: 180 B each, 90 KiB */
#define LIMIT_TOOL_QUESTIONS 20     /* executables compared in a second: 2 to 10 ms each; builds run new ones by the hundred */

/* Filters that keep findings from delivery: 76 KiB in all. */
#define LIMIT_SUPPRESS_FILTERS 128
#define LIMIT_SUPPRESS_CONDITIONS 1024
#define LIMIT_SUPPRESS_TEXT_BYTES (32u << 10)
#define LIMIT_SUPPRESS_NAME_BYTES 64
#define LIMIT_SUPPRESS_SHOWN 5 /* with their own count in `health`, whose counters have 512 bytes */

/* Attack sequences: 130 KiB in all. */
#define LIMIT_SEQUENCES 64
#define LIMIT_SEQUENCE_STAGES 8
#define LIMIT_SEQUENCE_TYPES 1024
#define LIMIT_SEQUENCE_TEXT_BYTES (32u << 10)
#define LIMIT_SEQUENCE_NAME_BYTES 80
#define LIMIT_SEQUENCE_FILE_BYTES (256u << 10)
#define LIMIT_SEQUENCE_FILES 64
#define LIMIT_SEQUENCES_FOUND 256 /* that go on gathering evidence: 170 B each */

/* Command lines: what a pattern may cost when somebody wrote a line against it, ~0.6 ms. */
#define LIMIT_COMMAND_KNOWN 1024   /* lines lately seen to be ordinary, by their hash: 8 KiB */
#define LIMIT_COMMAND_STEPS 20000
#define LIMIT_COMMAND_HEAP_KIB 256
#define LIMIT_COMMAND_SESSIONS 256 /* in which commands that look around are counted: 56 B each */
#define LIMIT_COMMAND_RECENT 64    /* lines lately reported, so that what they start is not reported again: 40 B each */

#define LIMIT_SENSITIVE_CHANGES 256 /* of sensitive files, that may become telling: 400 B each */
#define LIMIT_MINER_CONTAINERS 256 /* that are busy, run what looks like a miner or talk to pool ports: 1.2 KiB each */

/* Traffic with what is listed. */
#define LIMIT_LISTED_MATTERS 512 /* a container and an address or name: ~1.2 KiB each */
#define LIMIT_LISTED_FLOWS 1024  /* lately told, so that their later events are not told again: 8 B each */
#define LIMIT_REPEATS 256         /* that one detector counts so as not to tell each: 40 B each */
#define LIMIT_CREDENTIAL_PATHS 256 /* containers whose own path to credentials is known: 52 B each */
#define LIMIT_HOST_LISTENERS 256 /* ports on which the host listens: 48 B each */
#define LIMIT_NEW_LISTENERS 256  /* ports opened late, of all containers: 32 B each */
#define LIMIT_CALLED_PORTS 512   /* ports of containers whose callers are learned: 32 B each */
#define LIMIT_TOR_WATCHES 64     /* containers that talk to Tor relays: 1.6 KiB each */
/* What is remembered of network behaviour. A container that is active again after others took its place begins anew; counted. */
#define LIMIT_NET_CONTAINERS 128  /* containers (and the host) with a place in each detector: ECS allows at most 120 tasks an instance */
#define LIMIT_NET_TOTALS 1024     /* flows whose counters came before: 40 B each, in two detectors */
#define LIMIT_SCAN_ADDRESSES 12   /* addresses on which ports were tried lately, of each container: 1 KiB each, 1.5 MiB with all in use */
#define LIMIT_SCAN_PORTS 8        /* ports that were tried on addresses, the same: 1 MiB */
#define LIMIT_SCAN_SOURCES 512    /* far addresses that try ports of containers or the host, in sets of 8: 0.5 MiB */
#define LIMIT_DNS_DOMAINS 12       /* registered domains below which most different names were asked, of each container: 600 B each, 1 MiB */
#define LIMIT_DNS_SAMPLES 4        /* names shown, of a tunnel or generator */
#define LIMIT_LISTENING_PROGRAMS 24         /* programs that listen, of each container: 8 B each */
#define LIMIT_BEACON_FARS 24       /* public addresses and ports connected to most often, of each container: 144 B each, 440 KiB */
#define LIMIT_BEACON_INTERVALS 16  /* the last ones, of each */
#define LIMIT_BEACON_FLEET 1024    /* addresses of which it is known which kinds of containers call them: 48 B each */
#define LIMIT_VOLUME_PROFILES 96   /* task families (or images) whose volume is learnt: 1.4 KiB each */
#define LIMIT_VOLUME_HOURS 168     /* a week, so that its weekend is in it */
#define LIMIT_FLOOD_TARGETS 4      /* addresses that get the most new UDP flows, of each container: 150 B each, 75 KiB */
#define LIMIT_SCAN_SHOWN 16       /* ports or addresses told as samples */

/* Flows. */
#define LIMIT_FLOW_TWINS 32768          /* flows that may be reported by two namespaces: 80 B each, 2.6 MB when full */
#define LIMIT_FLOW_DATAGRAM_BYTES 4096  /* one conntrack event is under 600 B; 32 buffers are read by one call */
#define LIMIT_FLOW_BEGINS 500           /* new flows to one address that are told when they begin, in a second: telling one costs who makes it 2 to 3 us. No ... */
#define LIMIT_FLOW_BEGINS_AT_ONCE 2500  /* ... more have rows of their own; and floods and scans of the usual 1,000 ports are told at once */
#define LIMIT_FLOW_HELD_ADDRESSES 1024  /* addresses of a namespace and family counted apart, about 200 B each of the kernel's memory; for more, all is told */
#define LIMIT_FLOW_RESYNC_EVENTS 16384  /* flows told by one resync: the table of a host may hold 262,144 */
#define LIMIT_FLOW_RESYNC_NS 10000000000ull /* a resync begins at most this often */
#define LIMIT_FLOW_LONG_NS 180000000000ull /* long flows are looked at this often: a walk through conntrack's table, ~1 ms a namespace */
#define LIMIT_FLOW_LONG_EACH_NS 2500000ull /* ... and told at most at 400 a second */
#define LIMIT_FLOW_GROWTH 16384         /* flows that are looked at: 24 B each, 384 KiB */
#define LIMIT_NETNS_ADDRESSES 4096      /* own addresses of all network namespaces: 32 B each, 128 KiB. ECS allows 120 tasks an instance */
#define LIMIT_NETNS_WANTED 256          /* namespaces whose addresses are still to be asked for: 4 B each */
#define LIMIT_NETNS_RCVBUF_BYTES (1 << 20) /* doubled by the kernel: ~2,700 changes of addresses at once */
#define LIMIT_FLOWS 65536               /* flows that have rows: 48 B each, 3 MiB when full. 500 a second that last two minutes (TIME_WAIT) */
#define LIMIT_FLOW_FIRSTS 8192          /* destinations of containers, to ask for the process of the first flow: 16 B each, 128 KiB */
#define LIMIT_FLOW_FIRST_NS 60000000000ull /* ... in this time: the process is asked for again each minute */
#define LIMIT_FLOW_ASKS 100             /* such questions in a second: ~0.3 ms of a worker thread each, 3 % of a CPU at most */
#define LIMIT_FLOW_WAITING 128          /* flows begun lately whose process is not known yet: 96 B each */
/* Rows of flows. A row takes ~130 B and 2.5 us; a host that is scanned or floods would fill the database with nothing else. A flow that nobody
 * has answered says little more than how many there were; one that carried data back is worth its rows, up to what a database of 1 GiB
 * can hold for two hours (500/s make 1,000 rows/s: begin or answer, and end). Per container, direction and protocol. */
#define LIMIT_FLOW_UNANSWERED_AT_ONCE 2    /* new flows with rows of their own at once: a scan is a handful of rows, ... */
#define LIMIT_FLOW_UNANSWERED_PER_SECOND 1 /* ... and in the long run; further ones get theirs when they are answered */
#define LIMIT_FLOW_ANSWERED_AT_ONCE 1000
#define LIMIT_FLOW_ANSWERED_PER_SECOND 500
#define LIMIT_FLOW_KEPT_AT_ONCE 64         /* flows that a detector has questions about: findings refer to their rows */
#define LIMIT_FLOW_KEPT_PER_SECOND 16
#define LIMIT_FLOW_BURST_ASKS_AT_ONCE 10   /* questions for the process of flows that have no row yet */
#define LIMIT_FLOW_BURST_ASKS_PER_SECOND 4
#define LIMIT_FLOW_KINDS 1024              /* containers x directions x protocols whose rates are kept: 80 B each */
#define LIMIT_FLOW_FOLDED 262144           /* flows without rows, to know their later events by: 4 B each, 1 MiB; a host's conntrack holds as many */
#define LIMIT_FLOW_UNDECIDED 8192          /* ... that may still be answered: 64 B each, 512 KiB */
#define LIMIT_FLOW_ANSWER_NS 500000000ull  /* ... which takes no longer than this: a round trip of the earth takes 300 ms */
#define LIMIT_FLOW_BURSTS 32               /* rows being added up at the same time: 16.5 KiB each, ports exactly and addresses nearly so */
#define LIMIT_FLOW_BURST_ROWS 256          /* rows that are complete and wait for the next tick: 200 B each */
#define LIMIT_FLOW_BURST_NS 2000000000ull  /* what one row covers */
#define LIMIT_FLOW_LATE_NS 30000000000ull  /* ... that has only the bytes of flows counted in rows before */

/* DNS. */
#define LIMIT_DNS_PACKET_BYTES 2048     /* copied of each packet: whole messages over UDP (EDNS asks for 1232 to 1500), the start of larger ones over TCP */
#define LIMIT_DNS_BATCH 32              /* packets in one datagram at most: 1 costs 6 to 13 us a packet, 32 cost 0.6 to 1.7 */
#define LIMIT_DNS_DATAGRAM_BYTES 16384  /* such a datagram: 32 packets of ~250 B with their attributes, or fewer large ones */
#define LIMIT_DNS_RCVBUF_BYTES (2 << 20) /* doubled by the kernel: ~8,000 packets of one namespace, 0.2 s of the worst flood */
#define LIMIT_DNS_NAMESPACES 1024       /* as many as containers: a socket and 40 B each */
#define LIMIT_DNS_READS 8               /* datagrams read by one call, and calls for one namespace before the others get their turn: ~4 ms */
#define LIMIT_DNS_GATHER_RATE 500       /* packets a second of a namespace for each that the kernel gathers into one datagram. Up to this rate
                                         * each is told at once (at 10 us, 0.5 % of a CPU): an answer must be here before its connection begins */
#define LIMIT_DNS_QUESTIONS 4           /* told of one message; servers answer only one */
#define LIMIT_DNS_STREAMS 64            /* TCP connections in the middle of a message: 24 B each */
#define LIMIT_DNS_TXT_BYTES 1024        /* of the data of one record that is text or bytes: tunnels fill more, but say no more */

/* Rows of DNS messages: one takes ~150 B and 2 us. Up to 500 questions a second of one container, and their answers, as of flows. */
#define LIMIT_DNS_OWN_AT_ONCE 1000      /* messages with rows of their own at once, per container, questions and answers for themselves, ... */
#define LIMIT_DNS_OWN_PER_SECOND 500    /* ... and in the long run */
#define LIMIT_DNS_KEPT_AT_ONCE 64       /* beyond that: those that findings refer to */
#define LIMIT_DNS_KEPT_PER_SECOND 16
#define LIMIT_DNS_BURSTS 32             /* rows being added up at the same time: 2.4 KiB each */
#define LIMIT_DNS_BURST_ROWS 64         /* rows that are complete and wait for the next tick: 360 B each */
#define LIMIT_DNS_BURST_NS 2000000000ull /* what one row covers */
#define LIMIT_DNS_QUERIES 8192          /* that await their answer: 32 B each. 20,000/s that are answered within 10 ms are 200 at a time */
#define LIMIT_DNS_QUERY_NS 15000000000ull /* resolvers give up after 5 to 10 s */
#define LIMIT_DNS_NAMES_BYTES (2u << 20) /* addresses with the names they were resolved from: ~16,000 of 128 B, and 64 KiB to find them */
#define LIMIT_DNS_NAME_KEPT_NS 3600000000000ull /* beyond its time to live: programs connect to addresses that they resolved long ago */
#define LIMIT_DNS_NAME_TTL 86400        /* a longer time to live is taken for a day: it is the server's word */
#define LIMIT_DNS_CHAIN 8               /* passes through an answer whose CNAMEs stand in no order */
#define LIMIT_DNS_ALIASES 64            /* CNAMEs whose address is asked for next: 290 B each */
#define LIMIT_DNS_ALIAS_NS 10000000000ull
#define LIMIT_DNS_MEMBERS 16            /* processes of a container among which the asker is looked for: 32 B each, 1,024 containers */
#define LIMIT_DNS_RECENT_NS 2000000000ull /* what starts and asks does so at once; later it is as likely another */
#define LIMIT_DNS_ENDED_NS 20000000ull  /* the kernel gathers packets for 10 ms: who asked may have ended since */

/* Network namespaces. */
#define LIMIT_NETNS 1024                 /* that hold containers: 3 descriptors and 300 B each; with LIMIT_CONTAINERS bridged ones, one each */
#define LIMIT_NETNS_SEEN 8192            /* namespaces looked into at start and by --cleanup: 64 KiB while it lasts; further ones more than once */
#define LIMIT_NETNS_MEMBERS 1024         /* containers in them, a descriptor and 48 B each */
#define LIMIT_NETNS_COMMANDS_BYTES (64u << 10) /* containers that start or end while the thread is busy: 1,300 */
#define LIMIT_NETNS_LOOK_NS 60000000000ull   /* changes are told at once; this finds what was not: ~30 us a namespace */
#define LIMIT_NETNS_LINKS_NS 2000000000ull   /* an interface is awaited this long before a namespace with none counts as one without network */
#define LIMIT_NETNS_DECIDE_NS 100000000ull   /* changes of interfaces within this are looked at once, changes of rules within ten times this: 60 us each */
#define LIMIT_NETNS_ORPHAN_NS 5000000000ull  /* whether processes are left when all first processes ended: a look at all of /proc, ~5 ms */
#define LIMIT_NETNS_RETRY_NS 1000000000ull   /* a table that was refused, or removed again and again, is tried again after this, doubled ... */
#define LIMIT_NETNS_RETRY_MAX_NS 300000000000ull /* ... up to this */
#define LIMIT_NETNS_CALM_NS 600000000000ull  /* a table left alone this long is put back at once again */
#define LIMIT_NETNS_NETLINK_BYTES (1 << 20)  /* changes of nft tables and of interfaces, in all namespaces: ~1,000 each; loss means a look at all */
#define LIMIT_NETNS_ENDS_RING_BYTES (1u << 20) /* ends of connections where tracking is withdrawn: ~2,200, 50 ms of a flood */
/* The conntrack guard. */
#define LIMIT_GUARD_FLOWS_PER_SECOND 100000  /* no container made more than 45,000/s in tests */
#define LIMIT_GUARD_IDLE_NS 1000000000ull    /* a look costs ~4 us: 0.04 % of a CPU for 100 namespaces */
#define LIMIT_GUARD_SHORTEST_NS 20000000ull
#define LIMIT_GUARD_PAUSE_NS 5000000000ull   /* tracking stays withdrawn at least this long, doubled when it fills again soon ... */
#define LIMIT_GUARD_PAUSE_MAX_NS 600000000000ull
#define LIMIT_GUARD_CALM_NS 300000000000ull  /* ... which is this */
#define LIMIT_GUARD_FLUSH_NS 600000000000ull /* flows without traffic go by themselves, but established ones of TCP after five days only */

/* Who owns a socket. */
#define LIMIT_SOCKET_FDS 256             /* descriptors looked at, of one process */
#define LIMIT_DIAG_SPACES 512            /* network namespaces asked about their sockets: 24 B and a descriptor each, in two threads */
#define LIMIT_DIAG_MEMBERS 1024          /* containers in them: 16 B and a descriptor each */
#define LIMIT_HOLDER_PIDS 4096           /* processes looked through for one socket: ~15 us each, within a budget of time */
#define LIMIT_HOLDER_FDS 4096            /* ... descriptors of each: ~1 us each */
#define LIMIT_OWNER_RING_BYTES (256u << 10)    /* ~350 answers */
#define LIMIT_OWNER_COMMANDS_BYTES (64u << 10) /* containers that come and go, and ~50 questions of the pipeline with their candidates */
#define LIMIT_OWNER_NEW_NS 50000000ull   /* one look for the owner of a flow that is just beginning: it is worth nothing later, */
#define LIMIT_OWNER_ASKED_NS 100000000ull /* ... and for the answer to a question, which a finding waits for */
#define LIMIT_OWNER_CPU_PERMILLE 50      /* of one CPU for flows that nobody asked about, in the long run: ~350 short connections a second, */
#define LIMIT_OWNER_CPU_BURST_NS 300000000ull /* ... and this much CPU time at once */
#define LIMIT_OWNER_REPEATS_AT_ONCE 100  /* flows to destinations that were looked at before: 60 to 250 us each, ... */
#define LIMIT_OWNER_REPEATS_PER_SECOND 150 /* ... in the long run */
#define LIMIT_OWNER_BEHIND_BYTES (24 << 10) /* ~30 new flows wait to be read: their processes may be gone when their turn comes */
#define LIMIT_OWNER_FLOOD 400            /* new flows in 100 ms: then the budget is spent at once, and listening begins again 3 s later */
#define LIMIT_OWNER_SEEN 4096            /* destinations lately looked at: 16 B each. New ones go first when the budget runs low */
#define LIMIT_OWNER_SEEN_NS 60000000000ull /* a destination is new again after this long */
/* Listening sockets. A look at one namespace costs ~0.5 ms, most of it for the kernel's UDP table. */
#define LIMIT_LISTENERS 4096             /* of all namespaces together, and packet sockets: 104 B each, 416 KiB */
#define LIMIT_LISTEN_RING_BYTES (512u << 10) /* ~500 events */
#define LIMIT_LISTEN_INTERVAL_NS 500000000ull /* what listens for less can be missed; longer when many namespaces take more than */
#define LIMIT_LISTEN_CPU_PERMILLE 10     /* ... this much of one CPU */
#define LIMIT_LISTEN_UDP_NS 10000000000ull /* a UDP socket on a port of the kernel's choice is a client's, unless it lasts longer */
#define LIMIT_LISTEN_NEW 256             /* told by one look; the rest by the next */
#define LIMIT_LISTEN_HOLDER_NS 100000000ull /* one walk over all processes for those who hold the new ones; a look tells the rest without */
#define LIMIT_OWNER_RCVBUF_BYTES (512 << 10) /* ~600 new flows; what does not fit is not looked at */

/* Rules. The three stock files of Falco and ours together are 400 KiB of text. */
#define LIMIT_RULES_BYTES (64u << 20)      /* what is compiled of one set, and at most as much for the texts of its files; while one is loaded,
                                            * both sets, and as much for its YAML. A list of 100,000 items is ~20 MiB with its copies */
#define LIMIT_RULES_FILE_BYTES (8u << 20)  /* one file */
#define LIMIT_RULES_FILES 256
#define LIMIT_RULES 4096                   /* ~500 B each without conditions */
#define LIMIT_RULE_LISTS 16384             /* the stock files have 150, of 100 B each */
#define LIMIT_RULE_MACROS 16384            /* the stock files have 190 */
#define LIMIT_RULE_ITEMS 100000            /* of one list, 24 B and the text each */
#define LIMIT_RULE_EXCEPTIONS 256          /* of one rule: each name is compared with all others */
#define LIMIT_RULE_NAME_BYTES 1024         /* of a list, macro or rule */
#define LIMIT_RULE_TEXT_BYTES (16u << 20)  /* one condition with lists put in: 100,000 SHA-256 digests are 6.6 MB; two buffers */
#define LIMIT_RULE_TRACKED_BYTES (1u << 20) /* ... that an error is looked for in: 4 B for each byte, twice; in a longer one only its start is told */
#define LIMIT_RULE_NODES 500000            /* checks and values of one condition with macros put in: ~0.1 s to look at */
#define LIMIT_RULES_NODES 8000000          /* ... of all rules: shared macros cost time for each use, not memory */
#define LIMIT_RULE_EVENTS 100              /* event names; a rule about more is slow: the reference warns above this */
#define LIMIT_RULE_MESSAGES 1000           /* warnings of one load; further ones are only counted */
#define LIMIT_RULE_DEPTH 4096              /* of a condition with its macros put in: ~150 B of stack each where it is walked */
#define LIMIT_RULE_AUTOMATON_BYTES (4u << 20) /* one table of prefixes, suffixes or parts: ~20,000 bytes of them; more are compared one by one */
#define LIMIT_USER_NAMES 4096              /* of /etc/passwd, and as many of /etc/group: 32 B each and the files' texts */
#define LIMIT_USER_FILE_BYTES (1u << 20)   /* of each of the two */
#define LIMIT_RULES_YAML_NODES 500000      /* texts, sequences and maps of one document, 64 B each; aliases count in full */
#define LIMIT_RULES_YAML_DEPTH 64          /* rules need 7 */
#define LIMIT_RULES_ANCHORS 256            /* of one document: searched one by one */
#define LIMIT_RULES_SCALAR_BYTES (256u << 10) /* one text: the longest stock condition is 3 KiB */
/* The operator regex. Most expressions need a few steps per byte of text; the steps allowed take 2 ms at most. */
#define LIMIT_REGEX_BYTES (64u << 10)      /* an expression spelt out, while it is compiled */
#define LIMIT_REGEX_CODE_BYTES (32u << 10) /* compiled */
#define LIMIT_REGEX_STEPS 20000            /* of the fast algorithm, before the safe one is asked */
#define LIMIT_REGEX_HEAP_KIB 1024          /* of the fast algorithm */
#define LIMIT_REGEX_WORKSPACE 1200         /* of the safe one, 4 B each: ~190 states alive at a time; more are given up */
#define LIMIT_HELD_EVENTS 256              /* events with which rules wait for facts about a new container: 200 B each */
#define LIMIT_HELD_BYTES (1u << 20)        /* ... their copies, 2 KiB usually */
#define LIMIT_RULE_HITS 64                 /* rules that one event can match; more are counted */

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
#define LIMIT_ABSENT_NEEDED_NS 1000000000ull   /* ... after a container started, which says that it may be there by now */

/* Container sensor. A container costs one inotify watch, its task one more; 1 KiB of kernel memory and 400 B of ours each. */
#define LIMIT_CGROUP_WATCHES 4096
#define LIMIT_CGROUP_DEPTH 8          /* ecstasks.slice, five slices of an old dashed task id, the container's scope, one more */
#define LIMIT_CONTAINER_PIDS 4096     /* processes of one container that are announced at once; the others are known by their parents */
#define LIMIT_CONTAINER_SETTLE_NS 5000000000ull /* the runtime takes 0.2 to 2 s from the first process to the container's own root */
#define LIMIT_CONTAINER_MOUNTINFO_BYTES (256u << 10) /* /proc/PID/mountinfo of one container; 200 mounts are 30 KiB */

/* CPU sensor. */
#define LIMIT_CPU_PATH_BYTES 512 /* of a container's control group; 660 B a container, 1,024 of them, touched as used */
#define LIMIT_CPU_RING_BYTES (256u << 10) /* ~270 samples, told at once every ten seconds; detectors bear a lost one */

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
#define LIMIT_INTEL_FETCH_MS 600000                /* a threat list, everything included */
#define LIMIT_INTEL_FETCH_SLOW_BYTES 1024          /* a server that sends less than this in a second ... */
#define LIMIT_INTEL_FETCH_SLOW_SECONDS 30          /* ... for so long is given up */
#define LIMIT_INTEL_RETRY_MIN_NS 30000000000ull    /* pauses after failures grow from this ... */
#define LIMIT_INTEL_RETRY_MAX_NS 3600000000000ull  /* ... to this, or the interval of the list */
#define LIMIT_DELIVERY_STOP_MS 1500               /* SIGTERM waits this long for the answer to a request under way */

#endif
