#include "agent/detect/domain_parts.h"

#include <ctype.h>
#include <string.h>

static bool is_one_of(const char *label, size_t length, const char *const *list)
{
    for (; *list; list++)
        if (strlen(*list) == length && !memcmp(label, *list, length))
            return true;
    return false;
}

/* Where the label before `end` begins. */
static size_t label_before(const struct domain_parts *p, size_t end)
{
    while (end && p->name[end - 1] != '.')
        end--;
    return end;
}

/* "1.2.0.192.zen.example" or sixteen and more single hex digits. */
static bool begins_reversed(const struct domain_parts *p)
{
    int numbers = 0, nibbles = 0;
    const char *at = p->name, *end = p->name + p->base;
    while (at < end) {
        size_t n = strcspn(at, ".");
        bool number = n >= 1 && n <= 3 && strspn(at, "0123456789") >= n, nibble = n == 1 && isxdigit((unsigned char)*at);
        if (!number && !nibble)
            break;
        numbers += number;
        nibbles += nibble;
        at += n + 1;
    }
    return nibbles >= 16 || numbers == 4;
}

static void find_base(struct domain_parts *p)
{
    static const char *const seconds[] = { "ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "id", "in", "info", "ltd", "mil", "ne",
                                           "net", "nom", "or",
                                           "org", "sch", "web", NULL };
    size_t last = label_before(p, p->length), second = label_before(p, last ? last - 1 : 0);
    p->base = second;
    if (p->length - last == 2 && second && is_one_of(p->name + second, last - 1 - second, seconds))
        p->base = label_before(p, second - 1);
    p->label = strcspn(p->name + p->base, ".");
    p->sub = p->base ? p->base - 1 : 0;
}

static bool copy_lower(struct domain_parts *p, const char *name, size_t length)
{
    if (!length || length > DOMAIN_PARTS_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] <= ' ' || name[i] > '~' || (name[i] == '.' && i + 1 < length && name[i + 1] == '.'))
            return false;
        p->name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
    }
    p->name[length] = 0;
    p->length = length;
    return true;
}

bool domain_split(struct domain_parts *p, const char *name, size_t length)
{
    static const char *const nobodys[] = { "local", "localdomain", "localhost", "internal", "intranet", "private", "corp", "home", "lan",
                                           "test", "invalid", "example",
                                           "onion", NULL };
    p->internal = p->reversed = false;
    if (length && name[length - 1] == '.')
        length--;
    if (!copy_lower(p, name, length))
        return false;
    size_t last = label_before(p, p->length);
    find_base(p);
    p->internal = !last || is_one_of(p->name + last, p->length - last, nobodys);
    p->reversed = (p->length - last == 4 && !memcmp(p->name + last, "arpa", 4)) || begins_reversed(p);
    return true;
}
