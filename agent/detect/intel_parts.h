/* What the readers of the formats share: pieces of a line, and entries. */
#ifndef ECSGUARD_INTEL_PARTS_H
#define ECSGUARD_INTEL_PARTS_H

#include "agent/detect/intel_reader.h"

struct span {
    const char *at;
    size_t size;
};

/* Without blanks around it. */
struct span span_trim(struct span s);
/* What stands before the first `mark`, and what behind it (size 0 if it is not there). */
struct span span_cut(struct span s, char mark, struct span *rest);
bool span_is(struct span s, const char *text);
/* Small letters and digits of it, NUL-terminated, as much as fits: "Indicator type" and "indicator_type" are "indicatortype". */
void span_word(struct span s, char *word, size_t size);

/* How a name without "*." is to be taken. */
enum name_meaning { NAME_AND_BELOW, NAME_ONLY };

/* Adds what `text` lists: an address, network, range "FIRST-LAST" of addresses, domain or SHA-256. `category` NULL = that of the list.
 * NULL, or what is wrong with it. */
const char *entry_add(struct intel_reader *r, struct span text, enum name_meaning meaning, const char *category);

/* For people; counted. */
void reader_refuse(struct intel_reader *r, uint32_t line, const char *why);
/* Names another category from here on, or refuses it. */
void reader_set_category(struct intel_reader *r, struct span name);

/* Our category for what others write: "C&C", "botnet_cc", "Malicious Host", the numbers of Proofpoint. NULL = nothing is said; else a known name,
 * or the words themselves in the form of a category, in `own`. */
const char *category_of_words(struct span words, char own[INTEL_CATEGORY_MAX]);

/* One line or record of each format. */
void plain_read(struct intel_reader *r, struct span line);
void hosts_read(struct intel_reader *r, struct span line);
void alienvault_read(struct intel_reader *r, struct span line);
void csv_read(struct intel_reader *r, struct span record);
/* True, and the columns are set, if this line names columns that we understand. */
bool csv_read_header(struct intel_reader *r, struct span line);

struct intel_stix;
struct intel_stix *stix_new(struct intel_reader *r);
int stix_feed(struct intel_stix *s, const char *data, size_t size, bool last);
void stix_free(struct intel_stix *s);

#endif
