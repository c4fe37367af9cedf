/* POST /v1/completions: a body to a job. */
#include <stdio.h>

#include "api/admission.h"
#include "api/answer.h"
#include "api/api_int.h"
#include "api/completion_parse.h"

static enum base_err prompt_make(const struct api_model *model,
                                 const struct completion_params *params, size_t index,
                                 struct arena *scratch, struct api_prompt *out,
                                 struct api_error *error)
{
    const struct completion_prompt *p = &params->prompts[index];
    char param[32] = "prompt";
    if (!params->one)
        snprintf(param, sizeof param, "prompt[%zu]", index);
    if (!p->text)
        return prompt_of_ids(model, param, p->ids, p->count, scratch, out, error);
    const struct template_span span = { p->text, p->len, params->parse_special };
    return prompt_of_spans(model, param, &span, p->len ? 1 : 0, scratch, out, error);
}

static enum base_err prompts_make(const struct api_model *model,
                                  const struct completion_params *params, struct arena *scratch,
                                  struct api_prompt **out, struct api_error *error)
{
    *out = arena_calloc(scratch, params->prompt_count, sizeof **out);
    if (!*out)
        return api_error_nomem(error);
    for (size_t i = 0; i < params->prompt_count; i++) {
        enum base_err rc = prompt_make(model, params, i, scratch, &(*out)[i], error);
        if (rc)
            return rc;
    }
    return OK;
}

/* The prompts and the job of an admitted completion, and its answer. */
static enum base_err completion_answer(struct api_call *call,
                                       const struct completion_params *params,
                                       struct admission *admission, struct arena *scratch,
                                       struct api_error *error)
{
    const struct api_options *o = &call->api->options;
    const struct api_model *model = &o->model;
    const struct api_params *common = &params->common;
    struct api_prompt *prompts;
    struct api_job *job;
    enum base_err rc = prompts_make(model, params, scratch, &prompts, error);
    if (!rc && o->settings.strict_max_tokens)
        rc = api_job_check_fit(model, common, prompts, params->prompt_count, error);
    if (!rc)
        rc = api_job_make(model, common, prompts, params->prompt_count, &job, error);
    return rc ? rc : answer_start(call, &completion_kind, common, prompts, job, admission, error);
}

static enum base_err completion_run(struct api_call *call, const json_t *body,
                                    struct arena *scratch, struct api_error *error)
{
    struct api *api = call->api;
    struct completion_params params;
    struct admission admission;
    enum base_err rc = api_check_ready(api, error);
    if (!rc)
        rc = completion_parse(body, &api->options.model, scratch, &params, error);
    if (!rc)
        rc = admission_open(call, &completion_kind, &params.common, &admission, error);
    if (rc)
        return rc;
    rc = completion_answer(call, &params, &admission, scratch, error);
    admission_close(&admission);
    return rc;
}

void api_completion_post(struct api_call *call)
{
    api_body_run(call, completion_run);
}
