#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "storage/schema.h"

#define AGE_CHECK_NS (60 * NS_PER_SECOND)
#define DAY_NS (86400 * NS_PER_SECOND)
/* 8 KiB pages: rows come in order, and half as many system calls write them (measured: an exec row 4.1 us instead of 5.1). */
enum { FIXED_COLUMNS = 6, PAGE_BYTES = 8192 };

struct event_insert {
    sqlite3_stmt *stmt;
    int n;
    enum event_field fields[F_MAX]; /* bound from parameter FIXED_COLUMNS + 1 on */
};

struct store {
    sqlite3 *db;
    struct event_insert events[EVENT_KIND_MAX];
    sqlite3_stmt *begin, *commit, *rollback, *finding, *evidence, *container, *health, *rule, *old_rules, *label, *page_count, *freelist_count;
    uint64_t rules_loaded_ns; /* of the rows that stand in rule_status */
    uint64_t max_bytes, event_ns, finding_ns;
    int64_t run;
    int64_t revision, revision_before; /* now, and when the transaction began */
    int64_t newest_id;
    uint64_t age_checked_ns;
    int log_frames, log_frames_checkpointed; /* pages in the log; at the last attempt to write it back */
    uint64_t used_bytes;
    char host[257];
    size_t arena_used;
    char arena[4 * LIMIT_EVENT_TEXT_BYTES + F_MAX * 64]; /* escaped texts of the row being bound */
};

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

static bool reader_group(gid_t *gid)
{
    char buf[4096];
    struct group group, *found = NULL;
    if (getgrnam_r("ecsguard", &group, buf, sizeof buf, &found) || !found)
        return false;
    *gid = found->gr_gid;
    return true;
}

/* An empty file for SQLite to begin with, where there is none. */
static int file_create(const char *path)
{
    char directory[4096];
    snprintf(directory, sizeof directory, "%s", path);
    char *parent = dirname(directory);
    gid_t gid;
    if (mkdir(parent, 0750) == 0 && reader_group(&gid) && chown(parent, (uid_t)-1, gid) < 0)
        log_warn("store", "cannot give %s to the group ecsguard: %s", parent, strerror(errno));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    close(fd);
    return r;
}

/* Mode and group for the readers. The database comes first: SQLite gives a new log and index the mode and group that it has. */
static void files_share(const char *path)
{
    static const char *const parts[] = { "", "-wal", "-shm" };
    gid_t gid = (gid_t)-1;
    bool group = reader_group(&gid);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char part[4200];
        snprintf(part, sizeof part, "%s%s", path, parts[i]);
        if (chmod(part, 0640) == 0 && group && chown(part, (uid_t)-1, gid) < 0)
            log_warn("store", "cannot give %s to the group ecsguard: %s", part, strerror(errno));
    }
}

int store_set_aside(const char *path, const char *why)
{
    static const char *const parts[] = { "", "-wal", "-shm" };
    char from[4200], to[4300], stamp[32];
    int r = 0;
    text_time(stamp, clock_ns(CLOCK_REALTIME));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        snprintf(from, sizeof from, "%s%s", path, parts[i]);
        snprintf(to, sizeof to, "%s.corrupt-%s%s", path, stamp, parts[i]);
        if (rename(from, to) < 0 && (i == 0 || errno != ENOENT))
            r = -errno;
    }
    if (r)
        log_error("store", "the database %s is damaged (%s) and cannot be moved aside: %s", path, why, strerror(-r));
    else
        log_error("store", "the database %s is damaged (%s): moved aside to %s.corrupt-%s, a new one begins now", path, why, path, stamp);
    return r;
}

/* Called by SQLite after each commit with the pages in the log; it replaces SQLite's own checkpointing. */
static int count_log_frames(void *arg, sqlite3 *db, const char *name, int frames)
{
    struct store *s = arg;
    (void)db;
    (void)name;
    s->log_frames = frames;
    return SQLITE_OK;
}

static int prepare(struct store *s, sqlite3_stmt **stmt, const char *sql)
{
    return sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
}

static int prepare_event(struct store *s, enum event_kind kind)
{
    struct event_insert *insert = &s->events[kind];
    char sql[4096];
    struct text_out out;
    text_out_init(&out, sql, sizeof sql);
    insert->n = schema_fields_of(1u << kind, insert->fields);
    text_out_printf(&out, "INSERT INTO %s(id,kind,time,exec_id,parent_id,container", schema_families[schema_family_of(kind)].table);
    for (int i = 0; i < insert->n; i++)
        text_out_printf(&out, ",\"%s\"", event_fields[insert->fields[i]].name);
    text_out_printf(&out, ") VALUES(?");
    for (int i = 1; i < insert->n + FIXED_COLUMNS; i++)
        text_out_printf(&out, ",?");
    text_out_printf(&out, ")");
    return prepare(s, &insert->stmt, sql);
}

