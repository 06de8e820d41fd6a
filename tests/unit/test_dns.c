/* What the pipeline makes of DNS messages: owners, names of addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/dns.h"
#include "agent/pipeline.h"
#include "common/clock.h"
#include "common/dns_code.h"

#define MS NS_PER_MS
#define ID_A "c0ffee0000000000000000000000000000000000000000000000000000000000"
#define ID_B "c0ffee1111111111111111111111111111111111111111111111111111111111"
#define ID_PAUSE "c0ffee2222222222222222222222222222222222222222222222222222222222"
#define CGROUP "/ecs/0123456789abcdef0123456789abcdef/"

static struct pipeline *pipeline;
static struct outcome out;
static union event_buffer buffer;
static struct event *const ev = &buffer.event;
static uint64_t now;

static int begin(void **state)
{
    (void)state;
    struct pipeline_options options = { .next_event_id = 1, .next_container_id = 1 };
    pipeline = pipeline_new(&options);
    now = 100 * NS_PER_SECOND;
    return pipeline ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    pipeline_free(pipeline);
    return 0;
}

static void make(enum event_kind kind, int32_t pid)
{
    event_init(ev, kind, SOURCE_PROC, now += MS);
    if (pid)
        event_set(ev, F_PID, pid, pid);
}

static void run(void)
{
    pipeline_event(pipeline, ev, &out);
}

/* A container with its first process. */
static int32_t container(const char *id, int32_t pid, uint32_t uid, int32_t nsid)
{
    char cgroup[256];
    snprintf(cgroup, sizeof cgroup, CGROUP "%s", id);
    make(EVENT_CONTAINER, pid);
    ev->source = SOURCE_CGROUP;
    event_set(ev, F_CONTAINER_PHASE, container_phase, CONTAINER_START);
    event_set_text(ev, F_CONTAINER_ID, id, strlen(id));
    event_set(ev, F_NSID, nsid, nsid);
    if (!strcmp(id, ID_PAUSE))
        event_set(ev, F_CONTAINER_ROLE, container_role, CONTAINER_ROLE_PAUSE);
    run();
    make(EVENT_EXEC, pid);
    event_set_text(ev, F_EXE, "/app", 4);
    event_set_text(ev, F_CGROUP, cgroup, strlen(cgroup));
    event_set(ev, F_UID, uid, uid);
    event_set(ev, F_EUID, euid, uid);
    run();
    return out.stamp.container;
}

static void child(int32_t parent, int32_t pid, uint32_t uid)
{
    make(EVENT_FORK, pid);
    event_set(ev, F_PPID, ppid, parent);
    run();
    make(EVENT_EXEC, pid);
    event_set_text(ev, F_EXE, "/child", 6);
    event_set(ev, F_UID, uid, uid);
    event_set(ev, F_EUID, euid, uid);
    run();
}

static void gone(int32_t pid)
{
    make(EVENT_EXIT, pid);
    run();
}

static void message(enum dns_op op, int32_t nsid, const char *server, uint16_t sport, uint16_t id, const char *name)
{
    struct address src, dst;
    make(EVENT_DNS, 0);
    ev->source = SOURCE_DNS;
    address_parse("198.51.100.1", &src);
    address_parse(server, &dst);
    event_set(ev, F_NSID, nsid, nsid);
    event_set(ev, F_DNS_OP, dns_op, op);
    event_set(ev, F_DNS_ID, dns_id, id);
    event_set(ev, F_DNS_TYPE, dns_type, DNS_A);
    event_set(ev, F_PROTO, proto, 17);
    event_set(ev, F_SRC, src, src);
    event_set(ev, F_DST, dst, dst);
    event_set(ev, F_SPORT, sport, sport);
    event_set(ev, F_DPORT, dport, 53);
    event_set_text(ev, F_DNS_NAME, name, strlen(name));
}

static void query(int32_t nsid, uint32_t uid, uint16_t id)
{
    message(DNS_QUERY, nsid, "198.51.100.53", 40000, id, "www.example.com");
    if (uid != UINT32_MAX)
        event_set(ev, F_UID, uid, uid);
    run();
}

