/* Looks for a file's code in the text of /proc/PID/maps: proc_pid_maps(5). Pure. */
#ifndef ECSGUARD_MAPS_H
#define ECSGUARD_MAPS_H

#include <stdbool.h>
#include <stddef.h>

/* True if this line (without its newline) maps `path`, perhaps deleted, for execution. */
bool maps_line_is_code(const char *line, size_t length, const char *path, size_t path_length);

#endif