static const char finding_sql[] =
    "INSERT INTO finding(id,type,rule,severity,title,description,advice,mitre,status,count,first_seen,last_seen,host,container,"
    "event_id,exec_id,pid,uid,comm,exe,cmdline,revision,evidence_kept,evidence_dropped,suppressed_by)"
    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,iif(?21 IS NULL,'open','suppressed'),1,?9,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,1,0,?21)"
    " ON CONFLICT(id) DO UPDATE SET count=count+1,first_seen=min(first_seen,excluded.first_seen),"
    "last_seen=max(last_seen,excluded.last_seen),container=excluded.container,"
    "title=iif(excluded.severity>severity,excluded.title,title),"
    "description=iif(excluded.severity>severity,excluded.description,description),severity=max(severity,excluded.severity),"
    /* What was open stays open, or a suppressed repeat could hide it; but such a repeat is no news to deliver. */
    "revision=iif(status='open' AND excluded.status='suppressed',revision,excluded.revision),"
    "status=iif(status='open','open',excluded.status),suppressed_by=iif(status='open',NULL,excluded.suppressed_by),"
    "evidence_kept=evidence_kept+(evidence_kept<?20),evidence_dropped=evidence_dropped+(evidence_kept>=?20)"
    " RETURNING number,count,evidence_dropped";

static const char evidence_sql[] =
    "INSERT INTO finding_evidence(finding,time,event_id,exec_id,pid,uid,comm,exe,cmdline,lineage,evidence) VALUES(?,?,?,?,?,?,?,?,?,?,?)";

static const char container_sql[] =
    "INSERT INTO container(id,run,updated,container_id,role,runtime,task_id,task_arn,cluster,task_family,task_revision,service,"
    "container_name,docker_name,image,image_id,upperdir,address,address6,privileged,init_pid,root_dev,mntns,netns,pidns,nsid,started,"
    "ended) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET run=excluded.run,"
    "updated=excluded.updated,container_id=excluded.container_id,role=excluded.role,runtime=excluded.runtime,task_id=excluded.task_id,"
    "task_arn=excluded.task_arn,cluster=excluded.cluster,task_family=excluded.task_family,task_revision=excluded.task_revision,"
    "service=excluded.service,container_name=excluded.container_name,docker_name=excluded.docker_name,image=excluded.image,"
    "image_id=excluded.image_id,upperdir=excluded.upperdir,address=excluded.address,address6=excluded.address6,"
    "privileged=excluded.privileged,init_pid=excluded.init_pid,root_dev=excluded.root_dev,mntns=excluded.mntns,netns=excluded.netns,"
    "pidns=excluded.pidns,nsid=excluded.nsid,started=excluded.started,ended=excluded.ended";

static int prepare_all(struct store *s)
{
    const struct {
        sqlite3_stmt **stmt;
        const char *sql;
    } list[] = {
        { &s->begin, "BEGIN IMMEDIATE" },
        { &s->commit, "COMMIT" },
        { &s->rollback, "ROLLBACK" },
        { &s->finding, finding_sql },
        { &s->evidence, evidence_sql },
        { &s->container, container_sql },
        { &s->health, "INSERT OR REPLACE INTO component_health(component,state,reason,counters,updated) VALUES(?,?,?,?,?)" },
        { &s->rule, "INSERT OR REPLACE INTO rule_status(name,kind,type,severity,state,reason,file,line,tags,evaluations,hits,cost,loaded,updated)"
                    " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)" },
        { &s->old_rules, "DELETE FROM rule_status WHERE loaded<>?" },
        { &s->label, "SELECT coalesce(task_id,''),coalesce(container_name,docker_name,substr(container_id,1,12),'') FROM container WHERE id=?" },
        { &s->page_count, "PRAGMA page_count" },
        { &s->freelist_count, "PRAGMA freelist_count" },
    };
    int rc = SQLITE_OK;
    for (size_t i = 0; i < sizeof list / sizeof list[0] && rc == SQLITE_OK; i++)
        rc = prepare(s, list[i].stmt, list[i].sql);
    for (int kind = EVENT_NONE + 1; kind < EVENT_KIND_MAX && rc == SQLITE_OK; kind++)
        rc = prepare_event(s, (enum event_kind)kind);
    return rc;
}

