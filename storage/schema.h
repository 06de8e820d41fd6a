/* The database's tables and views. Event columns are made from event_fields[]; everything else is in schema.c. The views are the
 * contract with users, ecsguard-db(5); the tables are ours and may change with the schema version. Only storage/ includes this. */
#ifndef ECSGUARD_SCHEMA_H
#define ECSGUARD_SCHEMA_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "common/event_fields.h"

#define SCHEMA_APPLICATION_ID 0x45435347 /* "ECSG" */
#define SCHEMA_SQL_BYTES 65536           /* room for any one statement or the views */

/* Events are kept in one table per family, so that a row has only the columns that its kinds can fill. */
struct schema_family {
    const char *table;
    uint32_t kinds; /* bit per event_kind */
};

enum { SCHEMA_FAMILIES = 5 };
extern const struct schema_family schema_families[SCHEMA_FAMILIES];

/* Index in schema_families. */
int schema_family_of(enum event_kind kind);

/* The fields that a row of these kinds can hold, in column order; returns how many. */
int schema_fields_of(uint32_t kinds, enum event_field fields[F_MAX]);

/* The version of this program's schema. */
int schema_version(void);

/* 0 if this is our database and not newer than we are, 1 if it is empty, -EPROTO with the reason in `why` if it is another
 * program's or newer, -EUCLEAN if it is damaged, -EIO and so on as in schema_errno(). */
int schema_check(sqlite3 *db, char *why, size_t size);

/* Creates or migrates everything, in one transaction. An SQLite result code. */
int schema_apply(sqlite3 *db);

/* A negative errno for an SQLite result code: -ENOSPC full, -EBUSY, -EROFS, -EIO, -EUCLEAN damaged, -ENOMEM, -EEXIST constraint, else
 * -EINVAL. 0 for SQLITE_OK, ROW and DONE. */
int schema_errno(int rc);

/* The first column of the first row of a statement, or `missing`. */
int64_t schema_number(sqlite3 *db, const char *sql, int64_t missing);

#endif
