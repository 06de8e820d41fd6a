#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/sensors/dns_decode.h"
#include "agent/sensors/nflog_decode.h"
#include "common/dns_code.h"
#include "common/dns_record.h"

static union event_buffer buffer;
static struct event *const ev = &buffer.event;
static struct event last; /* the numbers of what was told last */
static struct dns_streams streams;
static char told[65536];
static int n_malformed;

/* ---- what was told, as lines: "query A www.example.com" and "answer NOERROR A www.example.com cut | record | record" ---------------- */

static void tell(void)
{
    char number[16];
    size_t used = strlen(told);
    char *at = told + used, *end = told + sizeof told;
    bool answer = ev->dns_op == DNS_ANSWER;
    assert_int_equal(event_check(ev, ev->size), 0);
    at += snprintf(at, (size_t)(end - at), "%s ", answer ? "answer" : "query");
    if (answer)
        at += snprintf(at, (size_t)(end - at), "%s ", dns_rcode_name(ev->dns_rcode, number));
    at += snprintf(at, (size_t)(end - at), "%s%s%s", event_knows(ev, F_DNS_TYPE) ? dns_type_name(ev->dns_type, number) : "-",
                   ev->dns_name.len ? " " : "", event_text(ev, ev->dns_name));
    if (ev->dns_truncated)
        at += snprintf(at, (size_t)(end - at), " cut");
    for (size_t i = 0; i < ev->dns_answers.len; i += strlen(event_text(ev, ev->dns_answers) + i) + 1)
        at += snprintf(at, (size_t)(end - at), " | %s", event_text(ev, ev->dns_answers) + i);
    snprintf(at, (size_t)(end - at), "\n");
    last = *ev;
}

static void decode_packet(struct bytes payload)
{
    struct dns_segment segment;
    struct dns_message message;
    int r = dns_segment_decode(payload, &segment);
    while (r > 0 && (r = dns_message_next(&streams, 1, &segment, &message)) > 0)
        for (unsigned i = 0; i < dns_question_count(&message); i++) {
            event_init(ev, EVENT_DNS, SOURCE_DNS, 1);
            if (dns_decode(ev, &segment, &message, i)) {
                n_malformed++;
                break;
            }
            tell();
        }
    n_malformed += r < 0;
}

static void begin(void)
{
    told[0] = 0;
    n_malformed = 0;
    memset(&streams, 0, sizeof streams);
}

/* A datagram of the kernel with a whole conversation. `want` NULL: the caller looks at `told`. */
static void decode_sample(const char *name, const char *want)
{
    static uint8_t bytes[65536];
    char path[512];
    struct nflog_packet packet;
    snprintf(path, sizeof path, "%s/tests/fixtures/dns/%s_0.bin", TEST_SRCDIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    struct bytes datagram = bytes_of(bytes, fread(bytes, 1, sizeof bytes, f));
    fclose(f);
    begin();
    uint32_t seq = 0;
    int r;
    for (bool first = true; (r = nflog_decode(&datagram, &packet)) > 0; first = false) {
        assert_true(packet.has_seq && (first || packet.seq == seq));
        assert_int_equal(packet.hook, packet.has_indev ? 1 : 3); /* in, out */
        if (packet.hook == 3 && packet.payload.at[9] == 17)
            assert_true(packet.has_uid && packet.uid == 0);
        seq = packet.seq + 1;
        decode_packet(packet.payload);
    }
    assert_int_equal(r, 0);
    if (want)
        assert_string_equal(told, want);
}

static void real_messages(void **state)
{
    (void)state;
    decode_sample("a", "query A WWW.example.com\nanswer NOERROR A WWW.example.com | WWW.example.com A 300 198.51.100.80\n");
    decode_sample("aaaa", "query AAAA www.example.com\nanswer NOERROR AAAA www.example.com | www.example.com AAAA 300 2001:db8::80\n");
    assert_int_equal(last.src.family, 6);
    assert_int_equal(last.sport, 40000);
    assert_int_equal(last.dport, 53);
    decode_sample("chain", "query A alias.example.com\nanswer NOERROR A alias.example.com | alias.example.com CNAME 300 second.example.com"
                  " | second.example.com CNAME 300 www.example.com | www.example.com A 300 198.51.100.80\n");
    decode_sample("nxdomain", "query A nothere.example.com\nanswer NXDOMAIN A nothere.example.com\n");
    decode_sample("refused", "query A www.example.org\nanswer REFUSED A www.example.org\n");
    decode_sample("chaos", "query TXT version.bind\nanswer NOERROR TXT version.bind | version.bind TXT 300 \"dnsmasq-2.90\"\n");
    assert_int_equal(last.dns_class, 3);
    assert_int_equal(n_malformed, 0);
}

static void real_records(void **state)
{
    (void)state;
    decode_sample("mx", "query MX example.com\nanswer NOERROR MX example.com | example.com MX 300 10 mail.example.com\n");
    decode_sample("srv", "query SRV _sip._tcp.example.com\nanswer NOERROR SRV _sip._tcp.example.com"
                  " | _sip._tcp.example.com SRV 300 1 2 5060 sip.example.com\n");
    decode_sample("ptr", "query PTR 80.100.51.198.in-addr.arpa\nanswer NOERROR PTR 80.100.51.198.in-addr.arpa"
                  " | 80.100.51.198.in-addr.arpa PTR 300 www.example.com\n");
    decode_sample("https", "query HTTPS https.example.com\nanswer NOERROR HTTPS https.example.com"
                  " | https.example.com HTTPS 300 1 . alpn=h2 ipv4hint=198.51.100.80 ipv6hint=2001:db8::80\n");
    decode_sample("unknown", "query TYPE4711 odd.example.com\nanswer NOERROR TYPE4711 odd.example.com | odd.example.com TYPE4711 300 \\# 4 0badcafe\n");
    decode_sample("bytes", "query A a\\032b\\092\\255\\000.example.com\nanswer NXDOMAIN A a\\032b\\092\\255\\000.example.com\n");
    assert_int_equal(n_malformed, 0);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text++)
        n++;
    return n;
}

