#ifndef API_PROMPT_H
#define API_PROMPT_H

#include "api/api.h"
#include "api/errors.h"
#include "base/arena.h"
#include "template/span.h"
#include "tokenizer/tokenizer.h"

/* The tokens that a model reads. */
struct api_prompt {
    const int32_t *ids; /* [count] */
    size_t count;
    bool bos_added; /* ids[0] stands in no text of the caller */
};

/*
 * Appends the tokens of the spans; `marked`: with BOS before and EOS behind if the
 * vocabulary asks for them. `param` names the field they come from. More than ids->count_max
 * are API_CONTEXT_LENGTH. E_INVALID, E_NOMEM.
 */
enum base_err prompt_tokens(const struct api_model *model, const char *param,
                            const struct template_span *spans, size_t count, bool marked,
                            struct tokenizer_ids *ids, struct api_error *error);

/* Whether BOS belongs in front: the vocabulary asks for it and it is not there. */
bool prompt_lacks_bos(const struct api_model *model, const struct tokenizer_ids *ids);

/*
 * The prompt of a text: with BOS if the tokenizer adds it and the text does not begin with
 * it. An empty prompt becomes BOS, or a newline where there is none. Refuses what does not
 * leave room for an answer in the context. The ids are in `arena`.
 */
enum base_err prompt_of_spans(const struct api_model *model, const char *param,
                              const struct template_span *spans, size_t count, struct arena *arena,
                              struct api_prompt *out, struct api_error *error);

/* The same for token ids, which are taken as they are (borrowed). */
enum base_err prompt_of_ids(const struct api_model *model, const char *param, const int32_t *ids,
                            size_t count, struct arena *arena, struct api_prompt *out,
                            struct api_error *error);

/* API_CONTEXT_LENGTH: "param: the prompt has {more}{count} tokens; …". Returns E_INVALID. */
enum base_err prompt_too_long(const struct api_model *model, const char *param, const char *more,
                              size_t count, struct api_error *error);

#endif