static void finalize_all(struct store *s)
{
    sqlite3_stmt *stmt;
    while ((stmt = sqlite3_next_stmt(s->db, NULL)))
        sqlite3_finalize(stmt);
}

static int db_connect(struct store *s, const char *path, const struct store_options *options)
{
    int persist = 1;
    int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_busy_timeout(s->db, options->busy_ms ? options->busy_ms : 2000);
    /* Readers without write permission cannot make the log and its index themselves: both stay when we close. */
    return sqlite3_file_control(s->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
}

static int db_configure(struct store *s)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-%d; PRAGMA mmap_size=0;"
             "PRAGMA trusted_schema=OFF; PRAGMA journal_size_limit=%d; PRAGMA max_page_count=%" PRIu64,
             PAGE_BYTES, LIMIT_DB_CACHE_KIB, LIMIT_WAL_FRAMES * PAGE_BYTES, s->max_bytes / PAGE_BYTES);
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

static int64_t newest_event_id(struct store *s)
{
    char sql[128];
    int64_t newest = 0;
    for (int i = 0; i < SCHEMA_FAMILIES; i++) {
        snprintf(sql, sizeof sql, "SELECT coalesce(max(id),0) FROM %s", schema_families[i].table);
        int64_t id = schema_number(s->db, sql, 0);
        newest = id > newest ? id : newest;
    }
    return newest;
}

/* Revisions of a new database start at its creation time in ms: above all those of a lost database before it, so that an uploader's
 * cursor stays right. */
static int begin_run(struct store *s, bool fresh)
{
    char sql[512];
    s->run = schema_number(s->db, "SELECT CAST(value AS INTEGER) FROM meta WHERE key='run'", 0) + 1;
    snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO meta VALUES('run','%" PRId64 "')", s->run);
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (!fresh && schema_errno(rc) == -ENOSPC) {
        log_warn("store", "no room to write to the database: starting all the same");
        rc = SQLITE_OK;
    }
    int64_t now_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_MS);
    if (rc == SQLITE_OK && fresh) {
        snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO meta VALUES('first_revision','%" PRId64 "')", now_ms);
        rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    }
    /* Not below the clock either: the newest finding may have been pruned, or its commit lost with the power. */
    s->revision = schema_number(s->db, "SELECT max(revision) FROM finding", 0);
    s->revision = s->revision > now_ms ? s->revision : now_ms;
    s->newest_id = newest_event_id(s);
    return rc;
}

static void used_bytes_update(struct store *s)
{
    int64_t pages = sqlite3_step(s->page_count) == SQLITE_ROW ? sqlite3_column_int64(s->page_count, 0) : 0;
    int64_t unused = sqlite3_step(s->freelist_count) == SQLITE_ROW ? sqlite3_column_int64(s->freelist_count, 0) : 0;
    sqlite3_reset(s->page_count);
    sqlite3_reset(s->freelist_count);
    s->used_bytes = (uint64_t)(pages - unused) * PAGE_BYTES;
}

static int db_begin(struct store *s, bool fresh)
{
    int rc = db_configure(s);
    if (rc == SQLITE_OK)
        rc = schema_apply(s->db);
    if (rc == SQLITE_OK)
        rc = prepare_all(s);
    if (rc == SQLITE_OK)
        rc = begin_run(s, fresh);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_wal_hook(s->db, count_log_frames, s);
    used_bytes_update(s);
    return SQLITE_OK;
}

