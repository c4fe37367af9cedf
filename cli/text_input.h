#ifndef CLI_TEXT_INPUT_H
#define CLI_TEXT_INPUT_H

#include <stdbool.h>

#include "base/buf.h"

enum {
    TEXT_INPUT_MAX = 64 * 1024 * 1024 /* bytes */
};

/* Appends the whole of a file, or of stdin for "-". False: one line was printed to stderr. */
bool text_input_read(const char *path, struct base_buf *out);

#endif
