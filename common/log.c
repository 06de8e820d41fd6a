#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum log_level log_level = LOG_LEVEL_INFO;
static int log_prefixed;

void log_open(enum log_level level)
{
    log_level = level;
    log_prefixed = getenv("JOURNAL_STREAM") != NULL;
}

void log_line(enum log_level level, const char *subsystem, const char *format, ...)
{
    if (level > log_level)
        return;
    /* One write per line, so that lines of several threads do not mix. */
    char line[2048];
    int n = log_prefixed ? snprintf(line, sizeof line, "<%d>%s: ", (int)level, subsystem)
                         : snprintf(line, sizeof line, "%s: ", subsystem);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    size_t length = (size_t)n + (m < 0 ? 0 : (size_t)m);
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* nowhere left to say it */
}

int log_due(uint64_t *last_ns, uint64_t now_ns, uint64_t interval_ns)
{
    if (*last_ns && now_ns - *last_ns < interval_ns)
        return 0;
    *last_ns = now_ns;
    return 1;
}
