#ifndef API_CHAT_JOB_H
#define API_CHAT_JOB_H

#include "api/api.h"
#include "api/chat_parse.h"
#include "base/arena.h"
#include "valet/request.h"

/*
 * What goes into the lot: the request with the arena that holds it, so that one pointer is
 * all the engine's side needs. `request` comes first: the payload is also a pointer to it.
 */
struct chat_job {
    struct valet_request request;
    struct arena arena;
};

/*
 * Renders and tokenises the prompt and sizes the answer. *out is NULL on an error.
 * Gives: chat_job_destroy.
 */
enum base_err chat_job_make(const struct api_model *model, const struct chat_params *params,
                            struct chat_job **out, struct api_error *error);

/* Fits park_work.payload_destroy. Any thread. */
void chat_job_destroy(void *job);

#endif
