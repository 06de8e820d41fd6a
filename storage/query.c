#include "storage/query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/text.h"
#include "storage/schema.h"

enum { FIXED_COLUMNS = 6 };

struct query {
    sqlite3 *db;
    char bytes[LIMIT_EVENT_TEXT_BYTES + 1]; /* a text being unescaped */
    union event_buffer buffer;              /* the event being given to a callback */
};

static bool network_parse(const char *text, struct address *a, unsigned *bits)
{
    char address[46];
    size_t n = strcspn(text, "/");
    uint64_t length;
    if (n >= sizeof address || !text_copy(address, sizeof address, text, n) || address_parse(address, a))
        return false;
    *bits = a->family == 6 ? 128 : 32;
    if (!text[n])
        return true;
    if (text_to_u64(text + n + 1, strlen(text + n + 1), &length) || length > *bits)
        return false;
    *bits = (unsigned)length;
    return true;
}

/* in_network(address, network): is the address in "10.0.0.0/8"? NULL for what is no address or network. */
static void in_network(sqlite3_context *context, int n_values, sqlite3_value **values)
{
    const char *text = (const char *)sqlite3_value_text(values[0]), *of = (const char *)sqlite3_value_text(values[1]);
    struct address a, network;
    unsigned bits;
    (void)n_values;
    if (!text || !of || address_parse(text, &a) || !network_parse(of, &network, &bits))
        return;
    bool inside = a.family == network.family && !memcmp(a.bytes, network.bytes, bits / 8);
    if (inside && bits % 8)
        inside = !((a.bytes[bits / 8] ^ network.bytes[bits / 8]) >> (8 - bits % 8));
    sqlite3_result_int(context, inside);
}

int query_open(struct query **query, const char *path, char *why, size_t size)
{
    if (access(path, R_OK) < 0) {
        int r = -errno;
        snprintf(why, size, "cannot read the database %s: %s", path, strerror(-r));
        return r;
    }
    struct query *q = malloc(sizeof *q);
    char reason[256];
    if (!q)
        return -ENOMEM;
    int rc = sqlite3_open_v2(path, &q->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    int r = schema_errno(rc);
    snprintf(reason, sizeof reason, "%s", sqlite3_errstr(rc));
    if (!r) {
        sqlite3_busy_timeout(q->db, 2000);
        r = schema_check(q->db, reason, sizeof reason);
        if (r > 0) {
            snprintf(reason, sizeof reason, "it is empty: the agent has not run yet");
            r = -ENOENT;
        }
    }
    if (r < 0) {
        snprintf(why, size, "cannot read the database %s: %s", path, reason);
        query_close(q);
        return r;
    }
    sqlite3_create_function_v2(q->db, "in_network", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, in_network, NULL, NULL, NULL);
    sqlite3_exec(q->db, "PRAGMA cache_size=-2048; PRAGMA trusted_schema=OFF", NULL, NULL, NULL);
    *query = q;
    return 0;
}

void query_close(struct query *q)
{
    if (!q)
        return;
    sqlite3_close(q->db);
    free(q);
}

const char *query_error(const struct query *q)
{
    return sqlite3_errmsg(q->db);
}

const char *query_name(const struct query_row *row, int column)
{
    return sqlite3_column_name(row->stmt, column);
}

bool query_is_null(const struct query_row *row, int column)
{
    return sqlite3_column_type(row->stmt, column) == SQLITE_NULL;
}

bool query_is_number(const struct query_row *row, int column)
{
    return sqlite3_column_type(row->stmt, column) == SQLITE_INTEGER;
}

const char *query_text(const struct query_row *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row->stmt, column);
    return text ? text : "";
}

int64_t query_number(const struct query_row *row, int column)
{
    return sqlite3_column_int64(row->stmt, column);
}

int query_column(const struct query_row *row, const char *name)
{
    for (int i = 0; i < row->n_columns; i++)
        if (!strcmp(sqlite3_column_name(row->stmt, i), name))
            return i;
    return -1;
}

