#ifndef CLI_LINE_EDITOR_H
#define CLI_LINE_EDITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Lines from the terminal on stdin, with editing and a history. Ctrl-C and the like come by
 * signals.h, which has been started. One editor in a program, in one thread.
 */
struct line_editor;

enum {
    LINE_BYTES_MAX = 1 << 20,
    LINE_HISTORY_COUNT = 1000,       /* entries that are kept */
    LINE_HISTORY_BYTES_MAX = 4 << 10 /* of an entry; longer ones are not kept */
};

struct line_options {
    FILE *out;           /* the terminal to draw on; borrowed */
    const char *history; /* file, NULL: the history ends with the program; borrowed */
    bool is_coloured;    /* the prompt */
};

enum line_result {
    LINE_READ,
    LINE_INTERRUPTED, /* Ctrl-C; *len bytes had been typed and are gone */
    LINE_END          /* Ctrl-D on an empty line, no terminal any more, or SIGTERM */
};

/*
 * Opens an editor with the history of the file, if it can be read. NULL: no memory, or the
 * terminal cannot be used. Gives: line_editor_close.
 */
struct line_editor *line_editor_open(const struct line_options *options);

/* Saves the history and puts the terminal in order. False: the file could not be written. */
bool line_editor_close(struct line_editor *e);

/*
 * Reads a line, or several where they were pasted or joined by Alt-Enter. *text is a string
 * without newline at its end, borrowed until the next call; NULL if none was read.
 */
enum line_result line_editor_read(struct line_editor *e, const char *prompt, const char **text,
                                  size_t *len);

/* Adds an entry to the history. */
void line_editor_remember(struct line_editor *e, const char *text);

#endif
