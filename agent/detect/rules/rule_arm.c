/* For each part of a condition two sets: the events for which it could hold if everything were seen, and the classes of ours for which it
 * can hold here. Where the first has members and the second has none, a sensor is what is missing. Negation is pushed to the leaves; a
 * check of a field without value is false, and true when negated. */
#include "agent/detect/rules/rule_arm.h"

#include <string.h>

#define LOST_MAX 8 /* alternatives told */

/* Why a part cannot hold. */
struct why {
    enum { WHY_NOTHING, WHY_FIELD_NEVER, WHY_FIELD_OFF, WHY_EVENT_NEVER, WHY_EVENT_OFF, WHY_EVENTS, WHY_FAILED } kind;
    const char *name; /* of the field or event */
    uint16_t fill;    /* FILL_* that would tell it */
};

/* What is known about a part of the condition. */
struct part {
    struct event_name_set events; /* ideally */
    uint64_t classes;             /* here; bit per enum event_class */
    struct why why;               /* when `classes` is empty but `events` is not */
};

struct lost {
    struct event_name_set events;
    const struct cond *cond; /* the alternative, */
    bool negated;
    const char *event;       /* ... or one name of several */
    struct why why;
};

struct arming {
    uint16_t on;
    uint64_t all_classes; /* whose sensor is on */
    struct event_name_set told[CLASS_MAX];
    struct lost lost[LOST_MAX];
    unsigned n_lost, n_more;
};

#define ALL_BITS (~0ull)

/* ---- sets ---- */

static bool set_is_empty(const struct event_name_set *set)
{
    for (size_t i = 0; i < EVENT_NAMES_MAX / 64; i++)
        if (set->bits[i])
            return false;
    return true;
}

static struct event_name_set set_all(void)
{
    struct event_name_set set = { 0 };
    for (int i = 0; i < event_names_count(); i++)
        set.bits[i / 64] |= 1ull << (i % 64);
    return set;
}

static void set_add(struct event_name_set *set, const struct event_name_set *other)
{
    for (size_t i = 0; i < EVENT_NAMES_MAX / 64; i++)
        set->bits[i] |= other->bits[i];
}

static void set_keep(struct event_name_set *set, const struct event_name_set *other)
{
    for (size_t i = 0; i < EVENT_NAMES_MAX / 64; i++)
        set->bits[i] &= other->bits[i];
}

static bool is_lost(const struct part *part)
{
    return !part->classes && !set_is_empty(&part->events);
}

static void lose(struct arming *a, const struct lost *lost)
{
    if (a->n_lost < LOST_MAX)
        a->lost[a->n_lost++] = *lost;
    else
        a->n_more++;
}

/* ---- leaves ---- */

static struct part part_always(void)
{
    return (struct part){ .events = set_all(), .classes = ALL_BITS };
}

/* The first field of an operand that has no value here; false when there is none such. */
static bool operand_missing(const struct arming *a, const struct cond_operand *operand, struct why *why)
{
    struct field_ref ref;
    char error[256];
    if (operand->kind == OPERAND_TRANSFORMER)
        for (uint32_t i = 0; i < operand->n_items; i++)
            if (operand_missing(a, operand->items[i], why))
                return true;
    if (operand->kind != OPERAND_FIELD ||
        field_ref_init(&ref, operand->text, operand->length, operand->argument, operand->argument_length, error, sizeof error))
        return false;
    if (ref.field->fill == FIELD_NEVER)
        *why = (struct why){ WHY_FIELD_NEVER, operand->text, 0 };
    else if (!(ref.field->filled_by & a->on))
        *why = (struct why){ WHY_FIELD_OFF, operand->text, ref.field->filled_by };
    else
        return false;
    return true;
}

static bool is_field(const struct cond_operand *operand, const char *name)
{
    return operand->kind == OPERAND_FIELD && !strcmp(operand->text, name);
}

/* `evt.num` counts from 1, and since only ends of calls are told `evt.dir` is '<': placeholders that never or always hold. 0, 1, or -1
 * for what may be either. */
