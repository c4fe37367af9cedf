#include "text_input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool text_input_read(const char *path, struct base_buf *out)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "re");
    if (!f) {
        fprintf(stderr, "valet: %s: %s\n", path, strerror(errno));
        return false;
    }
    char piece[16 * 1024];
    size_t n;
    enum base_err rc = OK;
    while (!rc && (n = fread(piece, 1, sizeof piece, f)) > 0)
        rc = buf_append(out, piece, n);
    bool failed = ferror(f) != 0;
    if (!is_stdin)
        fclose(f);
    if (rc)
        fprintf(stderr, "valet: %s: %s\n", path, base_strerror(rc));
    else if (failed)
        fprintf(stderr, "valet: %s: cannot be read\n", path);
    return !rc && !failed;
}