static void bind_values(sqlite3_stmt *stmt, const struct query_value *values, int n)
{
    for (int i = 0; i < n; i++) {
        if (values[i].text)
            sqlite3_bind_text(stmt, i + 1, values[i].text, -1, SQLITE_STATIC);
        else
            sqlite3_bind_int64(stmt, i + 1, values[i].number);
    }
}

int query_rows(struct query *q, const char *sql, const struct query_value *values, int n_values, query_row_fn *row, void *arg)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(q->db, sql, -1, &stmt, NULL), r = 0;
    if (rc != SQLITE_OK)
        return schema_errno(rc);
    bind_values(stmt, values, n_values);
    struct query_row current = { stmt, sqlite3_column_count(stmt) };
    while (!r && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        r = row(arg, &current);
    sqlite3_finalize(stmt);
    return r ? r : schema_errno(rc);
}

int query_findings_since(struct query *q, int64_t revision, int limit, query_row_fn *row, void *arg)
{
    const struct query_value values[] = { { NULL, revision }, { NULL, limit } };
    return query_rows(q, "SELECT * FROM findings WHERE revision > ?1 AND status <> 'suppressed' ORDER BY revision LIMIT ?2", values, 2, row, arg);
}

int query_health(struct query *q, query_row_fn *row, void *arg)
{
    return query_rows(q, "SELECT * FROM health ORDER BY component", NULL, 0, row, arg);
}

int query_containers(struct query *q, query_row_fn *row, void *arg)
{
    return query_rows(q, "SELECT * FROM containers ORDER BY id", NULL, 0, row, arg);
}

/* ---- events: one statement per family, merged by id --------------------------------------------------------------------- */

struct family_cursor {
    sqlite3_stmt *stmt;
    int n;
    enum event_field fields[F_MAX];
    int64_t id; /* of the row it stands on; INT64_MAX at the end */
};

