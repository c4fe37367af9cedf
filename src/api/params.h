#ifndef API_PARAMS_H
#define API_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "api/api.h"
#include "api/errors.h"
#include "api/json.h"
#include "base/arena.h"
#include "base/err.h"
#include "valet/request.h"

/* Which body a field belongs to. */
enum params_route {
    PARAMS_CHAT = 1,
    PARAMS_COMPLETION = 2,
    PARAMS_TOKENIZE = 4,
    PARAMS_DETOKENIZE = 8,
    PARAMS_TEMPLATE = 16
};

enum {
    PARAMS_TASKS_MAX = 128, /* prompts times choices of one request */
    PARAMS_FIT = -1         /* max_new: as much as fits */
};

/* What chats and completions have in common, checked. Arrays lie in the arena. */
struct api_params {
    const char *model; /* NULL: the default model */
    size_t model_len;
    int32_t max_new;           /* or PARAMS_FIT */
    const char *max_new_field; /* where the body said it; NULL: it did not */
    struct valet_sampling sampling;
    bool seeded;
    struct valet_stop stops[VALET_STOPS_MAX]; /* texts point into the body */
    uint32_t stop_count;
    int32_t stop_ids[VALET_STOP_IDS_MAX];
    uint32_t stop_id_count;
    int32_t min_tokens;
    bool ignore_eos;
    bool include_stop;
    uint64_t cache_salt;
    uint32_t n;       /* choices shown of each prompt */
    uint32_t best_of; /* choices made of each prompt, >= n */
    bool logprobs;
    int32_t top_logprobs;
    bool token_ids; /* in the answer */
    bool echo;
    bool continues;        /* answers go on in the text of their prompts */
    enum park_class klass; /* priority, else what service_tier stands for, else normal */
    bool tier;             /* service_tier was said, and is answered */
    bool stream;
    bool include_usage;
    bool continuous_usage;
    size_t unknown_count; /* fields we never heard of */
};

/*
 * Reads the fields that both bodies have; `out` holds zeros and, where the body leaves
 * something out, gets its default. The first wrong field, in a fixed order, fills
 * body->error. E_INVALID, or E_NOMEM (API_SERVER_FULL).
 */
enum base_err params_parse(const struct api_object *body, const struct api_model *model,
                           enum params_route route, struct arena *arena, struct api_params *out);

/* sampling_fields.c */
enum base_err params_parse_sampling(const struct api_object *body, const struct api_model *model,
                                    struct arena *arena, struct api_params *out);

/*
 * breakers.c: the tokens that end a repeat for DRY, those whose text contains one of the
 * strings; `list` NULL: newline, colon, quote and asterisk. A string that is spread over
 * tokens has no token and ends nothing. *ids is in `arena`. Cost: one look at the vocabulary.
 */
enum base_err params_find_breakers(const json_t *list, const struct tokenizer *tokenizer,
                                   struct arena *arena, const int32_t **ids, uint32_t *count,
                                   struct api_error *error);

/*
 * fields.c: fields that are known and change nothing here; any other value than the neutral
 * one is refused. Counts the unknown ones.
 */
enum base_err params_parse_rest(const struct api_object *body, enum params_route route,
                                size_t *unknown_count);

/* The i-th of the known fields and the routes it belongs to; NULL behind the last. */
const char *params_field(size_t i, unsigned *routes);

/* The JSON types that it may have here besides null, with blanks between; "": none. */
const char *params_field_types(size_t i);

#endif
