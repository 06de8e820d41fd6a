/* The options that `findings` and `events` have in common, as conditions of SQL. */
#ifndef ECSGUARD_CTL_FILTER_H
#define ECSGUARD_CTL_FILTER_H

#include "agent/ctl/ctl.h"

enum filter_status { FILTER_STATUS_NOT_SUPPRESSED, FILTER_STATUS_SUPPRESSED, FILTER_STATUS_ALL };

struct filter {
    uint64_t since_ns, until_ns; /* 0 = not given */
    uint32_t severity_bits, kind_bits; /* bit per severity, per event_kind; 0 = all */
    const char *type, *task, *container;
    int64_t pid;    /* -1 = any */
    int64_t limit;  /* -1 = not given, 0 = all */
    bool follow;
    enum filter_status status; /* of findings */
};

#define FILTER_OPTIONS                                                                                              \
    { "since", required_argument, NULL, 's' }, { "task", required_argument, NULL, 't' },                            \
        { "container", required_argument, NULL, 'c' }, { "limit", required_argument, NULL, 'n' }, { "follow", no_argument, NULL, 'f' }

void filter_init(struct filter *f);
/* One option of FILTER_OPTIONS or of the command's own: 'u'ntil, 'p'id, 'S'everity, 'T'ype, 'k'ind, 'x' suppressed only, 'a'll. 0, or CTL_USAGE after a complaint. */
int filter_option(struct filter *f, const struct ctl *ctl, const char *command, int option, const char *value);

/* " AND task ..." for views that carry the identity columns. */
void filter_add_place(const struct filter *f, struct sql *sql);
/* " AND severity IN (...)". */
void filter_add_severity(const struct filter *f, struct sql *sql);

/* Adds " AND column GLOB 'prefix*'"; special characters of GLOB in the prefix stand for themselves. */
void filter_add_prefix(struct sql *sql, const char *column, const char *prefix);

#endif
