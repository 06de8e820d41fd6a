/* The store and its readers, on real files. This test includes sqlite3.h to make the databases that we must refuse, migrate or repair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/event_fields.h"
#include "common/log.h"
#include "common/text.h"
#include "storage/query.h"
#include "storage/store.h"

#define START_NS 1763855982123456789ull /* 2025-11-22T23:59:42.123Z */

static char directory[64], path[128];
static const struct store_options defaults = { .host = "host-1" };

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/test_store.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/ecsguard.db", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    DIR *dir = opendir(directory);
    for (struct dirent *e; (e = readdir(dir));)
        unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    return rmdir(directory);
}

static struct store *open_store(void)
{
    struct store *s = NULL;
    assert_int_equal(store_open(&s, path, &defaults), 0);
    return s;
}

static struct query *open_query(void)
{
    struct query *q = NULL;
    char why[256] = "";
    int r = query_open(&q, path, why, sizeof why);
    if (r)
        fail_msg("%s", why);
    return q;
}

/* One value of an answer, as text. */
struct first_value {
    char text[65536];
    int rows;
};

static int keep_first(void *arg, const struct query_row *row)
{
    struct first_value *v = arg;
    if (!v->rows++)
        snprintf(v->text, sizeof v->text, "%s", query_text(row, 0));
    return 0;
}

static struct first_value answer;

static const char *ask(const char *sql)
{
    struct query *q = open_query();
    answer = (struct first_value){ .rows = 0 };
    int r = query_rows(q, sql, NULL, 0, keep_first, &answer);
    if (r)
        fail_msg("%s: %s", sql, query_error(q));
    query_close(q);
    return answer.text;
}

/* ---- events ------------------------------------------------------------------------------------------------------------- */

/* Texts that hurt: quotes, a backslash, NULs, a terminal escape, bytes that are no UTF-8, a bidirectional override. */
static const char hostile[] = "it's \"q\" \\x00 \0 \x1b[31m \xff\xfe \xe2\x80\xae gr\xc3\xbc\xc3\x9f\n";

static void fill_field(struct event *ev, enum event_field field, unsigned seed)
{
    const struct event_field_info *f = &event_fields[field];
    char *p = (char *)ev + f->offset;
    uint64_t big = 0x8000000000000001ull + seed;
    uint32_t number = 0x80000000u + seed;
    struct address address = { .family = seed % 2 ? 4 : 6, .bytes = { 32, 1, 13, 184 } };
    switch (f->type) {
    case FIELD_U8: case FIELD_BOOL: case FIELD_ENUM:
        *(uint8_t *)p = 1;
        break;
    case FIELD_U16:
        memcpy(p, &(uint16_t){ (uint16_t)(65535 - seed) }, 2);
        break;
    case FIELD_I32: case FIELD_U32: case FIELD_MODE:
        memcpy(p, &number, 4);
        break;
    case FIELD_TIME: case FIELD_WALL:
        memcpy(p, &(uint64_t){ START_NS + seed }, 8);
        break;
    case FIELD_U64:
        memcpy(p, &big, 8);
        break;
    case FIELD_TEXT: case FIELD_ARGV:
        if (f->text_max >= sizeof hostile)
            event_set_text(ev, field, hostile, sizeof hostile - 1);
        else
            event_set_text(ev, field, "\x01short", 6);
        return;
    case FIELD_ADDRESS:
        memcpy(p, &address, sizeof address);
        break;
    }
    event_know(ev, field);
}

static void fill_event(struct event *ev, enum event_kind kind)
{
    event_init(ev, kind, SOURCE_EXEC, START_NS + (uint64_t)kind);
    for (int i = 0; i < F_MAX; i++)
        if (event_fields[i].kinds >> kind & 1)
            fill_field(ev, (enum event_field)i, (unsigned)i);
    ev->source = SOURCE_SCAN;
}

static void assert_same_field(const struct event *a, const struct event *b, int i)
{
    static const size_t sizes[] = { [FIELD_I32] = 4, [FIELD_U8] = 1, [FIELD_U16] = 2, [FIELD_U32] = 4, [FIELD_U64] = 8, [FIELD_BOOL] = 1,
                                    [FIELD_MODE] = 4, [FIELD_ENUM] = 1, [FIELD_TIME] = 8, [FIELD_WALL] = 8,
                                    [FIELD_ADDRESS] = sizeof(struct address) };
    const struct event_field_info *f = &event_fields[i];
    const char *p = (const char *)a + f->offset, *q = (const char *)b + f->offset;
    if (event_knows(a, (enum event_field)i) != event_knows(b, (enum event_field)i))
        fail_msg("%s of %s: known %d, %d", f->name, event_kind_name(a->kind), event_knows(a, i), event_knows(b, i));
    if (f->type != FIELD_TEXT && f->type != FIELD_ARGV) {
        if (memcmp(p, q, sizes[f->type]))
            fail_msg("%s of %s differs", f->name, event_kind_name(a->kind));
        return;
    }
    struct text t, u;
    memcpy(&t, p, sizeof t);
    memcpy(&u, q, sizeof u);
    if (t.len != u.len || memcmp(event_text(a, t), event_text(b, u), t.len))
        fail_msg("%s of %s differs", f->name, event_kind_name(a->kind));
}

