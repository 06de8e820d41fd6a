/* STIX 1.x with CybOX 2: the values of addresses, domain and host names and SHA-256 hashes, wherever they stand. expat reads the XML, piece by
 * piece. No document type is accepted: nothing can refer to anything outside, and no entity grows. */
#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "agent/detect/intel_parts.h"

#define DEPTH_MAX 64
#define VALUE_MAX 4096 /* one element may hold several values */

enum value { VALUE_NONE, VALUE_ADDRESS, VALUE_NAME, VALUE_HASH, VALUE_TYPE };

struct intel_stix {
    XML_Parser parser;
    struct intel_reader *r;
    uint32_t depth;
    uint32_t indicator_depth; /* 0 = not in one */
    bool in_domain;           /* in the properties of a domain name */
    bool in_other;            /* ... of an address of another kind: e-mail, MAC, AS number */
    char category[INTEL_CATEGORY_MAX]; /* of the indicator; "" = not said */
    enum value value; /* what is being read */
    bool is_range, is_refused; /* its condition */
    char text[VALUE_MAX];
    uint32_t n_text;
    bool is_cut;
    const char *why; /* our reason to stop */
};

static const char *local_name(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon ? colon + 1 : name;
}

static const char *attribute(const char **attributes, const char *name)
{
    for (; attributes[0]; attributes += 2)
        if (!strcmp(local_name(attributes[0]), name))
            return attributes[1];
    return NULL;
}

static void stop(struct intel_stix *s, const char *why)
{
    s->why = why;
    XML_StopParser(s->parser, XML_FALSE);
}

static void properties_start(struct intel_stix *s, const char *type, const char *category)
{
    static const char *const known[] = { "ipv4-addr", "ipv6-addr", "ipv4-net", "ipv6-net", "cidr" };
    s->in_domain = type && strstr(type, "DomainName");
    s->in_other = category != NULL;
    for (size_t i = 0; s->in_other && i < sizeof known / sizeof known[0]; i++)
        s->in_other = strcmp(category, known[i]) != 0;
}

static enum value value_of(const struct intel_stix *s, const char *name)
{
    if (!strcmp(name, "Address_Value"))
        return VALUE_ADDRESS;
    if ((!strcmp(name, "Value") && s->in_domain) || !strcmp(name, "Hostname_Value"))
        return VALUE_NAME;
    if (!strcmp(name, "Simple_Hash_Value"))
        return VALUE_HASH;
    return !strcmp(name, "Type") && s->indicator_depth == s->depth - 1 ? VALUE_TYPE : VALUE_NONE;
}

static void on_start(void *context, const char *qualified, const char **attributes)
{
    struct intel_stix *s = context;
    const char *name = local_name(qualified), *type = attribute(attributes, "type"), *condition = attribute(attributes, "condition");
    if (++s->depth > DEPTH_MAX) {
        stop(s, "elements inside each other too deeply");
        return;
    }
    if (!strcmp(name, "Indicator") && !s->indicator_depth) {
        s->indicator_depth = s->depth;
        s->category[0] = 0;
    }
    if (!strcmp(name, "Properties"))
        properties_start(s, type, attribute(attributes, "category"));
    s->value = value_of(s, name);
    s->is_range = condition && !strcmp(condition, "InclusiveBetween");
    s->is_refused = condition && !s->is_range && strcmp(condition, "Equals");
    s->n_text = 0;
    s->is_cut = false;
}

static void on_text(void *context, const char *text, int size)
{
    struct intel_stix *s = context;
    size_t n = (size_t)size, room = sizeof s->text - s->n_text;
    if (s->value == VALUE_NONE)
        return;
    s->is_cut |= n > room;
    n = n < room ? n : room;
    memcpy(s->text + s->n_text, text, n);
    s->n_text += (uint32_t)n;
}

/* The value up to the next "##comma##", which stands between several. */
static struct span next_value(struct span *text)
{
    static const char mark[] = "##comma##";
    const char *at = text->size ? memmem(text->at, text->size, mark, sizeof mark - 1) : NULL;
    struct span value = { text->at, at ? (size_t)(at - text->at) : text->size };
    size_t used = value.size + (at ? sizeof mark - 1 : 0);
    *text = (struct span){ text->at + used, text->size - used };
    return span_trim(value);
}

