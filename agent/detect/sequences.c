#include "agent/detect/sequences.h"

#include <errno.h>
#include <string.h>

#include "agent/detect/suppress.h"
#include "agent/detect/yaml_reader.h"
#include "common/clock.h"

#define DAY_S 86400u
#define ACT_NS (5 * NS_PER_SECOND)

static const char *const scopes[] = { "task", "container", "host" };

const char *sequence_scope_name(enum sequence_scope scope)
{
    return scopes[scope];
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

struct parse {
    struct yaml_reader *r;
    struct sequences *s;
    struct sequence *sequence;
    struct sequence_stage *stage;
};

static int take_text(struct yaml_reader *r, const char *key, char *to, size_t size)
{
    const char *text = yaml_reader_text(r);
    if (!text || !*text || strlen(text) >= size)
        return yaml_reader_refuse(r, "%s: a text of 1 to %zu bytes is allowed", key, size - 1);
    strcpy(to, text);
    return 0;
}

static int take_number(struct yaml_reader *r, const char *key, uint32_t min, uint32_t max, uint32_t *to)
{
    uint64_t value;
    const char *text = yaml_reader_text(r);
    if (!text || text_to_u64(text, strlen(text), &value) || value < min || value > max)
        return yaml_reader_refuse(r, "%s: a number from %u to %u is allowed", key, min, max);
    *to = (uint32_t)value;
    return 0;
}

static int take_severity(struct yaml_reader *r, const char *key, uint8_t *to)
{
    const char *text = yaml_reader_text(r);
    for (int i = SEVERITY_INFO; text && i <= SEVERITY_CRITICAL; i++)
        if (!strcmp(text, severity_name((enum severity)i))) {
            *to = (uint8_t)i;
            return 0;
        }
    return yaml_reader_refuse(r, "%s: info, low, medium, high or critical is allowed", key);
}

static int take_window(struct yaml_reader *r, uint64_t *to)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = { { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", DAY_S } };
    uint64_t value;
    const char *text = yaml_reader_text(r);
    size_t digits = text ? strspn(text, "0123456789") : 0;
    for (size_t i = 0; digits && i < sizeof units / sizeof units[0]; i++)
        if (!strcmp(text + digits, units[i].unit) && !text_to_u64(text, digits, &value) && value && value <= 7 * DAY_S / units[i].seconds) {
            *to = value * units[i].seconds * NS_PER_SECOND;
            return 0;
        }
    return yaml_reader_refuse(r, "window: a duration from 1s to 7d is allowed (units s, m, h, d)");
}

static int take_scope(struct yaml_reader *r, uint8_t *to)
{
    const char *text = yaml_reader_text(r);
    for (uint8_t i = 0; text && i < sizeof scopes / sizeof scopes[0]; i++)
        if (!strcmp(text, scopes[i])) {
            *to = i;
            return 0;
        }
    return yaml_reader_refuse(r, "scope: task, container or host is allowed");
}

static int take_bool(struct yaml_reader *r, const char *key, bool *to)
{
    const char *text = yaml_reader_text(r);
    if (!text || (strcmp(text, "true") && strcmp(text, "false")))
        return yaml_reader_refuse(r, "%s: true or false is allowed", key);
    *to = !strcmp(text, "true");
    return 0;
}

/* A scalar, or each item of a list. */
static int take_each(struct parse *p, const char *key, int (*item)(struct parse *p))
{
    int error;
    if (p->r->event.type == YAML_SCALAR_EVENT)
        return item(p);
    if (p->r->event.type != YAML_SEQUENCE_START_EVENT)
        return yaml_reader_refuse(p->r, "%s: a list is allowed", key);
    while (!(error = yaml_reader_next(p->r)) && p->r->event.type != YAML_SEQUENCE_END_EVENT)
        if ((error = item(p)))
            return error;
    return error;
}

static int take_tactic(struct parse *p)
{
    const char *text = yaml_reader_text(p->r);
    int tactic = text ? tactic_parse(text) : -1;
    if (tactic >= 0) {
        p->stage->tactics |= 1u << tactic;
        return 0;
    }
    char shown[128], list[512];
    struct text_out names;
    text_out_init(&names, list, sizeof list);
    for (int i = 0; i < TACTIC_MAX; i++)
        text_out_printf(&names, "%s%s", i ? ", " : "", tactic_name((enum tactic)i));
    yaml_reader_show(p->r, shown);
    return yaml_reader_refuse(p->r, "\"%s\" is no tactic; tactics are %s", shown, list);
}

static int take_type(struct parse *p)
{
    struct sequences *s = p->s;
    const char *text = yaml_reader_text(p->r);
    size_t size = text ? strlen(text) + 1 : 0;
    if (size < 2)
        return yaml_reader_refuse(p->r, "types: a finding type is allowed, with * and ? for any characters");
    if (s->n_types == LIMIT_SEQUENCE_TYPES || size > sizeof s->texts - s->n_text_bytes)
        return yaml_reader_refuse(p->r, "more than %d finding types, or %d bytes of them, in all sequences", LIMIT_SEQUENCE_TYPES,
                                  LIMIT_SEQUENCE_TEXT_BYTES);
    memcpy(s->texts + s->n_text_bytes, text, size);
    s->type_at[s->n_types++] = s->n_text_bytes;
    s->n_text_bytes += (uint32_t)size;
    p->stage->n_types++;
    return 0;
}

/* ---- mappings ----------------------------------------------------------------------------------------------------- */

/* Calls `entry` with each key of the mapping, the reader standing on its value. */
static int take_mapping(struct parse *p, const char *what, int (*entry)(struct parse *p, const char *key, yaml_mark_t mark))
{
    if (p->r->event.type != YAML_MAPPING_START_EVENT)
        return yaml_reader_refuse(p->r, "%s has \"key: value\" lines", what);
    for (;;) {
        char key[128];
        int error = yaml_reader_next(p->r);
        if (error || p->r->event.type == YAML_MAPPING_END_EVENT)
            return error;
        if (!yaml_reader_text(p->r))
            return yaml_reader_refuse(p->r, "a key must be one word");
        yaml_reader_show(p->r, key);
        yaml_mark_t mark = p->r->event.start_mark;
        if ((error = yaml_reader_next(p->r)) || (error = entry(p, key, mark)))
            return error;
    }
}

static int stage_entry(struct parse *p, const char *key, yaml_mark_t mark)
{
    struct sequence_stage *t = p->stage;
    if (!strcmp(key, "name"))
        return take_text(p->r, key, t->name, sizeof t->name);
    if (!strcmp(key, "tactics"))
        return take_each(p, key, take_tactic);
    if (!strcmp(key, "types")) {
        if (t->n_types)
            return yaml_reader_refuse_at(p->r, mark, "types stands twice in one stage");
        t->first_type = p->s->n_types;
        return take_each(p, key, take_type);
    }
    if (!strcmp(key, "min_severity"))
        return take_severity(p->r, key, &t->min_severity);
    if (!strcmp(key, "count"))
        return take_number(p->r, key, 1, LIMIT_SIGNALS_EACH, &t->count);
    return yaml_reader_refuse_at(p->r, mark, "unknown key \"%s\"; a stage has name, tactics, types, min_severity, count", key);
}

static int take_stage(struct parse *p)
{
    struct sequences *s = p->s;
    yaml_mark_t mark = p->r->event.start_mark;
    if (p->sequence->n_stages == LIMIT_SEQUENCE_STAGES)
        return yaml_reader_refuse(p->r, "more than %d stages in one sequence", LIMIT_SEQUENCE_STAGES);
    p->stage = &s->stages[s->n_stages];
    *p->stage = (struct sequence_stage){ .count = 1, .min_severity = SEVERITY_MEDIUM };
    int error = take_mapping(p, "a stage", stage_entry);
    if (error)
        return error;
    if (!p->stage->name[0])
        return yaml_reader_refuse_at(p->r, mark, "a stage needs a name");
    if (!p->stage->tactics && !p->stage->n_types)
        return yaml_reader_refuse_at(p->r, mark, "a stage needs tactics, types or both");
    s->n_stages++;
    p->sequence->n_stages++;
    return 0;
}

static int sequence_entry(struct parse *p, const char *key, yaml_mark_t mark)
{
    struct sequence *q = p->sequence;
    if (!strcmp(key, "sequence"))
        return take_text(p->r, key, q->name, sizeof q->name);
    if (!strcmp(key, "description"))
        return take_text(p->r, key, q->description, sizeof q->description);
    if (!strcmp(key, "enabled"))
        return take_bool(p->r, key, &q->enabled);
    if (!strcmp(key, "window"))
        return take_window(p->r, &q->window_ns);
    if (!strcmp(key, "scope"))
        return take_scope(p->r, &q->scope);
    if (!strcmp(key, "severity"))
        return take_severity(p->r, key, &q->severity);
    if (!strcmp(key, "acts"))
        return take_number(p->r, key, 1, LIMIT_SIGNALS_EACH, &q->acts);
    if (!strcmp(key, "stages")) {
        if (q->n_stages || p->r->event.type != YAML_SEQUENCE_START_EVENT)
            return yaml_reader_refuse_at(p->r, mark, q->n_stages ? "stages stands twice in one sequence" : "stages: a list is allowed");
        q->first_stage = p->s->n_stages;
        return take_each(p, key, take_stage);
    }
    return yaml_reader_refuse_at(p->r, mark, "unknown key \"%s\"; a sequence has sequence, description, enabled, window, scope, severity, "
                                             "acts, stages", key);
}

static int take_sequence(struct parse *p)
{
    struct sequences *s = p->s;
    yaml_mark_t mark = p->r->event.start_mark;
    if (s->n == LIMIT_SEQUENCES)
        return yaml_reader_refuse(p->r, "more than %d sequences", LIMIT_SEQUENCES);
    p->sequence = &s->list[s->n];
    *p->sequence = (struct sequence){ .enabled = true, .severity = SEVERITY_CRITICAL, .acts = 2 };
    int error = take_mapping(p, "a sequence", sequence_entry);
    if (error)
        return error;
    const struct sequence *q = p->sequence;
    const char *missing = !q->name[0] ? "a name (sequence: NAME)" : !q->window_ns ? "a window" : NULL;
    if (q->enabled && missing)
        return yaml_reader_refuse_at(p->r, mark, "the sequence needs %s", missing);
    if (q->enabled && q->n_stages < 2)
        return yaml_reader_refuse_at(p->r, mark, "the sequence needs at least 2 stages");
    s->n++;
    return 0;
}

static void replace_earlier(struct sequences *s, uint32_t n_before)
{
    for (uint32_t i = n_before; i < s->n; i++)
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(s->list[i].name, s->list[j].name))
                s->list[j].enabled = false;
}

int sequences_parse(struct sequences *s, const char *name, const char *data, size_t size, struct text_out *error)
{
    const uint32_t n = s->n, n_stages = s->n_stages, n_types = s->n_types, n_text_bytes = s->n_text_bytes;
    struct yaml_reader r;
    struct parse p = { .r = &r, .s = s };
    int result = yaml_reader_init(&r, name, data, size, error);
    if (result)
        return result;
    result = yaml_reader_begin(&r);
    if (!result && r.event.type != YAML_SEQUENCE_START_EVENT)
        result = yaml_reader_refuse(&r, "a list of sequences is allowed here (- sequence: NAME)");
    if (!result)
        result = take_each(&p, "sequences", take_sequence);
    if (!result)
        result = yaml_reader_end(&r);
    yaml_reader_fini(&r);
    if (result < 0) {
        s->n = n;
        s->n_stages = n_stages;
        s->n_types = n_types;
        s->n_text_bytes = n_text_bytes;
        return result;
    }
    replace_earlier(s, n);
    return 0;
}

/* ---- is it complete? ---------------------------------------------------------------------------------------------- */

static bool stage_fits(const struct sequences *s, const struct sequence_stage *t, const struct signal *g)
{
    if (g->severity < t->min_severity || (t->tactics && !(t->tactics & g->tactics)))
        return false;
    for (uint32_t i = 0; i < t->n_types; i++)
        if (suppress_glob(s->texts + s->type_at[t->first_type + i], g->type))
            return true;
    return !t->n_types;
}

uint32_t sequence_fits(const struct sequences *s, const struct sequence *sequence, const struct signal *signal)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < sequence->n_stages; i++)
        if (stage_fits(s, &s->stages[sequence->first_stage + i], signal))
            bits |= 1u << i;
    return bits;
}