struct comparison {
    int n;
    bool unknown; /* the events were stored without any field */
};

static int compare_event(void *arg, const struct stamp *stamp, const struct event *ev)
{
    static union event_buffer expected;
    struct comparison *c = arg;
    enum event_kind kind = (enum event_kind)(EVENT_NONE + 1 + c->n);
    if (c->unknown)
        event_init(&expected.event, kind, 0, START_NS + (uint64_t)kind);
    else
        fill_event(&expected.event, kind);
    assert_int_equal(ev->kind, kind);
    assert_int_equal(stamp->id, 100 + kind);
    assert_int_equal(stamp->exec_id, 7);
    assert_int_equal(stamp->parent_id, 5);
    assert_int_equal(stamp->container, 3);
    assert_true(ev->time_ns == expected.event.time_ns);
    assert_int_equal(event_check(ev, ev->size), 0);
    for (int i = 0; i < F_MAX; i++)
        assert_same_field(&expected.event, ev, i);
    c->n++;
    return 0;
}

static void put_event(struct store *s, int64_t id, const struct event *ev, int64_t exec_id)
{
    struct stamp stamp = { .id = id, .exec_id = exec_id };
    assert_int_equal(store_event(s, &stamp, ev), 0);
}

static void events_come_back_as_they_were(void **state)
{
    (void)state;
    static union event_buffer buffer;
    struct store *s = open_store();
    for (int round = 0; round < 2; round++) {
        struct comparison c = { .unknown = round == 1 };
        assert_int_equal(store_begin(s), 0);
        for (int kind = EVENT_NONE + 1; kind < EVENT_KIND_MAX; kind++) {
            /* the clock offset is taken off the times here, and the store adds it again */
            struct stamp stamp = { .id = 100 + kind, .exec_id = 7, .parent_id = 5, .container = 3, .wall_offset_ns = 1000000 };
            fill_event(&buffer.event, (enum event_kind)kind);
            if (c.unknown)
                event_init(&buffer.event, (enum event_kind)kind, 0, START_NS + (uint64_t)kind);
            buffer.event.time_ns -= 1000000;
            if (event_knows(&buffer.event, F_START_NS))
                buffer.event.start_ns -= 1000000;
            assert_int_equal(store_event(s, &stamp, &buffer.event), 0);
        }
        if (round == 0) {
            assert_int_equal(store_commit(s), 0);
            struct query *q = open_query();
            assert_int_equal(query_events(q, &(struct query_events_filter){ 0 }, compare_event, &c), 0);
            query_close(q);
            assert_int_equal(c.n, EVENT_KIND_MAX - 1);
            char all[16];
            snprintf(all, sizeof all, "%d", EVENT_KIND_MAX - 1);
            assert_string_equal(ask("SELECT count(*) FROM events WHERE time LIKE '2025-11-22T23:59:42.123Z'"), all);
            store_close(s);
            assert_int_equal(unlink(path), 0);
            char log[160];
            snprintf(log, sizeof log, "%s-wal", path);
            unlink(log);
            snprintf(log, sizeof log, "%s-shm", path);
            unlink(log);
            s = open_store();
        } else {
            assert_int_equal(store_commit(s), 0);
            struct query *q = open_query();
            assert_int_equal(query_events(q, &(struct query_events_filter){ 0 }, compare_event, &c), 0);
            query_close(q);
            assert_int_equal(c.n, EVENT_KIND_MAX - 1);
        }
    }
    store_close(s);
}

static int count_event(void *arg, const struct stamp *stamp, const struct event *ev)
{
    int64_t *seen = arg; /* count, first id, last id, last time */
    if (!seen[0]++)
        seen[1] = stamp->id;
    assert_true(stamp->id > seen[2] || seen[0] == 1);
    seen[2] = stamp->id;
    (void)ev;
    return 0;
}

