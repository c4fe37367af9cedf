/* Who asks, and whether they may: keys, scopes, models. */
#include <string.h>

#include "api/api_int.h"

static const struct api_caller g_default = {
    .tenant = "default",
    .scopes = API_SCOPE_INFER | API_SCOPE_METRICS,
    .class_max = PARK_CLASS_HIGH,
};

static bool same_letter(char a, char b)
{
    return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b;
}

/* Whether a field has this name, which is in lower case. */
static bool is_named(const struct http_field *field, const char *name)
{
    size_t len = strlen(name);
    if (field->name.len != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!same_letter(field->name.data[i], name[i]))
            return false;
    }
    return true;
}

/* The key in an Authorization field; empty: another scheme than Bearer, or nothing. */
static struct http_str bearer(struct http_str value)
{
    static const char scheme[] = "bearer ";
    size_t len = sizeof scheme - 1;
    struct http_str none = { "", 0 };
    if (value.len < len)
        return none;
    for (size_t i = 0; i < len; i++) {
        if (!same_letter(value.data[i], scheme[i]))
            return none;
    }
    while (len < value.len && value.data[len] == ' ')
        len++;
    return (struct http_str){ value.data + len, value.len - len };
}

static bool same_key(struct http_str a, struct http_str b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* The one key that a request presents; data NULL: none. E_INVALID: several, or no Bearer. */
static enum base_err find_key(const struct http_request *request, struct http_str *key,
                              struct api_error *error)
{
    *key = (struct http_str){ NULL, 0 };
    for (size_t i = 0; i < request->field_count; i++) {
        const struct http_field *field = &request->fields[i];
        bool is_bearer = is_named(field, "authorization");
        if (!is_bearer && !is_named(field, "x-api-key"))
            continue;
        struct http_str found = is_bearer ? bearer(field->value) : field->value;
        if (found.len == 0 && field->value.len > 0 && is_bearer)
            return api_error_set(error, API_INVALID_KEY, NULL,
                                 "Authorization: expected Bearer and an API key");
        if (key->data && found.len > 0 && !same_key(*key, found))
            return api_error_set(error, API_INVALID_KEY, NULL,
                                 "the request has two different API keys");
        if (found.len > 0)
            *key = found;
    }
    return OK;
}

static enum base_err authenticate(const struct api_options *o, const struct http_request *request,
                                  bool is_unix, struct api_caller *out, struct api_error *error)
{
    struct http_str key;
    enum base_err rc = find_key(request, &key, error);
    if (rc)
        return rc;
    if (is_unix && !key.data) {
        *out = g_default;
        return OK;
    }
    if (o->authenticate(o->arg, key.data ? &key : NULL, out))
        return OK;
    if (key.data)
        return api_error_set(error, API_INVALID_KEY, NULL, "the API key is not valid here");
    return api_error_set(error, API_MISSING_KEY, NULL,
                         "an API key is required: Authorization: Bearer, or X-Api-Key");
}

enum base_err api_auth_caller(struct api_call *call, struct api_error *error)
{
    const struct api_options *o = &call->api->options;
    call->caller = g_default;
    if (!o->authenticate)
        return OK;
    return authenticate(o, call->request, http_exchange_is_unix(call->peer.x), &call->caller,
                        error);
}

enum base_err api_auth_scope(const struct api_call *call, unsigned scope, struct api_error *error)
{
    static const char *const names[] = {
        [API_SCOPE_INFER] = "infer", [API_SCOPE_ADMIN] = "admin", [API_SCOPE_METRICS] = "metrics"
    };
    if ((call->caller.scopes & scope) == scope)
        return OK;
    return api_error_set(error, API_SCOPE_DENIED, NULL, "the API key lacks the scope %s",
                         names[scope]);
}

bool api_auth_has_model(const struct api_call *call)
{
    const struct api_caller *caller = &call->caller;
    bool found = caller->model_count == 0;
    for (size_t i = 0; i < caller->model_count && !found; i++)
        found = api_is_model(&call->api->options.model,
                             (struct http_str){ caller->models[i], strlen(caller->models[i]) });
    return found;
}

enum base_err api_auth_model(const struct api_call *call, struct api_error *error)
{
    if (api_auth_has_model(call))
        return OK;
    return api_error_set(error, API_MODEL_DENIED, "model", "model: the API key is not good for %s",
                         call->api->options.model.id);
}
