/* The detectors of network traffic with what the recorded scenarios cannot show: the host's own addresses, how repeats are told, and full
 * tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/ancestry.h"
#include "agent/detect/flow_step.h"
#include "agent/detect/metadata.h"
#include "agent/pipeline.h"
#include "common/clock.h"
#include "tests/intel_load.h"

#define CGROUP "/ecs/0123456789abcdef0123456789abcdef/c0ffee0000000000000000000000000000000000000000000000000000000000"
#define CONTAINER "c0ffee0000000000000000000000000000000000000000000000000000000000"

static struct pipeline *pipeline;
static struct intel intel;
static struct outcome out;
static union event_buffer buffer;
static struct host_facts host;
static uint64_t now;
static uint64_t next_flow;
static char last[4][LIMIT_FINDING_TEXT_BYTES]; /* type, description, evidence, severity of the last finding */
static int n_findings;

static void keep(void)
{
    for (int i = 0; i < out.n_findings; i++) {
        const struct finding *f = out.findings[i];
        snprintf(last[0], sizeof last[0], "%s", finding_get(f, FT_TYPE));
        snprintf(last[1], sizeof last[1], "%s", finding_get(f, FT_DESCRIPTION));
        snprintf(last[2], sizeof last[2], "%s", finding_get(f, FT_EVIDENCE));
        snprintf(last[3], sizeof last[3], "%s", severity_name((enum severity)f->severity));
        n_findings++;
    }
}

static void run(void)
{
    pipeline_event(pipeline, &buffer.event, &out);
    keep();
}

static void settle(void)
{
    now += NS_PER_SECOND;
    while (pipeline_tick(pipeline, now, &out))
        keep();
    keep();
}

static struct event *make(enum event_kind kind, enum event_source source)
{
    event_init(&buffer.event, kind, source, now += 10000);
    return &buffer.event;
}

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), 0);
    return a;
}

static void make_container(void)
{
    struct event *ev = make(EVENT_CONTAINER, SOURCE_CGROUP);
    event_set(ev, F_CONTAINER_PHASE, container_phase, CONTAINER_START);
    event_set_text(ev, F_CONTAINER_ID, CONTAINER, strlen(CONTAINER));
    event_set(ev, F_NSID, nsid, 3);
    event_set(ev, F_SRC, src, address_of("172.17.0.2"));
    run();
}

static void make_flow(const char *src, uint16_t sport, const char *dst, uint16_t dport, enum flow_phase phase, uint64_t id)
{
    struct event *ev = make(EVENT_FLOW, SOURCE_FLOW);
    event_set(ev, F_FLOW_PHASE, flow_phase, (uint8_t)phase);
    event_set(ev, F_FLOW_ID, flow_id, id);
    event_set(ev, F_NSID, nsid, 3);
    event_set(ev, F_PROTO, proto, IPPROTO_TCP);
    event_set(ev, F_SRC, src, address_of(src));
    event_set(ev, F_SPORT, sport, sport);
    event_set(ev, F_DST, dst, address_of(dst));
    event_set(ev, F_DPORT, dport, dport);
    event_set(ev, F_REPLY_SRC, reply_src, address_of(dst));
    event_set(ev, F_REPLY_SPORT, reply_sport, dport);
}

static void run_flow(const char *dst, uint16_t dport)
{
    make_flow("172.17.0.2", 40000, dst, dport, FLOW_NEW, ++next_flow);
    run();
}

static void run_query(const char *name, uint16_t id)
{
    struct event *ev = make(EVENT_DNS, SOURCE_DNS);
    event_set(ev, F_DNS_OP, dns_op, DNS_QUERY);
    event_set(ev, F_NSID, nsid, 3);
    event_set(ev, F_DNS_ID, dns_id, id);
    event_set(ev, F_DNS_TYPE, dns_type, 1);
    event_set_text(ev, F_DNS_NAME, name, strlen(name));
    run();
}

