#include <string.h>

#include "api/api_int.h"

struct route {
    const char *path; /* ends in '/': also everything behind it, at least a character */
    bool post;        /* else GET and HEAD */
    void (*run)(struct api_call *call);
};

static const struct route g_routes[] = {
    { "/v1/chat/completions", true, api_chat_post },
    { "/chat/completions", true, api_chat_post },
    { "/v1/completions", true, api_completion_post },
    { "/tokenize", true, api_tokenize_post },
    { "/detokenize", true, api_detokenize_post },
    { "/apply-template", true, api_apply_template_post },
    { "/v1/models", false, api_models_get },
    { "/v1/models/", false, api_model_get },
    { "/health", false, api_health_get },
    { "/v1/health", false, api_health_get },
    { "/ready", false, api_ready_get },
    { "/version", false, api_version_get },
    { "/metrics", false, api_metrics_get },
    { "/pools", false, api_pools_get },
    { "/pools/", false, api_pool_get },
};

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

static void run(const struct route *route, struct api_call *call)
{
    struct api_error error;
    struct http_str method = call->request->method;
    if (!method_fits(route, method)) {
        const char *allow = route->post ? "POST" : "GET, HEAD";
        api_error_set(&error, API_METHOD_NOT_ALLOWED, NULL, "%s: expected %s, got %.*s",
                      route->path, allow, api_shown_len(method), method.data);
        error.allow = allow;
        api_reply_error(call->api, &call->peer, &error);
        return;
    }
    const struct http_str *type = http_request_field(call->request, "content-type");
    if (route->post && !is_json(type)) {
        struct http_str got = type ? *type : (struct http_str){ "none", 4 };
        api_error_set(&error, API_MEDIA_TYPE, NULL,
                      "Content-Type: expected application/json, got %.*s", api_shown_len(got),
                      got.data);
        api_reply_error(call->api, &call->peer, &error);
        return;
    }
    route->run(call);
}

void api_route(struct api_call *call)
{
    struct http_str path = call->request->path;
    for (size_t i = 0; i < sizeof g_routes / sizeof g_routes[0]; i++) {
        if (route_matches(&g_routes[i], path, &call->rest)) {
            run(&g_routes[i], call);
            return;
        }
    }
    struct api_error error;
    api_error_set(&error, API_NOT_FOUND, NULL, "there is no route %.*s", api_shown_len(path),
                  path.data);
    api_reply_error(call->api, &call->peer, &error);
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