/* 0, -EUCLEAN for a damaged file, or another -errno, with the reason in `why`. */
static int try_open(struct store *s, const char *path, const struct store_options *options, char *why, size_t size)
{
    int r = file_create(path);
    if (r < 0) {
        snprintf(why, size, "%s", strerror(-r));
        return r;
    }
    int rc = db_connect(s, path, options);
    if (rc == SQLITE_OK) {
        int fresh = schema_check(s->db, why, size);
        if (fresh < 0)
            return fresh;
        files_share(path);
        rc = db_begin(s, fresh > 0);
    }
    if (rc != SQLITE_OK)
        snprintf(why, size, "%s", s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
    return schema_errno(rc);
}

static void db_disconnect(struct store *s)
{
    finalize_all(s);
    sqlite3_close(s->db);
    s->db = NULL;
}

int store_open(struct store **store, const char *path, const struct store_options *options)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* else each allocation takes a process-wide lock to count itself */
    struct store *s = calloc(1, sizeof *s);
    char why[256] = "";
    if (!s)
        return -ENOMEM;
    s->max_bytes = options->max_bytes ? options->max_bytes : LIMIT_DB_BYTES;
    if (s->max_bytes < LIMIT_DB_BYTES_LEAST)
        s->max_bytes = LIMIT_DB_BYTES_LEAST;
    s->event_ns = (options->max_event_days ? options->max_event_days : LIMIT_EVENT_DAYS) * DAY_NS;
    s->finding_ns = (options->max_finding_days ? options->max_finding_days : LIMIT_FINDING_DAYS) * DAY_NS;
    snprintf(s->host, sizeof s->host, "%s", options->host ? options->host : "");
    int r = try_open(s, path, options, why, sizeof why);
    if (r == -EUCLEAN) {
        db_disconnect(s);
        r = store_set_aside(path, why);
        if (!r)
            r = try_open(s, path, options, why, sizeof why);
    }
    if (r < 0) {
        log_error("store", "cannot open the database %s: %s", path, why);
        store_close(s);
        return r;
    }
    *store = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->db)
        db_disconnect(s);
    free(s);
}

void store_limits(const struct store *s, struct store_limits *limits)
{
    limits->next_event_id = s->newest_id + 1;
    limits->next_container_id = (int32_t)schema_number(s->db, "SELECT coalesce(max(id),0)+1 FROM container", 1);
    limits->revision = s->revision;
}

const char *store_error(const struct store *s)
{
    return sqlite3_errmsg(s->db);
}

uint64_t store_used_bytes(const struct store *s)
{
    return s->used_bytes;
}

uint64_t store_log_bytes(const struct store *s)
{
    return (uint64_t)s->log_frames * PAGE_BYTES;
}

/* ---- transactions ------------------------------------------------------------------------------------------------------ */

/* Runs a statement to its end. */
static int run(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt), reset = sqlite3_reset(stmt);
    return schema_errno(rc == SQLITE_ROW || rc == SQLITE_DONE ? reset : rc);
}

int store_begin(struct store *s)
{
    s->revision_before = s->revision;
    return run(s->begin);
}

void store_rollback(struct store *s)
{
    s->rules_loaded_ns = 0;
    if (!sqlite3_get_autocommit(s->db))
        run(s->rollback);
    s->revision = s->revision_before;
}

/* In WAL mode with synchronous=NORMAL a commit is atomic but not yet on the disk. What must be durable is synced here, which costs only
 * the groups that hold findings. */
int store_sync(struct store *s)
{
    sqlite3_file *log = NULL;
    int rc = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (rc == SQLITE_OK && log && log->pMethods)
        rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
    return schema_errno(rc);
}

int store_checkpoint(struct store *s)
{
    int in_log, done;
    int rc = sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_PASSIVE, &in_log, &done);
    if (rc == SQLITE_OK && in_log == done)
        s->log_frames = 0; /* the next transaction begins at the start of the log, unless a reader is still in it: it will say */
    s->log_frames_checkpointed = s->log_frames;
    return schema_errno(rc);
}

static void checkpoint_when_due(struct store *s)
{
    if (s->log_frames < s->log_frames_checkpointed)
        s->log_frames_checkpointed = 0;
    if (s->log_frames - s->log_frames_checkpointed >= LIMIT_WAL_FRAMES)
        store_checkpoint(s); /* a reader may stop it half-way: tried again LIMIT_WAL_FRAMES pages later */
}

int store_commit(struct store *s)
{
    int r = run(s->commit);
    if (!r) {
        s->revision_before = s->revision;
        checkpoint_when_due(s);
        used_bytes_update(s);
    }
    return r;
}

