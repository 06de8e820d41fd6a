#include "agent/detect/rules_detector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/detect/detector.h"
#include "common/text.h"

/* ---- what a rule's findings say ----------------------------------------------------------------------------------- */

static const struct {
    const char *tag, *id;
} tactics[] = {
    { "mitre_reconnaissance", "TA0043" },   { "mitre_resource_development", "TA0042" }, { "mitre_initial_access", "TA0001" },
    { "mitre_execution", "TA0002" },        { "mitre_persistence", "TA0003" },          { "mitre_privilege_escalation", "TA0004" },
    { "mitre_defense_evasion", "TA0005" },  { "mitre_credential_access", "TA0006" },    { "mitre_discovery", "TA0007" },
    { "mitre_lateral_movement", "TA0008" }, { "mitre_collection", "TA0009" },           { "mitre_command_and_control", "TA0011" },
    { "mitre_exfiltration", "TA0010" },     { "mitre_impact", "TA0040" },
};

static const char *tactic_id(const char *tag)
{
    for (size_t i = 0; i < sizeof tactics / sizeof tactics[0]; i++)
        if (!strcasecmp(tag, tactics[i].tag))
            return tactics[i].id;
    return NULL;
}

/* T1059 or T1059.004 */
static bool is_technique(const char *tag)
{
    size_t digits = strspn(tag + 1, "0123456789.");
    return tag[0] == 'T' && digits >= 4 && !tag[1 + digits];
}

void rule_mitre(const struct rule *rule, char *out, size_t size)
{
    struct text_out text;
    text_out_init(&text, out, size);
    for (uint32_t i = 0; i < rule->n_tags; i++)
        if (tactic_id(rule->tags[i]))
            text_out_printf(&text, "%s%s", text.length ? " " : "", tactic_id(rule->tags[i]));
    for (uint32_t i = 0; i < rule->n_tags; i++)
        if (is_technique(rule->tags[i]))
            text_out_printf(&text, "%s%s", text.length ? " " : "", rule->tags[i]);
}

const char *rule_finding_type(const struct rule *rule)
{
    return rule->finding_type ? rule->finding_type : "Custom:Runtime/Rule";
}

static bool maker_init(struct detector *maker, const struct rule *rule, struct arena *arena)
{
    char mitre[256];
    rule_mitre(rule, mitre, sizeof mitre);
    *maker = (struct detector){ .rule = rule->name, .type = rule_finding_type(rule), .severity = rule_priority_severity(rule->priority),
                                .mitre = arena_text(arena, mitre, strlen(mitre)), .title = rule->name,
                                .advice = rule->advice ? rule->advice : rule->desc };
    return maker->mitre != NULL;
}

static void names_of_classes(struct event_name_set classes[CLASS_MAX])
{
    for (int i = 0; i < CLASS_MAX; i++)
        event_class_names((enum event_class)i, &classes[i]);
}

struct rules *rules_new(struct ruleset *set, const struct rules_options *options)
{
    struct event_name_set classes[CLASS_MAX];
    struct rules *rules = calloc(1, sizeof *rules);
    bool ok = rules != NULL;
    if (!ok) {
        ruleset_free(set);
        return NULL;
    }
    rules->set = set;
    rules->wait_ns = options->wait_ns;
    rules->priority_max = options->priority_max;
    arena_init(&rules->arena, 0);
    names_of_classes(classes);
    rules->makers = calloc(set->n_rules + 1, sizeof *rules->makers);
    rules->program = program_new(set, &(struct program_options){ .classes = classes, .n_classes = CLASS_MAX,
                                                                 .priority_max = options->priority_max,
                                                                 .first_match = options->first_match });
    ok = rules->makers && rules->program;
    for (uint32_t i = 0; i < set->n_rules && ok; i++)
        ok = maker_init(&rules->makers[i], &set->rules[i], &rules->arena);
    if (ok) {
        program_set_clock(rules->program, options->now_ns);
        return rules;
    }
    rules_free(rules);
    return NULL;
}

void rules_free(struct rules *rules)
{
    if (!rules)
        return;
    program_free(rules->program);
    ruleset_free(rules->set);
    arena_fini(&rules->arena);
    free(rules->makers);
    free(rules);
}

/* ---- findings ----------------------------------------------------------------------------------------------------- */

