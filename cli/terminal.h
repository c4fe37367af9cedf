#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A stream that people may be looking at. */

bool terminal_is(FILE *file);

/* A terminal on which colours are wanted: not with NO_COLOR, nor with TERM=dumb. */
bool terminal_has_colours(FILE *file);

/* Columns and rows of a terminal, 80 and 24 where it does not say. */
void terminal_size(FILE *file, int *columns, int *rows);

/*
 * Writes text that somebody else made. On a terminal control characters but tab and newline
 * become '?', so that it cannot be driven by them; elsewhere the bytes stay as they are.
 * `text` is whole UTF-8 characters. False: the stream has failed.
 */
bool terminal_write(FILE *file, const char *text, size_t len);

/* A line for the person, dimmed where there are colours. */
__attribute__((format(printf, 2, 3))) void terminal_note(FILE *file, const char *format, ...);

/*
 * From now on keys of the terminal on stdin come one by one and are not shown, until
 * terminal_keys_stop. Nothing where stdin is no terminal.
 */
void terminal_keys_start(void);
void terminal_keys_stop(void);

/* A key that is there; -1: the end. */
int terminal_key(void);

#endif