static void cut_and_large(void **state)
{
    (void)state;
    decode_sample("cut", NULL);
    assert_non_null(strstr(told, "answer NOERROR A many.example.com cut | ")); /* TC */
    assert_true(count(told, " | ") < 50);
    decode_sample("edns", NULL);
    assert_non_null(strstr(told, "query A many.example.com\n"));
    assert_non_null(strstr(told, "answer NOERROR A many.example.com cut | many.example.com A 300 203.0.113."));
    assert_int_equal(count(told, " | "), 74); /* dnsmasq gives 1,232 bytes over UDP */
    decode_sample("tcp_large", NULL);
    assert_int_equal(count(told, " | "), 100);
    assert_int_equal(n_malformed, 0);
}

static void over_tcp(void **state)
{
    static const char question[] = "query A www.example.com\n", answer[] = "answer NOERROR A www.example.com | www.example.com A 300 198.51.100.80\n";
    char both[512];
    (void)state;
    snprintf(both, sizeof both, "%s%s", question, answer);
    decode_sample("tcp", both);
    assert_int_equal(last.proto, 6);
    decode_sample("tcp_split", both); /* the length in a segment of its own */
    snprintf(both, sizeof both, "query - cut\n%s", answer); /* the name is in the second segment */
    decode_sample("tcp_pieces", both);
    decode_sample("tcp_two", NULL);
    assert_int_equal(count(told, "query "), 2);
    assert_int_equal(count(told, "answer "), 2);
    assert_int_equal(n_malformed, 0);
    decode_sample("not_dns", "");
    assert_int_equal(n_malformed, 1);
}

/* ---- made by hand -------------------------------------------------------------------------------------------------- */

/* A UDP packet over IPv4 with `message`; from a client, or to it. */
static size_t packet_make(uint8_t *to, const void *message, size_t size, bool answer)
{
    static const uint8_t head[28] = { 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 198, 51, 100, 1, 198, 51, 100, 53, 0x9c, 0x40, 0, 53 };
    static const uint8_t back[12] = { 198, 51, 100, 53, 198, 51, 100, 1, 0, 53, 0x9c, 0x40 };
    memcpy(to, head, sizeof head);
    if (answer)
        memcpy(to + 12, back, sizeof back);
    memcpy(to + 28, message, size);
    to[2] = (uint8_t)((size + 28) >> 8);
    to[3] = (uint8_t)(size + 28);
    to[24] = (uint8_t)((size + 8) >> 8);
    to[25] = (uint8_t)(size + 8);
    return size + 28;
}