/* What of the event makes a repeat the same matter. */
static void matter_of(const struct event *ev, const struct image *image, char *out, size_t size)
{
    char peer[46];
    struct text_out text;
    text_out_init(&text, out, size);
    text_out_bytes(&text, image_text(image, image ? image->exe : (struct text){ 0 }), image ? image->exe.len : 0);
    text_out_bytes(&text, "\n", 1);
    text_out_bytes(&text, event_text(ev, ev->path), ev->path.len);
    if (ev->kind != EVENT_FLOW)
        return;
    address_format(&ev->dst, peer);
    text_out_printf(&text, "%s:%u", peer, ev->dport);
}

/* The values that the rule's output names. */
static json_t *fields_of(const struct format *format, struct eval *eval)
{
    json_t *fields = json_object();
    char raw[2048];
    for (uint32_t i = 0; i < format->n_parts; i++) {
        const struct format_part *part = &format->parts[i];
        struct value value;
        struct text_out text;
        if (!part->expression)
            continue;
        if (expression_get(part->expression, eval, &value) != VALUE_GOT) {
            json_object_set_new(fields, part->token, json_null());
            continue;
        }
        text_out_init(&text, raw, sizeof raw);
        value_print(&text, &value, expression_ref(part->expression));
        evidence_text(fields, part->token, raw, text.length);
    }
    return fields;
}

static json_t *tags_of(const struct rule *rule)
{
    json_t *tags = json_array();
    for (uint32_t i = 0; i < rule->n_tags; i++)
        json_array_append_new(tags, json_string(rule->tags[i]));
    return tags;
}

static void describe(struct finding *f, const struct format *format, struct eval *eval)
{
    char raw[4096], safe[8192];
    struct text_out text;
    text_out_init(&text, raw, sizeof raw);
    format_print(format, eval, &text);
    size_t length = text.length;
    text_out_init(&text, safe, sizeof safe);
    text_escape(&text, raw, length);
    finding_set(f, FT_DESCRIPTION, safe, text.length);
}

static void report(struct detection *d, uint32_t index, int64_t event_id)
{
    struct rules_state *s = &d->rules;
    const struct field_context *c = &s->context;
    const struct rule *rule = &s->rules->set->rules[index];
    const size_t scratch_used = s->eval.scratch_used;
    char key[LIMIT_PATH_BYTES * 2 + 64], place[512];
    struct finding *f = detection_begin(d, &s->rules->makers[index], c->process, c->image, c->container ? c->container->id : 0,
                                        c->ev->time_ns, event_id);
    json_t *e = json_object();
    snprintf(place, sizeof place, "%s:%u", rule->file, rule->line);
    evidence_text(e, "rule_file", place, strlen(place));
    json_object_set_new(e, "priority", json_string(rule_priority_name(rule->priority)));
    json_object_set_new(e, "tags", tags_of(rule));
    json_object_set_new(e, "output_fields", fields_of(rule->format, &s->eval));
    describe(f, rule->format, &s->eval);
    matter_of(c->ev, c->image, key, sizeof key);
    detection_end(d, f, key, e);
    s->eval.scratch_used = scratch_used; /* what one finding says must not leave other rules without room */
}

static bool has_room(const struct detection *d)
{
    return d->out->n_findings < LIMIT_OUTCOME_FINDINGS;
}

/* ---- the event with what is known about it ------------------------------------------------------------------------ */

static void context_set(struct detection *d, const struct event *ev, struct process *process, const struct image *image,
                        const struct image *previous, const struct container_facts *container, bool final)
{
    struct rules_state *s = &d->rules;
    struct field_context *c = &s->context;
    field_context_init(c, &s->eval);
    c->ev = ev;
    c->tree = d->tree;
    c->process = process;
    c->image = image;
    c->previous = previous;
    c->container = container;
    c->facts_final = final;
    c->origins = d->origins;
    c->names = d->names;
    c->users = s->users;
    c->host = s->host;
    c->host_name = s->host_name;
    c->event_number = s->n_events;
    c->wall_offset_ns = d->wall_offset_ns;
    eval_begin(&s->eval, &c->source);
}

/* ---- what waits --------------------------------------------------------------------------------------------------- */

static void held_free(struct detection *d, struct held_event *h)
{
    struct rules_state *s = &d->rules;
    image_release(d->tree, h->image);
    image_release(d->tree, h->previous);
    slab_give(&s->texts, h->ev, h->block_bytes);
    *h = (struct held_event){ 0 };
    s->n_held--;
}

