#include "agent/detect/rules/user_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

void user_names_init(struct user_names *names)
{
    memset(names, 0, sizeof *names);
}

void user_names_fini(struct user_names *names)
{
    free(names->users);
    free(names->groups);
    free(names->passwd_text);
    free(names->group_text);
    user_names_init(names);
}

/* The next field of a line, ended by ':' or the line's end, as a C string. */
static char *next_field(char **at)
{
    char *field = *at;
    char *colon = field ? strchr(field, ':') : NULL;
    if (colon)
        *colon = 0;
    *at = colon ? colon + 1 : NULL;
    return field;
}

/* name:password:id[:gid:gecos:home:shell], in place. */
static bool parse_line(char *line, struct user_name *out)
{
    char *name = next_field(&line);
    const char *password = next_field(&line), *id = next_field(&line);
    uint64_t number;
    if (!name[0] || !password || !id || text_to_u64(id, strlen(id), &number) || number > UINT32_MAX)
        return false;
    const char *gid = next_field(&line), *gecos = gid ? next_field(&line) : NULL;
    const char *home = gecos ? next_field(&line) : NULL, *shell = home ? next_field(&line) : NULL;
    *out = (struct user_name){ (uint32_t)number, name, home ? home : "", shell ? shell : "" };
    return true;
}

static int by_id(const void *a, const void *b)
{
    const struct user_name *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->name < y->name ? -1 : x->name > y->name; /* they point into one text: its order */
}

static int set(struct user_name **entries, uint32_t *n, char **kept, const char *bytes, size_t size)
{
    char *text = malloc(size + 1);
    struct user_name *found = calloc(LIMIT_USER_NAMES, sizeof *found);
    if (!text || !found) {
        free(text);
        free(found);
        return -ENOMEM;
    }
    memcpy(text, bytes, size);
    text[size] = 0;
    free(*entries);
    free(*kept);
    *entries = found;
    *kept = text;
    *n = 0;
    for (char *line = text, *next; line < text + size && *n < LIMIT_USER_NAMES; line = next) {
        char *end = memchr(line, '\n', (size_t)(text + size - line));
        next = end ? end + 1 : text + size;
        if (end)
            *end = 0;
        *n += parse_line(line, &found[*n]);
    }
    qsort(found, *n, sizeof *found, by_id);
    return 0;
}

int user_names_set_users(struct user_names *names, const char *passwd, size_t size)
{
    return set(&names->users, &names->n_users, &names->passwd_text, passwd, size);
}

int user_names_set_groups(struct user_names *names, const char *group, size_t size)
{
    return set(&names->groups, &names->n_groups, &names->group_text, group, size);
}

static const struct user_name *find(const struct user_name *entries, uint32_t n, uint32_t id)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (entries[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && entries[low].id == id ? &entries[low] : NULL;
}

const struct user_name *user_names_find(const struct user_names *names, uint32_t uid)
{
    return find(names->users, names->n_users, uid);
}

const char *user_names_user(const struct user_names *names, uint32_t uid)
{
    const struct user_name *found = find(names->users, names->n_users, uid);
    return found ? found->name : NULL;
}

const char *user_names_group(const struct user_names *names, uint32_t gid)
{
    const struct user_name *found = find(names->groups, names->n_groups, gid);
    return found ? found->name : NULL;
}
