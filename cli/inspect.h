#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include <stdbool.h>

#include "base/err.h"
#include "memory_plan.h"
#include "model/gguf.h"

/* What `valet inspect` found out about a model file. */
struct inspected {
    const struct gguf *file;
    bool can_serve; /* this program knows the architecture and all tensors */
    struct base_err_info why_not;
    struct memory_plan plan;            /* if it can */
    struct gguf_str template;           /* data NULL: the file has none */
    bool template_works;                /* it compiles */
    struct base_err_info template_info; /* or why not */
};

/* All of it as one JSON object on stdout. False: no memory; a line on stderr says so. */
bool inspect_print_json(const struct inspected *seen);

#endif
