#include "storage/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dns_code.h"
#include "common/finding.h"
#include "common/hash.h"
#include "common/text.h"

#define K(kind) (1u << EVENT_##kind)

const struct schema_family schema_families[SCHEMA_FAMILIES] = {
    { "process_event", K(FORK) | K(EXEC) | K(EXIT) | K(UID) | K(GID) | K(SID) | K(PTRACE) | K(COMM) | K(PROCESS) | K(CGROUP) | K(SOCKETS) },
    { "file_event", K(FILE) },
    { "flow_event", K(FLOW) },
    { "dns_event", K(DNS) },
    { "other_event", K(CONTAINER) | K(LOSS) | K(SYSCALL) | K(UNIX) | K(MOUNT) | K(MODULE) | K(CPU) | K(HASH) | K(LISTEN) | K(NETNS) },
};

/* Step N brings a database from version N to N + 1. Never change one that was released: append. Columns of events need no step. */
static const char *const migrations[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE container (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, updated INTEGER NOT NULL, container_id TEXT, role INTEGER,"
    " runtime TEXT, task_id TEXT, task_arn TEXT, cluster TEXT, task_family TEXT, task_revision TEXT, service TEXT,"
    " container_name TEXT, docker_name TEXT, image TEXT, image_id TEXT, upperdir TEXT, address TEXT, address6 TEXT,"
    " privileged INTEGER, init_pid INTEGER, root_dev INTEGER, mntns INTEGER, netns INTEGER, pidns INTEGER, nsid INTEGER,"
    " started INTEGER, ended INTEGER) STRICT;"
    "CREATE INDEX container_by_container_id ON container (container_id);"
    /* revision grows with every change of any finding: what the uploader follows */
    "CREATE TABLE finding (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL UNIQUE, type TEXT NOT NULL,"
    " rule TEXT, severity INTEGER NOT NULL, title TEXT, description TEXT, advice TEXT, mitre TEXT, status TEXT NOT NULL,"
    " count INTEGER NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, host TEXT, container INTEGER NOT NULL,"
    " event_id INTEGER, exec_id INTEGER, pid INTEGER, uid INTEGER, comm TEXT, exe TEXT, cmdline TEXT,"
    " evidence_kept INTEGER NOT NULL, evidence_dropped INTEGER NOT NULL) STRICT;"
    "CREATE INDEX finding_by_container ON finding (container);"
    "CREATE TABLE finding_evidence (id INTEGER PRIMARY KEY, finding INTEGER NOT NULL, time INTEGER NOT NULL, event_id INTEGER, exec_id INTEGER,"
    " pid INTEGER, uid INTEGER, comm TEXT, exe TEXT, cmdline TEXT, lineage TEXT, evidence TEXT) STRICT;"
    "CREATE INDEX evidence_by_finding ON finding_evidence (finding);"
    "CREATE TABLE component_health (component TEXT PRIMARY KEY, state TEXT NOT NULL, reason TEXT, counters TEXT, updated INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;",
    "CREATE TABLE rule_status (name TEXT NOT NULL, kind TEXT NOT NULL, type TEXT, severity INTEGER NOT NULL, state TEXT NOT NULL,"
    " reason TEXT, file TEXT, line INTEGER, tags TEXT, evaluations INTEGER, hits INTEGER, cost INTEGER, loaded INTEGER NOT NULL,"
    " updated INTEGER NOT NULL, PRIMARY KEY (name, kind)) STRICT, WITHOUT ROWID;",
    /* the filter that keeps a finding of status 'suppressed' from delivery */
    "ALTER TABLE finding ADD COLUMN suppressed_by TEXT",
};

int schema_version(void)
{
    return (int)(sizeof migrations / sizeof migrations[0]);
}

int schema_family_of(enum event_kind kind)
{
    for (int i = 0; i < SCHEMA_FAMILIES; i++)
        if (schema_families[i].kinds >> kind & 1)
            return i;
    return SCHEMA_FAMILIES - 1;
}

int schema_fields_of(uint32_t kinds, enum event_field fields[F_MAX])
{
    int n = 0;
    for (int i = 0; i < F_MAX; i++)
        if (event_fields[i].kinds & kinds)
            fields[n++] = (enum event_field)i;
    return n;
}

int schema_errno(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK: case SQLITE_ROW: case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY: case SQLITE_LOCKED: case SQLITE_PROTOCOL:
        return -EBUSY;
    case SQLITE_READONLY: case SQLITE_PERM: case SQLITE_AUTH:
        return -EROFS;
    case SQLITE_IOERR: case SQLITE_CANTOPEN:
        return -EIO;
    case SQLITE_CORRUPT: case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    default:
        return -EINVAL;
    }
}

