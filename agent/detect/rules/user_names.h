/* Names of users and groups by id, from the bytes of passwd(5) and group(5) that the shell reads. Pure; bounded: of more than
 * LIMIT_USER_NAMES entries the first are kept. */
#ifndef ECSGUARD_RULES_USER_NAMES_H
#define ECSGUARD_RULES_USER_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

struct user_name {
    uint32_t id;
    const char *name, *home, *shell; /* "" = none; of a group only the name */
};

struct user_names {
    struct user_name *users, *groups; /* sorted by id; of several with one id the first in the file */
    uint32_t n_users, n_groups;
    char *passwd_text, *group_text;
};

void user_names_init(struct user_names *names);
void user_names_fini(struct user_names *names);

/* Replaces what is known about users (groups); lines that are not of the format are left out. 0, or -ENOMEM with the old ones kept. */
int user_names_set_users(struct user_names *names, const char *passwd, size_t size);
int user_names_set_groups(struct user_names *names, const char *group, size_t size);

const struct user_name *user_names_find(const struct user_names *names, uint32_t uid); /* NULL = unknown */
const char *user_names_user(const struct user_names *names, uint32_t uid);  /* NULL = unknown */
const char *user_names_group(const struct user_names *names, uint32_t gid); /* NULL = unknown */

#endif