bool store_usable(const struct store *s, int error)
{
    bool own_fault = error == 0 || error == -EEXIST || error == -EINVAL;
    return own_fault && !sqlite3_get_autocommit(s->db);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------- */

/* Binds text, escaped into the arena unless it is harmless as it is. Texts stay valid until the row is stepped. */
static void bind_escaped(struct store *s, sqlite3_stmt *stmt, int column, const char *data, size_t size)
{
    if (text_is_plain(data, size)) {
        sqlite3_bind_text(stmt, column, data, (int)size, SQLITE_STATIC);
        return;
    }
    struct text_out out;
    text_out_init(&out, s->arena + s->arena_used, sizeof s->arena - s->arena_used);
    text_escape(&out, data, size);
    sqlite3_bind_text(stmt, column, out.buf, (int)out.length, SQLITE_STATIC);
    s->arena_used += out.length + 1;
}

/* inet_ntop(3) goes through printf, which would be a quarter of a flow row. */
static void format_ipv4(char *text, const uint8_t bytes[4])
{
    for (int i = 0; i < 4; i++) {
        unsigned b = bytes[i];
        if (b >= 100)
            *text++ = (char)('0' + b / 100);
        if (b >= 10)
            *text++ = (char)('0' + b / 10 % 10);
        *text++ = (char)('0' + b % 10);
        *text++ = i < 3 ? '.' : 0;
    }
}

static void bind_address(struct store *s, sqlite3_stmt *stmt, int column, const struct address *address)
{
    char *text = s->arena + s->arena_used;
    if (!address->family) {
        sqlite3_bind_text(stmt, column, "", 0, SQLITE_STATIC);
        return;
    }
    if (address->family == 4)
        format_ipv4(text, address->bytes);
    else
        address_format(address, text);
    size_t length = strlen(text);
    sqlite3_bind_text(stmt, column, text, (int)length, SQLITE_STATIC);
    s->arena_used += length + 1;
}

static void bind_field(struct store *s, sqlite3_stmt *stmt, int column, const struct event_field_info *f, const struct event *ev,
                       int64_t wall_offset_ns)
{
    const char *p = (const char *)ev + f->offset;
    switch (f->type) {
    case FIELD_I32:
        sqlite3_bind_int(stmt, column, *(const int32_t *)(const void *)p);
        return;
    case FIELD_U8:
    case FIELD_BOOL:
    case FIELD_ENUM:
        sqlite3_bind_int(stmt, column, *(const uint8_t *)p);
        return;
    case FIELD_U16:
        sqlite3_bind_int(stmt, column, *(const uint16_t *)(const void *)p);
        return;
    case FIELD_U32:
    case FIELD_MODE:
        sqlite3_bind_int64(stmt, column, *(const uint32_t *)(const void *)p);
        return;
    case FIELD_U64:
    case FIELD_WALL:
        sqlite3_bind_int64(stmt, column, (int64_t)*(const uint64_t *)(const void *)p);
        return;
    case FIELD_TIME:
        sqlite3_bind_int64(stmt, column, (int64_t)*(const uint64_t *)(const void *)p + wall_offset_ns);
        return;
    case FIELD_TEXT:
    case FIELD_ARGV: {
        const struct text *t = (const struct text *)(const void *)p;
        bind_escaped(s, stmt, column, event_text(ev, *t), t->len);
        return;
    }
    case FIELD_ADDRESS:
        bind_address(s, stmt, column, (const struct address *)(const void *)p);
        return;
    }
}

int store_event(struct store *s, const struct stamp *stamp, const struct event *ev)
{
    if (ev->kind == EVENT_NONE || ev->kind >= EVENT_KIND_MAX)
        return -EINVAL;
    struct event_insert *insert = &s->events[ev->kind];
    sqlite3_stmt *stmt = insert->stmt;
    s->arena_used = 0;
    sqlite3_bind_int64(stmt, 1, stamp->id);
    sqlite3_bind_int(stmt, 2, ev->kind);
    sqlite3_bind_int64(stmt, 3, (int64_t)ev->time_ns + stamp->wall_offset_ns);
    sqlite3_bind_int64(stmt, 4, stamp->exec_id);
    sqlite3_bind_int64(stmt, 5, stamp->parent_id);
    sqlite3_bind_int(stmt, 6, stamp->container);
    for (int i = 0; i < insert->n; i++) {
        if (event_knows(ev, insert->fields[i]))
            bind_field(s, stmt, FIXED_COLUMNS + 1 + i, &event_fields[insert->fields[i]], ev, stamp->wall_offset_ns);
        else
            sqlite3_bind_null(stmt, FIXED_COLUMNS + 1 + i);
    }
    int r = run(stmt);
    if (!r && stamp->id > s->newest_id)
        s->newest_id = stamp->id;
    return r;
}

static void bind_clean(struct store *s, sqlite3_stmt *stmt, int column, const char *text)
{
    struct text_out out;
    if (!text[0]) {
        sqlite3_bind_null(stmt, column);
        return;
    }
    text_out_init(&out, s->arena + s->arena_used, sizeof s->arena - s->arena_used);
    text_clean(&out, text, strlen(text));
    sqlite3_bind_text(stmt, column, out.buf, (int)out.length, SQLITE_STATIC);
    s->arena_used += out.length + 1;
}

/* 0 stands for unknown in ids and times of our records. */
static void bind_known(sqlite3_stmt *stmt, int column, int64_t value)
{
    if (value)
        sqlite3_bind_int64(stmt, column, value);
    else
        sqlite3_bind_null(stmt, column);
}

static int store_evidence(struct store *s, const struct finding *f, int64_t number)
{
    static const enum finding_text texts[] = { FT_COMM, FT_EXE, FT_CMDLINE, FT_LINEAGE, FT_EVIDENCE };
    sqlite3_stmt *stmt = s->evidence;
    s->arena_used = 0;
    sqlite3_bind_int64(stmt, 1, number);
    sqlite3_bind_int64(stmt, 2, (int64_t)f->wall_ns);
    bind_known(stmt, 3, f->event_id);
    bind_known(stmt, 4, f->exec_id);
    bind_known(stmt, 5, f->pid);
    sqlite3_bind_int64(stmt, 6, f->uid);
    for (int i = 0; i < (int)(sizeof texts / sizeof texts[0]); i++)
        bind_clean(s, stmt, 7 + i, finding_get(f, texts[i]));
    return run(stmt);
}

static void bind_finding(struct store *s, sqlite3_stmt *stmt, const struct finding *f)
{
    s->arena_used = 0;
    sqlite3_bind_text(stmt, 1, f->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, "", 0, SQLITE_STATIC);
    if (finding_get(f, FT_TYPE)[0])
        bind_clean(s, stmt, 2, finding_get(f, FT_TYPE));
    bind_clean(s, stmt, 3, finding_get(f, FT_RULE));
    sqlite3_bind_int(stmt, 4, f->severity);
    bind_clean(s, stmt, 5, finding_get(f, FT_TITLE));
    bind_clean(s, stmt, 6, finding_get(f, FT_DESCRIPTION));
    bind_clean(s, stmt, 7, finding_get(f, FT_ADVICE));
    bind_clean(s, stmt, 8, finding_get(f, FT_MITRE));
    sqlite3_bind_int64(stmt, 9, (int64_t)f->wall_ns);
    sqlite3_bind_text(stmt, 10, s->host, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 11, f->container);
    bind_known(stmt, 12, f->event_id);
    bind_known(stmt, 13, f->exec_id);
    bind_known(stmt, 14, f->pid);
    sqlite3_bind_int64(stmt, 15, f->uid);
    bind_clean(s, stmt, 16, finding_get(f, FT_COMM));
    bind_clean(s, stmt, 17, finding_get(f, FT_EXE));
    bind_clean(s, stmt, 18, finding_get(f, FT_CMDLINE));
    sqlite3_bind_int64(stmt, 19, s->revision + 1);
    sqlite3_bind_int(stmt, 20, LIMIT_EVIDENCE_PER_FINDING);
    if (finding_get(f, FT_SUPPRESSED_BY)[0])
        bind_clean(s, stmt, 21, finding_get(f, FT_SUPPRESSED_BY));
    else
        sqlite3_bind_null(stmt, 21);
}

int store_finding(struct store *s, const struct finding *f, uint64_t *count)
{
    sqlite3_stmt *stmt = s->finding;
    bind_finding(s, stmt, f);
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW) {
        sqlite3_reset(stmt);
        return rc == SQLITE_DONE ? -EINVAL : schema_errno(rc);
    }
    int64_t number = sqlite3_column_int64(stmt, 0);
    bool keep = sqlite3_column_int64(stmt, 2) == 0;
    *count = (uint64_t)sqlite3_column_int64(stmt, 1);
    int r = schema_errno(sqlite3_reset(stmt));
    if (!r && keep)
        r = store_evidence(s, f, number);
    if (!r)
        s->revision++;
    return r;
}