int64_t schema_number(sqlite3 *db, const char *sql, int64_t missing)
{
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return missing;
    int64_t value = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : missing;
    sqlite3_finalize(stmt);
    return value;
}

int schema_check(sqlite3 *db, char *why, size_t size)
{
    int rc = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        snprintf(why, size, "%s", sqlite3_errmsg(db));
        return schema_errno(rc);
    }
    int64_t application = schema_number(db, "PRAGMA application_id", 0), version = schema_number(db, "PRAGMA user_version", 0);
    if (!application && !version && !schema_number(db, "SELECT count(*) FROM sqlite_schema", 0))
        return 1;
    if (application != SCHEMA_APPLICATION_ID) {
        snprintf(why, size, "it is a database of another program");
        return -EPROTO;
    }
    if (version > schema_version()) {
        snprintf(why, size, "its schema has version %lld, this program knows %d: it was written by a newer ecsguard", (long long)version,
                 schema_version());
        return -EPROTO;
    }
    return 0;
}

static const char *column_type(enum field_type type)
{
    return type == FIELD_TEXT || type == FIELD_ARGV || type == FIELD_ADDRESS ? "TEXT" : "INTEGER";
}

static int table_has_column(sqlite3 *db, const char *table, const char *column)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM pragma_table_info('%s') WHERE name = '%s'", table, column);
    return schema_number(db, sql, 0) > 0;
}

/* A field added to event_fields[] since the database was made becomes a column here. */
static int family_sync(sqlite3 *db, const struct schema_family *family)
{
    enum event_field fields[F_MAX];
    char sql[512];
    int n = schema_fields_of(family->kinds, fields);
    snprintf(sql, sizeof sql,
             "CREATE TABLE IF NOT EXISTS %s (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, time INTEGER NOT NULL,"
             " exec_id INTEGER NOT NULL, parent_id INTEGER NOT NULL, container INTEGER NOT NULL) STRICT", family->table);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    for (int i = 0; i < n && rc == SQLITE_OK; i++) {
        const struct event_field_info *f = &event_fields[fields[i]];
        if (table_has_column(db, family->table, f->name))
            continue;
        snprintf(sql, sizeof sql, "ALTER TABLE %s ADD COLUMN \"%s\" %s", family->table, f->name, column_type(f->type));
        rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    }
    return rc;
}

/* ---- views ---------------------------------------------------------------------------------------------------------- */

/* Nanoseconds since 1970 as ISO-8601 UTC with milliseconds, in integers, so that no millisecond is rounded. */
#define ISO(x) "strftime('%Y-%m-%dT%H:%M:%S'," x "/1000000000,'unixepoch')||printf('.%03dZ'," x "/1000000%1000)"
/* A stored argument vector as a line: NULs, stored as \x00, become blanks; a literal backslash is stored as two and stays so. */
#define LINE(x) "rtrim(replace(replace(replace(" x ",'\\\\',char(1)),'\\x00',' '),char(1),'\\\\'))"
#define USER(x) "CASE " x " WHEN 0 THEN 'root' WHEN 4294967295 THEN NULL ELSE CAST(" x " AS TEXT) END"
/* The identity that every view carries: columns of the container row c. */
#define IDENTITY                                                                                                       \
    "c.cluster AS cluster,c.task_arn AS task_arn,c.task_id AS task_id,c.task_family AS task_family,"                    \
    "c.task_revision AS task_revision,c.service AS service,c.container_name AS container_name,"                        \
    "c.container_id AS container_id,c.image AS image"

static void put(struct text_out *out, const char *text)
{
    text_out_bytes(out, text, strlen(text));
}

static void put_names(struct text_out *out, const char *expression, const char *const *names)
{
    text_out_printf(out, "CASE %s", expression);
    for (int i = 0; names[i]; i++)
        if (names[i][0])
            text_out_printf(out, " WHEN %d THEN '%s'", i, names[i]);
    put(out, " END");
}

static void put_kind(struct text_out *out, const char *expression)
{
    text_out_printf(out, "CASE %s", expression);
    for (int i = 1; i < EVENT_KIND_MAX; i++)
        text_out_printf(out, " WHEN %d THEN '%s'", i, event_kind_name((enum event_kind)i));
    put(out, " END");
}