static int constant_check(const struct cond *cond)
{
    const char *value = cond->right && cond->right->kind == OPERAND_VALUE ? cond->right->text : "";
    bool zero = !strcmp(value, "0");
    if (cond->modifier != MODIFIER_NONE)
        return -1;
    if (is_field(cond->left, "evt.dir") && (cond->op == OP_EQ || cond->op == OP_EQ2) && (!strcmp(value, "<") || !strcmp(value, ">")))
        return value[0] == '<';
    if (!is_field(cond->left, "evt.num") || !zero)
        return -1;
    if (cond->op == OP_EQ || cond->op == OP_EQ2 || cond->op == OP_LE || cond->op == OP_LT)
        return 0;
    return cond->op == OP_NE || cond->op == OP_GT || cond->op == OP_GE ? 1 : -1;
}

/* Does the check hold for calls that failed only? Our sensors see what happened, and so none of these. */
static bool is_about_failure(const struct cond *cond, bool negated)
{
    const char *value = cond->right && cond->right->kind == OPERAND_VALUE ? cond->right->text : "";
    bool equal = cond->op == OP_EQ || cond->op == OP_EQ2, zero = !strcmp(value, "0"), negative = value[0] == '-' && value[1] > '0';
    if (cond->modifier != MODIFIER_NONE)
        return false;
    if (is_field(cond->left, "evt.failed"))
        return equal && !strcmp(value, negated ? "false" : "true");
    if (!strcmp(value, "EINPROGRESS")) /* a connection being made is a flow that is seen */
        return false;
    if (is_field(cond->left, "evt.res"))
        return strcmp(value, "SUCCESS") ? !negated && value[0] == 'E' && (equal || cond->op == OP_STARTSWITH)
                                        : equal ? negated : cond->op == OP_NE && !negated;
    if (!is_field(cond->left, "evt.rawres") && !is_field(cond->left, "fd.num"))
        return false;
    if (negated)
        return cond->op == OP_GE && zero;
    return (cond->op == OP_LT && zero) || (negative && (equal || cond->op == OP_LT || cond->op == OP_LE));
}

static bool is_event_check(const struct cond *cond)
{
    switch (cond->op) {
    case OP_EQ:
    case OP_EQ2:
    case OP_NE:
    case OP_IN:
    case OP_INTERSECTS:
        return is_field(cond->left, "evt.type") && cond->modifier == MODIFIER_NONE && cond->right->kind != OPERAND_TRANSFORMER;
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_CONTAINS:
    case OP_ICONTAINS:
    case OP_BCONTAINS:
    case OP_STARTSWITH:
    case OP_BSTARTSWITH:
    case OP_ENDSWITH:
    case OP_GLOB:
    case OP_IGLOB:
    case OP_REGEX:
    case OP_PMATCH:
    case OP_MAX:
        return false;
    }
    return false;
}

/* One name: the classes that answer to it and are on; or why there are none. */
static struct part event_part(const struct arming *a, const struct cond_operand *value)
{
    struct part part = { 0 };
    int number = event_name_find(value->text, value->length);
    uint16_t fill = 0;
    if (number < 0)
        return part;
    part.events.bits[number / 64] |= 1ull << (number % 64);
    for (int c = 0; c < CLASS_MAX; c++) {
        if (!event_name_set_has(&a->told[c], number))
            continue;
        part.classes |= 1ull << c;
        fill |= event_classes[c].filled_by;
    }
    part.classes &= a->all_classes;
    part.why = (struct why){ fill ? WHY_EVENT_OFF : WHY_EVENT_NEVER, value->text, fill };
    return part;
}

/* Names are alternatives of one another: some of them may be lost. */
static struct part events_part(struct arming *a, const struct cond *cond, bool negated)
{
    const struct cond_operand *right = cond->right;
    uint32_t n = right->kind == OPERAND_LIST ? right->n_items : 1;
    struct part all = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        const struct cond_operand *value = right->kind == OPERAND_LIST ? right->items[i] : right;
        struct part one = event_part(a, value);
        if (n > 1 && !negated && is_lost(&one))
            lose(a, &(struct lost){ .events = one.events, .event = value->text, .why = one.why });
        if (!all.why.kind)
            all.why = one.why;
        set_add(&all.events, &one.events);
        all.classes |= one.classes;
    }
    if (!negated)
        return all;
    struct part others = part_always();
    for (size_t i = 0; i < EVENT_NAMES_MAX / 64; i++)
        others.events.bits[i] &= ~all.events.bits[i];
    others.classes = a->all_classes & ~all.classes;
    others.why = (struct why){ .kind = WHY_EVENTS };
    return others;
}

