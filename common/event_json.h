/* Recorded events: JSON Lines, one event a line, made from event_fields[]; ecsguard-events(5) describes them. `ecsguardctl events
 * --json` writes them, `ecsguardctl replay` and the scenario tests read them. */
#ifndef ECSGUARD_EVENT_JSON_H
#define ECSGUARD_EVENT_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "common/event.h"
#include "common/record.h"

/* Writes one event as one line without its newline: time, kind and source first, then every known field. With a stamp the row ids
 * follow, which readers ignore. Times are monotonic + wall_offset_ns. Returns the length, -ENOSPC (LIMIT_EVENT_JSON_BYTES always
 * suffice), or -EINVAL for an enum value without a name. */
int event_to_json(const struct event *ev, const struct stamp *stamp, int64_t wall_offset_ns, char *buf, size_t size);

/* Reads one line; refuses what it does not understand: unknown and repeated keys, wrong types, numbers out of range, texts that
 * are too long, a missing time, kind or source. 0, -EINVAL with a sentence that begins with the key in `error` (safe to show),
 * or -ENOMEM. */
int event_from_json(const char *line, size_t length, union event_buffer *to, int64_t wall_offset_ns, char *error, size_t error_size);

#endif