static void put_severity(struct text_out *out, const char *expression)
{
    text_out_printf(out, "CASE %s", expression);
    for (int i = SEVERITY_INFO; i <= SEVERITY_CRITICAL; i++)
        text_out_printf(out, " WHEN %d THEN '%s'", i, severity_name((enum severity)i));
    put(out, " END");
}

/* Columns of `events` that come from fields; those marked come from the acting process' image where the row has none. */
static const struct {
    enum event_field field;
    int from_image;
} event_columns[] = {
    { F_PID, 0 }, { F_PPID, 0 }, { F_UID, 1 }, { F_COMM, 1 }, { F_EXE, 1 }, { F_CMDLINE, 1 }, { F_PATH, 0 }, { F_FILE_OP, 0 },
    { F_FLOW_PHASE, 0 }, { F_PROTO, 0 }, { F_SRC, 0 }, { F_SPORT, 0 }, { F_DST, 0 }, { F_DPORT, 0 }, { F_TARGET_PID, 0 },
    { F_EXIT_CODE, 0 }, { F_EXIT_SIGNAL, 0 }, { F_CONTAINER_PHASE, 0 }, { F_SOURCE, 0 }, { F_COUNT, 0 }, { F_REASON, 0 },
    { F_SYSCALL, 0 }, { F_MODULE, 0 }, { F_MOUNT_SOURCE, 0 }, { F_FS_TYPE, 0 }, { F_SHA256, 0 },
};

/* Each member of the union must give a column the same affinity, or SQLite (3.39 and later) sorts the whole union for ORDER BY id. */
static void put_event_column(struct text_out *out, uint32_t kinds, enum event_field field, int from_image)
{
    const struct event_field_info *f = &event_fields[field];
    char value[256];
    int own = (f->kinds & kinds) != 0;
    if (own && from_image)
        snprintf(value, sizeof value, "coalesce(e.\"%s\",x.\"%s\")", f->name, f->name);
    else if (from_image)
        snprintf(value, sizeof value, "coalesce(x.\"%s\",NULL)", f->name);
    else
        snprintf(value, sizeof value, "e.\"%s\"", f->name);
    put(out, ",");
    if (!own && !from_image && f->type == FIELD_ENUM)
        put(out, "NULL");
    else if (!own && !from_image)
        text_out_printf(out, "CAST(NULL AS %s)", column_type(f->type));
    else if (f->type == FIELD_ENUM)
        put_names(out, value, f->names);
    else if (f->type == FIELD_ARGV)
        text_out_printf(out, LINE("%s"), value);
    else
        put(out, value);
    text_out_printf(out, " AS \"%s\"", f->name);
}

static void put_events_view(struct text_out *out)
{
    put(out, "CREATE VIEW events AS ");
    for (int i = 0; i < SCHEMA_FAMILIES; i++) {
        const struct schema_family *family = &schema_families[i];
        put(out, i ? " UNION ALL SELECT e.id AS id," ISO("e.time") " AS time," : "SELECT e.id AS id," ISO("e.time") " AS time,");
        put_kind(out, "e.kind");
        put(out, " AS kind");
        for (size_t j = 0; j < sizeof event_columns / sizeof event_columns[0]; j++)
            put_event_column(out, family->kinds, event_columns[j].field, event_columns[j].from_image);
        text_out_printf(out, "," IDENTITY ",nullif(e.exec_id,0) AS exec_id,nullif(e.parent_id,0) AS parent_id FROM %s e"
                        " LEFT JOIN process_event x ON x.id=e.exec_id LEFT JOIN container c ON c.id=e.container", family->table);
    }
    put(out, ";");
}

