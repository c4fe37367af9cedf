#include "api/api_int.h"

bool api_is_model(const struct api_model *model, struct http_str name)
{
    bool found = http_str_is(name, model->id);
    for (size_t i = 0; i < model->alias_count && !found; i++)
        found = http_str_is(name, model->aliases[i]);
    return found;
}

/* NULL: no memory, which json_pack passes on. */
static json_t *aliases_json(const struct api_model *model)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < model->alias_count; i++) {
        if (json_array_append_new(list, json_string(model->aliases[i]))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *model_json(const struct api *api)
{
    const struct api_model *model = &api->options.model;
    const char *why = api->options.not_ready(api->options.arg);
    return json_pack("{s:s,s:s,s:I,s:s,s:i,s:[],s:s,s:b,s:o}", "id", model->id, "object", "model",
                     "created", (json_int_t)model->created, "owned_by", "valet", "max_model_len",
                     (int)model->context, "capabilities", "status", why ? why : "loaded", "default",
                     1, "aliases", aliases_json(model));
}

void api_models_get(struct api_call *call)
{
    json_t *data =
        api_auth_has_model(call) ? json_pack("[o]", model_json(call->api)) : json_array();
    api_reply_json(call->api, &call->peer, 200,
                   json_pack("{s:s,s:o}", "object", "list", "data", data));
}

/* Whether the path names the model, by its id or an alias. */
static bool is_named(const struct api_model *model, struct http_str raw)
{
    bool found = api_percent_is(raw, model->id);
    for (size_t i = 0; i < model->alias_count && !found; i++)
        found = api_percent_is(raw, model->aliases[i]);
    return found;
}

void api_model_get(struct api_call *call)
{
    const struct api_model *model = &call->api->options.model;
    struct api_error error;
    enum base_err rc = OK;
    if (!is_named(model, call->rest))
        rc = api_error_set(&error, API_MODEL_NOT_FOUND, "model",
                           "there is no model %.*s, the one here is %s", api_shown_len(call->rest),
                           call->rest.data, model->id);
    else
        rc = api_auth_model(call, &error);
    if (rc)
        api_reply_error(call->api, &call->peer, &error);
    else
        api_reply_json(call->api, &call->peer, 200, model_json(call->api));
}
