/* What other lists call the categories. */
#include <string.h>

#include "agent/detect/intel_parts.h"
#include "common/text.h"

/* The first that occurs in the words, written as span_word() does. Longer and more telling ones stand first. */
static const struct {
    const char *part;
    enum intel_category category;
} words[] = {
    { "c&c", INTEL_C2 },
    { "cnc", INTEL_C2 },
    { "botnetcc", INTEL_C2 },
    { "commandandcontrol", INTEL_C2 },
    { "command&control", INTEL_C2 },
    { "phish", INTEL_PHISHING },
    { "bitcoin", INTEL_CRYPTO },
    { "crypto", INTEL_CRYPTO },
    { "coinmin", INTEL_CRYPTO },
    { "mining", INTEL_CRYPTO },
    { "torguard", INTEL_TOR_GUARD },
    { "torauthority", INTEL_TOR_GUARD },
    { "tornode", INTEL_TOR_RELAY },
    { "torrelay", INTEL_TOR_RELAY },
    { "torexit", INTEL_TOR_RELAY },
    { "sinkhole", INTEL_BLACKHOLE },
    { "blackhole", INTEL_BLACKHOLE },
    { "dropsite", INTEL_DROPPOINT },
    { "dropzone", INTEL_DROPPOINT },
    { "droppoint", INTEL_DROPPOINT },
    { "exfiltration", INTEL_DROPPOINT },
    { "driveby", INTEL_DRIVEBY },
    { "exploitkit", INTEL_DRIVEBY },
    { "dyndns", INTEL_ABUSED },
    { "dynamicdns", INTEL_ABUSED },
    { "abusedtld", INTEL_ABUSED },
    { "parking", INTEL_ABUSED },
    { "malicioushost", INTEL_MALICIOUS },
    { "maliciousactivity", INTEL_MALICIOUS },
    { "malwaredownload", INTEL_MALICIOUS },
    { "payloaddelivery", INTEL_MALICIOUS },
    { "malwareip", INTEL_MALICIOUS },
    { "malwaredomain", INTEL_MALICIOUS },
};

/* Proofpoint's (ET Intelligence) categories are numbers, whose meaning comes as a file of its own. What has no number here has no
 * category of ours: its number stays to be seen as "et-NUMBER". */
static const struct {
    const char *number;
    enum intel_category category;
} numbers[] = {
    { "1", INTEL_C2 },        /* CnC */
    { "4", INTEL_DROPPOINT }, /* Drop */
    { "5", INTEL_C2 },        /* SpywareCnC */
    { "7", INTEL_DRIVEBY },   /* DriveBySrc */
    { "10", INTEL_TOR_RELAY },
    { "13", INTEL_MALICIOUS }, /* Compromised */
    { "24", INTEL_MALICIOUS }, /* FakeAV */
    { "25", INTEL_ABUSED },    /* DynDNS */
    { "27", INTEL_ABUSED },    /* AbusedTLD */
    { "29", INTEL_BLACKHOLE },
    { "31", INTEL_C2 },        /* P2PCnC */
    { "33", INTEL_ABUSED },    /* Parking */
    { "35", INTEL_MALICIOUS }, /* EXE_Source */
    { "37", INTEL_C2 },        /* Mobile_CnC */
    { "38", INTEL_C2 },        /* Mobile_Spyware_CnC */
    { "40", INTEL_CRYPTO },    /* Bitcoin_Related */
};

static const char *of_number(const char *word, char own[INTEL_CATEGORY_MAX])
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (!strcmp(word, numbers[i].number))
            return intel_category_name(numbers[i].category);
    struct text_out out;
    text_out_init(&out, own, INTEL_CATEGORY_MAX);
    text_out_printf(&out, "et-%s", word);
    return own;
}

/* "Scanning Host;Spamming" -> "scanning-host-spamming" */
static const char *as_category(struct span s, char own[INTEL_CATEGORY_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < s.size && n < INTEL_CATEGORY_MAX - 1; i++) {
        char c = s.at[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        if (plain || (n && own[n - 1] != '-'))
            own[n++] = plain ? c : '-';
    }
    while (n && own[n - 1] == '-')
        n--;
    own[n] = 0;
    return n ? own : NULL;
}

const char *category_of_words(struct span s, char own[INTEL_CATEGORY_MAX])
{
    char word[128];
    enum intel_category known = intel_category_find(s.at, s.size);
    if (known != INTEL_OTHER)
        return intel_category_name(known);
    span_word(s, word, sizeof word);
    if (word[0] && !word[strspn(word, "0123456789")])
        return strlen(word) < 10 ? of_number(word, own) : NULL;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(word, words[i].part))
            return intel_category_name(words[i].category);
    return as_category(s, own);
}