static void put_findings_view(struct text_out *out)
{
    put(out, "CREATE VIEW findings AS SELECT f.id AS id,f.type AS type,f.rule AS rule,");
    put_severity(out, "f.severity");
    put(out, " AS severity,f.title AS title,f.description AS description,f.status AS status,f.count AS count,"
             ISO("f.first_seen") " AS first_seen," ISO("f.last_seen") " AS last_seen,f.host AS host,"
             "coalesce(c.cluster,(SELECT o.cluster FROM container o WHERE o.cluster IS NOT NULL ORDER BY o.id DESC LIMIT 1)) AS cluster,"
             "c.task_arn AS task_arn,c.task_family AS task_family,c.container_name AS container_name,c.container_id AS container_id,"
             "c.image AS image,f.pid AS pid,f.exe AS exe,f.cmdline AS cmdline," USER("f.uid") " AS user,f.uid AS uid,f.comm AS comm,"
             "f.advice AS advice,f.mitre AS mitre,c.task_id AS task_id,c.task_revision AS task_revision,c.service AS service,"
             "c.image_id AS image_id,f.revision AS revision,f.event_id AS event_id,f.exec_id AS exec_id,"
             "f.evidence_dropped AS evidence_dropped,f.suppressed_by AS suppressed_by,"
             "(SELECT v.lineage FROM finding_evidence v WHERE v.finding=f.number ORDER BY v.id DESC LIMIT 1) AS lineage,"
             "(SELECT v.evidence FROM finding_evidence v WHERE v.finding=f.number ORDER BY v.id DESC LIMIT 1) AS evidence"
             " FROM finding f LEFT JOIN container c ON c.id=f.container;");
}

static void put_evidence_view(struct text_out *out)
{
    put(out, "CREATE VIEW evidence AS SELECT v.id AS id,f.id AS finding_id," ISO("v.time") " AS time,v.event_id AS event_id,"
             "v.exec_id AS exec_id,v.pid AS pid," USER("v.uid") " AS user,v.comm AS comm,v.exe AS exe,v.cmdline AS cmdline,"
             "v.lineage AS lineage,v.evidence AS evidence," IDENTITY
             " FROM finding_evidence v JOIN finding f ON f.number=v.finding LEFT JOIN container c ON c.id=f.container;");
}

static void put_processes_view(struct text_out *out)
{
    put(out, "CREATE VIEW processes AS SELECT p.id AS id," ISO("p.time") " AS time,");
    put_kind(out, "p.kind");
    text_out_printf(out,
                    " AS kind,p.pid AS pid,p.ppid AS ppid,p.uid AS uid,%s AS user,p.comm AS comm,p.exe AS exe,%s AS cmdline,p.cwd AS cwd,"
                    "%s AS started,%s AS exited,x.exit_code AS exit_code,x.exit_signal AS exit_signal,nullif(p.parent_id,0) AS parent_id,"
                    "q.pid AS parent_pid,q.comm AS parent_comm,q.exe AS parent_exe,%s AS parent_cmdline,%s"
                    " FROM process_event p LEFT JOIN process_event q ON q.id=p.parent_id"
                    " LEFT JOIN process_event x ON x.id=(SELECT min(e.id) FROM process_event e WHERE e.kind=%d AND e.exec_id=p.id AND "
                    "e.pid=p.pid)"
                    " LEFT JOIN container c ON c.id=p.container WHERE p.kind IN (%d,%d);",
                    USER("p.uid"), LINE("p.cmdline"), ISO("p.start"), ISO("x.time"), LINE("q.cmdline"), IDENTITY, EVENT_EXIT, EVENT_EXEC,
                    EVENT_PROCESS);
}

/* A flow's later rows point to its first by begin_id, which an index finds: flows are young when they change and mostly when they end, so the
 * index grows at its right (one of flow ids, which are random, would cost more than the rows). */
static void put_flows_view(struct text_out *out)
{
    text_out_printf(out, "CREATE VIEW flows AS SELECT b.id AS id,b.flow_id AS flow_id,%s AS begin,CASE coalesce(e.phase,b.phase) WHEN %d THEN %s END"
                    " AS end,CASE e.phase WHEN %d THEN (e.time-b.time)/1000000 END AS duration_ms,", ISO("b.time"), FLOW_END,
                    ISO("coalesce(e.time,b.time)"), FLOW_END);
    put_names(out, "coalesce(e.phase,b.phase)", event_fields[F_FLOW_PHASE].names);
    put(out, " AS phase,");
    put_names(out, "coalesce(e.direction,b.direction)", event_fields[F_DIRECTION].names);
    put(out, " AS direction,b.proto AS proto,b.src AS src,b.sport AS sport,b.dst AS dst,b.dport AS dport,coalesce(e.domain,b.domain) AS domain,"
             "coalesce(e.reply_src,b.reply_src) AS reply_src,coalesce(e.reply_sport,b.reply_sport) AS reply_sport,"
             "coalesce(e.reply_dst,b.reply_dst) AS reply_dst,coalesce(e.reply_dport,b.reply_dport) AS reply_dport,"
             "coalesce(e.bytes_out,b.bytes_out) AS bytes_out,coalesce(e.bytes_in,b.bytes_in) AS bytes_in,"
             "coalesce(e.packets_out,b.packets_out) AS packets_out,coalesce(e.packets_in,b.packets_in) AS packets_in,"
             "coalesce(b.flows,1) AS flows,b.ports AS ports,b.addresses AS addresses,coalesce(e.pid,b.pid) AS pid,");
    put_names(out, "coalesce(e.owner,b.owner)", event_fields[F_OWNER].names);
    text_out_printf(out, " AS owner,x.comm AS comm,x.exe AS exe,%s AS cmdline,%s"
                    " FROM flow_event b LEFT JOIN flow_event e ON e.id=(SELECT max(l.id) FROM flow_event l WHERE l.begin_id=b.id)"
                    " LEFT JOIN process_event x ON x.id=coalesce(nullif(e.exec_id,0),b.exec_id)"
                    " LEFT JOIN container c ON c.id=coalesce(nullif(e.container,0),b.container) WHERE b.begin_id IS NULL;",
                    LINE("x.cmdline"), IDENTITY);
}