static void assert_events(struct query_events_filter filter, int64_t n, int64_t first, int64_t last)
{
    int64_t seen[3] = { 0 };
    struct query *q = open_query();
    assert_int_equal(query_events(q, &filter, count_event, seen), 0);
    query_close(q);
    assert_int_equal(seen[0], n);
    if (n) {
        assert_int_equal(seen[1], first);
        assert_int_equal(seen[2], last);
    }
}

static void events_are_found_by_filter(void **state)
{
    (void)state;
    static union event_buffer buffer;
    struct store *s = open_store();
    struct container_facts c = { .id = 2, .nsid = -2 };
    strcpy(c.container_id, "0123456789abcdef");
    strcpy(c.name, "web");
    assert_int_equal(store_begin(s), 0);
    assert_int_equal(store_container(s, &c), 0);
    for (int i = 1; i <= 1000; i++) {
        static const enum event_kind kinds[] = { EVENT_FORK, EVENT_EXEC, EVENT_FILE, EVENT_FLOW, EVENT_LOSS };
        struct stamp stamp = { .id = i * 3, .container = i % 10 == 0 ? 2 : 0 };
        event_init(&buffer.event, kinds[i % 5], SOURCE_EXEC, START_NS + (uint64_t)i * 1000);
        event_set(&buffer.event, F_PID, pid, 100 + i % 7);
        assert_int_equal(store_event(s, &stamp, &buffer.event), 0);
    }
    assert_int_equal(store_commit(s), 0);
    store_close(s);
    assert_events((struct query_events_filter){ 0 }, 1000, 3, 3000);
    assert_events((struct query_events_filter){ .limit = 10 }, 10, 3, 30);
    assert_events((struct query_events_filter){ .limit = 10, .newest = true }, 10, 2973, 3000);
    assert_events((struct query_events_filter){ .limit = 5000, .newest = true }, 1000, 3, 3000);
    assert_events((struct query_events_filter){ .since_ns = START_NS + 500000, .until_ns = START_NS + 600000 }, 100, 1500, 1797);
    assert_events((struct query_events_filter){ .since_ns = START_NS + 5000000 }, 0, 0, 0);
    assert_events((struct query_events_filter){ .after_id = 2997 }, 1, 3000, 3000);
    assert_events((struct query_events_filter){ .kinds = 1u << EVENT_FILE | 1u << EVENT_EXEC }, 400, 3, 2991);
    assert_events((struct query_events_filter){ .kinds = 1u << EVENT_FLOW, .limit = 3, .newest = true }, 3, 2964, 2994);
    assert_events((struct query_events_filter){ .pid = 100 }, 142, 21, 2982);
    assert_events((struct query_events_filter){ .container = "web" }, 100, 30, 3000);
    assert_events((struct query_events_filter){ .container = "01234567" }, 100, 30, 3000);
    assert_events((struct query_events_filter){ .container = "0123" }, 0, 0, 0);
    assert_events((struct query_events_filter){ .container = "' OR 1=1 --" }, 0, 0, 0);
}

/* ---- findings ------------------------------------------------------------------------------------------------------------ */

static void make_finding(struct finding *f, const char *key, enum severity severity, uint64_t wall_ns)
{
    finding_init(f);
    f->severity = (uint8_t)severity;
    f->wall_ns = wall_ns;
    f->event_id = 12;
    f->exec_id = 11;
    f->container = 2;
    f->pid = 77;
    finding_printf(f, FT_TYPE, "Execution:Runtime/ReverseShell");
    finding_printf(f, FT_RULE, "reverse_shell");
    finding_printf(f, FT_TITLE, "a shell talks to 10.0.0.1 (%s)", severity_name(severity));
    finding_printf(f, FT_CMDLINE, "sh -i\033[2J");
    finding_printf(f, FT_EXE, "/bin/sh");
    finding_printf(f, FT_LINEAGE, "[{\"pid\":77}]");
    finding_printf(f, FT_EVIDENCE, "{\"fd\":0}");
    finding_identify(f, "0123456789abcdef", key);
}

static void add_finding(struct store *s, const char *key, enum severity severity, uint64_t wall_ns, uint64_t expected_count)
{
    static struct finding f;
    uint64_t count = 0;
    make_finding(&f, key, severity, wall_ns);
    assert_int_equal(store_finding(s, &f, &count), 0);
    assert_int_equal(count, expected_count);
}

