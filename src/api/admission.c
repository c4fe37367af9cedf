#include "api/admission.h"

/* Prefixes are shared by requests of one tenant and one salt. Nobody can choose the result. */
static uint64_t tenant_salt(const struct api *api, const char *tenant, uint64_t salt)
{
    uint64_t hash = api->salt_secret;
    for (; *tenant; tenant++)
        hash = random_mix(hash + (unsigned char)*tenant + 1);
    return random_mix(random_mix(hash) ^ salt);
}

void admission_refused(const struct api *api, const struct format_kind *kind,
                       const struct park_refusal *refusal, struct api_error *error)
{
    const char *dim_name = "units";
    struct park_stats stats;
    if (refusal->code == PARK_E_OVERSIZE) {
        park_stats(api->options.pool, &stats);
        if (refusal->dim < stats.dim_count)
            dim_name = stats.dim_names[refusal->dim];
    }
    api_error_of_refusal(error, refusal, dim_name, kind->length_field);
}

/*
 * A place for work of which little more than the size of its body is known: one task, since the
 * lot takes several also when some start and only the others wait.
 */
static enum base_err reserve(struct api_call *call, const struct format_kind *kind,
                             struct admission *a, struct api_error *error)
{
    const struct api_options *o = &call->api->options;
    struct park_refusal refusal;
    struct park_work work;
    park_work_init(&work);
    work.need = (struct park_units){ { 1, 1 } };
    work.payload_bytes = call->request->body.len;
    work.klass = a->schedule.klass;
    work.tenant = call->caller.tenant;
    work.tenant_running_max = (uint64_t)call->peer.use.running_max;
    work.deadline_ns = a->schedule.deadline_ns;
    if (park_reserve(o->pool, &work, &a->reservation, &refusal) == PARK_OK)
        return OK;
    admission_refused(call->api, kind, &refusal, error);
    return E_INVALID;
}

enum base_err admission_open(struct api_call *call, const struct format_kind *kind,
                             struct api_params *params, struct admission *out,
                             struct api_error *error)
{
    struct api *api = call->api;
    *out = (struct admission){ .reservation = NULL };
    api->stats.unknown_fields += params->unknown_count;
    enum base_err rc = api_check_model(call, params->model, params->model_len, error);
    if (!rc)
        rc = schedule_read(call, params, &out->schedule, error);
    if (!rc)
        rc = limits_ticket(&api->limits, &call->peer.use, 1, clock_now_ns(api->options.clock),
                           error);
    if (!rc)
        rc = reserve(call, kind, out, error);
    if (rc)
        return rc;
    if (!params->seeded)
        params->sampling.seed = random_u64(api->options.random);
    params->cache_salt = tenant_salt(api, call->caller.tenant, params->cache_salt);
    return OK;
}

void admission_close(struct admission *admission)
{
    if (admission->reservation)
        park_unreserve(admission->reservation);
    admission->reservation = NULL;
}
