/* Writes findings as the agent does, for the delivery tests: opens the database given, then obeys lines on standard input
 * "add KEY [BYTES]" (one occurrence of the finding KEY, with BYTES of evidence) and answers each with the revision. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "storage/store.h"

static int add(struct store *store, const char *key, size_t bytes)
{
    static struct finding f;
    static char padding[LIMIT_FINDING_TEXT_BYTES];
    uint64_t count;
    memset(padding, 'x', sizeof padding);
    finding_init(&f);
    finding_printf(&f, FT_TYPE, "Execution:Runtime/ReverseShell");
    finding_printf(&f, FT_RULE, "test");
    finding_printf(&f, FT_TITLE, "finding %s", key);
    finding_printf(&f, FT_MITRE, "TA0002 T1059.004");
    finding_printf(&f, FT_EXE, "/bin/sh");
    finding_printf(&f, FT_CMDLINE, "sh -i");
    finding_printf(&f, FT_LINEAGE, "[{\"pid\":1,\"exe\":\"/sbin/init\"}]");
    if (bytes > sizeof padding - 1024)
        bytes = sizeof padding - 1024;
    char *evidence = malloc(bytes + 64);
    int n = snprintf(evidence, bytes + 64, "{\"dst\":\"192.0.2.1\",\"padding\":\"%.*s\"}", (int)bytes, padding);
    finding_set(&f, FT_EVIDENCE, evidence, (size_t)n);
    free(evidence);
    finding_identify(&f, "", key);
    f.severity = SEVERITY_HIGH;
    f.wall_ns = clock_ns(CLOCK_REALTIME);
    f.pid = 42;
    int error = store_begin(store);
    if (!error)
        error = store_finding(store, &f, &count);
    return error ? error : store_commit(store);
}

int main(int argc, char **argv)
{
    struct store *store;
    struct store_limits limits;
    const struct store_options options = { .host = "writer" };
    char line[256], key[128];
    log_open(LOG_LEVEL_WARN);
    if (argc != 2 || store_open(&store, argv[1], &options))
        return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        unsigned bytes = 0;
        if (sscanf(line, "add %127s %u", key, &bytes) < 1 || add(store, key, bytes))
            return 1;
        store_limits(store, &limits);
        printf("%lld\n", (long long)limits.revision);
        fflush(stdout);
    }
    store_close(store);
    return 0;
}