/* Looks at the rules of a held event again. `final`: the time is over. Rules that find no room for their finding stay. */
static void held_decide(struct detection *d, struct held_event *h, bool final)
{
    struct rules_state *s = &d->rules;
    struct process *process = h->pid ? proctree_find(d->tree, h->pid) : NULL;
    uint32_t kept = 0;
    if (process && process->start_ns != h->start_ns)
        process = NULL;
    for (uint32_t i = 0; i < h->n_rules; i++) {
        context_set(d, h->ev, process, h->image, h->previous, container_by_id(d->containers, h->container), final);
        s->context.class = h->class;
        enum verdict verdict = program_match_rule(s->rules->program, (uint32_t)h->class, h->rules[i], &s->eval);
        if (verdict == VERDICT_WAIT || (verdict == VERDICT_TRUE && !has_room(d)))
            h->rules[kept++] = h->rules[i];
        else if (verdict == VERDICT_TRUE)
            report(d, h->rules[i], h->event_id);
    }
    h->n_rules = kept;
    if (!kept)
        held_free(d, h);
}

static struct held_event *held_slot(struct detection *d)
{
    struct rules_state *s = &d->rules;
    struct held_event *oldest = NULL;
    for (int i = 0; i < LIMIT_HELD_EVENTS; i++) {
        struct held_event *h = &s->held[i];
        if (!h->ev)
            return h;
        if (!oldest || h->due_ns < oldest->due_ns)
            oldest = h;
    }
    s->n_held_forced++;
    held_decide(d, oldest, true);
    if (oldest->ev) { /* no room for its findings in this step */
        s->n_hits_dropped += oldest->n_rules;
        held_free(d, oldest);
    }
    return oldest;
}

static struct image *image_hold(const struct image *image)
{
    struct image *held = (struct image *)image;
    if (held)
        held->refs++;
    return held;
}

/* A copy of the event in the context for rules that wait, or NULL when there is no memory for it. */
static struct held_event *hold(struct detection *d, int64_t event_id, enum event_class class, uint64_t due_ns)
{
    struct rules_state *s = &d->rules;
    const struct field_context now = s->context; /* deciding an older one uses the context */
    struct held_event *h = held_slot(d);
    size_t bytes = now.ev->size;
    struct event *copy = slab_take(&s->texts, &bytes);
    s->context = now;
    eval_begin(&s->eval, &s->context.source);
    if (!copy)
        return NULL;
    memcpy(copy, now.ev, now.ev->size);
    *h = (struct held_event){ .ev = copy, .block_bytes = bytes, .due_ns = due_ns, .event_id = event_id, .class = class,
                              .container = now.container ? now.container->id : 0,
                              .pid = now.process ? now.process->pid : 0,
                              .start_ns = now.process ? now.process->start_ns : 0,
                              .image = image_hold(now.image), .previous = image_hold(now.previous) };
    s->n_held++;
    return h;
}