static void assert_owner(int32_t container, int32_t pid, enum owner_by by)
{
    assert_int_equal(out.stamp.container, container);
    assert_int_equal(event_knows(out.event, F_PID) ? out.event->pid : 0, pid);
    assert_int_equal(event_knows(out.event, F_OWNER) ? out.event->owner : 0, by);
    assert_true(out.store);
}

/* ---- owners ------------------------------------------------------------------------------------------------------- */

static void few_processes_are_told_apart(void **state)
{
    (void)state;
    int32_t a = container(ID_A, 100, 0, 3);
    query(3, 0, 1);
    assert_owner(a, 100, OWNER_ONLY_UID);
    assert_true(out.stamp.exec_id > 0);
    child(100, 101, 33);
    query(3, 33, 2);
    assert_owner(a, 101, OWNER_ONLY_UID);
    query(3, UINT32_MAX, 3); /* no uid: who else than the init? */
    assert_owner(a, 101, OWNER_ONLY);
    child(100, 102, 0);
    now += 10 * NS_PER_SECOND;
    query(3, 33, 4);
    assert_owner(a, 101, OWNER_ONLY_UID);
    query(3, 0, 5); /* the init or 102 */
    assert_owner(a, 0, 0);
    gone(101);
    now += NS_PER_SECOND;
    query(3, 0, 6);
    assert_owner(a, 102, OWNER_ONLY);
    query(3, 77, 7); /* nobody's */
    assert_owner(a, 0, 0);
    query(9, 0, 8); /* no container's */
    assert_owner(0, 0, 0);
    container(ID_B, 300, 0, -1);
    query(-1, 0, 9); /* the container's, or anybody's of the host */
    assert_owner(0, 0, 0);
}

static void the_latest_is_likely(void **state)
{
    (void)state;
    int32_t a = container(ID_A, 100, 0, 3);
    for (int i = 0; i < 100; i++) /* more than are kept */
        child(100, 200 + i, 0);
    query(3, 0, 1);
    assert_owner(a, 299, OWNER_RECENT);
    gone(299);
    query(3, 0, 2); /* the packet may have waited */
    assert_owner(a, 299, OWNER_RECENT);
    now += 50 * MS;
    query(3, 0, 3);
    assert_owner(a, 298, OWNER_RECENT);
    now += 3 * NS_PER_SECOND;
    query(3, 0, 4);
    assert_owner(a, 0, 0);
    for (int i = 0; i < 99; i++)
        gone(200 + i);
    now += NS_PER_SECOND;
    query(3, 0, 5);
    assert_owner(a, 100, OWNER_ONLY_UID);
}

static void the_answer_is_who_asked(void **state)
{
    (void)state;
    int32_t a = container(ID_A, 100, 0, 3);
    query(3, 0, 1);
    child(100, 101, 0);
    message(DNS_ANSWER, 3, "198.51.100.53", 40000, 1, "WWW.example.com");
    run();
    assert_owner(a, 100, OWNER_ONLY_UID);
    message(DNS_ANSWER, 3, "198.51.100.53", 40001, 1, "www.example.com"); /* another port */
    run();
    assert_owner(a, 0, 0);
}

static void tasks_share_a_namespace(void **state)
{
    (void)state;
    int32_t pause = container(ID_PAUSE, 90, 0, 5), a = container(ID_A, 100, 0, 5);
    query(5, 0, 1);
    assert_owner(a, 100, OWNER_ONLY_UID); /* a pause container asks nothing */
    int32_t b = container(ID_B, 110, 33, 5);
    query(5, 33, 2);
    assert_owner(b, 110, OWNER_ONLY_UID);
    query(5, 0, 3);
    assert_owner(a, 100, OWNER_ONLY_UID);
    child(110, 111, 0);
    query(5, 0, 4);
    assert_owner(b, 111, OWNER_RECENT);
    now += 5 * NS_PER_SECOND;
    query(5, 0, 5); /* not told apart: who holds the namespace stands for the task */
    assert_int_equal(out.stamp.container, pause);
}