static void repeats_of_a_finding_add_up(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct container_facts c = { .id = 2, .nsid = -2, .role = CONTAINER_ROLE_WORKLOAD };
    struct store_limits before, after;
    strcpy(c.container_id, "0123456789abcdef");
    strcpy(c.name, "web");
    strcpy(c.family, "shop");
    strcpy(c.cluster, "prod");
    strcpy(c.task_arn, "arn:aws:ecs:eu-west-1:1:task/prod/abc");
    store_limits(s, &before);
    assert_int_equal(before.next_event_id, 1);
    assert_int_equal(before.next_container_id, 1);
    assert_int_equal(store_begin(s), 0);
    assert_int_equal(store_container(s, &c), 0);
    add_finding(s, "a", SEVERITY_MEDIUM, START_NS, 1);
    add_finding(s, "b", SEVERITY_LOW, START_NS, 1);
    add_finding(s, "a", SEVERITY_HIGH, START_NS + 5000000000ull, 2);
    add_finding(s, "a", SEVERITY_LOW, START_NS + 1000000000ull, 3);
    assert_int_equal(store_commit(s), 0);
    assert_int_equal(store_sync(s), 0);
    store_limits(s, &after);
    assert_int_equal(after.revision, before.revision + 4);
    assert_int_equal(after.next_container_id, 3);
    store_close(s);
    assert_string_equal(ask("SELECT severity||'|'||title||'|'||count||'|'||first_seen||'|'||last_seen||'|'||host||'|'||cluster||'|'||"
                            "task_family||'|'||container_name||'|'||pid||'|'||user||'|'||status FROM findings ORDER BY count DESC LIMIT 1"),
                        "high|a shell talks to 10.0.0.1 (high)|3|2025-11-22T23:59:42.123Z|2025-11-22T23:59:47.123Z|host-1|prod|shop|web|77|"
                        "root|open");
    assert_string_equal(ask("SELECT cmdline FROM findings"), "sh -i\\x1b[2J");
    assert_string_equal(ask("SELECT count(*) FROM evidence"), "4");
    assert_string_equal(ask("SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info('findings') LIMIT 21)"),
                        "id,type,rule,severity,title,description,status,count,first_seen,last_seen,host,cluster,task_arn,task_family,"
                        "container_name,container_id,image,pid,exe,cmdline,user");
    struct query *q = open_query();
    answer.rows = 0;
    assert_int_equal(query_findings_since(q, before.revision, 10, keep_first, &answer), 0);
    assert_int_equal(answer.rows, 2);
    answer.rows = 0;
    assert_int_equal(query_findings_since(q, after.revision - 1, 10, keep_first, &answer), 0);
    assert_int_equal(answer.rows, 1);
    query_close(q);
}

static void a_rolled_back_finding_leaves_no_trace(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_limits before, after;
    store_limits(s, &before);
    assert_int_equal(store_begin(s), 0);
    add_finding(s, "a", SEVERITY_HIGH, START_NS, 1);
    store_rollback(s);
    store_limits(s, &after);
    assert_int_equal(after.revision, before.revision);
    store_close(s);
    assert_string_equal(ask("SELECT count(*) FROM findings"), "0");
}

static void put_occurrence(struct store *s, const char *filter)
{
    static struct finding f;
    uint64_t count;
    make_finding(&f, "k", SEVERITY_HIGH, START_NS);
    if (filter)
        finding_set(&f, FT_SUPPRESSED_BY, filter, strlen(filter));
    assert_int_equal(store_begin(s), 0);
    assert_int_equal(store_finding(s, &f, &count), 0);
    assert_int_equal(store_commit(s), 0);
}

static int count_row(void *arg, const struct query_row *row)
{
    (void)row;
    ++*(int *)arg;
    return 0;
}

static int n_delivered(void)
{
    char why[128];
    struct query *q;
    int n = 0;
    assert_int_equal(query_open(&q, path, why, sizeof why), 0);
    assert_int_equal(query_findings_since(q, 0, 10, count_row, &n), 0);
    query_close(q);
    return n;
}

/* A suppressed finding opens at its first occurrence that no filter matches, and stays open; a suppressed repeat is then no news. */
static void suppressed_findings_are_kept_but_not_delivered(void **state)
{
    (void)state;
    struct store *s = open_store();
    static const char sql[] = "SELECT status||'|'||coalesce(suppressed_by,'')||'|'||count FROM findings";
    char revision[64];
    put_occurrence(s, "night");
    assert_string_equal(ask(sql), "suppressed|night|1");
    assert_int_equal(n_delivered(), 0);
    put_occurrence(s, "day");
    assert_string_equal(ask(sql), "suppressed|day|2");
    put_occurrence(s, NULL);
    assert_string_equal(ask(sql), "open||3");
    assert_int_equal(n_delivered(), 1);
    snprintf(revision, sizeof revision, "%s", ask("SELECT revision FROM findings"));
    put_occurrence(s, "night");
    assert_string_equal(ask(sql), "open||4");
    assert_string_equal(ask("SELECT revision FROM findings"), revision);
    assert_string_equal(ask("SELECT count(*) FROM evidence"), "4");
    put_occurrence(s, NULL);
    assert_string_not_equal(ask("SELECT revision FROM findings"), revision);
    store_close(s);
}

