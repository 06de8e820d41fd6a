/* The model of generated names, measured on what it has not learnt from: its ROC as the area under the curve for each family of generators, and how many
 * ordinary names are above the threshold. The names are made by tests/dga/train.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/detect/dga_model.h"
#include "agent/detect/domain_parts.h"
#include "tests/unit/fixture.h"

#define NAMES_MAX 2048

struct scores {
    int n;
    float of[NAMES_MAX];
};

static void read_scores(const char *name, struct scores *s)
{
    char path[64];
    size_t size;
    snprintf(path, sizeof path, "dga/%s.txt", name);
    char *data = fixture_read(path, &size);
    s->n = 0;
    for (size_t at = 0; at < size && s->n < NAMES_MAX;) {
        size_t length = strcspn(data + at, "\n");
        s->of[s->n++] = dga_score(data + at, length);
        at += length + 1;
    }
    free(data);
}

/* The chance that a generated name is above an ordinary one. */
static double area(const struct scores *ordinary, const struct scores *made)
{
    double above = 0;
    for (int i = 0; i < made->n; i++)
        for (int j = 0; j < ordinary->n; j++)
            above += made->of[i] > ordinary->of[j] ? 1 : made->of[i] < ordinary->of[j] ? 0 : 0.5;
    return above / made->n / ordinary->n;
}

static double share_above(const struct scores *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += s->of[i] >= DGA_THRESHOLD;
    return (double)n / s->n;
}

static void families_are_told_apart(void **state)
{
    static const struct {
        const char *name;
        double area, found; /* at least */
    } families[] = {
        { "trained-uniform", .99, .85 },  { "trained-short", .95, .50 },  { "trained-alphanumeric", .99, .95 }, { "trained-hexadecimal", .99, .90 },
        { "trained-congruential", .99, .90 }, { "trained-pronounceable", .95, .45 }, { "held-shifted", .97, .75 },  { "held-digest", .99, .90 },
        { "held-base32", .99, .95 },      { "held-few_letters", .99, .85 }, { "held-syllables", .94, .45 },     { "held-with_digits", .98, .70 },
        { "held-dictionary", .60, 0 }, /* words: letters do not tell */
    };
    static struct scores ordinary, made;
    (void)state;
    read_scores("ordinary", &ordinary);
    double wrong = share_above(&ordinary);
    print_message("%d ordinary names, %.2f %% above the threshold %.1f\n", ordinary.n, wrong * 100, (double)DGA_THRESHOLD);
    assert_true(ordinary.n > 500 && wrong < 0.006);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        read_scores(families[i].name, &made);
        double a = area(&ordinary, &made), found = share_above(&made);
        print_message("%-24s %d names, area under the curve %.4f, found %.1f %%\n", families[i].name, made.n, a, found * 100);
        if (a < families[i].area || found < families[i].found)
            fail_msg("%s: %.4f %.3f", families[i].name, a, found);
    }
}

static void odd_labels(void **state)
{
    (void)state;
    char longest[64];
    memset(longest, 'q', sizeof longest);
    assert_true(dga_score("", 0) == DGA_NOTHING);
    assert_true(dga_score("qxzvk", 5) == DGA_NOTHING);
    assert_true(dga_score("xn--80ak6aa92e", 14) == DGA_NOTHING);
    assert_true(dga_score(longest, 64) == DGA_NOTHING);
    assert_true(dga_score(longest, 63) > DGA_THRESHOLD);
    assert_true(dga_score("\\195\\188ber", 11) > DGA_NOTHING);
}

static void names_are_taken_apart(void **state)
{
    static const struct {
        const char *name, *base;
        size_t sub;
        bool internal, reversed;
    } cases[] = {
        { "www.Example.COM.", "example.com", 3, false, false },
        { "example.com", "example.com", 0, false, false },
        { "a.b.example.co.uk", "example.co.uk", 3, false, false },
        { "t.co", "t.co", 0, false, false },
        { "x.t.co", "t.co", 1, false, false },
        { "co.uk", "co.uk", 0, false, false },
        { "web.prod.svc.cluster.local", "cluster.local", 12, true, false },
        { "printer", "printer", 0, true, false },
        { "4.3.2.1.in-addr.arpa", "in-addr.arpa", 7, false, true },
        { "2.0.0.127.zen.example.org", "example.org", 13, false, true },
        { "1.2.3.example.org", "example.org", 5, false, false },
        { "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example.org", "example.org", 51, false, true },
    };
    struct domain_parts p;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(domain_split(&p, cases[i].name, strlen(cases[i].name)));
        assert_string_equal(p.name + p.base, cases[i].base);
        assert_int_equal(p.sub, cases[i].sub);
        assert_int_equal(p.internal, cases[i].internal);
        assert_int_equal(p.reversed, cases[i].reversed);
    }
    assert_false(domain_split(&p, "", 0));
    assert_false(domain_split(&p, ".", 1));
    assert_false(domain_split(&p, "a..b", 4));
    assert_false(domain_split(&p, "a b.c", 5));
    assert_false(domain_split(&p, ".a", 2));
    char longest[300];
    memset(longest, 'a', sizeof longest);
    assert_false(domain_split(&p, longest, 256));
    assert_true(domain_split(&p, longest, 255));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(families_are_told_apart), cmocka_unit_test(odd_labels), cmocka_unit_test(names_are_taken_apart) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