static void docker_passes_questions_on(void **state)
{
    (void)state;
    int32_t a = container(ID_A, 100, 0, 3);
    message(DNS_QUERY, 3, "127.0.0.11", 40000, 7, "www.example.com");
    event_set(ev, F_UID, uid, 0);
    run();
    assert_owner(a, 100, OWNER_ONLY_UID);
    assert_false(out.event->dns_forwarded);
    message(DNS_QUERY, 3, "198.51.100.53", 50000, 7, "www.example.com");
    event_set(ev, F_UID, uid, 0);
    run();
    assert_owner(a, 0, 0);
    assert_true(out.event->dns_forwarded);
    message(DNS_ANSWER, 3, "198.51.100.53", 50000, 7, "www.example.com");
    run();
    assert_true(out.event->dns_forwarded);
    message(DNS_ANSWER, 3, "127.0.0.11", 40000, 7, "www.example.com");
    run();
    assert_false(out.event->dns_forwarded);
    message(DNS_QUERY, 3, "198.51.100.53", 50000, 8, "www.example.com");
    run();
    assert_false(out.event->dns_forwarded);
}

static void flows_are_named(void **state)
{
    static const char answers[] = "www.example.com CNAME 5 a.example.net\0a.example.net A 5 203.0.113.5";
    struct address src, dst;
    (void)state;
    container(ID_A, 100, 0, 3);
    query(3, 0, 1);
    message(DNS_ANSWER, 3, "198.51.100.53", 40000, 1, "www.example.com");
    event_set_text(ev, F_DNS_ANSWERS, answers, sizeof answers - 1);
    run();
    message(DNS_ANSWER, 3, "198.51.100.53", 40000, 2, "www.example.com"); /* nobody asked */
    event_set_text(ev, F_DNS_ANSWERS, "www.example.com A 5 203.0.113.6", 31);
    run();
    for (int i = 5; i <= 6; i++) {
        char text[20];
        snprintf(text, sizeof text, "203.0.113.%d", i);
        make(EVENT_FLOW, 0);
        ev->source = SOURCE_FLOW;
        address_parse("198.51.100.1", &src);
        address_parse(text, &dst);
        event_set(ev, F_FLOW_PHASE, flow_phase, FLOW_NEW);
        event_set(ev, F_FLOW_ID, flow_id, (uint64_t)i);
        event_set(ev, F_NSID, nsid, 3);
        event_set(ev, F_PROTO, proto, 6);
        event_set(ev, F_SRC, src, src);
        event_set(ev, F_DST, dst, dst);
        event_set(ev, F_SPORT, sport, 40000);
        event_set(ev, F_DPORT, dport, 443);
        run();
        assert_string_equal(event_knows(out.event, F_DOMAIN) ? event_text(out.event, out.event->domain) : "-", i == 5 ? "www.example.com" : "-");
    }
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static struct dns_names names;

static int begin_names(void **state)
{
    (void)state;
    now = 100 * NS_PER_SECOND;
    return dns_names_init(&names, (struct hash_key){ 1, 2 });
}

static int end_names(void **state)
{
    (void)state;
    dns_names_fini(&names);
    return 0;
}

static void note(int32_t nsid, const char *name, const char *answers, size_t size)
{
    message(DNS_ANSWER, nsid, "198.51.100.53", 40000, 1, name);
    event_set_text(ev, F_DNS_ANSWERS, answers, size);
    dns_names_note(&names, ev);
}

#define NOTE(nsid, name, answers) note(nsid, name, answers, sizeof answers - 1)

static const char *name_of(int32_t nsid, const char *address)
{
    struct address a;
    assert_int_equal(address_parse(address, &a), 0);
    const char *name = dns_names_find(&names, nsid, &a, now);
    return name ? name : "-";
}

static void chains_lead_to_the_name_asked_for(void **state)
{
    (void)state;
    NOTE(3, "www.example.com", "WWW.example.com CNAME 60 a.example.net\0a.example.net CNAME 60 b.example.org\0b.example.org A 60 198.51.100.1\0"
         "b.example.org A 60 198.51.100.2\0evil.example.org A 60 198.51.100.3");
    assert_string_equal(name_of(3, "198.51.100.1"), "www.example.com");
    assert_string_equal(name_of(3, "198.51.100.2"), "www.example.com");
    assert_string_equal(name_of(3, "198.51.100.3"), "-"); /* nobody asked for that */
    assert_string_equal(name_of(4, "198.51.100.1"), "-"); /* another namespace */
    NOTE(3, "two.example.com", "b.example.org AAAA 60 2001:db8::1\0two.example.com CNAME 60 b.example.org"); /* in no order */
    assert_string_equal(name_of(3, "2001:db8::1"), "two.example.com");
    NOTE(3, "other.example.com", "other.example.com A 60 198.51.100.1");
    assert_string_equal(name_of(3, "198.51.100.1"), "other.example.com"); /* the latest */
    NOTE(3, "loop.example.com", "loop.example.com CNAME 60 l2.example.com\0l2.example.com CNAME 60 loop.example.com");
    NOTE(3, "bad.example.com", "bad.example.com A x 198.51.100.9\0nonsense");
    assert_string_equal(name_of(3, "198.51.100.9"), "-");
}

static void chains_over_two_answers(void **state)
{
    (void)state;
    NOTE(3, "www.example.com", "www.example.com CNAME 60 cdn.example.net");
    NOTE(3, "cdn.example.net", "cdn.example.net A 60 198.51.100.1");
    assert_string_equal(name_of(3, "198.51.100.1"), "www.example.com");
    now += LIMIT_DNS_ALIAS_NS;
    NOTE(3, "cdn.example.net", "cdn.example.net A 60 198.51.100.1");
    assert_string_equal(name_of(3, "198.51.100.1"), "cdn.example.net");
}

static void names_are_kept_beyond_their_time(void **state)
{
    (void)state;
    NOTE(3, "www.example.com", "www.example.com A 60 198.51.100.1");
    now += LIMIT_DNS_NAME_KEPT_NS;
    assert_string_equal(name_of(3, "198.51.100.1"), "www.example.com");
    now += 61 * NS_PER_SECOND;
    assert_string_equal(name_of(3, "198.51.100.1"), "-");
}

static void the_least_used_leaves(void **state)
{
    char name[700], answers[900], address[46];
    (void)state;
    NOTE(3, "kept.example.com", "kept.example.com A 60 198.51.100.1");
    for (int i = 0; i < 40000; i++) {
        int length = i % 100 == 0 ? 600 : 10 + i % 50;
        snprintf(name, sizeof name, "%0*d.example.com", length, i);
        snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        int size = snprintf(answers, sizeof answers, "%s A 60 %s", name, address);
        note(3, name, answers, (size_t)size);
        assert_string_equal(name_of(3, address), name);
        assert_string_equal(name_of(3, "198.51.100.1"), "kept.example.com");
    }
    assert_true(names.n_evicted > 20000);
    assert_int_equal(names.n_names + names.n_evicted, 40001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(few_processes_are_told_apart, begin, end),
        cmocka_unit_test_setup_teardown(the_latest_is_likely, begin, end),
        cmocka_unit_test_setup_teardown(the_answer_is_who_asked, begin, end),
        cmocka_unit_test_setup_teardown(tasks_share_a_namespace, begin, end),
        cmocka_unit_test_setup_teardown(flows_are_named, begin, end),
        cmocka_unit_test_setup_teardown(docker_passes_questions_on, begin, end),
        cmocka_unit_test_setup_teardown(chains_lead_to_the_name_asked_for, begin_names, end_names),
        cmocka_unit_test_setup_teardown(chains_over_two_answers, begin_names, end_names),
        cmocka_unit_test_setup_teardown(names_are_kept_beyond_their_time, begin_names, end_names),
        cmocka_unit_test_setup_teardown(the_least_used_leaves, begin_names, end_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
