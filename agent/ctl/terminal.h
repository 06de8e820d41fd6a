/* What people see: columns that fit the width, colour where it helps, times as "3m ago", texts of others made harmless. */
#ifndef ECSGUARD_CTL_TERMINAL_H
#define ECSGUARD_CTL_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_YELLOW, STYLE_GREEN, STYLE_CYAN, STYLE_ALARM };

struct terminal {
    FILE *out;
    int width; /* columns; 0 = nobody looks, cut nothing */
    bool colour;
};

/* Width from COLUMNS, else from the terminal. Colour only on a terminal, and not with NO_COLOR or TERM=dumb. */
void terminal_init(struct terminal *t, FILE *out);

/* Copies so that a terminal shows it harmlessly, as text_escape() does, but leaves backslashes alone: a text that is escaped
 * already stays as it is. */
void terminal_safe(char *to, size_t size, const char *text);

/* One cell, cut ("…") or padded to `width` columns; width < 0 pads on the left (numbers); 0 = as long as it is. */
void terminal_cell(const struct terminal *t, enum style style, int width, const char *text);
/* The last cell of a line: takes `used` columns into account and ends the line. */
void terminal_last(const struct terminal *t, enum style style, int used, const char *text);
/* A paragraph, wrapped at blanks, each line indented. */
void terminal_wrap(const struct terminal *t, int indent, const char *text);
/* The same, at most `lines` of it ("…" says that there is more); 0 = all. */
void terminal_wrap_some(const struct terminal *t, int indent, const char *text, int lines);
void terminal_heading(const struct terminal *t, const char *text);
/* "  name          text", wrapped under the text's column; nothing if the text is empty. */
void terminal_pair(const struct terminal *t, const char *name, const char *text);

/* "just now", "42s ago", "3m ago", "5h ago", "12d ago". */
void terminal_ago(char out[16], uint64_t wall_ns, uint64_t now_wall_ns);
/* "1.2 MiB" */
void terminal_bytes(char out[16], uint64_t bytes);

enum style terminal_severity_style(const char *severity);

#endif