static void evidence_is_bounded_and_counted(void **state)
{
    (void)state;
    struct store *s = open_store();
    assert_int_equal(store_begin(s), 0);
    for (int i = 1; i <= LIMIT_EVIDENCE_PER_FINDING + 50; i++)
        add_finding(s, "a", SEVERITY_HIGH, START_NS + (uint64_t)i, (uint64_t)i);
    assert_int_equal(store_commit(s), 0);
    store_close(s);
    char expected[64];
    snprintf(expected, sizeof expected, "%d|50|%d", LIMIT_EVIDENCE_PER_FINDING + 50, LIMIT_EVIDENCE_PER_FINDING);
    assert_string_equal(ask("SELECT count||'|'||evidence_dropped||'|'||(SELECT count(*) FROM evidence WHERE finding_id=findings.id) FROM findings"),
                        expected);
}

/* ---- views --------------------------------------------------------------------------------------------------------------- */

static void add_process(struct store *s, int64_t id, enum event_kind kind, int32_t pid, const char *exe, const char *argv, size_t n,
                        int64_t exec_id, int64_t parent_id)
{
    static union event_buffer buffer;
    struct event *ev = &buffer.event;
    struct stamp stamp = { .id = id, .exec_id = exec_id, .parent_id = parent_id, .container = 2 };
    event_init(ev, kind, SOURCE_EXEC, START_NS + (uint64_t)id * 1000000000ull);
    event_set(ev, F_PID, pid, pid);
    if (kind == EVENT_EXIT)
        event_set(ev, F_EXIT_CODE, exit_code, 3);
    if (exe) {
        event_set(ev, F_UID, uid, 0);
        event_set_text(ev, F_EXE, exe, strlen(exe));
        event_set_text(ev, F_CMDLINE, argv, n);
    }
    assert_int_equal(store_event(s, &stamp, ev), 0);
}

static void add_flow(struct store *s, int64_t id, uint64_t flow_id, enum flow_phase phase, uint64_t bytes, uint64_t begin_id)
{
    static union event_buffer buffer;
    struct event *ev = &buffer.event;
    struct stamp stamp = { .id = id, .exec_id = 2, .container = 2 };
    event_init(ev, EVENT_FLOW, SOURCE_FLOW, START_NS + (uint64_t)id * 1000000000ull);
    event_set(ev, F_FLOW_ID, flow_id, flow_id);
    event_set(ev, F_FLOW_PHASE, flow_phase, phase);
    address_parse("10.0.0.9", &ev->dst);
    event_know(ev, F_DST);
    if (bytes)
        event_set(ev, F_BYTES_OUT, bytes_out, bytes);
    if (begin_id)
        event_set(ev, F_BEGIN_ID, begin_id, begin_id);
    assert_int_equal(store_event(s, &stamp, ev), 0);
}

