#include <string.h>

#include "api/api_int.h"

struct route {
    const char *path; /* ends in '/': also everything behind it, at least a character */
    bool post;        /* else GET and HEAD */
    unsigned scope;   /* of enum api_scope; 0: open to all */
    void (*run)(struct api_call *call);
};

static const struct route g_routes[] = {
    { "/v1/chat/completions", true, API_SCOPE_INFER, api_chat_post },
    { "/chat/completions", true, API_SCOPE_INFER, api_chat_post },
    { "/v1/completions", true, API_SCOPE_INFER, api_completion_post },
    { "/tokenize", true, API_SCOPE_INFER, api_tokenize_post },
    { "/detokenize", true, API_SCOPE_INFER, api_detokenize_post },
    { "/apply-template", true, API_SCOPE_INFER, api_apply_template_post },
    { "/v1/models", false, API_SCOPE_INFER, api_models_get },
    { "/v1/models/", false, API_SCOPE_INFER, api_model_get },
    { "/health", false, 0, api_health_get },
    { "/v1/health", false, 0, api_health_get },
    { "/ready", false, 0, api_ready_get },
    { "/version", false, 0, api_version_get },
    { "/openapi.json", false, 0, api_openapi_get },
    { "/metrics", false, API_SCOPE_METRICS, api_metrics_get },
    { "/pools", false, API_SCOPE_INFER, api_pools_get },
    { "/pools/", false, API_SCOPE_INFER, api_pool_get },
    { "/v1/queues", false, API_SCOPE_INFER, api_queues_get },
};

bool api_route_at(size_t i, struct api_route *out)
{
    if (i >= sizeof g_routes / sizeof g_routes[0])
        return false;
    const struct route *r = &g_routes[i];
    *out = (struct api_route){ r->path, r->post, r->scope };
    return true;
}

static bool route_matches(const struct route *route, struct http_str path, struct http_str *rest)
{
    size_t len = strlen(route->path);
    bool prefix = route->path[len - 1] == '/';
    if (path.len < len || memcmp(path.data, route->path, len) != 0)
        return false;
    *rest = (struct http_str){ path.data + len, path.len - len };
    return prefix ? rest->len > 0 : rest->len == 0;
}

static bool method_fits(const struct route *route, struct http_str method)
{
    if (route->post)
        return http_str_is(method, "POST");
    return http_str_is(method, "GET") || http_str_is(method, "HEAD");
}

/* "application/json", in any case, with or without parameters. */
static bool is_json(const struct http_str *type)
{
    static const char json[] = "application/json";
    size_t n = sizeof json - 1;
    if (!type || type->len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = type->data[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != json[i])
            return false;
    }
    return type->len == n || strchr("; \t", type->data[n]);
}

int api_shown_len(struct http_str s)
{
    return s.len < API_SHOWN_MAX ? (int)s.len : API_SHOWN_MAX;
}

static const struct route *route_find(struct api_call *call)
{
    for (size_t i = 0; i < sizeof g_routes / sizeof g_routes[0]; i++) {
        if (route_matches(&g_routes[i], call->request->path, &call->rest))
            return &g_routes[i];
    }
    return NULL;
}

/* What a route asks for besides a key. */
static unsigned route_scope(const struct api *api, const struct route *route)
{
    if (route->scope == API_SCOPE_METRICS && api->options.metrics_public)
        return 0;
    return route->scope;
}

static enum base_err check_method(const struct route *route, struct http_str method,
                                  struct api_error *error)
{
    const char *allow = route->post ? "POST" : "GET, HEAD";
    if (method_fits(route, method))
        return OK;
    api_error_set(error, API_METHOD_NOT_ALLOWED, NULL, "%s: expected %s, got %.*s", route->path,
                  allow, api_shown_len(method), method.data);
    error->allow = allow;
    return E_INVALID;
}

static enum base_err check_type(const struct route *route, const struct http_request *request,
                                struct api_error *error)
{
    const struct http_str *type = http_request_field(request, "content-type");
    if (!route->post || is_json(type))
        return OK;
    struct http_str got = type ? *type : (struct http_str){ "none", 4 };
    return api_error_set(error, API_MEDIA_TYPE, NULL,
                         "Content-Type: expected application/json, got %.*s", api_shown_len(got),
                         got.data);
}

/*
 * What the head of a request decides. Who has no key does not learn which routes there are.
 * Browsers send OPTIONS without a key.
 */
static enum base_err check_head(struct api_call *call, const struct route **out,
                                struct api_error *error)
{
    const struct http_request *request = call->request;
    const struct route *route = route_find(call);
    unsigned scope = route ? route_scope(call->api, route) : 0;
    bool is_open = route && scope == 0;
    enum base_err rc = OK;
    *out = route;
    if (!is_open && !http_str_is(request->method, "OPTIONS"))
        rc = api_auth_caller(call, error);
    if (rc)
        return rc;
    if (!route)
        return api_error_set(error, API_NOT_FOUND, NULL, "there is no route %.*s",
                             api_shown_len(request->path), request->path.data);
    rc = check_method(route, request->method, error);
    if (!rc)
        rc = api_auth_scope(call, scope, error);
    return rc ? rc : check_type(route, request, error);
}

/* Requests that bring a body are counted against the limits of their tenant. */
static enum base_err check_limits(struct api_call *call, const struct route *route,
                                  struct api_error *error)
{
    struct api *api = call->api;
    if (!route->post)
        return OK;
    limits_find(&api->limits, &call->caller, &call->peer.use);
    if (call->is_counted)
        return OK;
    return limits_request(&api->limits, &call->peer.use, clock_now_ns(api->options.clock), error);
}

/* What is decided without a body. False: the answer has been sent. */
static bool admit(struct api_call *call, const struct route **out)
{
    struct api_error error;
    enum base_err rc = check_head(call, out, &error);
    if (!rc)
        rc = check_limits(call, *out, &error);
    if (rc)
        api_reply_error(call->api, &call->peer, &error);
    return rc == OK;
}

bool api_route_admit(struct api_call *call)
{
    const struct route *route;
    return admit(call, &route);
}

void api_route(struct api_call *call)
{
    const struct route *route;
    if (admit(call, &route))
        route->run(call);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool api_percent_is(struct http_str raw, const char *text)
{
    size_t i = 0;
    for (; i < raw.len && *text; text++) {
        int c = (unsigned char)raw.data[i++];
        if (c == '%') {
            int high = i + 1 < raw.len ? hex_value(raw.data[i]) : -1;
            int low = i + 1 < raw.len ? hex_value(raw.data[i + 1]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = high << 4 | low;
            i += 2;
        }
        if (c != (unsigned char)*text)
            return false;
    }
    return i == raw.len && !*text;
}
