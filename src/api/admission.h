#ifndef API_ADMISSION_H
#define API_ADMISSION_H

#include "api/api_int.h"
#include "api/format.h"
#include "api/params.h"
#include "api/schedule.h"

/* What was decided about a request before its prompt is made. */
struct admission {
    struct schedule schedule;
    park_reservation *reservation; /* a place in the queue; NULL: used, or none */
};

/*
 * Behind the parser of a body and before its prompts are rendered and tokenised, so that a burst
 * is refused before it is prepared: model, headers, limits of the tenant, a place in the lot.
 * Draws the seed and keeps the prefixes of tenants apart. Gives: admission_close, whatever
 * became of the request; on an error there is nothing to close. E_INVALID, E_NOMEM.
 */
enum base_err admission_open(struct api_call *call, const struct format_kind *kind,
                             struct api_params *params, struct admission *out,
                             struct api_error *error);
void admission_close(struct admission *admission);

/* Why the lot said no. */
void admission_refused(const struct api *api, const struct format_kind *kind,
                       const struct park_refusal *refusal, struct api_error *error);

#endif
