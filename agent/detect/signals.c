#include "agent/detect/signals.h"

#include <string.h>

#include "common/text.h"

static const struct {
    const char *name, *id;
    const char *const *types; /* first parts of finding types */
} tactics[TACTIC_MAX] = {
    [TACTIC_INITIAL_ACCESS] = { "initial_access", "TA0001", (const char *const[]){ "InitialAccess", "UnauthorizedAccess", NULL } },
    [TACTIC_EXECUTION] = { "execution", "TA0002", (const char *const[]){ "Execution", NULL } },
    [TACTIC_PERSISTENCE] = { "persistence", "TA0003", (const char *const[]){ "Persistence", NULL } },
    [TACTIC_PRIVILEGE_ESCALATION] = { "privilege_escalation", "TA0004", (const char *const[]){ "PrivilegeEscalation", NULL } },
    [TACTIC_DEFENSE_EVASION] = { "defense_evasion", "TA0005", (const char *const[]){ "DefenseEvasion", NULL } },
    [TACTIC_CREDENTIAL_ACCESS] = { "credential_access", "TA0006", (const char *const[]){ "CredentialAccess", NULL } },
    [TACTIC_DISCOVERY] = { "discovery", "TA0007", (const char *const[]){ "Discovery", "Recon", NULL } },
    [TACTIC_LATERAL_MOVEMENT] = { "lateral_movement", "TA0008", (const char *const[]){ "LateralMovement", NULL } },
    [TACTIC_COLLECTION] = { "collection", "TA0009", (const char *const[]){ "Collection", NULL } },
    [TACTIC_COMMAND_AND_CONTROL] = { "command_and_control", "TA0011", (const char *const[]){ "Backdoor", "CommandAndControl", "Trojan", NULL } },
    [TACTIC_EXFILTRATION] = { "exfiltration", "TA0010", (const char *const[]){ "Exfiltration", NULL } },
    [TACTIC_IMPACT] = { "impact", "TA0040", (const char *const[]){ "Impact", "CryptoCurrency", NULL } },
};

const char *tactic_name(enum tactic tactic)
{
    return (unsigned)tactic < TACTIC_MAX ? tactics[tactic].name : "?";
}

/* '-' and '_' are the same, as people write both. */
static bool same_word(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
            return false;
    return *a == *b;
}

int tactic_parse(const char *name)
{
    for (int i = 0; i < TACTIC_MAX; i++)
        if (same_word(name, tactics[i].name) || !strcmp(name, tactics[i].id))
            return i;
    return -1;
}

static bool type_is_of(const char *type, const char *const *firsts)
{
    for (; *firsts; firsts++) {
        size_t n = strlen(*firsts);
        if (!strncmp(type, *firsts, n) && type[n] == ':')
            return true;
    }
    return false;
}

uint32_t tactics_of(const char *type, const char *mitre)
{
    uint32_t bits = 0;
    for (int i = 0; i < TACTIC_MAX; i++)
        if (type_is_of(type, tactics[i].types) || strstr(mitre, tactics[i].id))
            bits |= 1u << i;
    return bits;
}

bool signals_share_task(int32_t container, const char *task_id, int32_t other_container, const char *other_task_id)
{
    return container == other_container || (task_id[0] && !strcmp(task_id, other_task_id));
}

/* The slot of this finding; else a free one; else the oldest of a container that has its full share; else the oldest of all. */
static struct signal *slot_of(struct signals *s, const struct finding *f)
{
    int oldest = 0, oldest_own = -1, unused = -1, n_own = 0;
    for (int i = 0; i < LIMIT_SIGNALS; i++) {
        if (!s->numbers[i]) {
            unused = i;
            break; /* slots fill in order and are never freed */
        }
        if (!strcmp(s->slots[i].id, f->id))
            return &s->slots[i];
        if (s->numbers[i] < s->numbers[oldest])
            oldest = i;
        if (s->slots[i].container != f->container)
            continue;
        n_own++;
        if (oldest_own < 0 || s->numbers[i] < s->numbers[oldest_own])
            oldest_own = i;
    }
    int slot = n_own >= LIMIT_SIGNALS_EACH ? oldest_own : unused >= 0 ? unused : oldest;
    memset(&s->slots[slot], 0, sizeof s->slots[slot]);
    return &s->slots[slot];
}

static void signal_begin(struct signal *g, const struct finding *f, uint64_t time_ns)
{
    g->first_ns = time_ns;
    memcpy(g->id, f->id, sizeof g->id);
    text_copy(g->type, sizeof g->type, finding_get(f, FT_TYPE), f->texts[FT_TYPE].len);
    text_copy(g->title, sizeof g->title, finding_get(f, FT_TITLE), f->texts[FT_TITLE].len);
    g->tactics = tactics_of(finding_get(f, FT_TYPE), finding_get(f, FT_MITRE));
}

void signals_note(struct signals *s, const struct finding *f, const struct container_facts *c, int64_t parent_exec_id, uint64_t time_ns)
{
    if (text_has_prefix(finding_get(f, FT_TYPE), "AttackSequence:"))
        return;
    struct signal *g = slot_of(s, f);
    if (!g->number)
        signal_begin(g, f, time_ns);
    g->number = s->numbers[g - s->slots] = ++s->last_number;
    g->last_ns = time_ns > g->last_ns ? time_ns : g->last_ns;
    g->wall_ns = f->wall_ns;
    g->exec_id = f->exec_id;
    g->event_id = f->event_id;
    g->parent_exec_id = parent_exec_id;
    g->container = f->container;
    g->pid = f->pid;
    g->count++;
    g->severity = f->severity > g->severity ? f->severity : g->severity;
    g->suppressed = f->texts[FT_SUPPRESSED_BY].len > 0;
    if (c) /* the task may have become known since */
        memcpy(g->task_id, c->task_id, sizeof g->task_id);
}

const struct signal *signals_untold(const struct signals *s)
{
    int next = -1;
    if (s->told == s->last_number)
        return NULL;
    for (int i = 0; i < LIMIT_SIGNALS && s->numbers[i]; i++)
        if (s->numbers[i] > s->told && (next < 0 || s->numbers[i] < s->numbers[next]))
            next = i;
    return next < 0 ? NULL : &s->slots[next];
}

void signals_tell(struct signals *s, const struct signal *signal)
{
    s->told = signal->number;
}