static void bind_optional(struct store *s, sqlite3_stmt *stmt, int column, const char *text)
{
    if (text[0])
        bind_escaped(s, stmt, column, text, strlen(text));
    else
        sqlite3_bind_null(stmt, column);
}

static void bind_optional_address(struct store *s, sqlite3_stmt *stmt, int column, const struct address *address)
{
    if (address->family)
        bind_address(s, stmt, column, address);
    else
        sqlite3_bind_null(stmt, column);
}

int store_container(struct store *s, const struct container_facts *c)
{
    sqlite3_stmt *stmt = s->container;
    const char *const texts[] = { c->runtime, c->task_id, c->task_arn, c->cluster, c->family, c->revision, c->service, c->name,
                                  c->docker_name, c->image, c->image_id, c->upperdir };
    s->arena_used = 0;
    sqlite3_bind_int(stmt, 1, c->id);
    sqlite3_bind_int64(stmt, 2, s->run);
    sqlite3_bind_int64(stmt, 3, (int64_t)clock_ns(CLOCK_REALTIME));
    bind_optional(s, stmt, 4, c->container_id);
    sqlite3_bind_int(stmt, 5, c->role);
    for (int i = 0; i < (int)(sizeof texts / sizeof texts[0]); i++)
        bind_optional(s, stmt, 6 + i, texts[i]);
    bind_optional_address(s, stmt, 18, &c->address);
    bind_optional_address(s, stmt, 19, &c->address6);
    sqlite3_bind_int(stmt, 20, c->privileged);
    bind_known(stmt, 21, c->init_pid);
    bind_known(stmt, 22, (int64_t)c->root_dev);
    bind_known(stmt, 23, (int64_t)c->mntns);
    bind_known(stmt, 24, (int64_t)c->netns);
    bind_known(stmt, 25, (int64_t)c->pidns);
    sqlite3_bind_int(stmt, 26, c->nsid);
    bind_known(stmt, 27, (int64_t)c->started_wall_ns);
    bind_known(stmt, 28, (int64_t)c->ended_wall_ns);
    return run(stmt);
}

