#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "agent/sensors/nft_decode.h"
#include "agent/sensors/nft_table.h"
#include "tests/unit/fixture.h"

/* All messages of one sample; returns how many. The last result goes to `*end`. */
static int take_all(const char *name, struct nft_message *out, int max, int *end)
{
    size_t size;
    int n = 0;
    char *data = fixture_read(name, &size);
    struct bytes datagram = bytes_of(data, size);
    while ((*end = nft_decode_next(&datagram, &out[n])) == NFT_MESSAGE)
        assert_true(++n < max);
    free(data);
    return n;
}

static void a_table_is_put(void **state)
{
    struct nft_message m[16];
    int end, n = take_all("nft/put_0.bin", m, 16, &end), ours = 0;
    (void)state;
    assert_int_equal(end, NFT_MORE);
    assert_int_equal(m[0].type, NFT_MSG_NEWTABLE);
    assert_int_equal(m[0].family, NFPROTO_INET);
    assert_string_equal(m[0].table, "ecsguard");
    for (int i = 0; i < n; i++)
        ours += !strcmp(m[i].table, "ecsguard");
    assert_int_equal(ours, 5); /* the table, two chains, two rules */
    assert_int_equal(n, 8);
}

static void who_removed_it(void **state)
{
    struct nft_message m[16];
    int end, n = take_all("nft/removed_0.bin", m, 16, &end);
    (void)state;
    assert_int_equal(m[n - 1].type, NFT_MSG_DELTABLE);
    assert_string_equal(m[n - 1].table, "ecsguard");
    assert_int_equal(take_all("nft/removed_1.bin", m, 16, &end), 1);
    assert_int_equal(m[0].type, NFT_MSG_NEWGEN);
    assert_true(m[0].pid > 1);
    assert_string_equal(m[0].comm, "nft");
    assert_true(m[0].generation > 1);
    assert_string_equal(m[0].table, "");
}

static void answers(void **state)
{
    struct nft_message m[16];
    struct nft_switches before;
    int end;
    (void)state;
    assert_int_equal(take_all("nft/table_0.bin", m, 16, &end), 1);
    assert_int_equal(m[0].type, NFT_MSG_NEWTABLE);
    assert_true(nft_table_is_ours(m[0].comment, &before));
    assert_int_equal(before.acct, 0);
    assert_int_equal(before.events, 2);
    assert_int_equal(take_all("nft/table_1.bin", m, 16, &end), 0);
    assert_int_equal(end, NFT_DONE);
    assert_int_equal(take_all("nft/no_table_0.bin", m, 16, &end), 0);
    assert_int_equal(end, -ENOENT);
    assert_int_equal(take_all("nft/chains_0.bin", m, 16, &end), 2);
    assert_string_equal(m[1].table, "ecsguard");
    assert_int_equal(take_all("nft/rules_0.bin", m, 16, &end), 2);
    assert_int_equal(m[1].type, NFT_MSG_NEWRULE);
}

static void damaged_datagrams(void **state)
{
    static const char *const names[] = { "nft/put_0.bin", "nft/removed_1.bin", "nft/table_0.bin", "nft/rules_0.bin" };
    struct nft_message m;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t size;
        char *data = fixture_read(names[i], &size);
        for (size_t n = 0; n < size; n++) {
            struct bytes datagram = bytes_of(data, n);
            int r;
            while ((r = nft_decode_next(&datagram, &m)) == NFT_MESSAGE)
                assert_true(m.attributes.at + m.attributes.left <= (uint8_t *)data + n);
            assert_true(r == NFT_MORE || r == -EINVAL);
        }
        for (size_t n = 16; n < size; n++) { /* every length and type once wrong */
            struct bytes datagram = bytes_of(data, size);
            data[n] = (char)~data[n];
            while (nft_decode_next(&datagram, &m) == NFT_MESSAGE)
                ;
            data[n] = (char)~data[n];
        }
        free(data);
    }
}

static void texts_and_comments(void **state)
{
    char text[NFT_TABLE_TEXT_BYTES];
    struct text_out out;
    struct nft_switches before;
    struct nft_table all = { .dns = true, .tracks = true, .holds_back = true, .before = { 0, 2 } }, none = { .before = { -1, -1 } };
    (void)state;
    text_out_init(&out, text, sizeof text);
    nft_table_put(&out, &all);
    assert_false(out.cut);
    assert_non_null(strstr(text, " acct=0 events=2\"\n"));
    assert_non_null(strstr(text, "dport 53"));
    assert_non_null(strstr(text, "ip6 daddr limit rate over 500/second burst 2500 packets"));
    const char *comment = strstr(text, "comment \"") + 9;
    assert_true(strcspn(comment, "\"") < 128); /* NFTNL_UDATA_COMMENT_MAXLEN */
    assert_true(nft_table_is_ours(comment, &before));
    assert_int_equal(before.events, 2);
    all.holds_back = false;
    text_out_init(&out, text, sizeof text);
    nft_table_put(&out, &all);
    assert_non_null(strstr(text, "ct status confirmed"));
    assert_null(strstr(text, "limit"));
    text_out_init(&out, text, sizeof text);
    nft_table_put(&out, &none);
    assert_null(strstr(text, "acct"));
    assert_null(strstr(text, "53"));
    assert_null(strstr(text, "ct status"));
    assert_true(nft_table_is_ours(strstr(text, "comment \"") + 9, &before));
    assert_int_equal(before.acct, -1);
    assert_false(nft_table_is_ours("", &before));
    assert_false(nft_table_is_ours("my own ecsguard", &before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_put),    cmocka_unit_test(who_removed_it),     cmocka_unit_test(answers),
        cmocka_unit_test(damaged_datagrams), cmocka_unit_test(texts_and_comments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
