#include "agent/sensors/procfs_decode.h"

#include <errno.h>
#include <string.h>

#include "common/text.h"

struct cursor {
    const char *at, *end;
};

/* The next blank-separated word; empty at the end. */
static size_t next_word(struct cursor *c, const char **word)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
        c->at++;
    *word = c->at;
    while (c->at < c->end && *c->at != ' ' && *c->at != '\t' && *c->at != '\n')
        c->at++;
    return (size_t)(c->at - *word);
}

static bool next_number(struct cursor *c, uint64_t *value)
{
    const char *word;
    size_t size = next_word(c, &word);
    bool negative = size && *word == '-';
    if (text_to_u64(word + negative, size - negative, value))
        return false;
    if (negative)
        *value = -*value;
    return true;
}

int procfs_parse_stat(const char *text, size_t size, struct procfs_stat *out)
{
    const char *open = memchr(text, '(', size), *close = memrchr(text, ')', size);
    if (!open || !close || close < open)
        return -EINVAL;
    out->comm = open + 1;
    out->comm_size = (size_t)(close - open - 1);
    struct cursor c = { close + 1, text + size };
    const char *state;
    uint64_t n[20]; /* fields 4 to 22 */
    if (!next_word(&c, &state))
        return -EINVAL;
    for (int i = 4; i <= 22; i++)
        if (!next_number(&c, &n[i - 4]))
            return -EINVAL;
    out->ppid = (int32_t)n[0];
    out->pgid = (int32_t)n[1];
    out->sid = (int32_t)n[2];
    out->tty = (uint32_t)n[3];
    out->start_ticks = n[18];
    return 0;
}

/* After "\nKEY:", the first two numbers: real and effective id. */
static bool find_ids(const char *text, size_t size, const char *key, uint32_t *real, uint32_t *effective)
{
    const char *line = memmem(text, size, key, strlen(key));
    uint64_t r, e;
    if (!line)
        return false;
    struct cursor c = { line + strlen(key), text + size };
    if (!next_number(&c, &r) || !next_number(&c, &e) || r > UINT32_MAX || e > UINT32_MAX)
        return false;
    *real = (uint32_t)r;
    *effective = (uint32_t)e;
    return true;
}

/* The last number of a line: of NSpid and NSpgid that of the innermost namespace. 0 if there is none. */
static int32_t find_innermost(const char *text, size_t size, const char *key)
{
    const char *line = memmem(text, size, key, strlen(key));
    uint64_t number, last = 0;
    if (!line)
        return 0;
    struct cursor c = { line + strlen(key), text + size };
    while (next_number(&c, &number))
        last = number;
    return last <= INT32_MAX ? (int32_t)last : 0;
}

/* 16 hex digits behind the key. */
static bool find_mask(const char *text, size_t size, const char *key, uint64_t *mask)
{
    const char *line = memmem(text, size, key, strlen(key)), *word;
    if (!line)
        return false;
    struct cursor c = { line + strlen(key), text + size };
    const size_t n = next_word(&c, &word);
    *mask = 0;
    for (size_t i = 0; i < n && i < 16; i++) {
        const int digit = word[i] >= '0' && word[i] <= '9' ? word[i] - '0' : word[i] >= 'a' && word[i] <= 'f' ? word[i] - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *mask = *mask << 4 | (uint64_t)digit;
    }
    return n == 16;
}

int procfs_parse_status(const char *text, size_t size, struct procfs_status *out)
{
    /* Safe although the Name: line is the process's choice: the kernel escapes newlines in it. */
    if (!find_ids(text, size, "\nUid:", &out->uid, &out->euid) || !find_ids(text, size, "\nGid:", &out->gid, &out->egid))
        return -EINVAL;
    out->vpid = find_innermost(text, size, "\nNSpid:");
    out->vpgid = find_innermost(text, size, "\nNSpgid:");
    out->has_capabilities = find_mask(text, size, "\nCapInh:", &out->cap_inheritable) &&
                            find_mask(text, size, "\nCapPrm:", &out->cap_permitted) &&
                            find_mask(text, size, "\nCapEff:", &out->cap_effective);
    return 0;
}

int32_t procfs_parse_tgid(const char *text, size_t size)
{
    static const char key[] = "\nTgid:";
    const char *line = memmem(text, size, key, sizeof key - 1);
    struct cursor c = { line ? line + sizeof key - 1 : text + size, text + size };
    uint64_t pid;
    return next_number(&c, &pid) && pid <= INT32_MAX ? (int32_t)pid : 0;
}

bool procfs_parse_link(const char *link, size_t size, const char *kind, uint64_t *number)
{
    size_t n = strlen(kind);
    return size > n + 3 && !memcmp(link, kind, n) && link[n] == ':' && link[n + 1] == '[' && link[size - 1] == ']' &&
           !text_to_u64(link + n + 2, size - n - 3, number);
}

size_t procfs_bound_environ(char *bytes, size_t size)
{
    if (size <= LIMIT_ENVIRON_BYTES)
        return size;
    size_t kept = 0;
    for (size_t at = 0, next; at < size && kept < LIMIT_ENVIRON_BYTES; at = next) {
        const char *nul = memchr(bytes + at, 0, size - at);
        next = nul ? (size_t)(nul - bytes) + 1 : size;
        if (next - at < 3 || memcmp(bytes + at, "LD_", 3))
            continue;
        memmove(bytes + kept, bytes + at, next - at);
        kept += next - at;
    }
    return kept < LIMIT_ENVIRON_BYTES ? kept : LIMIT_ENVIRON_BYTES;
}

static bool has_id(const char *path, size_t size)
{
    size_t run = 0;
    for (size_t i = 0; i < size && run < 32; i++)
        run = (path[i] >= '0' && path[i] <= '9') || (path[i] >= 'a' && path[i] <= 'f') ? run + 1 : 0;
    return run >= 32;
}

int procfs_pick_cgroup(const char *text, size_t size, const char **path, size_t *path_size)
{
    const char *end = text + size;
    *path_size = 0;
    for (const char *line = text, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline ? newline : end;
        next = newline ? newline + 1 : end;
        const char *first = memchr(line, ':', (size_t)(line_end - line));
        const char *second = first ? memchr(first + 1, ':', (size_t)(line_end - first - 1)) : NULL;
        if (!second || second + 1 == line_end)
            continue;
        size_t n = (size_t)(line_end - second - 1);
        bool wins = has_id(second + 1, n);
        if (wins || n > *path_size) {
            *path = second + 1;
            *path_size = n;
        }
        if (wins)
            break;
    }
    return *path_size ? 0 : -EINVAL;
}

bool procfs_parse_pid(const char *name, int32_t *pid)
{
    uint64_t n;
    if (text_to_u64(name, strlen(name), &n) || n == 0 || n > INT32_MAX)
        return false;
    *pid = (int32_t)n;
    return true;
}