int store_health(struct store *s, const struct health *h)
{
    sqlite3_stmt *stmt = s->health;
    s->arena_used = 0;
    bind_escaped(s, stmt, 1, h->component, strnlen(h->component, sizeof h->component));
    bind_escaped(s, stmt, 2, h->state, strnlen(h->state, sizeof h->state));
    bind_clean(s, stmt, 3, h->reason);
    bind_clean(s, stmt, 4, h->counters);
    sqlite3_bind_int64(stmt, 5, (int64_t)h->wall_ns);
    return run(stmt);
}

static void bind_bounded(struct store *s, sqlite3_stmt *stmt, int column, const char *text, size_t size)
{
    bind_escaped(s, stmt, column, text, strnlen(text, size));
}

static int drop_old_rules(struct store *s, uint64_t loaded_wall_ns)
{
    if (s->rules_loaded_ns == loaded_wall_ns)
        return 0;
    sqlite3_bind_int64(s->old_rules, 1, (int64_t)loaded_wall_ns);
    int r = run(s->old_rules);
    if (!r)
        s->rules_loaded_ns = loaded_wall_ns;
    return r;
}

int store_rule(struct store *s, const struct rule_status *rule)
{
    sqlite3_stmt *stmt = s->rule;
    int r = drop_old_rules(s, rule->loaded_wall_ns);
    if (r)
        return r;
    s->arena_used = 0;
    bind_bounded(s, stmt, 1, rule->name, sizeof rule->name);
    bind_bounded(s, stmt, 2, rule->kind, sizeof rule->kind);
    bind_bounded(s, stmt, 3, rule->type, sizeof rule->type);
    sqlite3_bind_int(stmt, 4, rule->severity);
    bind_bounded(s, stmt, 5, rule->state, sizeof rule->state);
    bind_bounded(s, stmt, 6, rule->reason, sizeof rule->reason);
    bind_bounded(s, stmt, 7, rule->file, sizeof rule->file);
    sqlite3_bind_int64(stmt, 8, rule->line);
    bind_bounded(s, stmt, 9, rule->tags, sizeof rule->tags);
    sqlite3_bind_int64(stmt, 10, (int64_t)rule->evaluations);
    sqlite3_bind_int64(stmt, 11, (int64_t)rule->hits);
    sqlite3_bind_int64(stmt, 12, (int64_t)rule->cost_ns);
    sqlite3_bind_int64(stmt, 13, (int64_t)rule->loaded_wall_ns);
    sqlite3_bind_int64(stmt, 14, (int64_t)rule->wall_ns);
    return run(stmt);
}

void store_container_label(struct store *s, int32_t container, char *label, size_t size)
{
    snprintf(label, size, container ? "container %d" : "host", (int)container);
    if (!container)
        return;
    sqlite3_bind_int(s->label, 1, container);
    if (sqlite3_step(s->label) == SQLITE_ROW) {
        const char *task = (const char *)sqlite3_column_text(s->label, 0), *name = (const char *)sqlite3_column_text(s->label, 1);
        if (task && name && (task[0] || name[0]))
            snprintf(label, size, "%s%s%s", task, task[0] ? "/" : "", name);
    }
    sqlite3_reset(s->label);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------------ */

/* Runs `sql` (with integers already in it) and adds the rows it removed. */
static int delete_rows(struct store *s, const char *sql, int *removed)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        *removed += sqlite3_changes(s->db);
    return schema_errno(rc);
}

