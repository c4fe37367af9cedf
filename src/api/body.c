/* What all routes with a body do before they look at its fields. */
#include <string.h>

#include "api/api_int.h"
#include "api/json.h"

enum {
    SCRATCH_BYTES_MAX = 256 << 20 /* params, messages as a template sees them, its text */
};

void api_body_run(struct api_call *call, api_body_fn fn)
{
    struct http_str text = call->request->body;
    struct api_error error;
    struct arena scratch;
    json_t *body;
    enum base_err rc = api_json_parse(text.data, text.len, &body, &error);
    arena_init(&scratch, MEM_API, SCRATCH_BYTES_MAX);
    if (!rc)
        rc = fn(call, body, &scratch, &error);
    arena_fini(&scratch);
    json_decref(body);
    if (rc)
        api_reply_error(call->api, &call->peer, &error);
}

enum base_err api_check_ready(const struct api *api, struct api_error *error)
{
    const char *why = api->options.not_ready(api->options.arg);
    if (!why)
        return OK;
    if (strcmp(why, "draining") == 0)
        return api_error_set(error, API_DRAINING, NULL,
                             "the server is shutting down and takes no new requests");
    return api_error_set(error, API_NOT_READY, NULL, "the server is not ready: %s", why);
}

enum base_err api_check_model(const struct api_call *call, const char *name, size_t len,
                              struct api_error *error)
{
    const struct api_model *model = &call->api->options.model;
    struct http_str got = { name, len };
    if (!name || api_is_model(model, got))
        return api_auth_model(call, error);
    return api_error_set(error, API_MODEL_NOT_FOUND, "model",
                         "model: expected %s, the one model here, got %.*s", model->id,
                         api_shown_len(got), got.data);
}
