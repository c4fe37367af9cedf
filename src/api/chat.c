/* POST /v1/chat/completions: a body to a job. */
#include "api/admission.h"
#include "api/answer.h"
#include "api/api_int.h"
#include "api/chat_parse.h"

/* The prompt of a chat, in `scratch`. */
static enum base_err prompt_make(const struct api *api, const struct chat_prompt *chat,
                                 struct arena *scratch, struct api_prompt *out,
                                 struct api_error *error)
{
    const struct api_model *model = &api->options.model;
    struct template_span *spans;
    size_t count;
    /* ChatML makes at least a token of each message: no need to render what cannot fit */
    if (!api->chat_template && chat->message_count >= (size_t)model->context)
        return prompt_too_long(model, "messages", "at least ", chat->message_count, error);
    enum base_err rc = render_chat(&api->render, chat, scratch, &spans, &count, error);
    return rc ? rc : prompt_of_spans(model, "messages", spans, count, scratch, out, error);
}

/* The prompt and the job of an admitted chat, and its answer. */
static enum base_err chat_answer(struct api_call *call, const struct chat_params *params,
                                 struct admission *admission, struct arena *scratch,
                                 struct api_error *error)
{
    struct api *api = call->api;
    struct api_prompt prompt;
    struct api_job *job;
    enum base_err rc = prompt_make(api, &params->prompt, scratch, &prompt, error);
    if (!rc && api->options.settings.strict_max_tokens)
        rc = api_job_check_fit(&api->options.model, &params->common, &prompt, 1, error);
    if (!rc)
        rc = api_job_make(&api->options.model, &params->common, &prompt, 1, &job, error);
    return rc ? rc
              : answer_start(call, &chat_kind, &params->common, &prompt, job, admission, error);
}

static enum base_err chat_run(struct api_call *call, const json_t *body, struct arena *scratch,
                              struct api_error *error)
{
    struct api *api = call->api;
    struct chat_params params;
    struct admission admission;
    enum base_err rc = api_check_ready(api, error);
    if (!rc)
        rc = chat_parse(body, &api->options.model, scratch, &params, error);
    if (!rc)
        rc = admission_open(call, &chat_kind, &params.common, &admission, error);
    if (rc)
        return rc;
    rc = chat_answer(call, &params, &admission, scratch, error);
    admission_close(&admission);
    return rc;
}

void api_chat_post(struct api_call *call)
{
    api_body_run(call, chat_run);
}