/* The newest row of each container. A container that was last seen in an earlier run of the agent may have ended unseen. */
/* What the agent cannot see in a running container, and why; NULL = nothing. */
static void put_not_covered(struct text_out *out)
{
    put(out, "CASE WHEN c.ended IS NULL THEN nullif("
             "iif(ifnull(c.root_dev,0)=0,'its root file system is not known: drift and writes to its /proc are not seen. ','')||"
             "iif(ifnull(c.upperdir,'')='','its writable layer is not known: who wrote a file is not named. ','')||"
             "iif(ifnull(c.nsid,-2)=-2,'its network namespace has no number: its flows are not told apart. ','')||"
             "iif(ifnull(c.image,'')='','neither Docker nor the ECS agent has told about it: name and image are not known. ',''),'') END");
}

static void put_containers_view(struct text_out *out)
{
    put(out, "CREATE VIEW containers AS SELECT c.id AS id,CASE WHEN c.ended IS NOT NULL THEN 'ended' WHEN c.run="
             "(SELECT CAST(value AS INTEGER) FROM meta WHERE key='run') THEN 'running' ELSE 'unknown' END AS state,");
    put_names(out, "c.role", event_fields[F_CONTAINER_ROLE].names);
    put(out, " AS role," IDENTITY ",c.docker_name AS docker_name,c.image_id AS image_id,c.runtime AS runtime,c.privileged AS privileged,"
             "c.address AS address,c.address6 AS address6,c.init_pid AS init_pid,c.upperdir AS upperdir,c.netns AS netns,");
    put_not_covered(out);
    put(out, " AS not_covered," ISO("c.started") " AS started," ISO("c.ended") " AS ended," ISO("c.updated") " AS updated FROM container c"
             " WHERE NOT EXISTS (SELECT 1 FROM container n WHERE n.container_id=c.container_id AND n.id>c.id);");
}

static void put_codes(struct text_out *out, const char *expression, const struct dns_code *codes, size_t n, const char *other)
{
    text_out_printf(out, "CASE %s", expression);
    for (size_t i = 0; i < n; i++)
        text_out_printf(out, " WHEN %u THEN '%s'", codes[i].number, codes[i].name);
    text_out_printf(out, " ELSE '%s'||%s END", other, expression);
}

/* Records, each with \x00 behind it as stored, in one line. */
#define RECORDS(x) "rtrim(replace(replace(replace(" x ",'\\\\',char(1)),'\\x00','; '),char(1),'\\\\'),'; ')"

static void put_dns_view(struct text_out *out)
{
    put(out, "CREATE VIEW dns AS SELECT d.id AS id," ISO("d.time") " AS time,");
    put_names(out, "d.dns_op", event_fields[F_DNS_OP].names);
    put(out, " AS op,d.dns_name AS name,");
    put_codes(out, "d.dns_type", dns_types, n_dns_types, "TYPE");
    put(out, " AS type,");
    put_codes(out, "d.dns_rcode", dns_rcodes, n_dns_rcodes, "RCODE");
    put(out, " AS rcode," RECORDS("d.dns_answers") " AS answer,d.dns_class AS class,d.dns_truncated AS truncated,d.dns_size AS size,"
             "ifnull(d.messages,1) AS messages,d.names AS names,"
             "d.dns_id AS dns_id,ifnull(d.dns_forwarded,0) AS forwarded,d.pid AS pid,x.comm AS comm,x.exe AS exe,");
    text_out_printf(out, LINE("x.cmdline") " AS cmdline,");
    put_names(out, "d.owner", event_fields[F_OWNER].names);
    put(out, " AS owner,d.uid AS uid,CASE d.proto WHEN 17 THEN 'udp' WHEN 6 THEN 'tcp' END AS proto,d.src AS src,d.sport AS sport,d.dst AS server,"
             "nullif(d.exec_id,0) AS exec_id," IDENTITY
             " FROM dns_event d LEFT JOIN process_event x ON x.id=d.exec_id LEFT JOIN container c ON c.id=d.container;");
}