static void decode_message(const void *message, size_t size, bool answer, const char *want)
{
    uint8_t packet[4096];
    begin();
    decode_packet(bytes_of(packet, packet_make(packet, message, size, answer)));
    assert_string_equal(told, want);
    assert_int_equal(n_malformed, !*want);
}

#define MESSAGE(bytes) bytes, sizeof bytes - 1
#define QUESTION "\1\2\1\0\0\1\0\0\0\0\0\0"
#define ANSWER(n) "\1\2\x81\x80\0\1\0" n "\0\0\0\0\1a\0\0\1\0\1"

static void broken_names(void **state)
{
    (void)state;
    decode_message(MESSAGE(QUESTION "\1a\0\0\1\0\1"), false, "query A a\n");
    decode_message(MESSAGE(QUESTION "\0\0\2\0\1"), false, "query NS .\n");
    decode_message(MESSAGE(QUESTION "\xc0\x0c\0\1\0\1"), false, "");          /* to itself */
    decode_message(MESSAGE(QUESTION "\1a\xc0\x0c\0\1\0\1"), false, "");       /* a loop */
    decode_message(MESSAGE(QUESTION "\xc0\x12\0\1\0\1\1b\0"), false, "");     /* forward */
    decode_message(MESSAGE(QUESTION "\xc0\x04\0\1\0\1"), false, "");          /* into the header */
    decode_message(MESSAGE(QUESTION "\x40" "a\0\0\1\0\1"), false, "");        /* no kind of label */
    decode_message(MESSAGE(QUESTION "\5a\0\0\1\0\1"), false, "");             /* past the end */
    decode_message(MESSAGE(QUESTION "\1a\0\0\1"), false, "");
    decode_message(MESSAGE("\1\2\1\0\0\1\0\0"), false, "");
    decode_message(MESSAGE("\1\2\1\0\0\0\0\0\0\0\0\0"), false, "");           /* asks nothing */
}

static void longest_names(void **state)
{
    uint8_t message[400] = QUESTION;
    (void)state;
    for (int labels = 0; labels < 4; labels++) { /* 3 of 63 and one of 61 bytes: 255 with their lengths and the end */
        uint8_t *label = message + 12 + labels * 64, size = labels == 3 ? 61 : 63;
        *label = size;
        memset(label + 1, 0xff, size);
    }
    uint8_t *end = message + 12 + 254;
    memcpy(end, "\0\0\1\0\1", 5);
    begin();
    uint8_t packet[600];
    decode_packet(bytes_of(packet, packet_make(packet, message, 12 + 254 + 5, false)));
    assert_int_equal(n_malformed, 0);
    assert_int_equal(last.dns_name.len, 250 * 4 + 3);
    message[12 + 3 * 64] = 62; /* one more */
    memcpy(end + 1, "\0\0\1\0\1", 5);
    decode_message(message, 12 + 255 + 5, false, "");
}

static void counts_that_lie(void **state)
{
    (void)state;
    decode_message(MESSAGE(ANSWER("\2") "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4"), true, "answer NOERROR A a cut | a A 5 1.2.3.4\n");
    decode_message(MESSAGE(ANSWER("\1") "\xc0\x0c\0\1\0\1\0\0\0\5\0\5\1\2\3\4"), true, "answer NOERROR A a cut\n");
    decode_message(MESSAGE(ANSWER("\1") "\xc0\x0c\0\1\0\1\0\0\0\5\0\3\1\2\3"), true, "answer NOERROR A a | a A 5 \\# 3 010203\n");
    decode_message(MESSAGE(ANSWER("\1") "\xc0\x0c\0\5\0\1\0\0\0\5\0\2\xc0\x1f"), true, "answer NOERROR A a | a CNAME 5 \\# 2 c01f\n"); /* to itself */
    decode_message(MESSAGE(ANSWER("\1") "\xc0\x0c\0\x10\0\1\0\0\0\5\0\3\1x\7"), true, "answer NOERROR A a | a TXT 5 \\# 3 017807\n");
    decode_message(MESSAGE("\1\2\1\0\xff\xff\0\0\0\0\0\0\1a\0\0\1\0\1"), false, "");
    decode_message(MESSAGE("\1\2\1\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1"), false, "");
    decode_message(MESSAGE("\1\2\1\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1\1b\0\0\x1c\0\1"), false, "query A a\nquery AAAA b\n");
}

