/* The findings lately made, so that what is only telling together can be seen together: sequences of tactics, changes of sensitive files
 * beside other activity. A finding that comes again is one signal with a count. Suppressed findings are signals too. Bounded: each
 * container (and the host) has its share, so that a noisy one cannot push out the others' signals. Pure. */
#ifndef ECSGUARD_SIGNALS_H
#define ECSGUARD_SIGNALS_H

#include "common/container.h"
#include "common/finding.h"

/* Tactics of MITRE ATT&CK, as bits. */
enum tactic {
    TACTIC_INITIAL_ACCESS,
    TACTIC_EXECUTION,
    TACTIC_PERSISTENCE,
    TACTIC_PRIVILEGE_ESCALATION,
    TACTIC_DEFENSE_EVASION,
    TACTIC_CREDENTIAL_ACCESS,
    TACTIC_DISCOVERY,
    TACTIC_LATERAL_MOVEMENT,
    TACTIC_COLLECTION,
    TACTIC_COMMAND_AND_CONTROL,
    TACTIC_EXFILTRATION,
    TACTIC_IMPACT,
    TACTIC_MAX,
};

struct signal {
    uint64_t number; /* of its latest occurrence; they count up from 1, 0 = free */
    uint64_t first_ns, last_ns; /* kernel time of its occurrences */
    uint64_t wall_ns; /* of the latest */
    int64_t exec_id, event_id;  /* of the latest */
    int64_t parent_exec_id;     /* image of its parent, 0 = unknown */
    int32_t container;          /* row, 0 = the host */
    int32_t pid;
    uint32_t tactics;           /* bit per enum tactic */
    uint32_t count;
    uint8_t severity;           /* the highest */
    bool suppressed;            /* the latest occurrence was */
    char task_id[65];           /* "" = unknown, or no task */
    char id[33], type[96], title[128];
};

struct signals {
    uint64_t numbers[LIMIT_SIGNALS]; /* of the slots, close together */
    struct signal slots[LIMIT_SIGNALS];
    uint64_t last_number, told;
};

/* Notes a finding of the container `c` (NULL = the host) that happened at `time_ns`. `parent_exec_id`: image of the acting process' parent. Findings
 * of sequences are not signals. */
void signals_note(struct signals *s, const struct finding *f, const struct container_facts *c, int64_t parent_exec_id, uint64_t time_ns);

/* The oldest signal that nobody was told of, or NULL; signals_tell() says that they now are. */
const struct signal *signals_untold(const struct signals *s);
void signals_tell(struct signals *s, const struct signal *signal);

/* Of one container, or of one task; what is outside of containers belongs together. */
bool signals_share_task(int32_t container, const char *task_id, int32_t other_container, const char *other_task_id);

/* The tactics of a finding: that of its type's first part ("Execution:..."), and those that `mitre` names ("TA0002 T1059 ..."). */
uint32_t tactics_of(const char *type, const char *mitre);

const char *tactic_name(enum tactic tactic); /* "command_and_control" */
/* By name ("execution", "command-and-control") or id ("TA0002"); -1 if there is none. */
int tactic_parse(const char *name);

#endif