static void run_listen(int32_t pid, const char *comm, uint16_t port)
{
    struct event *ev = make(EVENT_PROCESS, SOURCE_SCAN);
    event_set(ev, F_PID, pid, pid);
    event_set_text(ev, F_COMM, comm, strlen(comm));
    run();
    ev = make(EVENT_LISTEN, SOURCE_LISTEN);
    event_set(ev, F_LISTEN_PHASE, listen_phase, LISTEN_PRESENT);
    event_set(ev, F_NSID, nsid, -1);
    event_set(ev, F_PROTO, proto, IPPROTO_TCP);
    event_set(ev, F_SPORT, sport, port);
    event_set(ev, F_PID, pid, pid);
    run();
}

static int fill_intel(void)
{
    uint16_t c2, relay;
    struct address hostile = address_of("203.0.113.66"), relays = address_of("198.51.100.32");
    intel_init(&intel);
    return intel_tag(&intel, "test", "c2", &c2) || intel_tag(&intel, "test", "tor-relay", &relay) || intel_add_network(&intel, false, c2, &hostile, 32) ||
           intel_add_domain(&intel, false, c2, "c2.example", strlen("c2.example"), INTEL_COVERS_SELF | INTEL_COVERS_BELOW) ||
           intel_add_network(&intel, false, relay, &relays, 27) || intel_seal(&intel);
}

static int open_pipeline(void **state)
{
    struct pipeline_options options = { .next_event_id = 1, .next_container_id = 5, .intel = &intel };
    (void)state;
    if (fill_intel())
        return -1;
    pipeline = pipeline_new(&options);
    host = (struct host_facts){ .n_addresses = 2, .addresses = { { .family = 4, .bytes = { 172, 17, 0, 1 } }, { .family = 4, .bytes = { 10, 0, 0, 5 } } } };
    now = 1000 * NS_PER_SECOND;
    next_flow = 0;
    n_findings = 0;
    if (!pipeline)
        return -1;
    pipeline_set_host(pipeline, &host, NULL, "test");
    make_container();
    return 0;
}

static int close_pipeline(void **state)
{
    (void)state;
    pipeline_free(pipeline);
    intel_fini(&intel);
    return 0;
}

/* ---- repeats ---- */

static void repeats_are_told_ever_more_rarely(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        run_flow("203.0.113.66", 443);
        while (pipeline_tick(pipeline, now += 200000 * 1000ull, &out))
            keep();
        keep();
    }
    /* ten doublings, and one a minute in 200 s */
    assert_in_range(n_findings, 8, 14);
    assert_string_equal(last[0], "Backdoor:Runtime/C&CActivity.B");
    assert_non_null(strstr(last[2], "\"times_since_last_told\":"));
}

static void flood_of_listed_queries_is_one_matter(void **state)
{
    char name[64];
    (void)state;
    for (int i = 0; i < 20000; i++)
        run_query("www.c2.example", (uint16_t)i);
    settle();
    assert_in_range(n_findings, 1, 3); /* the first waits 150 ms for its answer */
    assert_non_null(strstr(last[2], "\"result\":\"no answer seen yet\""));
    n_findings = 0;
    for (int i = 0; i < 5000; i++) { /* names below a listed one, more than there are places */
        snprintf(name, sizeof name, "h%d.c2.example", i);
        run_query(name, (uint16_t)i);
    }
    settle();
    assert_in_range(n_findings, 4000, 5000);
}

static void resolver_repeats_are_one_question(void **state)
{
    (void)state;
    run_query("c2.example", 7);
    run_query("c2.example", 7);
    run_query("C2.example", 7);
    settle();
    assert_int_equal(n_findings, 1);
    assert_non_null(strstr(last[2], "\"times\":1,"));
}

static void outcome_of_a_connection_is_evidence(void **state)
{
    (void)state;
    run_flow("203.0.113.66", 443);
    make_flow("172.17.0.2", 40000, "203.0.113.66", 443, FLOW_UPDATE, next_flow);
    event_set(&buffer.event, F_TCP_STATE, tcp_state, 7);
    run();
    settle();
    assert_int_equal(n_findings, 1);
    assert_non_null(strstr(last[2], "\"refused\":1"));
}

/* ---- the host's ports ---- */

static void docker_api_on_the_host_is_high(void **state)
{
    (void)state;
    run_flow("172.17.0.1", 2375);
    settle();
    assert_int_equal(n_findings, 1);
    assert_string_equal(last[0], "LateralMovement:Runtime/HostManagementPort");
    assert_string_equal(last[3], "high");
}