static void views_show_lineage_flows_and_identity(void **state)
{
    (void)state;
    static union event_buffer buffer;
    struct store *s = open_store();
    struct container_facts c = { .id = 2, .nsid = -2, .role = CONTAINER_ROLE_WORKLOAD };
    struct health h = { .component = "exec", .state = "ok", .counters = "{\"events\":1}", .wall_ns = START_NS };
    strcpy(c.container_id, "0123456789abcdef");
    strcpy(c.task_id, "abc");
    assert_int_equal(store_begin(s), 0);
    assert_int_equal(store_container(s, &c), 0);
    assert_int_equal(store_health(s, &h), 0);
    strcpy(h.state, "degraded");
    assert_int_equal(store_health(s, &h), 0);
    add_process(s, 1, EVENT_EXEC, 10, "/bin/sh", "sh\0-c\0echo \\x00\0", 16, 1, 0);
    add_process(s, 2, EVENT_EXEC, 11, "/bin/echo", "echo\0", 5, 2, 1);
    add_process(s, 3, EVENT_EXIT, 99, NULL, NULL, 0, 2, 0); /* a forked child of the same image */
    add_process(s, 4, EVENT_EXIT, 11, NULL, NULL, 0, 2, 0);
    event_init(&buffer.event, EVENT_FILE, SOURCE_OVERLAY, START_NS);
    event_set(&buffer.event, F_FILE_OP, file_op, FILE_CLOSE_WRITE);
    event_set_text(&buffer.event, F_PATH, "/tmp/x", 6);
    put_event(s, 5, &buffer.event, 2);
    add_flow(s, 6, 500, FLOW_NEW, 0, 0);
    add_flow(s, 7, 501, FLOW_END, 9, 0); /* its begin was never seen */
    add_flow(s, 8, 500, FLOW_END, 1234, 6);
    add_flow(s, 9, 500, FLOW_NEW, 0, 0); /* the id is used again */
    assert_int_equal(store_commit(s), 0);
    store_close(s);
    assert_string_equal(ask("SELECT cmdline FROM processes WHERE id=1"), "sh -c echo \\\\x00");
    assert_string_equal(ask("SELECT pid||'|'||exe||'|'||user||'|'||exit_code||'|'||exited||'|'||parent_id||'|'||parent_exe||'|'||task_id"
                            " FROM processes WHERE id=2"),
                        "11|/bin/echo|root|3|2025-11-22T23:59:46.123Z|1|/bin/sh|abc");
    assert_string_equal(ask("SELECT exited IS NULL FROM processes WHERE id=1"), "1");
    assert_string_equal(ask("SELECT exe||'|'||cmdline||'|'||path||'|'||op||'|'||kind FROM events WHERE id=5"),
                        "/bin/echo|echo|/tmp/x|close_write|file");
    assert_string_equal(ask("SELECT group_concat(id) FROM (SELECT id FROM events ORDER BY id DESC LIMIT 3)"), "9,8,7");
    assert_string_equal(ask("SELECT group_concat(id||':'||flow_id||':'||coalesce(bytes_out,'-')||':'||coalesce(duration_ms,'-')||':'||exe) "
                            "FROM (SELECT * FROM flows ORDER BY id)"),
                        "6:500:1234:2000:/bin/echo,7:501:9:-:/bin/echo,9:500:-:-:/bin/echo");
    assert_string_equal(ask("SELECT count(*) FROM dns"), "0");
    assert_string_equal(ask("SELECT state||'|'||role FROM containers"), "running|workload");
    assert_string_equal(ask("SELECT state FROM health"), "degraded");
    s = open_store(); /* a new run does not know whether it still runs */
    store_close(s);
    assert_string_equal(ask("SELECT state FROM containers"), "unknown");
}

static void views_use_no_scan_where_people_wait(void **state)
{
    (void)state;
    store_close(open_store());
    static const char *const queries[] = {
        "EXPLAIN QUERY PLAN SELECT * FROM events ORDER BY id DESC LIMIT 10",
        "EXPLAIN QUERY PLAN SELECT * FROM findings WHERE revision > 5 ORDER BY revision LIMIT 10",
        "EXPLAIN QUERY PLAN SELECT * FROM evidence WHERE finding_id = 'x'",
    };
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        sqlite3 *db;
        sqlite3_stmt *stmt;
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, queries[i], -1, &stmt, NULL), SQLITE_OK);
        while (sqlite3_step(stmt) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(stmt, 3);
            if (strstr(step, "TEMP B-TREE"))
                fail_msg("%s: %s", queries[i], step);
        }
        sqlite3_finalize(stmt);
        sqlite3_close(db);
    }
}

/* ---- files, versions, damage --------------------------------------------------------------------------------------------- */

static void execute(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *error = NULL;
    sqlite3_exec(db, sql, NULL, NULL, &error);
    if (error)
        fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

static void a_missing_column_is_added(void **state)
{
    (void)state;
    static union event_buffer buffer;
    store_close(open_store());
    execute("DROP VIEW events; DROP VIEW processes; DROP VIEW flows; DROP VIEW findings; DROP VIEW containers; DROP VIEW evidence;"
            "ALTER TABLE process_event DROP COLUMN stdout; UPDATE meta SET value='old' WHERE key='views';"
            "INSERT INTO process_event(id,kind,time,exec_id,parent_id,container,pid) VALUES(1,2,5,0,0,0,42);");
    struct store *s = open_store();
    fill_event(&buffer.event, EVENT_EXEC);
    assert_int_equal(store_begin(s), 0);
    put_event(s, 2, &buffer.event, 2);
    assert_int_equal(store_commit(s), 0);
    store_close(s);
    assert_string_equal(ask("SELECT pid FROM events WHERE id=1"), "42");
    assert_string_equal(ask("SELECT stdout IS NOT NULL FROM process_event WHERE id=2"), "1");
}

static void newer_and_foreign_databases_are_refused(void **state)
{
    (void)state;
    struct store *s = NULL;
    struct query *q = NULL;
    char why[256];
    store_close(open_store());
    execute("PRAGMA user_version=1000");
    assert_int_equal(store_open(&s, path, &defaults), -EPROTO);
    assert_int_equal(query_open(&q, path, why, sizeof why), -EPROTO);
    assert_non_null(strstr(why, "newer"));
    execute("PRAGMA application_id=7");
    assert_int_equal(store_open(&s, path, &defaults), -EPROTO);
    unlink(path);
    assert_int_equal(query_open(&q, path, why, sizeof why), -ENOENT);
}

static int count_aside(void)
{
    int n = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *e; (e = readdir(dir));)
        n += strncmp(e->d_name, "ecsguard.db.corrupt-", 20) == 0 && !text_has_suffix(e->d_name, "-wal") && !text_has_suffix(e->d_name, "-shm");
    closedir(dir);
    return n;
}

