#include "agent/sensors/sensitive_paths.h"

#include <string.h>

#include "agent/sensors/file_scope.h"
#include "common/text.h"

#define HOME_FILE(name) { "/root/" name, false }, { "/home/*/" name, false }
#define HOME_DIR(name) { "/root/" name, true }, { "/home/*/" name, true }

const struct sensitive_path sensitive_paths[] = {
    /* who may log in and become root */
    { "/etc/shadow", false },
    { "/etc/shadow-", false },
    { "/etc/gshadow", false },
    { "/etc/gshadow-", false },
    { "/etc/sudoers", false },
    { "/etc/sudoers.d", true },
    { "/etc/pam.conf", false },
    { "/etc/pam.d", true },
    { "/etc/security", true },
    { "/etc/krb5.keytab", false },
    /* private keys */
    { "/etc/ssh", true },
    { "/etc/ssl/private", true },
    HOME_DIR(".ssh"),
    /* credentials of clouds, registries, clusters and databases */
    HOME_DIR(".aws"),
    HOME_DIR(".azure"),
    HOME_DIR(".config/gcloud"),
    HOME_DIR(".docker"),
    HOME_DIR(".kube"),
    HOME_FILE(".netrc"),
    HOME_FILE(".git-credentials"),
    HOME_FILE(".pgpass"),
    HOME_FILE(".my.cnf"),
    { "/run/secrets", true },
    { "/var/run/secrets", true },
    { "/etc/ecs", true },
    { "/var/lib/ecs/data", true },
    /* what was typed */
    HOME_FILE(".bash_history"),
    HOME_FILE(".zsh_history"),
    HOME_FILE(".ash_history"),
    HOME_FILE(".sh_history"),
    HOME_FILE(".python_history"),
    HOME_FILE(".mysql_history"),
    HOME_FILE(".psql_history"),
    { NULL, false },
};

static int components(const char *path)
{
    int n = 0;
    for (; *path; path++)
        n += *path == '/';
    return n;
}

bool sensitive_path_appeared(const char *path, bool directory)
{
    for (const struct sensitive_path *s = sensitive_paths; s->pattern; s++)
        switch (path_relate(path, s->pattern)) {
        case PATH_ELSEWHERE:
            break;
        case PATH_ABOVE:
        case PATH_PARENT: /* a whole tree may have been moved here */
            if (directory)
                return true;
            break;
        case PATH_BELOW:
            if (components(path) == components(s->pattern))
                return true;
            break;
        }
    return false;
}

bool sensitive_open_is_noise(const char *path)
{
    const char *name = strrchr(path, '/');
    if (!name)
        return false;
    static const char ssh[] = "/etc/ssh", security[] = "/etc/security";
    size_t dir_len = (size_t)(name - path);
    if (dir_len >= sizeof ssh - 1 && !memcmp(name - (sizeof ssh - 1), ssh, sizeof ssh - 1))
        return !text_has_suffix(name, "_key");
    /* limits.conf, pam_env.conf, ...: read by every login */
    if (dir_len >= sizeof security - 1 && !memcmp(name - (sizeof security - 1), security, sizeof security - 1))
        return strcmp(name, "/opasswd") != 0 && strcmp(name, "/pwquality.conf") != 0;
    return false;
}
