/* Log lines on standard error, for journald: "<priority>subsystem: text". Texts that came from containers or networks
 * must go through text_escape() first. */
#ifndef ECSGUARD_LOG_H
#define ECSGUARD_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Lines above `level` are not written. With JOURNAL_STREAM set each line gets its sd-daemon(3) priority prefix. */
void log_open(enum log_level level);

__attribute__((format(printf, 3, 4))) void log_line(enum log_level level, const char *subsystem, const char *format, ...);

#define log_error(subsystem, ...) log_line(LOG_LEVEL_ERROR, subsystem, __VA_ARGS__)
#define log_warn(subsystem, ...) log_line(LOG_LEVEL_WARN, subsystem, __VA_ARGS__)
#define log_info(subsystem, ...) log_line(LOG_LEVEL_INFO, subsystem, __VA_ARGS__)
#define log_debug(subsystem, ...) log_line(LOG_LEVEL_DEBUG, subsystem, __VA_ARGS__)

/* True at most once per `interval_ns` for one `last_ns`: for loss and other things that repeat. */
int log_due(uint64_t *last_ns, uint64_t now_ns, uint64_t interval_ns);

#endif