#define TYPES_MAX 64 /* different finding types looked at for one sequence */

struct fit {
    const char *type;
    uint32_t stages; /* that some signal of the type fits */
    int stage;       /* that the type serves, -1 = none */
};

static int collect_types(const struct sequences *s, const struct sequence *q, const struct signal *const *signals, int n, struct fit *fits)
{
    int n_fits = 0;
    for (int i = 0; i < n; i++) {
        int at = 0;
        while (at < n_fits && strcmp(fits[at].type, signals[i]->type))
            at++;
        if (at == TYPES_MAX)
            continue;
        if (at == n_fits)
            fits[n_fits++] = (struct fit){ .type = signals[i]->type, .stage = -1 };
        fits[at].stages |= sequence_fits(s, q, signals[i]);
    }
    return n_fits;
}

/* One augmenting path of a bipartite matching: gives `stage` a type, moving other stages to other types if need be. */
static bool serve(struct fit *fits, int n, int stage, uint64_t *tried)
{
    for (int i = 0; i < n; i++) {
        if (!(fits[i].stages >> stage & 1) || *tried >> i & 1)
            continue;
        *tried |= 1ull << i;
        if (fits[i].stage < 0 || serve(fits, n, fits[i].stage, tried)) {
            fits[i].stage = stage;
            return true;
        }
    }
    return false;
}

