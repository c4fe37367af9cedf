#include "api/job.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/random.h"

enum {
    JOB_BYTES_MAX = 64 << 20
};

/* A copy of an array; NULL if refused, and never NULL otherwise. */
static void *copy(struct arena *arena, const void *from, size_t count, size_t size)
{
    void *to = arena_calloc(arena, count ? count : 1, size);
    if (to && count)
        memcpy(to, from, count * size);
    return to;
}

static bool stops_copy(struct arena *arena, const struct api_params *params,
                       struct valet_request *r)
{
    struct valet_stop *stops =
        copy(arena, params->stops, params->stop_count, sizeof *params->stops);
    for (uint32_t i = 0; stops && i < params->stop_count; i++) {
        stops[i].text = arena_strndup(arena, stops[i].text, stops[i].len);
        if (!stops[i].text)
            return false;
    }
    r->stops = stops;
    r->stop_count = params->stop_count;
    r->stop_ids = copy(arena, params->stop_ids, params->stop_id_count, sizeof *params->stop_ids);
    r->stop_id_count = params->stop_id_count;
    return stops && r->stop_ids;
}

static bool sampling_copy(struct arena *arena, struct valet_sampling *s)
{
    s->bias = copy(arena, s->bias, s->bias_count, sizeof *s->bias);
    s->dry_breakers = copy(arena, s->dry_breakers, s->dry_breaker_count, sizeof *s->dry_breakers);
    return s->bias && s->dry_breakers;
}

/* What all requests of a job share. */
static bool request_make(struct arena *arena, const struct api_params *params,
                         struct valet_request *r)
{
    *r = (struct valet_request){
        .sampling = params->sampling,
        .min_tokens = params->min_tokens,
        .ignore_eos = params->ignore_eos,
        .include_stop = params->include_stop,
        /* the best of several is found by its logprobs */
        .logprobs = params->logprobs || params->best_of > params->n,
        .top_logprobs = params->top_logprobs,
        .prompt_logprobs = params->echo && (params->logprobs || params->max_new == 0),
        .cache_salt = params->cache_salt,
    };
    return stops_copy(arena, params, r) && sampling_copy(arena, &r->sampling);
}

static bool requests_fill(struct api_job *job, const struct api_model *model,
                          const struct api_params *params, const struct api_prompt *prompts)
{
    struct valet_request shared;
    if (!request_make(&job->arena, params, &shared))
        return false;
    for (uint32_t i = 0; i < job->request_count; i++) {
        struct valet_request *r = &job->requests[i];
        *r = shared;
        r->prompt = copy(&job->arena, prompts[i].ids, prompts[i].count, sizeof *r->prompt);
        if (!r->prompt)
            return false;
        r->prompt_count = (int32_t)prompts[i].count;
        r->continues = params->continues && prompts[i].count > prompts[i].bos_added;
        int32_t room = model->context - r->prompt_count;
        bool fits = params->max_new != PARAMS_FIT && params->max_new < room;
        r->max_new = fits ? params->max_new : room;
        if (!params->seeded && i > 0)
            r->sampling.seed = random_mix(r->sampling.seed + i);
    }
    return true;
}

enum base_err api_job_check_fit(const struct api_model *model, const struct api_params *params,
                                const struct api_prompt *prompts, size_t prompt_count,
                                struct api_error *error)
{
    for (size_t i = 0; params->max_new_field && i < prompt_count; i++) {
        size_t room = (size_t)model->context - prompts[i].count;
        if ((size_t)params->max_new > room)
            return api_error_set(error, API_CONTEXT_LENGTH, params->max_new_field,
                                 "%s: expected at most %zu, which the prompt of %zu tokens leaves "
                                 "of the context of %" PRId32 ", got %" PRId32,
                                 params->max_new_field, room, prompts[i].count, model->context,
                                 params->max_new);
    }
    return OK;
}

enum base_err api_job_make(const struct api_model *model, const struct api_params *params,
                           const struct api_prompt *prompts, size_t prompt_count,
                           struct api_job **out, struct api_error *error)
{
    struct arena arena;
    *out = NULL;
    ASSERT(prompt_count >= 1 && prompt_count * params->best_of <= PARAMS_TASKS_MAX);
    arena_init(&arena, MEM_API, JOB_BYTES_MAX);
    struct api_job *job = arena_alloc(&arena, sizeof *job); /* lives in its own arena */
    if (!job)
        return api_error_nomem(error);
    job->arena = arena;
    job->request_count = (uint32_t)prompt_count;
    job->choices = params->best_of;
    job->requests = arena_calloc(&job->arena, prompt_count, sizeof *job->requests);
    if (!job->requests || !requests_fill(job, model, params, prompts)) {
        api_job_destroy(job);
        return api_error_nomem(error);
    }
    *out = job;
    return OK;
}

void api_job_destroy(void *job)
{
    struct arena arena = ((struct api_job *)job)->arena;
    arena_fini(&arena);
}

const struct valet_request *api_task_request(const void *payload, uint32_t task_index,
                                             uint32_t *choice)
{
    const struct api_job *job = payload;
    ASSERT(task_index / job->choices < job->request_count);
    *choice = task_index % job->choices;
    return &job->requests[task_index / job->choices];
}