/* "FIRST-LAST" of the two values of a range. */
static const char *add_range(struct intel_stix *s, struct span text, const char *category)
{
    char range[128];
    struct span first = next_value(&text), last = next_value(&text);
    if (!first.size || !last.size || first.size + last.size + 2 > sizeof range)
        return "a range needs two addresses";
    memcpy(range, first.at, first.size);
    range[first.size] = '-';
    memcpy(range + first.size + 1, last.at, last.size);
    return entry_add(s->r, (struct span){ range, first.size + 1 + last.size }, NAME_ONLY, category);
}

static void add_values(struct intel_stix *s)
{
    struct span text = span_trim((struct span){ s->text, s->n_text });
    const char *category = s->category[0] ? s->category : NULL, *why = NULL;
    uint32_t line = (uint32_t)XML_GetCurrentLineNumber(s->parser);
    s->r->line = line;
    if (s->is_cut || s->is_refused) {
        reader_refuse(s->r, line, s->is_cut ? "a value is too long" : "a condition other than Equals and InclusiveBetween");
        return;
    }
    if (s->is_range) {
        why = add_range(s, text, category);
        text.size = 0;
    }
    while (text.size && !why) {
        struct span value = next_value(&text);
        if ((s->value == VALUE_HASH && value.size != 2 * INTEL_DIGEST_BYTES) || (s->value == VALUE_ADDRESS && s->in_other))
            s->r->n_other++;
        else if (value.size)
            why = entry_add(s->r, value, s->r->source.trusted ? NAME_ONLY : NAME_AND_BELOW, category);
    }
    if (why)
        reader_refuse(s->r, line, why);
}

/* The type of an indicator ("C2", "Exfiltration", "IP Watchlist") stands before what it watches. Only what we know counts. */
static void take_type(struct intel_stix *s)
{
    char own[INTEL_CATEGORY_MAX], word[64];
    struct span text = span_trim((struct span){ s->text, s->n_text });
    span_word(text, word, sizeof word);
    const char *category = !strcmp(word, "c2") ? intel_category_name(INTEL_C2) : category_of_words(text, own);
    if (category && category != own)
        memcpy(s->category, category, strlen(category) + 1);
}

static void on_end(void *context, const char *qualified)
{
    struct intel_stix *s = context;
    if (s->value == VALUE_TYPE)
        take_type(s);
    else if (s->value != VALUE_NONE)
        add_values(s);
    s->value = VALUE_NONE;
    if (!strcmp(local_name(qualified), "Properties"))
        s->in_domain = s->in_other = false;
    if (s->depth == s->indicator_depth) {
        s->indicator_depth = 0;
        s->category[0] = 0;
    }
    s->depth--;
    if (s->r->error == -ENOMEM)
        XML_StopParser(s->parser, XML_FALSE);
}

static void on_doctype(void *context, const char *name, const char *system, const char *public, int has_subset)
{
    (void)name, (void)system, (void)public, (void)has_subset;
    stop(context, "a document type (DOCTYPE) is not accepted");
}

struct intel_stix *stix_new(struct intel_reader *r)
{
    struct intel_stix *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->r = r;
    s->parser = XML_ParserCreate(NULL);
    if (!s->parser) {
        free(s);
        return NULL;
    }
    XML_SetUserData(s->parser, s);
    XML_SetElementHandler(s->parser, on_start, on_end);
    XML_SetCharacterDataHandler(s->parser, on_text);
    XML_SetStartDoctypeDeclHandler(s->parser, on_doctype);
    return s;
}

int stix_feed(struct intel_stix *s, const char *data, size_t size, bool last)
{
    if (XML_Parse(s->parser, data, (int)size, last) == XML_STATUS_OK)
        return s->r->error == -ENOMEM ? -ENOMEM : 0;
    if (s->r->error == -ENOMEM || XML_GetErrorCode(s->parser) == XML_ERROR_NO_MEMORY)
        return -ENOMEM;
    reader_refuse(s->r, (uint32_t)XML_GetCurrentLineNumber(s->parser), s->why ? s->why : XML_ErrorString(XML_GetErrorCode(s->parser)));
    return -EILSEQ;
}

void stix_free(struct intel_stix *s)
{
    if (!s)
        return;
    XML_ParserFree(s->parser);
    free(s);
}