static struct part leaf_part(struct arming *a, const struct cond *cond, bool negated)
{
    struct part part = part_always();
    if (cond->kind == COND_CHECK && is_event_check(cond))
        return events_part(a, cond, negated != (cond->op == OP_NE));
    int constant = cond->kind == COND_CHECK ? constant_check(cond) : -1;
    if (constant >= 0 && (constant == 0) != negated)
        return (struct part){ 0 };
    if (constant < 0 && cond->kind == COND_CHECK && is_about_failure(cond, negated)) {
        part.classes = 0;
        part.why = (struct why){ .kind = WHY_FAILED };
    }
    if (constant >= 0 || negated || !part.classes)
        return part;
    if (operand_missing(a, cond->left, &part.why) || (cond->right && operand_missing(a, cond->right, &part.why)))
        part.classes = 0;
    return part;
}

/* ---- and, or ---- */

static struct part cond_part(struct arming *a, const struct cond *cond, bool negated);

static struct part all_of(struct arming *a, const struct cond *cond, bool negated)
{
    struct part all = part_always();
    unsigned before = a->n_lost, kept = before;
    for (uint32_t i = 0; i < cond->n_children; i++) {
        struct part one = cond_part(a, cond->children[i], negated);
        if (!all.why.kind && is_lost(&one))
            all.why = one.why;
        set_keep(&all.events, &one.events);
        all.classes &= one.classes;
    }
    if (!all.why.kind)
        all.why = (struct why){ .kind = WHY_EVENTS };
    /* Alternatives for events that the other parts rule out are nobody's loss. */
    for (unsigned i = before; i < a->n_lost; i++) {
        set_keep(&a->lost[i].events, &all.events);
        if (!set_is_empty(&a->lost[i].events))
            a->lost[kept++] = a->lost[i];
    }
    a->n_lost = kept;
    return all;
}

static struct part any_of(struct arming *a, const struct cond *cond, bool negated)
{
    struct part any = { 0 };
    for (uint32_t i = 0; i < cond->n_children; i++) {
        unsigned before = a->n_lost;
        struct part one = cond_part(a, cond->children[i], negated);
        if (is_lost(&one)) {
            a->n_lost = before; /* what is lost within goes without saying */
            lose(a, &(struct lost){ .events = one.events, .cond = cond->children[i], .negated = negated, .why = one.why });
            if (!any.why.kind)
                any.why = one.why;
        }
        set_add(&any.events, &one.events);
        any.classes |= one.classes;
    }
    return any;
}

static struct part cond_part(struct arming *a, const struct cond *cond, bool negated)
{
    switch (cond->kind) {
    case COND_AND:
        return negated ? any_of(a, cond, negated) : all_of(a, cond, negated);
    case COND_OR:
        return negated ? all_of(a, cond, negated) : any_of(a, cond, negated);
    case COND_NOT:
        return cond_part(a, cond->children[0], !negated);
    case COND_EXISTS:
    case COND_CHECK:
        return leaf_part(a, cond, negated);
    case COND_NAME:
        return part_always();
    }
    return part_always();
}

/* ---- in words ---- */

static const struct {
    uint16_t fill;
    const char *name;
} sensors[] = {
    { FILL_EXEC, "exec" },
    { FILL_PROC, "process" },
    { FILL_FILE, "file" },
    { FILL_FLOW, "flow" },
    { FILL_DNS, "dns" },
    { FILL_LISTEN, "listen" },
    { FILL_FACTS, "container facts" },
    { FILL_CGROUP, "container" },
    { FILL_TRACEFS, "system call (sensors.syscalls)" },
    { FILL_OTHER, "socket, mount and module" },
};

