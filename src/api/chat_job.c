#include "api/chat_job.h"

#include <inttypes.h>
#include <string.h>

enum {
    SCRATCH_BYTES_MAX = 128 << 20, /* spans of the template, released before the request waits */
    JOB_BYTES_MAX = 64 << 20,
    COUNT_FACTOR = 4 /* too long prompts are counted up to this many contexts */
};

static enum base_err too_long(const struct api_model *model, const char *more, size_t count,
                              struct api_error *error)
{
    return api_error_set(error, API_CONTEXT_LENGTH, "messages",
                         "messages: the prompt has %s%zu tokens; the context of model %s is "
                         "%" PRId32 " tokens for prompt and answer",
                         more, count, model->id, model->context);
}

static enum base_err encode(const struct api_model *model, const struct template_span *spans,
                            size_t count, struct arena *scratch, struct tokenizer_ids *ids,
                            struct api_error *error)
{
    struct tokenizer_span *parts = arena_calloc(scratch, count ? count : 1, sizeof *parts);
    if (!parts)
        return api_error_nomem(error);
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct tokenizer_span){ spans[i].data, spans[i].len, spans[i].trusted };
    enum base_err rc = tokenizer_encode(model->tokenizer, parts, count, ids);
    if (rc == E_TOO_BIG)
        return too_long(model, "more than ", ids->count_max, error);
    if (rc == E_NOMEM)
        return api_error_nomem(error);
    if (rc)
        return api_error_set(error, API_INTERNAL, NULL, "the prompt could not be tokenised: %s",
                             base_strerror(rc));
    return OK;
}

/* The prompt's ids, without BOS. */
static enum base_err prompt_make(const struct api_model *model, const struct chat_params *params,
                                 struct arena *scratch, struct tokenizer_ids *ids,
                                 struct api_error *error)
{
    struct template_span *spans;
    size_t count;
    /* each message is at least a token: no need to render what cannot fit */
    if (params->message_count >= (size_t)model->context)
        return too_long(model, "at least ", params->message_count, error);
    enum base_err rc = template_chatml(scratch, params->messages, params->message_count,
                                       model->default_system, true, &spans, &count);
    if (rc == E_NOMEM)
        return api_error_nomem(error);
    if (rc)
        return api_error_set(error, API_INTERNAL, NULL, "the prompt could not be rendered: %s",
                             base_strerror(rc));
    return encode(model, spans, count, scratch, ids, error);
}

static bool stops_copy(struct chat_job *job, const struct chat_params *params)
{
    uint32_t count = params->stop_count;
    struct valet_stop *stops = arena_calloc(&job->arena, count ? count : 1, sizeof *stops);
    for (uint32_t i = 0; stops && i < count; i++) {
        stops[i].len = params->stops[i].len;
        stops[i].text = arena_strndup(&job->arena, params->stops[i].text, stops[i].len);
        if (!stops[i].text)
            return false;
    }
    job->request.stops = stops;
    job->request.stop_count = count;
    return stops != NULL;
}

static bool prompt_copy(struct chat_job *job, const struct api_model *model,
                        const struct tokenizer_ids *ids)
{
    size_t bos = tokenizer_adds_bos(model->tokenizer);
    size_t count = ids->count + bos;
    int32_t *prompt = arena_calloc(&job->arena, count, sizeof *prompt);
    if (!prompt)
        return false;
    if (bos)
        prompt[0] = tokenizer_bos(model->tokenizer);
    if (ids->count)
        memcpy(prompt + bos, ids->ids, ids->count * sizeof *prompt);
    job->request.prompt = prompt;
    job->request.prompt_count = (int32_t)count;
    return true;
}

/* The job lives in its own arena. */
static struct chat_job *job_create(const struct api_model *model, const struct chat_params *params,
                                   const struct tokenizer_ids *ids)
{
    struct arena arena;
    arena_init(&arena, MEM_API, JOB_BYTES_MAX);
    struct chat_job *job = arena_alloc(&arena, sizeof *job);
    if (!job)
        return NULL;
    job->arena = arena;
    if (!prompt_copy(job, model, ids) || !stops_copy(job, params)) {
        chat_job_destroy(job);
        return NULL;
    }
    int32_t room = model->context - job->request.prompt_count;
    int32_t asked = params->max_new;
    job->request.max_new = asked && asked < room ? asked : room;
    job->request.sampling = params->sampling;
    return job;
}

void chat_job_destroy(void *job)
{
    struct arena arena = ((struct chat_job *)job)->arena;
    arena_fini(&arena);
}

enum base_err chat_job_make(const struct api_model *model, const struct chat_params *params,
                            struct chat_job **out, struct api_error *error)
{
    *out = NULL;
    struct arena scratch;
    struct tokenizer_ids ids;
    arena_init(&scratch, MEM_API, SCRATCH_BYTES_MAX);
    tokenizer_ids_init(&ids, (size_t)model->context * COUNT_FACTOR);
    enum base_err rc = prompt_make(model, params, &scratch, &ids, error);
    size_t count = ids.count + tokenizer_adds_bos(model->tokenizer);
    if (!rc && count >= (size_t)model->context)
        rc = too_long(model, "", count, error);
    if (!rc) {
        *out = job_create(model, params, &ids);
        if (!*out)
            rc = api_error_nomem(error);
    }
    tokenizer_ids_fini(&ids);
    arena_fini(&scratch);
    return rc;
}
