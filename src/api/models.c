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
    api_reply_json(call->api, &call->peer, 200,
                   json_pack("{s:s,s:[o]}", "object", "list", "data", model_json(call->api)));
}

void api_model_get(struct api_call *call)
{
    const char *id = call->api->options.model.id;
    if (api_percent_is(call->rest, id)) {
        api_reply_json(call->api, &call->peer, 200, model_json(call->api));
        return;
    }
    struct api_error error;
    api_error_set(&error, API_MODEL_NOT_FOUND, "model",
                  "there is no model %.*s, the one here is %s", api_shown_len(call->rest),
                  call->rest.data, id);
    api_reply_error(call->api, &call->peer, &error);
}