static bool enough_findings(const struct sequences *s, const struct sequence *q, const struct signal *const *signals, int n)
{
    for (uint32_t stage = 0; stage < q->n_stages; stage++) {
        uint32_t found = 0;
        for (int i = 0; i < n; i++)
            found += sequence_fits(s, q, signals[i]) >> stage & 1;
        if (found < s->stages[q->first_stage + stage].count)
            return false;
    }
    return true;
}

static bool at_once(const struct signal *a, const struct signal *b)
{
    return (a->last_ns > b->last_ns ? a->last_ns - b->last_ns : b->last_ns - a->last_ns) <= ACT_NS;
}

/* One program, looked at by two rules, or what the same process then executed (nc -e sh). What it does later is another act. */
static bool same_process(const struct signal *a, const struct signal *b)
{
    bool same_image = a->exec_id || b->exec_id ? a->exec_id == b->exec_id : a->event_id == b->event_id;
    return at_once(a, b) && (same_image || (a->pid > 0 && a->pid == b->pid && a->container == b->container));
}

/* A shell and what it starts at once: one command line. */
static bool same_act(const struct signal *a, const struct signal *b)
{
    bool related = (a->exec_id && a->exec_id == b->parent_exec_id) || (b->exec_id && b->exec_id == a->parent_exec_id);
    return same_process(a, b) || (related && at_once(a, b));
}