static void put_other_views(struct text_out *out)
{
    put(out, "CREATE VIEW health AS SELECT component,state,reason,counters," ISO("updated") " AS updated FROM component_health;");
}

static void put_rules_view(struct text_out *out)
{
    put(out, "CREATE VIEW rules AS SELECT name,kind,type,");
    put_severity(out, "severity");
    put(out, " AS severity,state,reason,file,nullif(line,0) AS line,tags,evaluations,hits,cost AS cost_ns," ISO("loaded") " AS loaded,"
             ISO("updated") " AS updated FROM rule_status;");
}

static const char *const views[] = { "rules", "findings", "events", "processes", "flows", "dns", "containers", "evidence", "health" };

/* Makes the views anew when their text changed: they hold no data, so this is their migration. */
static int views_sync(sqlite3 *db, struct text_out *sql)
{
    char print[33], known[128];
    put_findings_view(sql);
    put_events_view(sql);
    put_rules_view(sql);
    put_processes_view(sql);
    put_flows_view(sql);
    put_dns_view(sql);
    put_other_views(sql);
    put_containers_view(sql);
    put_evidence_view(sql);
    if (sql->cut)
        return SQLITE_TOOBIG;
    hash_hex(sql->buf, sql->length, print);
    snprintf(known, sizeof known, "SELECT count(*) FROM meta WHERE key='views' AND value='%s'", print);
    if (schema_number(db, known, 0) > 0)
        return SQLITE_OK;
    int rc = SQLITE_OK;
    for (size_t i = 0; i < sizeof views / sizeof views[0] && rc == SQLITE_OK; i++) {
        char drop[128];
        snprintf(drop, sizeof drop, "DROP VIEW IF EXISTS %s", views[i]);
        rc = sqlite3_exec(db, drop, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, sql->buf, NULL, NULL, NULL);
    snprintf(known, sizeof known, "INSERT OR REPLACE INTO meta VALUES ('views','%s')", print);
    return rc == SQLITE_OK ? sqlite3_exec(db, known, NULL, NULL, NULL) : rc;
}

static int migrate(sqlite3 *db, struct text_out *sql)
{
    int rc = SQLITE_OK;
    for (int64_t v = schema_number(db, "PRAGMA user_version", 0); v < schema_version() && rc == SQLITE_OK; v++)
        rc = sqlite3_exec(db, migrations[v], NULL, NULL, NULL);
    for (int i = 0; i < SCHEMA_FAMILIES && rc == SQLITE_OK; i++)
        rc = family_sync(db, &schema_families[i]);
    if (rc == SQLITE_OK) {
        /* How `processes` finds the end of a process. Image rows are young when their processes end: the index grows at its right. */
        text_out_printf(sql, "CREATE INDEX IF NOT EXISTS process_exit ON process_event (exec_id, pid) WHERE kind = %d;", EVENT_EXIT);
        text_out_printf(sql, "CREATE INDEX IF NOT EXISTS flow_later ON flow_event (begin_id) WHERE begin_id IS NOT NULL;");
        if (schema_number(db, "PRAGMA user_version", 0) != schema_version()) /* nothing is written when nothing changed: disks fill up */
            text_out_printf(sql, "PRAGMA application_id = %d; PRAGMA user_version = %d;", SCHEMA_APPLICATION_ID, schema_version());
        rc = sqlite3_exec(db, sql->buf, NULL, NULL, NULL);
    }
    text_out_init(sql, sql->buf, sql->size);
    return rc == SQLITE_OK ? views_sync(db, sql) : rc;
}

int schema_apply(sqlite3 *db)
{
    char *buf = malloc(SCHEMA_SQL_BYTES);
    struct text_out sql;
    if (!buf)
        return SQLITE_NOMEM;
    text_out_init(&sql, buf, SCHEMA_SQL_BYTES);
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = migrate(db, &sql);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    free(buf);
    return rc;
}
