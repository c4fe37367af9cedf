#include "server/auth.h"

#include "server/settings.h"

static int64_t or_zero(int64_t limit)
{
    return limit == CONFIG_UNSET ? 0 : limit;
}

bool server_auth(const struct keys *keys, const struct http_str *key, int64_t now_seconds,
                 struct api_caller *out)
{
    if (!key)
        return false;
    const struct key *found = keys_lookup(keys, key->data, key->len, now_seconds);
    if (!found)
        return false;
    unsigned scopes = 0;
    scopes |= found->scopes & KEYS_INFER ? API_SCOPE_INFER : 0;
    scopes |= found->scopes & KEYS_ADMIN ? API_SCOPE_ADMIN : 0;
    scopes |= found->scopes & KEYS_METRICS ? API_SCOPE_METRICS : 0;
    *out = (struct api_caller){
        .tenant = found->tenant,
        .scopes = scopes,
        .class_max = settings_class(found->max_class),
        .models = found->models.items,
        .model_count = found->models.count,
        .requests_per_min = or_zero(found->requests_per_min),
        .tokens_per_min = or_zero(found->tokens_per_min),
        .in_flight_max = or_zero(found->in_flight_max),
        .running_max = or_zero(found->running_max),
    };
    return true;
}