static void a_damaged_database_is_moved_aside(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_limits first, second;
    assert_int_equal(store_begin(s), 0);
    add_finding(s, "a", SEVERITY_HIGH, START_NS, 1);
    assert_int_equal(store_commit(s), 0);
    store_limits(s, &first);
    store_close(s);
    FILE *file = fopen(path, "r+");
    for (int i = 0; i < 4096; i++)
        fputc(i * 37, file);
    fclose(file);
    usleep(2000);
    s = open_store();
    store_limits(s, &second);
    assert_true(second.revision > first.revision); /* an uploader's cursor stays right */
    store_close(s);
    assert_int_equal(count_aside(), 1);
    assert_string_equal(ask("SELECT count(*) FROM findings"), "0");
}

static void ids_are_never_given_twice(void **state)
{
    (void)state;
    static union event_buffer buffer;
    struct store *s = open_store();
    struct store_limits limits;
    event_init(&buffer.event, EVENT_FORK, SOURCE_PROC, START_NS);
    assert_int_equal(store_begin(s), 0);
    put_event(s, 41, &buffer.event, 0);
    struct stamp again = { .id = 41 };
    int r = store_event(s, &again, &buffer.event);
    assert_int_equal(r, -EEXIST);
    assert_true(store_usable(s, r));
    assert_int_equal(store_commit(s), 0);
    store_close(s);
    s = open_store();
    store_limits(s, &limits);
    assert_int_equal(limits.next_event_id, 42);
    store_close(s);
}

