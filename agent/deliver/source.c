#include "agent/deliver/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/hash.h"
#include "storage/query.h"

static int take_identity(void *arg, const struct query_row *row)
{
    char line[64];
    int n = snprintf(line, sizeof line, "ecsguard database %.32s", query_text(row, 0));
    hash_hex(line, (size_t)n, arg);
    return 0;
}

static int open_failed(struct source *source, int error, const char *sentence, char *why, size_t size)
{
    if (sentence)
        snprintf(why, size, "%s", sentence);
    source_close(source);
    return error;
}

int source_open(struct source *source, const char *path, char *why, size_t size)
{
    struct stat st;
    *source = (struct source){ 0 };
    snprintf(source->path, sizeof source->path, "%s", path);
    if (stat(path, &st) < 0) {
        int error = -errno;
        snprintf(why, size, "%s", strerror(errno));
        return error;
    }
    source->dev = st.st_dev;
    source->ino = st.st_ino;
    source->texts = malloc(LIMIT_DELIVERY_FINDING_BYTES);
    if (!source->texts)
        return open_failed(source, -ENOMEM, "out of memory", why, size);
    int error = query_open(&source->query, path, why, size);
    if (error)
        return open_failed(source, error, NULL, why, size);
    error = query_rows(source->query, "SELECT value FROM meta WHERE key='first_revision'", NULL, 0, take_identity, source->identity);
    if (error)
        return open_failed(source, error, query_error(source->query), why, size);
    if (!source->identity[0])
        return open_failed(source, -EPROTO, "it has no identity", why, size);
    return 0;
}

void source_close(struct source *source)
{
    if (source->query)
        query_close(source->query);
    free(source->texts);
    source->query = NULL;
    source->texts = NULL;
}

bool source_is_replaced(const struct source *source)
{
    struct stat st;
    return stat(source->path, &st) < 0 || st.st_dev != source->dev || st.st_ino != source->ino;
}

static const char *text_of(const struct query_row *row, const char *name)
{
    int column = query_column(row, name);
    return column < 0 ? "" : query_text(row, column);
}

static int64_t number_of(const struct query_row *row, const char *name)
{
    int column = query_column(row, name);
    return column < 0 ? 0 : query_number(row, column);
}

/* A copy that lives until the finding was handed on, or NULL when there is no more room. */
static const char *keep(struct source *source, const char *text)
{
    size_t size = strlen(text) + 1;
    if (size > LIMIT_DELIVERY_FINDING_BYTES - source->texts_used)
        return NULL;
    char *copy = source->texts + source->texts_used;
    memcpy(copy, text, size);
    source->texts_used += size;
    return copy;
}

struct evidence_take {
    struct source *source;
    struct delivery_finding *finding;
};

static int take_evidence(void *arg, const struct query_row *row)
{
    struct evidence_take *take = arg;
    struct delivery_finding *f = take->finding;
    struct delivery_evidence e = {
        .time = keep(take->source, text_of(row, "time")),
        .exe = keep(take->source, text_of(row, "exe")),
        .cmdline = keep(take->source, text_of(row, "cmdline")),
        .user = keep(take->source, text_of(row, "user")),
        .facts = keep(take->source, text_of(row, "evidence")),
        .pid = number_of(row, "pid"),
    };
    if (e.time && e.exe && e.cmdline && e.user && e.facts && f->n_evidence < LIMIT_DELIVERY_EVIDENCE)
        f->evidence[f->n_evidence++] = e;
    return 0;
}

static int take_number(void *arg, const struct query_row *row)
{
    *(int64_t *)arg = query_number(row, 0);
    return 0;
}

static int add_evidence(struct source *source, struct delivery_finding *f)
{
    struct evidence_take take = { source, f };
    struct query_value values[] = { { .text = f->id }, { .number = LIMIT_DELIVERY_EVIDENCE } };
    source->texts_used = 0;
    int error = query_rows(source->query, "SELECT count(*) FROM evidence WHERE finding_id=?1", values, 1, take_number, &f->evidence_total);
    if (error)
        return error;
    return query_rows(source->query, "SELECT time,pid,user,exe,cmdline,evidence FROM evidence WHERE finding_id=?1 ORDER BY id DESC LIMIT ?2",
                      values, 2, take_evidence, &take);
}

struct finding_take {
    struct source *source;
    source_finding_fn *each;
    void *arg;
};

static int take_finding(void *arg, const struct query_row *row)
{
    struct finding_take *take = arg;
    struct delivery_finding f = {
        .revision = number_of(row, "revision"), .count = number_of(row, "count"), .pid = number_of(row, "pid"),
        .id = text_of(row, "id"), .type = text_of(row, "type"), .rule = text_of(row, "rule"), .severity = text_of(row, "severity"),
        .title = text_of(row, "title"), .description = text_of(row, "description"), .advice = text_of(row, "advice"),
        .status = text_of(row, "status"), .first_seen = text_of(row, "first_seen"), .last_seen = text_of(row, "last_seen"),
        .mitre = text_of(row, "mitre"), .host = text_of(row, "host"), .cluster = text_of(row, "cluster"),
        .task_arn = text_of(row, "task_arn"), .task_family = text_of(row, "task_family"),
        .container_name = text_of(row, "container_name"), .container_id = text_of(row, "container_id"), .image = text_of(row, "image"),
        .exe = text_of(row, "exe"), .cmdline = text_of(row, "cmdline"), .user = text_of(row, "user"), .lineage = text_of(row, "lineage"),
    };
    int error = add_evidence(take->source, &f);
    return error ? error : take->each(take->arg, &f);
}

int source_findings(struct source *source, int64_t revision, unsigned limit, source_finding_fn *each, void *arg)
{
    struct finding_take take = { source, each, arg };
    return query_findings_since(source->query, revision, (int)limit, take_finding, &take);
}

int source_pending(struct source *source, int64_t revision, int64_t *newest, int64_t *pending)
{
    struct query_value value = { .number = revision };
    *newest = *pending = 0;
    int error = query_rows(source->query, "SELECT revision FROM findings ORDER BY revision DESC LIMIT 1", NULL, 0, take_number, newest);
    return error ? error : query_rows(source->query, "SELECT count(*) FROM findings WHERE revision>?1 AND status<>'suppressed'", &value, 1, take_number, pending);
}
