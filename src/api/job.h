#ifndef API_JOB_H
#define API_JOB_H

#include "api/api.h"
#include "api/params.h"
#include "api/prompt.h"
#include "base/arena.h"
#include "valet/request.h"

/*
 * What goes into the lot, one for a ticket: a request for each prompt, each to be answered
 * `choices` times, and the arena that holds everything. Task i of the ticket is choice
 * i % choices of request i / choices.
 */
struct api_job {
    struct valet_request *requests; /* [request_count] */
    uint32_t request_count;
    uint32_t choices;
    struct arena arena;
};

/*
 * Whether each answer may be as long as the body asked: API_CONTEXT_LENGTH. E_INVALID. Whoever
 * does not ask has it shortened to what fits.
 */
enum base_err api_job_check_fit(const struct api_model *model, const struct api_params *params,
                                const struct api_prompt *prompts, size_t prompt_count,
                                struct api_error *error);

/*
 * Copies params and prompts; sizes the answers. Without a seed of the client's each prompt
 * gets its own, made of params->sampling.seed. *out is NULL on an error.
 * Gives: api_job_destroy.
 */
enum base_err api_job_make(const struct api_model *model, const struct api_params *params,
                           const struct api_prompt *prompts, size_t prompt_count,
                           struct api_job **out, struct api_error *error);

/* Fits park_work.payload_destroy. Any thread. */
void api_job_destroy(void *job);

#endif