/* What the uploader does: another user, in the group, without write permission to files or directory. */
static int read_as_other(const char *sql, const char *expected)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct query *q = NULL;
        char why[256];
        struct stat st;
        stat(path, &st);
        if (setgroups(0, NULL) || setgid(st.st_gid) || setuid(65534))
            _exit(10);
        if (access(directory, W_OK) == 0 || access(path, W_OK) == 0)
            _exit(11);
        if (query_open(&q, path, why, sizeof why)) {
            fprintf(stderr, "%s\n", why);
            _exit(12);
        }
        answer.rows = 0;
        if (query_rows(q, sql, NULL, 0, keep_first, &answer)) {
            fprintf(stderr, "%s\n", query_error(q));
            _exit(13);
        }
        query_close(q);
        _exit(strcmp(answer.text, expected) ? 14 : 0);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void readers_need_no_write_permission(void **state)
{
    (void)state;
    struct stat st;
    char part[160];
    if (geteuid() != 0)
        skip();
    struct store *s = open_store();
    assert_int_equal(chmod(directory, 0750), 0);
    stat(path, &st);
    assert_int_equal(chown(directory, (uid_t)-1, st.st_gid), 0);
    assert_int_equal(read_as_other("SELECT count(*) FROM findings", "0"), 0);
    for (int i = 1; i <= 3; i++) {
        char key[8], expected[8];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(expected, sizeof expected, "%d", i);
        assert_int_equal(store_begin(s), 0);
        add_finding(s, key, SEVERITY_HIGH, START_NS, 1);
        assert_int_equal(store_commit(s), 0);
        assert_int_equal(read_as_other("SELECT count(*) FROM findings", expected), 0);
        if (i == 2)
            assert_int_equal(store_checkpoint(s), 0);
    }
    store_close(s);
    assert_int_equal(read_as_other("SELECT count(*) FROM findings", "3"), 0); /* the agent is stopped */
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    for (int i = 0; i < 3; i++) {
        snprintf(part, sizeof part, "%s%s", path, suffixes[i]);
        assert_int_equal(stat(part, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0640);
    }
}

/* ---- bounds -------------------------------------------------------------------------------------------------------------- */

static void the_oldest_events_leave_a_full_database(void **state)
{
    (void)state;
    static union event_buffer buffer;
    struct store *s = NULL;
    struct store_options small = { .max_bytes = 8u << 20 };
    char big[3000];
    memset(big, 'a', sizeof big);
    assert_int_equal(store_open(&s, path, &small), 0);
    assert_int_equal(store_begin(s), 0);
    add_finding(s, "a", SEVERITY_HIGH, START_NS, 1);
    assert_int_equal(store_commit(s), 0);
    event_init(&buffer.event, EVENT_EXEC, SOURCE_EXEC, START_NS);
    event_set_text(&buffer.event, F_CMDLINE, big, sizeof big);
    int64_t id = 1;
    for (int group = 0; group < 100; group++) {
        assert_int_equal(store_begin(s), 0);
        for (int i = 0; i < 50; i++)
            put_event(s, id++, &buffer.event, 0);
        assert_int_equal(store_commit(s), 0);
        while (store_prune(s, START_NS) == 1)
            ;
        assert_true(store_used_bytes(s) <= 8u << 20);
    }
    store_close(s);
    struct stat st;
    stat(path, &st);
    assert_true(st.st_size <= 8 << 20);
    assert_string_equal(ask("SELECT count(*) FROM findings"), "1");
    assert_string_equal(ask("SELECT max(id) FROM events"), "5000");
    assert_true(atoi(ask("SELECT min(id) FROM events")) > 1);
}

static void a_full_database_is_an_error_not_a_crash(void **state)
{
    (void)state;
    static union event_buffer buffer;
    struct store *s = NULL;
    struct store_options small = { .max_bytes = 1 }; /* raised to the least that works */
    char big[3000];
    int r = 0;
    memset(big, 'a', sizeof big);
    assert_int_equal(store_open(&s, path, &small), 0);
    event_init(&buffer.event, EVENT_EXEC, SOURCE_EXEC, START_NS);
    event_set_text(&buffer.event, F_CMDLINE, big, sizeof big);
    assert_int_equal(store_begin(s), 0);
    for (int64_t id = 1; id < 10000 && !r; id++) {
        struct stamp stamp = { .id = id };
        r = store_event(s, &stamp, &buffer.event);
    }
    assert_int_equal(r, -ENOSPC);
    assert_false(store_usable(s, r));
    store_rollback(s);
    assert_int_equal(store_begin(s), 0);
    put_event(s, 1, &buffer.event, 0);
    assert_int_equal(store_commit(s), 0);
    store_close(s);
    assert_string_equal(ask("PRAGMA integrity_check"), "ok");
}

static void old_rows_leave_by_age(void **state)
{
    (void)state;
    static union event_buffer buffer;
    const uint64_t day = 86400ull * 1000000000ull;
    struct store *s = open_store();
    assert_int_equal(store_begin(s), 0);
    for (int i = 0; i < 400; i++) { /* one a day */
        struct container_facts c = { .id = i + 1, .nsid = -2, .started_wall_ns = START_NS, .ended_wall_ns = START_NS + (uint64_t)i * day };
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        event_init(&buffer.event, EVENT_FORK, SOURCE_PROC, START_NS + (uint64_t)i * day);
        put_event(s, i + 1, &buffer.event, 0);
        add_finding(s, key, SEVERITY_HIGH, START_NS + (uint64_t)i * day, 1);
        assert_int_equal(store_container(s, &c), 0);
    }
    assert_int_equal(store_commit(s), 0);
    int steps = 0;
    while (store_prune(s, START_NS + 400 * day) == 1)
        assert_true(++steps < 100);
    store_close(s);
    assert_string_equal(ask("SELECT count(*)||'|'||min(id) FROM events"), "30|371");
    assert_string_equal(ask("SELECT count(*) FROM findings"), "365");
    assert_string_equal(ask("SELECT count(*) FROM evidence"), "365");
    assert_string_equal(ask("SELECT count(*)||'|'||min(id) FROM containers"), "31|2"); /* one is named by findings */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_come_back_as_they_were, setup, teardown),
        cmocka_unit_test_setup_teardown(events_are_found_by_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(repeats_of_a_finding_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rolled_back_finding_leaves_no_trace, setup, teardown),
        cmocka_unit_test_setup_teardown(suppressed_findings_are_kept_but_not_delivered, setup, teardown),
        cmocka_unit_test_setup_teardown(evidence_is_bounded_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(views_show_lineage_flows_and_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(views_use_no_scan_where_people_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_column_is_added, setup, teardown),
        cmocka_unit_test_setup_teardown(newer_and_foreign_databases_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_database_is_moved_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_are_never_given_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_need_no_write_permission, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_events_leave_a_full_database, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_database_is_an_error_not_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(old_rows_leave_by_age, setup, teardown),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
