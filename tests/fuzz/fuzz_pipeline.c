/* Any sequence of events through the whole core: process tree, containers, file origins, detectors. Each 8 bytes are one event over a few
 * pids, paths and containers, so that sequences meet. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/sequences.h"
#include "agent/detect/suppress.h"
#include "agent/pipeline.h"
#include "common/clock.h"
#include "tests/intel_load.h"

static const char *const exes[] = { "/bin/sh", "/usr/bin/nc", "/bin/busybox", "/tmp/x", "/memfd:a (deleted)", "/dev/shm/x", "/usr/sbin/runc",
                                    "/usr/bin/sudo (deleted)" };
static const char *const links[] = { "/dev/null", "pipe:[1]", "pipe:[2]", "socket:[3]", "/dev/pts/0", "/tmp/f", "", "/" };
static const char *const ids[] = { "c0ffee0000000000000000000000000000000000000000000000000000000000",
                                   "beef000000000000000000000000000000000000000000000000000000000000" };
static const char *const cgroups[] = { "/ecs/0123456789abcdef0123456789abcdef/c0ffee0000000000000000000000000000000000000000000000000000000000",
                                       "/docker/beef000000000000000000000000000000000000000000000000000000000000", "/system.slice/x", "" };

static const char *const names[] = { "c2.example", "www.c2.example", "ecs-a-1.eu-central-1.amazonaws.com", "instance-data.ec2.internal", "www.example.com", ".", "", "a" };
static const char answers[] = "www.example.com CNAME 60 c2.example\0c2.example A 60 203.0.113.66\0x AAAA 0 ::ffff:169.254.169.254\0no record";
static const struct address places[] = { { 4, { 10, 0, 0, 1 } }, { 4, { 203, 0, 113, 66 } }, { 6, { 203, 0, 113, 66 } }, { 4, { 169, 254, 169, 254 } },
                                         { 4, { 169, 254, 170, 2 } }, { 4, { 198, 51, 100, 10 } }, { 4, { 198, 51, 100, 40 } }, { 4, { 8, 8, 8, 8 } } };
static const uint16_t ports[] = { 80, 22, 51678, 2375, 9001, 443, 40000, 0 };

static const char digest[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static const char filters[] = "suppress:\n- {name: a, when: [severity = low]}\n- {name: b, when: [exe matches /tmp/?]}\n";
static const char stages[] = "- sequence: a\n  window: 5m\n  acts: 1\n  stages: [{name: x, tactics: [execution, defense_evasion]}, {name: y, types: '*'}]\n"
                             "- sequence: b\n  window: 1h\n  scope: host\n  stages: [{name: x, types: '*New*'}, {name: y, types: 'P*'}]\n";

static void put(struct event *ev, enum event_field field, const char *text)
{
    event_set_text(ev, field, text, strlen(text));
}

static void set_image(struct event *ev, const uint8_t *b)
{
    if (b[3] & 1)
        put(ev, F_EXE, exes[b[4] % 8]);
    if (b[3] & 2)
        event_set_text(ev, F_CMDLINE, b[5] & 64 ? "sh\0-c\0crontab -r; ls" : "busybox\0sh\0-c\0/tmp/f", 21);
    if (b[3] & 4) {
        put(ev, F_STDIN, links[b[5] % 8]);
        put(ev, F_STDOUT, links[b[5] / 8 % 8]);
    }
    if (b[3] & 8)
        put(ev, F_CGROUP, cgroups[b[6] % 4]);
    if (b[3] & 16) {
        event_set(ev, F_DEV, dev, b[6] / 4 % 2);
        event_set(ev, F_INO, ino, b[4]);
        event_set(ev, F_NLINK, nlink, b[7] & 1);
        event_set(ev, F_MODE, mode, b[7] & 2 ? 0104755u : 0100755u);
        event_set(ev, F_CTIME_WALL_NS, ctime_wall_ns, (uint64_t)b[7] * NS_PER_SECOND);
    }
    if (b[3] & 32)
        event_set(ev, F_EUID, euid, b[7] & 4 ? 0 : 1000);
    if (b[3] & 64)
        event_set(ev, F_PPID, ppid, b[2] % 16);
}

static void set_socket(struct event *ev, const uint8_t *b)
{
    event_set(ev, F_FD, fd, 0);
    event_set(ev, F_PROTO, proto, 6);
    event_set(ev, F_SRC, src, ((struct address){ 4, { 10, 0, 0, b[4] & 3 } }));
    event_set(ev, F_SPORT, sport, (uint16_t)(b[5] << 8));
    event_set(ev, F_DST, dst, ((struct address){ b[6] & 1 ? 4 : 6, { 203, 0, 113, 66 } }));
    event_set(ev, F_DPORT, dport, b[7]);
}

static void set_flow(struct event *ev, const uint8_t *b)
{
    event_set(ev, F_FLOW_PHASE, flow_phase, (uint8_t)(1 + b[3] % 4));
    event_set(ev, F_FLOW_ID, flow_id, b[3] >> 2 & 31);
    event_set(ev, F_NSID, nsid, b[5] % 4 - 1);
    event_set(ev, F_PROTO, proto, b[5] & 128 ? 17 : 6);
    event_set(ev, F_SRC, src, places[b[4] % 8]);
    event_set(ev, F_DST, dst, places[b[4] / 8 % 8]);
    event_set(ev, F_SPORT, sport, ports[b[5] / 4 % 8]);
    event_set(ev, F_DPORT, dport, ports[b[6] % 8]);
    event_set(ev, F_TCP_STATE, tcp_state, b[6] / 8 % 12);
    if (b[4] & 64) {
        event_set(ev, F_REPLY_SRC, reply_src, places[b[6] / 8 % 8]);
        event_set(ev, F_REPLY_SPORT, reply_sport, ports[b[6] / 4 % 8]);
    }
    if (b[4] & 128)
        event_set(ev, F_PACKETS_IN, packets_in, b[7]);
}

static void set_dns(struct event *ev, const uint8_t *b)
{
    event_set(ev, F_DNS_OP, dns_op, (uint8_t)(1 + b[3] % 2));
    event_set(ev, F_NSID, nsid, b[5] % 4 - 1);
    event_set(ev, F_DNS_ID, dns_id, b[6]);
    event_set(ev, F_DNS_TYPE, dns_type, b[3] & 4 ? 28 : 1);
    event_set(ev, F_DNS_RCODE, dns_rcode, b[3] >> 4);
    put(ev, F_DNS_NAME, names[b[4] % 8]);
    if (b[3] & 8)
        event_set_text(ev, F_DNS_ANSWERS, answers, b[7] < sizeof answers ? b[7] : sizeof answers - 1);
}

static void build(struct event *ev, const uint8_t *b, uint64_t now_ns)
{
    event_init(ev, (enum event_kind)(1 + b[0] % (EVENT_KIND_MAX - 1)), (enum event_source)(1 + b[6] % 12), now_ns);
    if (b[1] < 250)
        event_set(ev, F_PID, pid, b[1] % 16);
    event_set(ev, F_TARGET_PID, target_pid, b[2] % 16);
    event_set(ev, F_PPID, ppid, b[2] % 16);
    switch ((enum event_kind)ev->kind) {
    case EVENT_EXEC:
    case EVENT_PROCESS:
        set_image(ev, b);
        if (b[2] & 128)
            set_socket(ev, b);
        break;
    case EVENT_UID:
        event_set(ev, F_UID, uid, b[3] & 1 ? 0 : 1000);
        event_set(ev, F_EUID, euid, b[3] & 2 ? 0 : 1000);
        break;
    case EVENT_CGROUP:
        put(ev, F_CGROUP, cgroups[b[3] % 4]);
        break;
    case EVENT_SOCKETS:
        if (b[3] & 1)
            set_socket(ev, b);
        if (b[3] & 2)
            event_set(ev, F_FLOW_ID, flow_id, b[3] & 4);
        break;
    case EVENT_FILE:
        event_set(ev, F_FILE_OP, file_op, (uint8_t)(1 + b[3] % 8));
        put(ev, F_PATH, b[4] & 1 ? "/proc/5/mem" : b[4] & 16 ? "/etc/sudoers" : exes[b[4] % 8]);
        put(ev, F_OLD_PATH, exes[b[5] % 8]);
        put(ev, F_HOST_PATH, "/upper/tmp/x");
        break;
    case EVENT_FLOW:
        set_flow(ev, b);
        break;
    case EVENT_DNS:
        set_dns(ev, b);
        break;
    case EVENT_LISTEN:
        event_set(ev, F_LISTEN_PHASE, listen_phase, (uint8_t)(1 + b[3] % 3));
        event_set(ev, F_NSID, nsid, b[5] % 4 - 1);
        event_set(ev, F_PROTO, proto, 6);
        event_set(ev, F_SRC, src, places[b[4] % 8]);
        event_set(ev, F_SPORT, sport, ports[b[6] % 8]);
        break;
    case EVENT_NETNS:
        event_set(ev, F_NETNS_OP, netns_op, (uint8_t)(1 + b[3] % 8));
        event_set(ev, F_NSID, nsid, b[5] % 4 - 1);
        event_set(ev, F_NETNS, netns, b[4]);
        event_set(ev, F_SRC, src, places[b[6] % 8]);
        break;
    case EVENT_CONTAINER:
        event_set(ev, F_CONTAINER_PHASE, container_phase, (uint8_t)(1 + b[3] % 3));
        put(ev, F_CONTAINER_ID, ids[b[4] % 2]);
        put(ev, F_UPPERDIR, "/upper");
        event_set(ev, F_ROOT_DEV, root_dev, 1);
        event_set(ev, F_NSID, nsid, b[5] % 4);
        event_set(ev, F_STARTED_WALL_NS, started_wall_ns, (uint64_t)b[7] * NS_PER_SECOND);
        break;
    case EVENT_CPU:
        put(ev, F_CONTAINER_ID, ids[b[4] % 2]);
        event_set(ev, F_CPU_NS, cpu_ns, (uint64_t)b[5] * NS_PER_SECOND);
        event_set(ev, F_INTERVAL_NS, interval_ns, (uint64_t)b[3] * NS_PER_SECOND);
        break;
    case EVENT_HASH:
        event_set(ev, F_DEV, dev, b[6] / 4 % 2);
        event_set(ev, F_INO, ino, b[4]);
        if (b[3] & 1)
            put(ev, F_SHA256, digest);
        break;
    case EVENT_SYSCALL:
    case EVENT_UNIX:
    case EVENT_MOUNT:
    case EVENT_MODULE:
    case EVENT_NONE:
    case EVENT_FORK:
    case EVENT_EXIT:
    case EVENT_GID:
    case EVENT_SID:
    case EVENT_PTRACE:
    case EVENT_COMM:
    case EVENT_LOSS:
    case EVENT_KIND_MAX:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union event_buffer buffer;
    static struct intel intel;
    static struct outcome out;
    static struct sequences sequences;
    static struct suppress suppress;
    uint64_t now_ns = NS_PER_SECOND;
    if (!intel.tags) {
        struct intel_source source = { .list = "c2", .category = "c2" };
        intel_init(&intel);
        static const char list[] = "203.0.113.66\nc2.example\n# category: tor-guard\n198.51.100.10\n# category: tor-relay\n198.51.100.32/27\n";
        intel_load_text(&intel, &source, list, sizeof list - 1);
        intel_load_text(&intel, &source, digest, sizeof digest - 1);
        intel_seal(&intel);
        char line[1024];
        struct text_out error;
        text_out_init(&error, line, sizeof line);
        if (sequences_parse(&sequences, "s", stages, sizeof stages - 1, &error) || suppress_parse(&suppress, "f", filters, sizeof filters - 1, &error))
            abort();
    }
    struct pipeline_options options = { .next_event_id = 1, .next_container_id = 1, .intel = &intel, .sequences = &sequences, .suppress = &suppress };
    struct pipeline *p = pipeline_new(&options);
    if (!p)
        return 0;
    for (; size >= 8; data += 8, size -= 8) {
        now_ns += (data[7] + 1u) * (data[7] > 240 ? NS_PER_SECOND : NS_PER_MS);
        build(&buffer.event, data, now_ns);
        pipeline_event(p, &buffer.event, &out);
        if (out.n_findings > LIMIT_OUTCOME_FINDINGS || out.n_requests > LIMIT_OUTCOME_REQUESTS)
            abort();
        while (pipeline_tick(p, now_ns, &out))
            ;
    }
    pipeline_free(p);
    return 0;
}