/* Signals of which none is the same as an earlier one. */
static uint32_t count_apart(const struct signal *const *signals, int n, bool (*same)(const struct signal *a, const struct signal *b))
{
    uint32_t apart = 0;
    for (int i = 0; i < n; i++) {
        int before = 0;
        while (before < i && !same(signals[before], signals[i]))
            before++;
        apart += before == i;
    }
    return apart;
}

/* A script does all of an attack within seconds: then it is processes that count, more of them than stages, with as many kinds of findings. */
static bool enough_acts(const struct sequence *q, const struct signal *const *signals, int n, int n_types)
{
    if (count_apart(signals, n, same_act) >= q->acts)
        return true;
    uint32_t n_processes = count_apart(signals, n, same_process);
    return n_processes >= q->acts && n_processes > q->n_stages && (uint32_t)n_types > q->n_stages;
}

bool sequence_complete(const struct sequences *s, const struct sequence *sequence, const struct signal *const *signals, int n)
{
    struct fit fits[TYPES_MAX];
    if (!enough_findings(s, sequence, signals, n))
        return false;
    int n_fits = collect_types(s, sequence, signals, n, fits);
    if (!enough_acts(sequence, signals, n, n_fits))
        return false;
    for (uint32_t stage = 0; stage < sequence->n_stages; stage++) {
        uint64_t tried = 0;
        if (!serve(fits, n_fits, (int)stage, &tried))
            return false;
    }
    return true;
}
