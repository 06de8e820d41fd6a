#include "agent/detect/dga_model.h"

#include <stdbool.h>
#include <string.h>

#define RARE_PAIR (-550)
#define LABEL_MAX 63

static int class_of(char c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 1;
    return c >= '0' && c <= '9' ? 27 : 28;
}

static bool is_vowel(char c)
{
    return c && strchr("aeiouy", c);
}

struct counts {
    int pairs, rare, digits, letters, vowels, longest, turns;
};

static void count(struct counts *k, const char *label, size_t length)
{
    int before = 0, run = 0;
    for (size_t i = 0; i < length; i++) {
        int c = class_of(label[i]), pair = dga_pairs[before][c];
        bool vowel = is_vowel(label[i]);
        k->pairs += pair;
        k->rare += pair < RARE_PAIR;
        k->digits += c == 27;
        k->letters += c < 27;
        k->vowels += vowel;
        run = c < 27 && !vowel ? run + 1 : 0;
        if (run > k->longest)
            k->longest = run;
        k->turns += i && (c == 27) != (before == 27);
        before = c;
    }
    k->pairs += dga_pairs[before][0];
    k->rare += dga_pairs[before][0] < RARE_PAIR;
}

float dga_score(const char *label, size_t length)
{
    if (length < DGA_LABEL_MIN || length > LABEL_MAX || !memcmp(label, "xn--", 4))
        return DGA_NOTHING;
    struct counts k = { 0 };
    count(&k, label, length);
    float n = (float)length, mean = (float)k.pairs / (n + 1) / 100;
    const float features[DGA_FEATURES] = {
        1,
        mean,
        (float)k.rare / (n + 1),
        n / 10,
        (float)k.digits / n,
        (float)k.vowels / (float)(k.letters ? k.letters : 1),
        (float)k.longest / 4,
        (float)k.turns / n,
        mean * n / 10,
    };
    float score = 0;
    for (int i = 0; i < DGA_FEATURES; i++)
        score += features[i] * dga_weights[i];
    return score;
}