/* The first id whose time is not before `wall_ns`. Ids grow with time, so this needs no index on time. */
static int64_t first_id_since(struct query *q, const char *table, uint64_t wall_ns)
{
    char sql[160];
    sqlite3_stmt *stmt;
    snprintf(sql, sizeof sql, "SELECT coalesce(max(id),0)+1 FROM %s", table);
    int64_t low = 0, high = schema_number(q->db, sql, 1);
    snprintf(sql, sizeof sql, "SELECT id, time FROM %s WHERE id >= ? ORDER BY id LIMIT 1", table);
    if (sqlite3_prepare_v2(q->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return 0;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        sqlite3_bind_int64(stmt, 1, middle);
        bool later = sqlite3_step(stmt) != SQLITE_ROW || (uint64_t)sqlite3_column_int64(stmt, 1) >= wall_ns;
        if (later)
            high = middle;
        else
            low = sqlite3_column_int64(stmt, 0) + 1;
        sqlite3_reset(stmt);
    }
    sqlite3_finalize(stmt);
    return low;
}

static void put_conditions(struct text_out *sql, struct query *q, const struct query_events_filter *f, const struct schema_family *family)
{
    int64_t first = f->since_ns ? first_id_since(q, family->table, f->since_ns) : 0;
    if (first <= f->after_id)
        first = f->after_id + 1;
    text_out_printf(sql, " WHERE id>=%lld", (long long)first);
    if (f->until_ns)
        text_out_printf(sql, " AND id<%lld", (long long)first_id_since(q, family->table, f->until_ns));
    if (f->kinds && (family->kinds & ~f->kinds)) {
        const char *separator = "";
        text_out_printf(sql, " AND kind IN (");
        for (int kind = 1; kind < EVENT_KIND_MAX; kind++) {
            if (!((f->kinds & family->kinds) >> kind & 1))
                continue;
            text_out_printf(sql, "%s%d", separator, kind);
            separator = ",";
        }
        text_out_printf(sql, ")");
    }
    if (f->pid)
        text_out_printf(sql, " AND pid=%d", (int)f->pid);
    if (f->container)
        text_out_printf(sql, " AND container IN (SELECT id FROM container WHERE container_name=?1 OR docker_name=?1 OR task_id=?1"
                             " OR (length(?1)>=8 AND substr(container_id,1,length(?1))=?1))");
}

static int cursor_open(struct query *q, struct family_cursor *c, const struct schema_family *family, const struct query_events_filter *f,
                       bool ids_only)
{
    char sql[8192];
    struct text_out out;
    c->id = INT64_MAX;
    c->n = ids_only ? 0 : schema_fields_of(family->kinds, c->fields);
    text_out_init(&out, sql, sizeof sql);
    text_out_printf(&out, ids_only ? "SELECT id" : "SELECT id,kind,time,exec_id,parent_id,container");
    for (int i = 0; i < c->n; i++)
        text_out_printf(&out, ",\"%s\"", event_fields[c->fields[i]].name);
    text_out_printf(&out, " FROM %s", family->table);
    put_conditions(&out, q, f, family);
    text_out_printf(&out, ids_only ? " ORDER BY id DESC" : " ORDER BY id");
    int rc = sqlite3_prepare_v2(q->db, sql, -1, &c->stmt, NULL);
    if (rc == SQLITE_OK && f->container)
        sqlite3_bind_text(c->stmt, 1, f->container, -1, SQLITE_STATIC);
    return rc;
}

static int cursor_step(struct family_cursor *c, int64_t at_end)
{
    int rc = sqlite3_step(c->stmt);
    c->id = rc == SQLITE_ROW ? sqlite3_column_int64(c->stmt, 0) : at_end;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int cursors_open(struct query *q, struct family_cursor cursors[SCHEMA_FAMILIES], const struct query_events_filter *f, bool ids_only)
{
    int rc = SQLITE_OK;
    for (int i = 0; i < SCHEMA_FAMILIES; i++) {
        cursors[i].stmt = NULL;
        cursors[i].id = ids_only ? 0 : INT64_MAX;
        if (rc != SQLITE_OK || (f->kinds && !(f->kinds & schema_families[i].kinds)))
            continue;
        rc = cursor_open(q, &cursors[i], &schema_families[i], f, ids_only);
        if (rc == SQLITE_OK)
            rc = cursor_step(&cursors[i], ids_only ? 0 : INT64_MAX);
    }
    return rc;
}

static void cursors_close(struct family_cursor cursors[SCHEMA_FAMILIES])
{
    for (int i = 0; i < SCHEMA_FAMILIES; i++)
        sqlite3_finalize(cursors[i].stmt);
}

static struct family_cursor *cursors_first(struct family_cursor cursors[SCHEMA_FAMILIES])
{
    struct family_cursor *first = &cursors[0];
    for (int i = 1; i < SCHEMA_FAMILIES; i++)
        if (cursors[i].id < first->id)
            first = &cursors[i];
    return first;
}

static struct family_cursor *cursors_last(struct family_cursor cursors[SCHEMA_FAMILIES])
{
    struct family_cursor *last = &cursors[0];
    for (int i = 1; i < SCHEMA_FAMILIES; i++)
        if (cursors[i].id > last->id)
            last = &cursors[i];
    return last;
}

/* Narrows the filter to the newest `limit` of its events. */
static int filter_to_newest(struct query *q, struct query_events_filter *f)
{
    struct family_cursor *cursors = calloc(SCHEMA_FAMILIES, sizeof *cursors);
    if (!cursors)
        return -ENOMEM;
    int64_t id = INT64_MAX;
    int rc = cursors_open(q, cursors, f, true);
    for (int64_t left = f->limit; rc == SQLITE_OK && left > 0; left--) {
        struct family_cursor *last = cursors_last(cursors);
        if (last->id == 0)
            break;
        id = last->id;
        rc = cursor_step(last, 0);
    }
    if (id != INT64_MAX)
        f->after_id = id - 1;
    cursors_close(cursors);
    free(cursors);
    return schema_errno(rc);
}

static void set_text(struct query *q, struct event *ev, enum event_field field, sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    int n = text ? text_unescape(text, (size_t)sqlite3_column_bytes(stmt, column), q->bytes, sizeof q->bytes) : -EINVAL;
    if (n >= 0)
        event_set_text(ev, field, q->bytes, (size_t)n);
}

static void set_field(struct query *q, struct event *ev, enum event_field field, sqlite3_stmt *stmt, int column)
{
    const struct event_field_info *f = &event_fields[field];
    char *p = (char *)ev + f->offset;
    int64_t value = sqlite3_column_int64(stmt, column);
    switch (f->type) {
    case FIELD_I32:
    case FIELD_U32:
    case FIELD_MODE:
        memcpy(p, &(uint32_t){ (uint32_t)value }, 4);
        break;
    case FIELD_U8:
    case FIELD_BOOL:
    case FIELD_ENUM:
        *(uint8_t *)p = (uint8_t)value;
        break;
    case FIELD_U16:
        memcpy(p, &(uint16_t){ (uint16_t)value }, 2);
        break;
    case FIELD_U64:
    case FIELD_WALL:
    case FIELD_TIME:
        memcpy(p, &value, 8);
        break;
    case FIELD_TEXT:
    case FIELD_ARGV:
        set_text(q, ev, field, stmt, column);
        return;
    case FIELD_ADDRESS:
        if (sqlite3_column_bytes(stmt, column))
            address_parse((const char *)sqlite3_column_text(stmt, column), (struct address *)(void *)p);
        break;
    }
    event_know(ev, field);
}

static void read_event(struct query *q, const struct family_cursor *c, struct stamp *stamp)
{
    struct event *ev = &q->buffer.event;
    *stamp = (struct stamp){ .id = c->id,
                             .exec_id = sqlite3_column_int64(c->stmt, 3),
                             .parent_id = sqlite3_column_int64(c->stmt, 4),
                             .container = sqlite3_column_int(c->stmt, 5) };
    event_init(ev, (enum event_kind)sqlite3_column_int(c->stmt, 1), 0, (uint64_t)sqlite3_column_int64(c->stmt, 2));
    for (int i = 0; i < c->n; i++)
        if (sqlite3_column_type(c->stmt, FIXED_COLUMNS + i) != SQLITE_NULL)
            set_field(q, ev, c->fields[i], c->stmt, FIXED_COLUMNS + i);
}

static int give_events(struct query *q, const struct query_events_filter *f, query_event_fn *event, void *arg)
{
    struct family_cursor *cursors = calloc(SCHEMA_FAMILIES, sizeof *cursors);
    if (!cursors)
        return -ENOMEM;
    int rc = cursors_open(q, cursors, f, false), r = 0;
    for (int64_t n = 0; rc == SQLITE_OK && !r && (!f->limit || n < f->limit); n++) {
        struct family_cursor *first = cursors_first(cursors);
        struct stamp stamp;
        if (first->id == INT64_MAX)
            break;
        read_event(q, first, &stamp);
        r = event(arg, &stamp, &q->buffer.event);
        rc = cursor_step(first, INT64_MAX);
    }
    cursors_close(cursors);
    free(cursors);
    return r ? r : schema_errno(rc);
}

int query_events(struct query *q, const struct query_events_filter *filter, query_event_fn *event, void *arg)
{
    struct query_events_filter narrowed = *filter;
    /* One snapshot for all statements, or an event could fall between them. */
    int rc = sqlite3_exec(q->db, "BEGIN", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return schema_errno(rc);
    int r = filter->newest && filter->limit ? filter_to_newest(q, &narrowed) : 0;
    if (!r)
        r = give_events(q, &narrowed, event, arg);
    sqlite3_exec(q->db, "COMMIT", NULL, NULL, NULL);
    return r;
}
