#include "api/chat_parse.h"

#include <inttypes.h>
#include <string.h>

static enum base_err parse_max_new(const struct api_object *body, struct api_params *out)
{
    int64_t completion = 0;
    int64_t old = 0;
    enum base_err rc = api_field_i64(body, "max_completion_tokens", 1, INT32_MAX, &completion);
    if (!rc)
        rc = api_field_i64(body, "max_tokens", 1, INT32_MAX, &old);
    if (rc)
        return rc;
    if (completion && old && completion != old)
        return api_error_set(body->error, API_INVALID_VALUE, "max_tokens",
                             "max_tokens: expected the value of max_completion_tokens, %" PRId64
                             ", or none, got %" PRId64,
                             completion, old);
    int64_t asked = completion ? completion : old;
    out->max_new = asked ? (int32_t)asked : PARAMS_FIT;
    if (asked)
        out->max_new_field = completion ? "max_completion_tokens" : "max_tokens";
    return OK;
}

static enum base_err parse_logprobs(const struct api_object *body, struct api_params *out)
{
    int64_t top = 0;
    enum base_err rc = api_field_bool(body, "logprobs", &out->logprobs);
    if (!rc)
        rc = api_field_i64(body, "top_logprobs", 0, VALET_TOP_LOGPROBS_MAX, &top);
    if (!rc && top && !out->logprobs)
        rc = api_field_wrong(body, "top_logprobs", "none without \"logprobs\": true");
    out->top_logprobs = (int32_t)top;
    return rc;
}

/* Variables that the server sets itself. */
static enum base_err check_kwargs(const struct api_object *kwargs)
{
    static const char *const taken[] = { "messages", "tools", "add_generation_prompt", "bos_token",
                                         "eos_token" };
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        if (json_object_get(kwargs->json, taken[i]))
            return api_field_wrong(kwargs, taken[i], "a name that the server does not set");
    }
    return OK;
}

enum base_err chat_parse_prompt(const struct api_object *body, struct arena *arena,
                                struct chat_prompt *out)
{
    struct api_path path = { .key = "chat_template_kwargs" };
    struct api_object kwargs = { api_field(body, path.key), &path, body->error };
    const char *effort = NULL;
    size_t effort_len = 0;
    bool on;
    enum base_err rc = chat_parse_messages(body, arena, out);
    if (!rc && kwargs.json && !json_is_object(kwargs.json))
        rc = api_field_wrong(body, path.key, "an object");
    if (!rc)
        rc = check_kwargs(&kwargs);
    if (!rc)
        rc = api_field_bool(body, "enable_thinking", &on);
    if (!rc)
        rc = api_field_bool(body, "thinking", &on);
    if (!rc)
        rc = api_field_string(body, "reasoning_effort", &effort, &effort_len);
    out->kwargs = kwargs.json ? json_object_get(body->json, path.key) : NULL;
    out->enable_thinking = api_field(body, "enable_thinking");
    out->thinking = api_field(body, "thinking");
    out->reasoning_effort = api_field(body, "reasoning_effort");
    out->add_generation_prompt = true;
    return rc;
}

enum base_err chat_parse(const json_t *body, const struct api_model *model, struct arena *arena,
                         struct chat_params *out, struct api_error *error)
{
    struct api_object object = { .json = body, .error = error };
    *out = (struct chat_params){ 0 };
    struct api_params *common = &out->common;
    enum base_err rc = api_field_string(&object, "model", &common->model, &common->model_len);
    if (!rc)
        rc = chat_parse_prompt(&object, arena, &out->prompt);
    if (!rc)
        rc = parse_max_new(&object, common);
    if (!rc)
        rc = parse_logprobs(&object, common);
    if (!rc)
        rc = params_parse(&object, model, PARAMS_CHAT, arena, common);
    return rc;
}