static void direction_is_by_port(void **state)
{
    (void)state;
    decode_message(MESSAGE(QUESTION "\1a\0\0\1\0\1"), true, "");
    decode_message(MESSAGE(ANSWER("\0")), false, "");
    decode_message(MESSAGE(ANSWER("\0")), true, "answer NOERROR A a\n");
    char shown[46];
    address_format(&last.src, shown);
    assert_string_equal(shown, "198.51.100.1"); /* the client, in both directions */
    assert_int_equal(last.sport, 40000);
    assert_int_equal(last.dport, 53);
}

static void cut_packets(void **state)
{
    static const char message[] = ANSWER("\1") "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4";
    uint8_t packet[256];
    size_t size = packet_make(packet, message, sizeof message - 1, true);
    (void)state;
    for (size_t here = 0; here <= size; here++) {
        begin();
        decode_packet(bytes_of(packet, here));
        const char *want = here < 28 + 12 ? "" : here < 28 + 19 ? "answer NOERROR - cut\n" : here < size ? "answer NOERROR A a cut\n" : "answer NOERROR A a | a A 5 1.2.3.4\n";
        assert_string_equal(told, want);
    }
    packet[6] = 0x20; /* the first fragment */
    begin();
    decode_packet(bytes_of(packet, size));
    assert_string_equal(told, "answer NOERROR A a cut | a A 5 1.2.3.4\n");
    packet[7] = 1; /* a later one */
    begin();
    decode_packet(bytes_of(packet, size));
    assert_string_equal(told, "");
    assert_int_equal(n_malformed, 0);
}

static void ipv6_extensions(void **state)
{
    static const uint8_t udp[] = "\x9c\x40\0\x35\0\x1b\0\0" QUESTION "\1a\0\0\1\0\1";
    uint8_t packet[256] = { 0x60, 0, 0, 0, 0, 8 + 8 + sizeof udp - 1, 0, 64 };
    (void)state;
    packet[40] = 44; /* hop by hop, then a fragment header */
    packet[48] = 17;
    memcpy(packet + 56, udp, sizeof udp - 1);
    begin();
    decode_packet(bytes_of(packet, 56 + sizeof udp - 1));
    assert_string_equal(told, "query A a\n");
    packet[51] = 1; /* more fragments */
    begin();
    decode_packet(bytes_of(packet, 56 + sizeof udp - 1));
    assert_string_equal(told, "query A a cut\n");
    packet[51] = 8;
    begin();
    decode_packet(bytes_of(packet, 56 + sizeof udp - 1));
    assert_string_equal(told, "");
    assert_int_equal(n_malformed, 0);
    packet[40] = 0; /* hop by hop without end */
    packet[48] = 0;
    begin();
    decode_packet(bytes_of(packet, 56 + sizeof udp - 1));
    assert_int_equal(n_malformed, 1);
}

static void words(void **state)
{
    static const char answers[] = "a A 5 1.2.3.4\0b TXT 7 \"x y\"";
    char number[16];
    uint16_t type;
    struct dns_record r;
    size_t at = 0;
    (void)state;
    assert_true(dns_record_next(answers, sizeof answers - 1, &at, &r));
    assert_memory_equal(r.data, "1.2.3.4", r.data_size);
    assert_int_equal(r.ttl, 5);
    assert_true(dns_record_next(answers, sizeof answers - 1, &at, &r));
    assert_int_equal(r.data_size, 5);
    assert_false(dns_record_next(answers, sizeof answers - 1, &at, &r));
    at = 0;
    assert_false(dns_record_next("a A x 1", 7, &at, &r));
    assert_int_equal(dns_type_parse("aaaa", &type), 0);
    assert_int_equal(type, 28);
    assert_int_equal(dns_type_parse("TYPE4711", &type), 0);
    assert_int_equal(type, 4711);
    assert_int_equal(dns_type_parse("65536", &type), -EINVAL);
    assert_string_equal(dns_type_name(4711, number), "TYPE4711");
    assert_string_equal(dns_rcode_name(14, number), "RCODE14");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_messages),
        cmocka_unit_test(real_records),
        cmocka_unit_test(cut_and_large),
        cmocka_unit_test(over_tcp),
        cmocka_unit_test(broken_names),
        cmocka_unit_test(longest_names),
        cmocka_unit_test(counts_that_lie),
        cmocka_unit_test(direction_is_by_port),
        cmocka_unit_test(cut_packets),
        cmocka_unit_test(ipv6_extensions),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
