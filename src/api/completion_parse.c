#include "api/completion_parse.h"

#include <inttypes.h>

enum {
    MAX_NEW_DEFAULT = 16
};

static const char g_prompt_expected[] =
    "a string, token ids, or an array of 1 to 128 prompts of one of these kinds";

/* ---- the prompt ---- */

static enum base_err prompt_ids(const json_t *ids, const struct api_path *path,
                                const struct api_model *model, struct arena *arena,
                                struct completion_prompt *out, struct api_error *error)
{
    size_t count = json_array_size(ids);
    out->ids = arena_calloc(arena, count ? count : 1, sizeof *out->ids);
    if (!out->ids)
        return api_error_nomem(error);
    out->count = count;
    return api_array_ids(ids, path, tokenizer_count(model->tokenizer), out->ids, error);
}

static void prompt_text(const json_t *text, struct completion_prompt *out)
{
    out->text = json_string_value(text);
    out->len = json_string_length(text);
}

/* One prompt of an array of prompts, all of the kind of the first. */
static enum base_err prompt_item(const json_t *item, bool text, const struct api_path *path,
                                 const struct api_model *model, struct arena *arena,
                                 struct completion_prompt *out, struct api_error *error)
{
    if (text && !json_is_string(item))
        return api_wrong(error, path, "a string, as the prompts before it", item);
    if (!text && !json_is_array(item))
        return api_wrong(error, path, "an array of token ids, as the prompts before it", item);
    if (!text)
        return prompt_ids(item, path, model, arena, out, error);
    prompt_text(item, out);
    return OK;
}

static enum base_err prompt_list(const json_t *list, const struct api_path *path,
                                 const struct api_model *model, struct arena *arena,
                                 struct completion_params *out, struct api_error *error)
{
    bool text = json_is_string(json_array_get(list, 0));
    out->prompt_count = json_array_size(list);
    for (size_t i = 0; i < out->prompt_count; i++) {
        struct api_path at = { .up = path, .index = i };
        enum base_err rc =
            prompt_item(json_array_get(list, i), text, &at, model, arena, &out->prompts[i], error);
        if (rc)
            return rc;
    }
    return OK;
}

static enum base_err parse_prompt(const struct api_object *body, const struct api_model *model,
                                  struct arena *arena, struct completion_params *out)
{
    const json_t *prompt = api_field(body, "prompt");
    struct api_path path = { .key = "prompt" };
    const json_t *first = json_array_get(prompt, 0);
    bool list = json_is_string(first) || json_is_array(first);
    if (!prompt)
        return api_field_missing(body, "prompt");
    if (!json_is_string(prompt) && !first)
        return api_field_wrong(body, "prompt", g_prompt_expected);
    if (list && json_array_size(prompt) > PARAMS_TASKS_MAX)
        return api_field_wrong(body, "prompt", g_prompt_expected);
    out->prompts = arena_calloc(arena, list ? json_array_size(prompt) : 1, sizeof *out->prompts);
    if (!out->prompts)
        return api_error_nomem(body->error);
    if (list)
        return prompt_list(prompt, &path, model, arena, out, body->error);
    out->prompt_count = 1;
    out->one = true;
    if (json_is_array(prompt))
        return prompt_ids(prompt, &path, model, arena, out->prompts, body->error);
    prompt_text(prompt, out->prompts);
    return OK;
}

/* ---- the rest ---- */

static enum base_err parse_length(const struct api_object *body, struct api_params *out)
{
    int64_t max_tokens = MAX_NEW_DEFAULT;
    enum base_err rc = api_field_bool(body, "echo", &out->echo);
    if (!rc)
        rc = api_field_i64(body, "max_tokens", 0, INT32_MAX, &max_tokens);
    if (!rc && !max_tokens && !out->echo)
        rc = api_field_wrong(body, "max_tokens", "at least 1 without \"echo\": true");
    out->max_new = (int32_t)max_tokens;
    out->max_new_field = api_field(body, "max_tokens") ? "max_tokens" : NULL;
    return rc;
}

static enum base_err parse_logprobs(const struct api_object *body, struct api_params *out)
{
    int64_t top = 0;
    enum base_err rc = api_field_i64(body, "logprobs", 0, VALET_TOP_LOGPROBS_MAX, &top);
    out->logprobs = api_field(body, "logprobs") != NULL;
    out->top_logprobs = (int32_t)top;
    return rc;
}

static enum base_err parse_best_of(const struct api_object *body, struct completion_params *out)
{
    struct api_params *common = &out->common;
    int64_t best_of = common->n;
    enum base_err rc = api_field_i64(body, "best_of", common->n, PARAMS_TASKS_MAX, &best_of);
    if (!rc && common->stream && best_of > common->n)
        rc = api_field_wrong(body, "best_of", "the value of n, or none, with \"stream\": true");
    if (!rc && (uint64_t)best_of * out->prompt_count > PARAMS_TASKS_MAX)
        rc = api_error_set(body->error, API_INVALID_VALUE, best_of > common->n ? "best_of" : "n",
                           "%s: expected at most %d choices of all prompts together, got %" PRId64
                           " of each of %zu prompts",
                           best_of > common->n ? "best_of" : "n", (int)PARAMS_TASKS_MAX, best_of,
                           out->prompt_count);
    common->best_of = (uint32_t)best_of;
    return rc;
}

enum base_err completion_parse(const json_t *body, const struct api_model *model,
                               struct arena *arena, struct completion_params *out,
                               struct api_error *error)
{
    struct api_object object = { .json = body, .error = error };
    *out = (struct completion_params){ .parse_special = true };
    struct api_params *common = &out->common;
    common->continues = true;
    enum base_err rc = api_field_string(&object, "model", &common->model, &common->model_len);
    if (!rc)
        rc = parse_prompt(&object, model, arena, out);
    if (!rc)
        rc = parse_length(&object, common);
    if (!rc)
        rc = parse_logprobs(&object, common);
    if (!rc)
        rc = params_parse(&object, model, PARAMS_COMPLETION, arena, common);
    if (!rc)
        rc = parse_best_of(&object, out);
    if (!rc)
        rc = api_field_bool(&object, "parse_special", &out->parse_special);
    return rc;
}
