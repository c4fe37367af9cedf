#ifndef API_ANSWER_H
#define API_ANSWER_H

#include "api/admission.h"
#include "api/api_int.h"
#include "api/format.h"
#include "api/job.h"
#include "api/params.h"

/*
 * Submits a request and answers it through the call's exchange, whenever its events come.
 * Takes `job` in any case, and uses the admission's place. `prompts` are those the job was made of. On an error nothing was
 * sent and `error` says why. E_INVALID, E_NOMEM.
 */
enum base_err answer_start(struct api_call *call, const struct format_kind *kind,
                           const struct api_params *params, const struct api_prompt *prompts,
                           struct api_job *job, struct admission *admission,
                           struct api_error *error);

#endif
