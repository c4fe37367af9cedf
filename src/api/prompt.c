#include "api/prompt.h"

#include <inttypes.h>
#include <string.h>

enum {
    SPANS_BYTES_MAX = 64 << 20,
    COUNT_FACTOR = 4 /* too long prompts are counted up to this many contexts */
};

enum base_err prompt_too_long(const struct api_model *model, const char *param, const char *more,
                              size_t count, struct api_error *error)
{
    return api_error_set(error, API_CONTEXT_LENGTH, param,
                         "%s: the prompt has %s%zu tokens; the context of model %s is "
                         "%" PRId32 " tokens for prompt and answer",
                         param, more, count, model->id, model->context);
}

enum base_err prompt_tokens(const struct api_model *model, const char *param,
                            const struct template_span *spans, size_t count, bool marked,
                            struct tokenizer_ids *ids, struct api_error *error)
{
    struct arena scratch;
    arena_init(&scratch, MEM_API, SPANS_BYTES_MAX);
    struct tokenizer_span *parts = arena_calloc(&scratch, count ? count : 1, sizeof *parts);
    enum base_err rc = parts ? OK : E_NOMEM;
    for (size_t i = 0; !rc && i < count; i++)
        parts[i] = (struct tokenizer_span){ spans[i].data, spans[i].len, spans[i].trusted };
    if (!rc)
        rc = marked ? tokenizer_encode_marked(model->tokenizer, parts, count, ids)
                    : tokenizer_encode(model->tokenizer, parts, count, ids);
    arena_fini(&scratch);
    if (rc == E_TOO_BIG)
        return prompt_too_long(model, param, "more than ", ids->count_max, error);
    if (rc == E_NOMEM)
        return api_error_nomem(error);
    if (rc)
        return api_error_set(error, API_INTERNAL, NULL, "the prompt could not be tokenised: %s",
                             base_strerror(rc));
    return OK;
}

bool prompt_lacks_bos(const struct api_model *model, const struct tokenizer_ids *ids)
{
    int32_t bos = tokenizer_bos(model->tokenizer);
    bool there = ids->count && ids->ids[0] == bos;
    return tokenizer_adds_bos(model->tokenizer) && bos >= 0 && !there;
}

static enum base_err check_length(const struct api_model *model, const char *param,
                                  const struct api_prompt *prompt, struct api_error *error)
{
    if (prompt->count >= (size_t)model->context)
        return prompt_too_long(model, param, "", prompt->count, error);
    return OK;
}

/* Copies `ids` behind a BOS if `with_bos`. */
static enum base_err prompt_copy(const struct api_model *model, bool with_bos, const int32_t *ids,
                                 size_t count, struct arena *arena, struct api_prompt *out,
                                 struct api_error *error)
{
    int32_t *copy = arena_calloc(arena, count + with_bos + 1, sizeof *copy);
    if (!copy)
        return api_error_nomem(error);
    if (with_bos)
        copy[0] = tokenizer_bos(model->tokenizer);
    if (count)
        memcpy(copy + with_bos, ids, count * sizeof *copy);
    *out = (struct api_prompt){ copy, count + with_bos, with_bos };
    return OK;
}

/* What stands for no text at all. */
static enum base_err prompt_empty(const struct api_model *model, const char *param,
                                  struct arena *arena, struct api_prompt *out,
                                  struct api_error *error)
{
    static const struct template_span newline = { "\n", 1, false };
    struct tokenizer_ids ids;
    enum base_err rc;
    if (tokenizer_bos(model->tokenizer) >= 0)
        return prompt_copy(model, true, NULL, 0, arena, out, error);
    tokenizer_ids_init(&ids, 8);
    rc = prompt_tokens(model, param, &newline, 1, false, &ids, error);
    if (!rc && !ids.count)
        rc = api_error_set(error, API_INVALID_VALUE, param,
                           "%s: expected at least one token, got an empty prompt", param);
    if (!rc)
        rc = prompt_copy(model, false, ids.ids, ids.count, arena, out, error);
    out->bos_added = true;
    tokenizer_ids_fini(&ids);
    return rc;
}

enum base_err prompt_of_spans(const struct api_model *model, const char *param,
                              const struct template_span *spans, size_t count, struct arena *arena,
                              struct api_prompt *out, struct api_error *error)
{
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, (size_t)model->context * COUNT_FACTOR);
    enum base_err rc = prompt_tokens(model, param, spans, count, false, &ids, error);
    if (!rc && !ids.count)
        rc = prompt_empty(model, param, arena, out, error);
    else if (!rc)
        rc = prompt_copy(model, prompt_lacks_bos(model, &ids), ids.ids, ids.count, arena, out,
                         error);
    tokenizer_ids_fini(&ids);
    return rc ? rc : check_length(model, param, out, error);
}

enum base_err prompt_of_ids(const struct api_model *model, const char *param, const int32_t *ids,
                            size_t count, struct arena *arena, struct api_prompt *out,
                            struct api_error *error)
{
    if (!count)
        return prompt_empty(model, param, arena, out, error);
    *out = (struct api_prompt){ ids, count, false };
    return check_length(model, param, out, error);
}
