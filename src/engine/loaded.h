#ifndef ENGINE_LOADED_H
#define ENGINE_LOADED_H

#include "model/model.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

enum {
    LOADED_ENDS_MAX = 4
};

/* A model ready for use: its kernels, team, weights and tokenizer. Constant once loaded. */
struct valet_model {
    const struct tensor_isa *isa;
    struct team *team;
    struct model *model;
    struct tokenizer *tokenizer;
    int32_t end_ids[LOADED_ENDS_MAX]; /* tokens that end an answer: eos, eot, eom */
    int32_t end_count;
    char *name;
    char *arch;
    char *chat_template;
};

#endif