static int64_t oldest_event(struct store *s, int64_t *time_ns)
{
    char sql[128];
    int64_t oldest = INT64_MAX;
    for (int i = 0; i < SCHEMA_FAMILIES; i++) {
        snprintf(sql, sizeof sql, "SELECT min(id) FROM %s HAVING min(id) IS NOT NULL", schema_families[i].table);
        int64_t id = schema_number(s->db, sql, INT64_MAX);
        if (id >= oldest)
            continue;
        oldest = id;
        snprintf(sql, sizeof sql, "SELECT time FROM %s WHERE id=%" PRId64, schema_families[i].table, id);
        *time_ns = schema_number(s->db, sql, 0);
    }
    return oldest;
}

/* The oldest events with a time before `before_ns`. The very newest row stays: ids must never be given twice. */
static int prune_events(struct store *s, int64_t before_ns, int *removed)
{
    int64_t time_ns = 0, oldest = oldest_event(s, &time_ns);
    int r = 0;
    if (oldest >= s->newest_id || time_ns >= before_ns)
        return 0;
    int64_t last = oldest + LIMIT_PRUNE_ROWS - 1;
    if (last >= s->newest_id)
        last = s->newest_id - 1;
    for (int i = 0; i < SCHEMA_FAMILIES && !r; i++) {
        char sql[160];
        snprintf(sql, sizeof sql, "DELETE FROM %s WHERE id<=%" PRId64 " AND time<%" PRId64, schema_families[i].table, last, before_ns);
        r = delete_rows(s, sql, removed);
    }
    return r;
}

/* The findings that were seen last before `before_ns`, longest ago first, with their evidence. */
static int prune_findings(struct store *s, int64_t before_ns, int *removed)
{
    char sql[256];
    int r = 0;
    for (int i = 0; i < 16 && !r; i++) {
        int none = 0;
        snprintf(sql, sizeof sql, "SELECT number FROM finding WHERE last_seen<%" PRId64 " ORDER BY last_seen LIMIT 1", before_ns);
        int64_t number = schema_number(s->db, sql, 0);
        if (!number)
            return 0;
        snprintf(sql, sizeof sql, "DELETE FROM finding_evidence WHERE finding=%" PRId64, number);
        r = delete_rows(s, sql, &none);
        snprintf(sql, sizeof sql, "DELETE FROM finding WHERE number=%" PRId64, number);
        if (!r)
            r = delete_rows(s, sql, removed);
    }
    return r;
}

/* Containers that ended before the oldest event left, unless a finding names them. The newest row stays, for the ids. */
static int prune_containers(struct store *s, int *removed)
{
    char sql[512];
    int64_t time_ns = 0;
    if (oldest_event(s, &time_ns) == INT64_MAX)
        return 0;
    snprintf(sql, sizeof sql,
             "DELETE FROM container WHERE id IN (SELECT c.id FROM container c WHERE c.id<(SELECT max(id) FROM container) AND"
             " coalesce(c.ended,CASE WHEN c.run<%" PRId64 " THEN c.updated END)<%" PRId64
             " AND NOT EXISTS (SELECT 1 FROM finding f WHERE f.container=c.id) LIMIT 256)", s->run, time_ns);
    return delete_rows(s, sql, removed);
}

static int prune_by_age(struct store *s, uint64_t now_ns, int *removed)
{
    int r = prune_events(s, (int64_t)(now_ns - s->event_ns), removed);
    if (!r)
        r = prune_findings(s, (int64_t)(now_ns - s->finding_ns), removed);
    return r ? r : prune_containers(s, removed);
}

static int prune_by_size(struct store *s, int *removed)
{
    int r = prune_events(s, INT64_MAX, removed);
    return r || *removed ? r : prune_findings(s, INT64_MAX, removed);
}

int store_prune(struct store *s, uint64_t now_wall_ns)
{
    bool full = s->used_bytes > s->max_bytes - s->max_bytes / 8;
    bool age = now_wall_ns - s->age_checked_ns >= AGE_CHECK_NS;
    int removed = 0;
    if (!full && !age)
        return 0;
    int r = store_begin(s);
    if (!r)
        r = full ? prune_by_size(s, &removed) : prune_by_age(s, now_wall_ns, &removed);
    if (!r)
        r = store_commit(s);
    if (r) {
        store_rollback(s);
        return r;
    }
    if (!removed && !full)
        s->age_checked_ns = now_wall_ns;
    return removed > 0;
}
