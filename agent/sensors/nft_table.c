#include "agent/sensors/nft_table.h"

#include <stdio.h>
#include <string.h>

#include "agent/sensors/nflog.h"
#include "common/limits.h"

#define COMMENT "ecsguard agent: sees DNS, tracks flows; gone when it stops"

#define NFLOG "log group %d queue-threshold 32 snaplen 2048"

/* TCP: a segment without payload says nothing. There is no arithmetic on lengths, so: the four lengths of TCP headers that are used (none,
 * timestamps, a SYN's options, timestamps and one SACK block), for IPv4 headers without options and IPv6 without extension headers;
 * others are let through. */
static const char dns_segment[] =
    "  chain dns_segment {\n"
    "    tcp doff 5 ip length <= 40 return\n"
    "    tcp doff 8 ip length <= 52 return\n"
    "    tcp doff 10 ip length <= 60 return\n"
    "    tcp doff 11 ip length <= 64 return\n"
    "    tcp doff 5 ip6 length <= 20 return\n"
    "    tcp doff 8 ip6 length <= 32 return\n"
    "    tcp doff 10 ip6 length <= 40 return\n"
    "    tcp doff 11 ip6 length <= 44 return\n"
    "    " NFLOG "\n"
    "  }\n";

/* A query is seen where it leaves, an answer where it arrives: each once, also what stays on lo and passes both hooks, and what a resolver in
 * the namespace is asked from there. (Only a message from port 53 to port 53 over lo would match twice.) Nearly all packets need no more than the
 * first rule. Answers have their port 53 back by then. */
static const char dns_answers[] =
    "  chain in {\n"
    "    type filter hook input priority -400; policy accept;\n"
    "    th sport != 53 return\n"
    "    iifname \"lo\" th sport 53 th dport 53 return\n"
    "    udp sport 53 " NFLOG "\n"
    "    tcp sport 53 jump dns_segment\n"
    "  }\n";

static const char dns_queries[] =
    "    th dport != 53 return\n"
    "    udp dport 53 " NFLOG "\n"
    "    tcp dport 53 jump dns_segment\n";

/* A rule about connections makes the kernel track them as soon as it exists, whatever chain it is in. This one hangs from no hook: no packet is
 * looked at because of it. */
static const char tracks[] =
    "  chain track {\n"
    "    ct status confirmed\n"
    "  }\n";

/* To tell of a new flow costs who makes it a fifth of making it and more: of many to one address the others are told when they end. A flow to an
 * address that was quiet is always told when it begins, whatever else goes on. More addresses than the sets hold: nothing is held back.
 * An address over its rate is not counted for a second: to look that up costs half as much as to count. */
static const char hold_back_sets[] =
    "  set far%c {\n"
    "    type ipv%c_addr; flags dynamic,timeout; timeout 10s; size %d;\n"
    "  }\n"
    "  set flooded%c {\n"
    "    type ipv%c_addr; flags dynamic,timeout; timeout 1s; size %d;\n"
    "  }\n";

static const char hold_back_rules[] =
    "    %s daddr @flooded%c ct event set destroy return\n"
    "    update @far%c { %s daddr limit rate over %d/second burst %d packets } add @flooded%c { %s daddr } ct event set destroy return\n";

static void put_hold_back(struct text_out *out)
{
    static const struct {
        char version;
        const char *header;
    } families[] = { { '4', "ip" }, { '6', "ip6" } };
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        char v = families[i].version;
        text_out_printf(out, hold_back_sets, v, v, LIMIT_FLOW_HELD_ADDRESSES, v, v, LIMIT_FLOW_HELD_ADDRESSES);
    }
    text_out_printf(out, "  chain hold_back {\n");
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        char v = families[i].version;
        const char *header = families[i].header;
        text_out_printf(out, hold_back_rules, header, v, v, header, LIMIT_FLOW_BEGINS, LIMIT_FLOW_BEGINS_AT_ONCE, v, header);
    }
    text_out_printf(out, "  }\n");
}

/* What leaves. Right behind conntrack, which makes the flow, and before any DNAT, so that what goes to Docker's resolver still has port 53. */
static void put_out(struct text_out *out, const struct nft_table *table)
{
    if (!table->dns && !table->holds_back)
        return;
    text_out_printf(out, "  chain out {\n    type filter hook output priority -199; policy accept;\n");
    if (table->holds_back)
        text_out_printf(out, "    ct status & confirmed == 0 jump hold_back\n");
    if (table->dns)
        text_out_printf(out, dns_queries, NFLOG_GROUP);
    text_out_printf(out, "  }\n");
}

static void put_switch(struct text_out *out, const char *name, int before)
{
    if (before >= 0)
        text_out_printf(out, " %s=%d", name, before);
}

void nft_table_put(struct text_out *out, const struct nft_table *table)
{
    /* added first, so that there is one to delete; all is one transaction */
    text_out_printf(out, "add table inet " NFT_TABLE "\ndelete table inet " NFT_TABLE "\ntable inet " NFT_TABLE " {\n  comment \"" COMMENT);
    put_switch(out, "acct", table->before.acct);
    put_switch(out, "events", table->before.events);
    text_out_printf(out, "\"\n");
    if (table->dns) {
        text_out_printf(out, dns_segment, NFLOG_GROUP);
        text_out_printf(out, dns_answers, NFLOG_GROUP);
    }
    if (table->tracks && !table->holds_back)
        text_out_printf(out, "%s", tracks);
    if (table->holds_back)
        put_hold_back(out);
    put_out(out, table);
    text_out_printf(out, "}\n");
}

bool nft_table_is_ours(const char *comment, struct nft_switches *before)
{
    *before = (struct nft_switches){ -1, -1 };
    if (!text_has_prefix(comment, COMMENT))
        return false;
    const char *acct = strstr(comment, " acct="), *events = strstr(comment, " events=");
    if (acct && acct[6] >= '0' && acct[6] <= '9')
        before->acct = acct[6] - '0';
    if (events && events[8] >= '0' && events[8] <= '9')
        before->events = events[8] - '0';
    return true;
}