static void listeners_of_the_host_decide(void **state)
{
    (void)state;
    run_listen(7, "sshd", 2222);
    run_flow("10.0.0.5", 2222);
    settle();
    assert_int_equal(n_findings, 1);
    assert_string_equal(last[3], "medium");
    assert_non_null(strstr(last[2], "\"listener\":\"sshd\""));
    run_flow("10.0.0.5", 22); /* nobody listens there */
    settle();
    assert_int_equal(n_findings, 2);
    assert_string_equal(last[3], "low");
    run_listen(8, "docker-proxy", 2376); /* a container's port */
    run_flow("10.0.0.5", 2376);
    settle();
    assert_int_equal(n_findings, 2);
}

static void other_places_and_ports_are_silent(void **state)
{
    (void)state;
    run_flow("172.17.0.1", 9100);
    run_flow("172.17.0.3", 22);
    run_flow("192.0.2.1", 2375);
    make_flow("172.17.0.2", 40000, "172.17.0.1", 22, FLOW_NEW, ++next_flow); /* published by another container */
    event_set(&buffer.event, F_REPLY_SRC, reply_src, address_of("172.17.0.9"));
    run();
    settle();
    assert_int_equal(n_findings, 0);
}

/* ---- Tor ---- */

static void connect_relay(int i, bool inbound)
{
    char relay[32];
    snprintf(relay, sizeof relay, "198.51.100.%d", 33 + i);
    if (inbound)
        make_flow(relay, 50000, "172.17.0.2", 9001, FLOW_UPDATE, ++next_flow);
    else
        make_flow("172.17.0.2", 40000, relay, 9001, FLOW_UPDATE, ++next_flow);
    event_set(&buffer.event, F_TCP_STATE, tcp_state, 1);
    run();
    settle();
}

static void many_relays_are_a_relay(void **state)
{
    (void)state;
    for (int i = 0; i < 19; i++)
        connect_relay(i, false);
    assert_string_equal(last[0], "UnauthorizedAccess:Runtime/TorClient");
    connect_relay(19, false);
    assert_string_equal(last[0], "UnauthorizedAccess:Runtime/TorRelay");
    assert_non_null(strstr(last[2], "\"relays_connected_to\":20"));
}

static void old_relays_are_forgotten(void **state)
{
    (void)state;
    connect_relay(0, false);
    assert_int_equal(n_findings, 0); /* one relay alone */
    now += 3700 * NS_PER_SECOND;
    connect_relay(1, false);
    assert_int_equal(n_findings, 0);
}

static void callers_on_a_port_are_one_finding_each(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++)
        connect_relay(i, true);
    assert_string_equal(last[0], "UnauthorizedAccess:Runtime/MaliciousIPCaller.Custom");
    assert_string_equal(last[3], "low");
    assert_int_equal(n_findings, 5); /* the 1st, 2nd, 4th, 8th and 16th */
}

/* ---- words ---- */

static void metadata_services_are_found_in_any_notation(void **state)
{
    static const char *const services[] = { "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "169.254.170.2", "169.254.170.23",
                                            "fd00:ec2::23" };
    static const char *const others[] = { "169.254.169.253", "169.254.170.3", "fd00:ec2::253", "64:ff9b::a9fe:a9fd", "10.0.0.1", "::1" };
    (void)state;
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        struct address a = address_of(services[i]);
        assert_non_null(metadata_service_find(&a));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct address a = address_of(others[i]);
        assert_null(metadata_service_find(&a));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_pipeline, close_pipeline)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(repeats_are_told_ever_more_rarely),
        TEST(flood_of_listed_queries_is_one_matter),
        TEST(resolver_repeats_are_one_question),
        TEST(outcome_of_a_connection_is_evidence),
        TEST(docker_api_on_the_host_is_high),
        TEST(listeners_of_the_host_decide),
        TEST(other_places_and_ports_are_silent),
        TEST(many_relays_are_a_relay),
        TEST(old_relays_are_forgotten),
        TEST(callers_on_a_port_are_one_finding_each),
        cmocka_unit_test(metadata_services_are_found_in_any_notation),
    };
    return cmocka_run_group_tests_name("network findings", tests, NULL, NULL);
}
