/* What the subcommands of `ecsguardctl rules` share. */
#ifndef ECSGUARD_CTL_RULES_H
#define ECSGUARD_CTL_RULES_H

#include "agent/ctl/ctl.h"
#include "agent/ctl/rule_loading.h"
#include "agent/detect/detector.h"
#include "agent/rule_status.h"

struct rules_request {
    struct rule_paths paths;   /* --rules, and files as arguments */
    const char *name;          /* explain */
    const char *tag, *type;    /* list */
    const char *events;        /* test */
    uint64_t since_ns, until_ns; /* backtest: wall time, 0 = no bound */
    bool installed;            /* the configured rules first */
    bool verbose;
    bool scd;                  /* catalogue: as the source of a manual page */
};

int rules_check(struct ctl *ctl, const struct rules_request *request);
int rules_list(struct ctl *ctl, const struct rules_request *request);
int rules_explain(struct ctl *ctl, const struct rules_request *request);
int rules_fields(struct ctl *ctl, const struct rules_request *request);
int rules_test(struct ctl *ctl, const struct rules_request *request);
int rules_backtest(struct ctl *ctl, const struct rules_request *request);
int rules_catalogue(struct ctl *ctl, const struct rules_request *request);

/* What decides whether a rule is armed here. */
struct rules_host {
    unsigned filled; /* FILL_* of the sensors that are on, as the agent last reported; else as the configuration has them */
    bool reported;
    enum rule_priority priority_max; /* of the configured rules */
};

/* CTL_OK, or CTL_FAILED when the configuration cannot be read. */
int rules_host_read(struct ctl *ctl, const struct rules_request *request, struct rules_host *host);

/* What is known about a rule or detector, in the columns of the view `rules`; new objects. */
json_t *rules_row(struct ctl *ctl, const struct rule *rule, const struct rules_host *host);
json_t *rules_detector_row(struct ctl *ctl, const struct detector *detector, const struct rules_host *host);

/* Adds description, condition, limits and advice. A rule's description ends with its limits, as "Limits: ...". */
void rules_describe(json_t *row, const struct rule *rule);
void detectors_describe(json_t *row, const struct detector *detector);
/* Blanks and line breaks outside of quotes as one blank; malloc'ed, NULL on lack of memory. */
char *rules_one_line(const char *text);

#endif
