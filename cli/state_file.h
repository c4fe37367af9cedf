#ifndef CLI_STATE_FILE_H
#define CLI_STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Files that the program keeps for its user between runs, in $XDG_STATE_HOME/valet, else
 * ~/.local/state/valet.
 */

/* The path of one of them; false: the environment names no place, or `size` does not suffice. */
bool state_file_path(const char *name, char *out, size_t size);

/*
 * Replaces a file by what `write` writes, mode 0600, as a whole or not at all. Makes its folders
 * where they are missing, mode 0700.
 */
bool state_file_write(const char *path, bool (*write)(FILE *file, void *arg), void *arg);

#endif
