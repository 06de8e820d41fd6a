/* Does a label look made by a generator? A logistic regression over a few features of its letters: how usual its pairs of letters are, length, digits,
 * vowels, the longest run of consonants. Trained by tests/dga/train.py out of Debian's package index and generators of our own; test_dga_model measures
 * it on names and families that it has not seen. Pure. */
#ifndef ECSGUARD_DGA_MODEL_H
#define ECSGUARD_DGA_MODEL_H

#include <stddef.h>
#include <stdint.h>

#define DGA_CLASSES 29 /* 0 begin and end, 1 to 26 letters, 27 digits, 28 the rest */
#define DGA_FEATURES 9
#define DGA_LABEL_MIN 6
#define DGA_NOTHING (-100.0f)

/* Of 783 ordinary names held out, 3 are above (0.4 %). */
#define DGA_THRESHOLD 3.0f

extern const int16_t dga_pairs[DGA_CLASSES][DGA_CLASSES]; /* 100 * ln of how often one follows the other */
extern const float dga_weights[DGA_FEATURES];

/* Log odds that it was generated; DGA_NOTHING for labels too short to tell, and for those in punycode. Lower case. */
float dga_score(const char *label, size_t length);

#endif