void arm_print_sensors(struct text_out *out, uint16_t fill)
{
    unsigned n = 0;
    for (size_t i = 0; i < sizeof sensors / sizeof sensors[0]; i++)
        if (fill & sensors[i].fill)
            text_out_printf(out, "%s%s", n++ ? " or " : "", sensors[i].name);
}

static void tell_why(struct text_out *out, const struct why *why)
{
    switch (why->kind) {
    case WHY_NOTHING:
    case WHY_EVENTS:
        text_out_printf(out, "no sensor that is on tells an event for which all of it can hold");
        break;
    case WHY_FAILED:
        text_out_printf(out, "only what succeeded is seen");
        break;
    case WHY_FIELD_NEVER:
        text_out_printf(out, "no sensor fills %s", why->name);
        break;
    case WHY_FIELD_OFF:
        text_out_printf(out, "%s is filled by a sensor that is off: ", why->name);
        arm_print_sensors(out, why->fill);
        break;
    case WHY_EVENT_NEVER:
        text_out_printf(out, "no sensor tells ");
        text_escape(out, why->name, strlen(why->name));
        break;
    case WHY_EVENT_OFF:
        text_out_printf(out, "%s is told by a sensor that is off: ", why->name);
        arm_print_sensors(out, why->fill);
        break;
    }
}

#define SHOWN_BYTES 120 /* of an alternative */

static void tell_lost(struct text_out *out, struct arena *arena, const struct lost *lost)
{
    const char *text = lost->event ? lost->event : cond_print(arena, lost->cond);
    size_t length = text ? strlen(text) : 0;
    text_out_printf(out, "%s%s cannot hold: %s", out->length ? "\n" : "", lost->event ? "evt.type =" : "the alternative",
                    lost->negated ? "not " : "");
    text_escape(out, text, length < SHOWN_BYTES ? length : SHOWN_BYTES);
    text_out_printf(out, "%s (", length < SHOWN_BYTES ? "" : "...");
    tell_why(out, &lost->why);
    text_out_printf(out, ")");
}

static void tell(const struct arming *a, const struct part *whole, struct rule_arming *out)
{
    struct arena arena;
    struct text_out text;
    text_out_init(&text, out->reason, sizeof out->reason);
    out->state = !whole->classes ? ARM_INERT : a->n_lost ? ARM_PARTLY : ARM_ARMED;
    if (out->state == ARM_INERT && set_is_empty(&whole->events))
        text_out_printf(&text, "the condition holds for no event; a placeholder may be meant to be changed");
    else if (out->state == ARM_INERT)
        tell_why(&text, &whole->why);
    if (out->state != ARM_PARTLY)
        return;
    arena_init(&arena, 0);
    for (unsigned i = 0; i < a->n_lost; i++)
        tell_lost(&text, &arena, &a->lost[i]);
    if (a->n_more)
        text_out_printf(&text, "\nand more");
    arena_fini(&arena);
}

void rule_arm(const struct rule *rule, uint16_t on, struct rule_arming *out)
{
    struct arming a = { .on = on | FILL_ALWAYS };
    struct text_out text;
    if (!rule->compiled) {
        text_out_init(&text, out->reason, sizeof out->reason);
        out->state = ARM_INERT;
        text_out_printf(&text, "left out when the rules were loaded: %s",
                        rule->unknown_source ? "unknown source" : "unknown field or event");
        return;
    }
    for (int c = 0; c < CLASS_MAX; c++) {
        event_class_names((enum event_class)c, &a.told[c]);
        if (event_classes[c].filled_by & a.on)
            a.all_classes |= 1ull << c;
    }
    struct part whole = cond_part(&a, rule->cond, false);
    whole.classes &= a.all_classes;
    if (whole.why.kind == WHY_NOTHING)
        whole.why.kind = WHY_EVENTS;
    tell(&a, &whole, out);
}

const char *arm_state_name(enum arm_state state)
{
    static const char *const names[] = { [ARM_ARMED] = "armed", [ARM_PARTLY] = "partly armed", [ARM_INERT] = "inert" };
    return names[state];
}
