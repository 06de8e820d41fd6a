/* Reads one list, given in pieces of any size. Pure. The format is found out from the content (ecsguard-intel(5) describes them all):
 *
 *   plain        one address, network, domain or SHA-256 a line, optionally a comma and a category; '#' and ';' begin a comment
 *   csv          a first line that names the columns; OTX, Proofpoint and FireEye iSIGHT files are such
 *   hosts        "0.0.0.0 NAME...", as a hosts file
 *   alienvault   "ADDRESS#RELIABILITY#RISK#ACTIVITY#..."
 *   stix         STIX 1.x XML
 *
 * Bad lines are told with their number and left out; a line has a bound, so has what one of them may cost. */
#ifndef ECSGUARD_INTEL_READER_H
#define ECSGUARD_INTEL_READER_H

#include "agent/detect/intel.h"

enum intel_format { INTEL_AUTO, INTEL_PLAIN, INTEL_CSV, INTEL_HOSTS, INTEL_ALIENVAULT, INTEL_STIX, INTEL_FORMATS };

/* Told about each line that is skipped. `text` is a message for people, plain text; the line itself is not in it. */
typedef void intel_error(void *context, uint32_t line, const char *text);

/* What is known of a list beforehand. */
struct intel_source {
    const char *list;                  /* its name */
    char category[INTEL_CATEGORY_MAX]; /* of lines that do not say */
    bool category_set;                 /* somebody chose it: it also holds for hashes, whose own default is "custom" */
    bool trusted;
    enum intel_format format;
    intel_error *on_error; /* may be NULL */
    void *context;
};

#define INTEL_COLUMNS 64

struct intel_reader {
    struct intel *intel;
    struct intel_source source; /* category: a comment may change it on the way */
    enum intel_format format;   /* INTEL_AUTO until the first line that tells */
    uint32_t line;              /* the one being read, or the last one read */
    uint32_t first_line;        /* of a record of several lines */
    uint64_t n_entries;         /* added */
    uint32_t n_bad;             /* lines told as bad */
    uint32_t n_other;           /* entries that were understood to be of a kind that we do not look for: URLs, MD5, e-mail addresses */
    int error;                  /* that ends it: -ENOMEM; or -ENOSPC, which goes on counting what had no room */
    bool told_full;
    uint8_t columns[INTEL_COLUMNS]; /* of a CSV: what each is (intel_csv.c) */
    uint32_t n_columns;
    struct intel_stix *stix; /* while STIX is read */
    char *held;              /* the beginning of a line or record whose end is not there yet */
    uint32_t n_held;
    bool skipping; /* the rest of a line that was too long */
};

void intel_reader_init(struct intel_reader *r, struct intel *intel, const struct intel_source *source);
/* 0, -ENOMEM, -ENOSPC when a bound of the lists was reached (what fits is kept, the rest is counted in n_refused), or -EILSEQ: not a list at
 * all (no XML where STIX began). Not after intel_seal(). */
int intel_reader_feed(struct intel_reader *r, const char *data, size_t size);
/* The last line may lack its end. The same results; gives back what the reader holds, also after an error. */
int intel_reader_end(struct intel_reader *r);

/* The name of a format, and the format of a name: INTEL_FORMATS for an unknown one. */
const char *intel_format_name(enum intel_format format);
enum intel_format intel_format_find(const char *name, size_t length);

/* 1 to 31 of a-z 0-9 - _ : a category, known or not. */
bool intel_category_is_valid(const char *name, size_t length);

#endif
