#ifndef TEMPLATE_SPAN_H
#define TEMPLATE_SPAN_H

#include <stdbool.h>
#include <stddef.h>

/* A part of the text. Control tokens may be recognised in trusted parts only. */
struct template_span {
    const char *data; /* not terminated */
    size_t len;       /* > 0 */
    bool trusted;     /* written by the template; not by whoever wrote the messages */
};

#endif
