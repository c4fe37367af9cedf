#include "api/api_int.h"

static json_t *model_json(const struct api *api)
{
    const struct api_model *model = &api->options.model;
    const char *why = api->options.not_ready(api->options.arg);
    return json_pack("{s:s,s:s,s:I,s:s,s:i,s:[],s:s,s:b,s:[]}", "id", model->id, "object", "model",
                     "created", (json_int_t)model->created, "owned_by", "valet", "max_model_len",
                     (int)model->context, "capabilities", "status", why ? why : "loaded", "default",
                     1, "aliases");
}

void api_models_get(struct api_call *call)
{
    json_t *data =
        api_auth_has_model(call) ? json_pack("[o]", model_json(call->api)) : json_array();
    api_reply_json(call->api, &call->peer, 200,
                   json_pack("{s:s,s:o}", "object", "list", "data", data));
}

void api_model_get(struct api_call *call)
{
    const char *id = call->api->options.model.id;
    struct api_error error;
    enum base_err rc = OK;
    if (!api_percent_is(call->rest, id))
        rc = api_error_set(&error, API_MODEL_NOT_FOUND, "model",
                           "there is no model %.*s, the one here is %s", api_shown_len(call->rest),
                           call->rest.data, id);
    else
        rc = api_auth_model(call, &error);
    if (rc)
        api_reply_error(call->api, &call->peer, &error);
    else
        api_reply_json(call->api, &call->peer, 200, model_json(call->api));
}
