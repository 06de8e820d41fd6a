#include "agent/rule_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/rules_detector.h"
#include "agent/rule_status.h"
#include "common/clock.h"

#define ROWS_AT_ONCE 64
#define COUNTS_NS (300 * NS_PER_SECOND) /* mere evaluations are told this often, hits at once */

static uint32_t count_detectors(void)
{
    uint32_t n = 0;
    while (detectors[n])
        n++;
    return n;
}

void rule_report_begin(struct rule_report *report, const struct rules *rules, uint64_t wall_ns)
{
    rule_report_fini(report);
    uint32_t n = count_detectors() + (rules ? rules->set->n_rules : 0);
    report->written = calloc(n + 1, sizeof *report->written);
    report->n = report->written ? n : 0;
    report->rules = rules;
    report->loaded_wall_ns = wall_ns;
}

void rule_report_fini(struct rule_report *report)
{
    free(report->written);
    *report = (struct rule_report){ 0 };
}

/* Sequences lend their own name to the detector's findings: the type tells as well. */
void rule_report_finding(struct rule_report *report, const struct finding *finding)
{
    const char *name = finding_get(finding, FT_RULE), *type = finding_get(finding, FT_TYPE);
    for (uint32_t i = 0; report->n && detectors[i]; i++)
        if (!strcmp(detectors[i]->rule, name) || (detectors[i]->signal && !detectors[i]->event && !strcmp(detectors[i]->type, type)))
            report->written[i].made++;
}

static struct rule_counters counters_of(const struct rule_report *report, uint32_t row)
{
    uint32_t n = count_detectors();
    return row < n ? (struct rule_counters){ .n_hits = report->written[row].made } : *program_counters(report->rules->program, row - n);
}

static int write_row(const struct rule_report *report, struct writer *writer, uint32_t row, const struct rule_counters *c, uint64_t wall_ns)
{
    struct rule_status status;
    uint32_t n = count_detectors();
    if (row < n)
        detector_status_of(detectors[row], report->filled, &status);
    else
        rule_status_of(&report->rules->set->rules[row - n], report->filled, report->rules->priority_max, &status);
    status.evaluations = c->n_evaluations;
    status.hits = c->n_hits;
    status.cost_ns = c->ns;
    status.loaded_wall_ns = report->loaded_wall_ns;
    status.wall_ns = wall_ns;
    return writer_put_rule(writer, &status);
}

static bool is_due(const struct rule_written *w, const struct rule_counters *c, bool hits_only, uint64_t wall_ns)
{
    if (hits_only)
        return c->n_hits != w->hits;
    return !w->wall_ns || (c->n_evaluations != w->evaluations && wall_ns > w->wall_ns + COUNTS_NS);
}

/* At most `max` rows; returns how many, or -EAGAIN when the writer has no room. */
static int report_rows(struct rule_report *report, struct writer *writer, bool hits_only, int max, uint64_t wall_ns)
{
    int rows = 0;
    for (uint32_t looked = 0; looked < report->n && rows < max; looked++) {
        uint32_t row = report->next;
        struct rule_counters c = counters_of(report, row);
        struct rule_written *w = &report->written[row];
        if (is_due(w, &c, hits_only, wall_ns)) {
            if (write_row(report, writer, row, &c, wall_ns))
                return -EAGAIN;
            w->evaluations = c.n_evaluations;
            w->hits = c.n_hits;
            w->wall_ns = wall_ns;
            rows++;
        }
        report->next = row + 1 < report->n ? row + 1 : 0;
    }
    return rows;
}

void rule_report_some(struct rule_report *report, struct writer *writer, unsigned filled, uint64_t wall_ns)
{
    for (uint32_t i = 0; filled != report->filled && i < report->n; i++)
        report->written[i].wall_ns = 0;
    report->filled = filled;
    int rows = report_rows(report, writer, true, ROWS_AT_ONCE, wall_ns);
    if (rows >= 0)
        report_rows(report, writer, false, ROWS_AT_ONCE - rows, wall_ns);
}
