#include "agent/deliver/batch.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/text.h"

#define HEAD_BYTES 4096 /* schema, host and batch id around the findings */

int batch_init(struct batch *batch, size_t bytes_max)
{
    *batch = (struct batch){ .bytes_max = bytes_max, .size = bytes_max + LIMIT_DELIVERY_FINDING_BYTES + HEAD_BYTES };
    batch->body = malloc(batch->size);
    return batch->body ? 0 : -ENOMEM;
}

void batch_fini(struct batch *batch)
{
    free(batch->body);
    batch->body = NULL;
}

static void put(struct batch *batch, const char *text, size_t length)
{
    memcpy(batch->body + batch->length, text, length);
    batch->length += length;
    batch->body[batch->length] = 0;
}

static void put_text(struct batch *batch, const char *text)
{
    put(batch, text, strlen(text));
}

/* A string even of bytes that are no UTF-8 (a text cut within a character); null for none. */
static json_t *string_of(const char *text)
{
    if (!text || !*text)
        return json_null();
    json_t *json = json_string(text);
    if (json)
        return json;
    size_t size = 4 * strlen(text) + 1;
    char *shown = malloc(size);
    struct text_out out;
    if (!shown)
        return NULL;
    text_out_init(&out, shown, size);
    text_escape(&out, text, strlen(text));
    json = json_string(shown);
    free(shown);
    return json;
}

/* Stored JSON as it is; if it was cut it goes as a string, because one finding must not spoil the batch. */
static json_t *json_of(const char *text)
{
    json_t *json = text && *text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : json_null();
    return json ? json : string_of(text);
}

static json_t *words_of(const char *text)
{
    json_t *array = json_array();
    for (const char *p = text ? text : ""; *p;) {
        size_t n = strcspn(p, " ");
        if (n)
            json_array_append_new(array, json_stringn(p, n));
        p += n + strspn(p + n, " ");
    }
    return array;
}

static json_t *process_of(int64_t pid, const char *exe, const char *cmdline, const char *user)
{
    return json_pack("{s:o,s:o,s:o,s:o}", "pid", pid ? json_integer(pid) : json_null(), "exe", string_of(exe), "cmdline", string_of(cmdline),
                     "user", string_of(user));
}

static json_t *evidence_of(const struct delivery_finding *f)
{
    json_t *array = json_array();
    for (int i = 0; i < f->n_evidence; i++) {
        const struct delivery_evidence *e = &f->evidence[i];
        json_array_append_new(array, json_pack("{s:o,s:o,s:o}", "time", string_of(e->time), "process",
                                               process_of(e->pid, e->exe, e->cmdline, e->user), "facts", json_of(e->facts)));
    }
    return array;
}

/* The finding as compact JSON (to be freed), or NULL. */
static char *render(const struct delivery_finding *f, bool slim)
{
    const struct {
        const char *name, *text;
    } texts[] = {
        { "id", f->id }, { "type", f->type }, { "rule", f->rule }, { "severity", f->severity }, { "title", f->title },
        { "description", f->description }, { "advice", f->advice }, { "status", f->status }, { "first_seen", f->first_seen },
        { "last_seen", f->last_seen }, { "host", f->host }, { "cluster", f->cluster }, { "task_arn", f->task_arn },
        { "task_family", f->task_family }, { "container_name", f->container_name }, { "container_id", f->container_id },
        { "image", f->image },
    };
    json_t *json = json_object();
    int bad = json_object_set_new(json, "delivery_id", json_sprintf("%s-%lld", f->id, (long long)f->revision));
    bad |= json_object_set_new(json, "revision", json_integer(f->revision));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        bad |= json_object_set_new(json, texts[i].name, string_of(texts[i].text));
    bad |= json_object_set_new(json, "count", json_integer(f->count));
    bad |= json_object_set_new(json, "mitre", words_of(f->mitre));
    bad |= json_object_set_new(json, "process", process_of(f->pid, f->exe, f->cmdline, f->user));
    bad |= json_object_set_new(json, "evidence_total", json_integer(f->evidence_total));
    bad |= json_object_set_new(json, "truncated", json_boolean(slim));
    if (!slim) {
        bad |= json_object_set_new(json, "lineage", json_of(f->lineage));
        bad |= json_object_set_new(json, "evidence", evidence_of(f));
    }
    char *text = bad ? NULL : json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

void batch_begin(struct batch *batch, const char *host, unsigned n_max, bool slim)
{
    json_t *json = string_of(host);
    char *quoted = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(json);
    batch->length = 0;
    batch->n = 0;
    batch->n_max = n_max;
    batch->slim = slim;
    memset(batch->id, 0, sizeof batch->id);
    put_text(batch, "{\"schema\":\"" BATCH_SCHEMA "\",\"host\":");
    put_text(batch, quoted ? quoted : "null");
    put_text(batch, ",\"findings\":[");
    free(quoted);
}

/* The id is a hash over the delivery ids, made step by step. */
static void identify(struct batch *batch, const struct delivery_finding *f)
{
    char line[160];
    int n = snprintf(line, sizeof line, "%s %s-%lld", batch->id, f->id, (long long)f->revision);
    hash_hex(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1, batch->id);
}

int batch_add(struct batch *batch, const struct delivery_finding *finding)
{
    if (batch->n >= batch->n_max)
        return BATCH_FULL;
    char *text = render(finding, batch->slim);
    if (text && strlen(text) > LIMIT_DELIVERY_FINDING_BYTES && !batch->slim) {
        free(text);
        text = render(finding, true);
    }
    if (!text)
        return -ENOMEM;
    size_t length = strlen(text);
    int result = 0;
    if (length > LIMIT_DELIVERY_FINDING_BYTES) {
        result = -EMSGSIZE; /* 11 texts of at most 32 KiB in all cannot become this large */
    } else if (batch->n && batch->length + length + sizeof ",],\"batch_id\":\"\"}" + 32 > batch->bytes_max) {
        result = BATCH_FULL;
    } else {
        put(batch, ",", batch->n ? 1 : 0);
        put(batch, text, length);
        batch->n++;
        batch->last_revision = finding->revision;
        identify(batch, finding);
    }
    free(text);
    return result;
}

void batch_end(struct batch *batch)
{
    put_text(batch, "],\"batch_id\":\"");
    put_text(batch, batch->id);
    put_text(batch, "\"}");
}