static void hold_rules(struct detection *d, const struct program_hit *hits, size_t n, int64_t event_id, enum event_class class,
                       uint64_t due_ns)
{
    struct rules_state *s = &d->rules;
    struct held_event *h = n ? hold(d, event_id, class, due_ns) : NULL;
    s->n_held_total += n;
    for (size_t i = 0; i < n && h && h->n_rules < HELD_RULES; i++)
        h->rules[h->n_rules++] = hits[i].rule;
    const bool final = s->context.facts_final;
    s->context.facts_final = true;
    for (size_t i = h ? h->n_rules : 0; i < n; i++) { /* no place to wait: decide with what is known */
        s->n_held_forced++;
        if (program_match_rule(s->rules->program, (uint32_t)class, hits[i].rule, &s->eval) != VERDICT_TRUE)
            continue;
        if (has_room(d))
            report(d, hits[i].rule, event_id);
        else
            s->n_hits_dropped++;
    }
    s->context.facts_final = final;
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

static void match(struct detection *d, enum event_class class, int64_t event_id)
{
    struct rules_state *s = &d->rules;
    struct program_hit hits[LIMIT_RULE_HITS];
    s->context.class = class;
    size_t n = program_match(s->rules->program, (uint32_t)class, &s->eval, hits, LIMIT_RULE_HITS), waiting = 0, late = 0;
    struct program_hit later[LIMIT_RULE_HITS];
    for (size_t i = 0; i < n; i++)
        if (hits[i].verdict == VERDICT_WAIT)
            hits[waiting++] = hits[i];
        else if (has_room(d))
            report(d, hits[i].rule, event_id);
        else
            later[late++] = hits[i];
    hold_rules(d, hits, waiting, event_id, class, s->context.ev->time_ns + s->rules->wait_ns);
    hold_rules(d, later, late, event_id, class, s->context.ev->time_ns); /* the next step has room */
}

/* Facts about a container came: rules that wait for them can be decided. */
static void facts_came(struct detection *d, int32_t container)
{
    struct rules_state *s = &d->rules;
    for (int i = 0; i < LIMIT_HELD_EVENTS && s->n_held; i++)
        if (s->held[i].ev && s->held[i].container == container)
            held_decide(d, &s->held[i], false);
}

void rules_event(struct detection *d, const struct step *step)
{
    struct rules_state *s = &d->rules;
    const struct event *ev = step->ev;
    if (!s->rules)
        return;
    if (ev->kind == EVENT_CONTAINER && step->container)
        facts_came(d, step->container->id);
    s->n_events++;
    context_set(d, ev, step->process, step->process ? step->process->image : NULL, step->previous, step->container,
                step->container && step->container->facts_overdue);
    int class = event_class_of(ev, &s->context);
    if (class < 0)
        return;
    match(d, (enum event_class)class, step->event_id);
    int also = event_class_also(ev);
    if (also >= 0)
        match(d, (enum event_class)also, step->event_id);
}

/* The time is over. Nobody tells about this container, then: what happens in it next need not wait as well. */
static void held_overdue(struct detection *d, struct held_event *h)
{
    struct container_facts *c = container_by_id(d->containers, h->container);
    if (c && h->due_ns > h->ev->time_ns) /* else it waited for room only */
        c->facts_overdue = true;
    held_decide(d, h, true);
}

bool rules_tick(struct detection *d, uint64_t now_ns)
{
    struct rules_state *s = &d->rules;
    for (int i = 0; i < LIMIT_HELD_EVENTS && s->n_held; i++) {
        struct held_event *h = &s->held[i];
        if (!h->ev || h->due_ns > now_ns)
            continue;
        if (!has_room(d))
            return true;
        held_overdue(d, h);
    }
    return false;
}

uint64_t rules_next_due(const struct detection *d)
{
    const struct rules_state *s = &d->rules;
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < LIMIT_HELD_EVENTS && s->n_held; i++)
        if (s->held[i].ev && s->held[i].due_ns < next)
            next = s->held[i].due_ns;
    return next;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

int rules_state_init(struct rules_state *s)
{
    *s = (struct rules_state){ 0 };
    int error = eval_init(&s->eval);
    return error ? error : slab_init(&s->texts, LIMIT_HELD_BYTES);
}

void rules_state_fini(struct rules_state *s)
{
    rules_free(s->rules);
    eval_fini(&s->eval);
    slab_fini(&s->texts);
}

/* The held rules' places in another set. */
static void held_translate(struct detection *d, struct held_event *h, const struct ruleset *from, const struct ruleset *to)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->n_rules; i++) {
        const struct rule *rule = to ? ruleset_find(to, from->rules[h->rules[i]].name) : NULL;
        if (rule && rule->enabled && rule->compiled)
            h->rules[kept++] = (uint32_t)(rule - to->rules);
    }
    h->n_rules = kept;
    if (!kept)
        held_free(d, h);
}

bool rules_list_has(const struct detection *d, const char *list, const char *word)
{
    const struct ruleset *set = d->rules.rules ? d->rules.rules->set : NULL;
    for (uint32_t i = 0; set && i < set->n_lists; i++) {
        const struct rule_list *l = &set->lists[i];
        if (strcmp(l->name, list))
            continue;
        for (uint32_t k = 0; k < l->n_compiled; k++)
            if (!strcmp(l->compiled[k], word))
                return true;
    }
    return false;
}

uint64_t rules_hits_dropped(const struct rules_state *s)
{
    return s->n_hits_dropped + (s->rules ? program_dropped(s->rules->program) : 0);
}

struct rules *rules_replace(struct detection *d, struct rules *rules)
{
    struct rules_state *s = &d->rules;
    struct rules *former = s->rules;
    s->n_hits_dropped = rules_hits_dropped(s);
    for (int i = 0; i < LIMIT_HELD_EVENTS && s->n_held; i++)
        if (s->held[i].ev)
            held_translate(d, &s->held[i], former->set, rules ? rules->set : NULL);
    s->rules = rules;
    return former;
}
