#ifndef CLI_MEMORY_PLAN_H
#define CLI_MEMORY_PLAN_H

#include <stdint.h>

#include "model/model.h"

/* What serving a model takes, in bytes, with the defaults of valet_engine_options. */
struct memory_plan {
    const char *isa;       /* whose packed form and KV layout these are */
    uint64_t weights;      /* in the file; mapped, and given back where they are packed */
    uint64_t packed;       /* copies for the kernels */
    uint64_t kv_token;     /* keys and values of one token, all layers */
    uint64_t kv_context;   /* of one sequence as long as the model's context */
    uint64_t sequences;    /* that run at once */
    uint64_t kv_sequences; /* of so many whole contexts */
    uint64_t activations;  /* of the largest step */
    uint64_t machine;      /* memory of this machine, 0: unknown */
};

/* `m` may be a look (model_open without a team). */
void memory_plan_make(const struct model *m, struct memory_plan *out);

/* "1.2 GiB", "96.9 MiB", "720 bytes". `out` has 32 bytes. */
void memory_plan_text(uint64_t bytes, char out[static 32]);

#endif
