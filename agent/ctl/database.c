/* Rows of the database as JSON objects: what is printed for programs and what the views for people are made from. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ctl/ctl.h"
#include "storage/query.h"

#define SQL_PARAMS_MAX 16

int ctl_config_load(struct ctl *ctl)
{
    char error[1024];
    struct text_out out;
    text_out_init(&out, error, sizeof error);
    if (!config_load(ctl->config, ctl->config_path, &out))
        return CTL_OK;
    ctl_complain("%s", error);
    return CTL_FAILED;
}

static int find_database(struct ctl *ctl)
{
    if (!ctl->db_path && ctl_config_load(ctl))
        return CTL_FAILED;
    if (!ctl->db_path)
        ctl->db_path = ctl->config->storage.path;
    return CTL_OK;
}

bool ctl_db_try(struct ctl *ctl)
{
    char why[512] = "";
    if (!ctl->db && (find_database(ctl) || query_open(&ctl->db, ctl->db_path, why, sizeof why)))
        ctl->db = NULL;
    return ctl->db != NULL;
}

int ctl_db_open(struct ctl *ctl)
{
    char why[512] = "";
    if (ctl->db)
        return CTL_OK;
    if (find_database(ctl))
        return CTL_FAILED;
    int result = query_open(&ctl->db, ctl->db_path, why, sizeof why);
    if (!result)
        return CTL_OK;
    ctl->db = NULL;
    if (result == -ENOENT)
        ctl_complain("no database at %s: the agent has not run here yet, or --db names the wrong file", ctl->db_path);
    else if (result == -EACCES && geteuid())
        ctl_complain("may not read %s: become root or a member of the group that owns it", ctl->db_path);
    else
        ctl_complain("cannot read %s: %s", ctl->db_path, why);
    return CTL_FAILED;
}

void ctl_db_close(struct ctl *ctl)
{
    if (ctl->db)
        query_close(ctl->db);
    ctl->db = NULL;
}

void sql_init(struct sql *sql, const char *text)
{
    text_out_init(&sql->text, sql->buf, sizeof sql->buf);
    text_out_printf(&sql->text, "%s", text);
    sql->params = json_array();
}

void sql_fini(struct sql *sql)
{
    json_decref(sql->params);
}

void sql_add(struct sql *sql, const char *format, ...)
{
    char piece[512];
    va_list args;
    va_start(args, format);
    vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    text_out_printf(&sql->text, "%s", piece);
}

/* A text that is no UTF-8 (from the command line) equals nothing in the database: an empty one does as well. */
void sql_bind_text(struct sql *sql, const char *value)
{
    json_t *text = json_string(value);
    json_array_append_new(sql->params, text ? text : json_string(""));
}

void sql_bind_number(struct sql *sql, int64_t value)
{
    json_array_append_new(sql->params, json_integer(value));
}

static bool column_is_json(const char *name)
{
    return !strcmp(name, "lineage") || !strcmp(name, "evidence") || !strcmp(name, "counters");
}

static json_t *value_of(const struct query_row *row, int column)
{
    const char *text;
    char *safe;
    json_t *value;
    if (query_is_null(row, column))
        return json_null();
    if (query_is_number(row, column))
        return json_integer(query_number(row, column));
    text = query_text(row, column);
    value = column_is_json(query_name(row, column)) ? json_loads(text, 0, NULL) : NULL;
    if (value)
        return value;
    safe = malloc(4 * strlen(text) + 1);
    if (!safe)
        return json_null();
    terminal_safe(safe, 4 * strlen(text) + 1, text);
    value = json_string(safe);
    free(safe);
    return value ? value : json_null();
}

struct each {
    int (*each)(json_t *row, void *arg);
    void *arg;
};

static int each_row(void *arg, const struct query_row *row)
{
    const struct each *e = arg;
    json_t *object = json_object();
    if (!object)
        return -ENOMEM;
    for (int i = 0; i < row->n_columns; i++)
        json_object_set_new(object, query_name(row, i), value_of(row, i));
    int stop = e->each(object, e->arg);
    json_decref(object);
    return stop ? 1 : 0;
}

int ctl_db_each(struct ctl *ctl, const struct sql *sql, int (*each)(json_t *row, void *arg), void *arg)
{
    struct query_value values[SQL_PARAMS_MAX];
    struct each e = { each, arg };
    int n = (int)json_array_size(sql->params);
    if (n > SQL_PARAMS_MAX || sql->text.cut) {
        ctl_complain("too many conditions");
        return CTL_FAILED;
    }
    for (int i = 0; i < n; i++) {
        const json_t *value = json_array_get(sql->params, (size_t)i);
        values[i] = (struct query_value){ json_string_value(value), (int64_t)json_integer_value(value) };
    }
    int result = query_rows(ctl->db, sql->buf, values, n, each_row, &e);
    if (result >= 0)
        return CTL_OK;
    ctl_db_complain(ctl, result);
    return CTL_FAILED;
}

void ctl_db_complain(const struct ctl *ctl, int error)
{
    switch (-error) {
    case EBUSY:
        ctl_complain("%s is locked by another program: try again", ctl->db_path);
        break;
    case EUCLEAN:
        ctl_complain("%s is damaged (%s); the agent sets it aside and begins a new one when it next starts", ctl->db_path, query_error(ctl->db));
        break;
    case ENOMEM:
        ctl_complain("not enough memory");
        break;
    default:
        ctl_complain("cannot read %s: %s", ctl->db_path, query_error(ctl->db));
    }
}

static int row_append(json_t *row, void *arg)
{
    return json_array_append(arg, row);
}

json_t *ctl_db_rows(struct ctl *ctl, const struct sql *sql)
{
    json_t *rows = json_array();
    if (!rows || !ctl_db_each(ctl, sql, row_append, rows))
        return rows;
    json_decref(rows);
    return NULL;
}
