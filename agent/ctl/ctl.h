/* What the commands of ecsguardctl share: where things are, how to print, and rows of the database as JSON objects. */
#ifndef ECSGUARD_CTL_H
#define ECSGUARD_CTL_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/ctl/terminal.h"
#include "common/config.h"
#include "common/text.h"

/* Exit codes; 1 of `status` means degraded, 3 not running, so that it serves as a health check. */
enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2, CTL_NOT_RUNNING = 3 };

struct query;

struct ctl {
    const char *config_path;
    const char *db_path;
    struct config *config;
    bool json;
    struct terminal term;
    uint64_t now_wall_ns;
    struct query *db;
};

struct ctl_command {
    const char *name;
    int (*run)(struct ctl *ctl, int argc, char **argv);
    const char *summary;
    const char *usage; /* after the program's name */
    const char *help;  /* the options, one a line */
};

extern const struct ctl_command ctl_commands[];
const struct ctl_command *ctl_command_find(const char *name);

int ctl_status(struct ctl *ctl, int argc, char **argv);
int ctl_findings(struct ctl *ctl, int argc, char **argv);
int ctl_events(struct ctl *ctl, int argc, char **argv);
int ctl_flows(struct ctl *ctl, int argc, char **argv);
int ctl_dns(struct ctl *ctl, int argc, char **argv);
int ctl_containers(struct ctl *ctl, int argc, char **argv);
int ctl_replay(struct ctl *ctl, int argc, char **argv);
int ctl_rules(struct ctl *ctl, int argc, char **argv);
int ctl_intel(struct ctl *ctl, int argc, char **argv);
int ctl_config(struct ctl *ctl, int argc, char **argv);

/* Options that every command takes; their values are below the commands' own characters. */
#define CTL_OPTIONS                                                                                                    \
    { "json", no_argument, NULL, 1 }, { "db", required_argument, NULL, 2 }, { "config", required_argument, NULL, 3 },  \
        { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 4 }

/* getopt_long() for a command: handles CTL_OPTIONS itself. Returns the command's option character, -1 at the end, or CTL_DONE with
 * *status set: print nothing more and return it. */
enum { CTL_DONE = -2 };
int ctl_getopt(struct ctl *ctl, const char *command, int argc, char **argv, const struct option *options, int *status);

/* One line on standard error, and where the help is. Returns CTL_USAGE. */
__attribute__((format(printf, 2, 3))) int ctl_misuse(const char *command, const char *format, ...);
__attribute__((format(printf, 1, 2))) void ctl_complain(const char *format, ...);

/* Fills ctl->config; says what is wrong with the file. 0 or CTL_FAILED. */
int ctl_config_load(struct ctl *ctl);

/* "90s", "15m", "24h", "7d" (ago), "2026-11-22", "2026-11-22T10:00[:00[.123]][Z]", "now" as nanoseconds since 1970. 0 or -EINVAL. */
int ctl_time(const char *text, uint64_t now_wall_ns, uint64_t *wall_ns);

/* Prints an object as one line (rows in --json are JSON Lines) or, with `pretty`, indented. */
void ctl_print_json(const struct ctl *ctl, const json_t *object, bool pretty);

/* The text, number or JSON of a row's column as text to show; "" when it is NULL. The result of a number lives in `number`. */
const char *row_text(const json_t *row, const char *column, char number[24]);
/* The text of a column; "" when it is NULL or none. */
const char *row_string(const json_t *row, const char *column);
int64_t row_number(const json_t *row, const char *column);
/* An ISO time column as nanoseconds; 0 when NULL. */
uint64_t row_time(const json_t *row, const char *column);

/* ---- the database (database.c) -------------------------------------------------------------------------------------- */

/* Opens ctl->db_path read-only; says what is wrong in one sentence. 0 or CTL_FAILED. */
int ctl_db_open(struct ctl *ctl);
/* The same for what is only an addition: without a word when there is none. */
bool ctl_db_try(struct ctl *ctl);
void ctl_db_close(struct ctl *ctl);
/* Says what -errno of a query means for the user. */
void ctl_db_complain(const struct ctl *ctl, int error);

/* A statement that is being put together: text, and its parameters in order. */
struct sql {
    struct text_out text;
    char buf[8192];
    json_t *params; /* array of texts and integers */
};

void sql_init(struct sql *sql, const char *text);
void sql_fini(struct sql *sql);
__attribute__((format(printf, 2, 3))) void sql_add(struct sql *sql, const char *format, ...);
void sql_bind_text(struct sql *sql, const char *value);
void sql_bind_number(struct sql *sql, int64_t value);

/* Runs it; `row` is an object by column names, borrowed for the call; returning non-zero ends early. Complains itself. 0 or CTL_FAILED. */
int ctl_db_each(struct ctl *ctl, const struct sql *sql, int (*each)(json_t *row, void *arg), void *arg);
/* All rows as a new array, or NULL after a complaint. */
json_t *ctl_db_rows(struct ctl *ctl, const struct sql *sql);

#endif
