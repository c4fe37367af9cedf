#ifndef API_COMPLETION_PARSE_H
#define API_COMPLETION_PARSE_H

#include "api/params.h"

/* One prompt of a completion: a text or token ids. */
struct completion_prompt {
    const char *text; /* in the body; NULL: ids */
    size_t len;
    int32_t *ids; /* [count], in the vocabulary */
    size_t count;
};

struct completion_params {
    struct api_params common;
    struct completion_prompt *prompts; /* [prompt_count], in the arena */
    size_t prompt_count;               /* times best_of: at most PARAMS_TASKS_MAX */
    bool one;                          /* the body had one prompt, not an array of prompts */
    bool parse_special;                /* control tokens in the text are control tokens */
};

/*
 * Reads the body of POST /v1/completions. The first wrong field, in a fixed order, fills
 * `error`. E_INVALID, or E_NOMEM (API_SERVER_FULL).
 */
enum base_err completion_parse(const json_t *body, const struct api_model *model,
                               struct arena *arena, struct completion_params *out,
                               struct api_error *error);

#endif
