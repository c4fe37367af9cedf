/*
 * Which requests of a browser are served: the Host rule against DNS rebinding, the Origin
 * rule against cross-site requests, and CORS (Fetch Standard, 3.2).
 */
#include "http/policy.h"

#include <arpa/inet.h>
#include <string.h>

static bool same_nocase(struct http_str a, struct http_str b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.data, b.data, a.len) == 0);
}

static bool ends_with_nocase(struct http_str s, const char *end)
{
    size_t len = strlen(end);
    return s.len > len && strncasecmp(s.data + s.len - len, end, len) == 0;
}

static bool starts_with_nocase(struct http_str s, const char *start)
{
    size_t len = strlen(start);
    return s.len >= len && strncasecmp(s.data, start, len) == 0;
}

static bool is_listed(struct http_str s, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (http_str_is_nocase(s, list[i]))
            return true;
    }
    return false;
}

/* ---- Host ---- */

/* The parser has seen that `host` is valid: brackets are balanced, a colon precedes a port. */
static struct http_str without_port(struct http_str host)
{
    bool is_v6 = host.data[0] == '[';
    const char *end = memchr(host.data, is_v6 ? ']' : ':', host.len);
    if (end)
        host.len = (size_t)(end - host.data) + is_v6;
    return host;
}

static bool is_ipv4(struct http_str name)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    if (name.len >= sizeof text)
        return false;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    return inet_pton(AF_INET, text, &address) == 1;
}

/*
 * A page of another site reaches this server by having its own name resolve to it, and for
 * that it needs a public name, which has a dot.
 */
static bool host_is_allowed(const struct http_policy *policy, const struct http_request *request)
{
    const struct http_str *host = http_request_field(request, "host");
    if (!host)
        return true; /* HTTP/1.0, which no browser speaks */
    struct http_str name = without_port(*host);
    return name.data[0] == '[' || !memchr(name.data, '.', name.len) || is_ipv4(name) ||
           ends_with_nocase(name, ".localhost") ||
           is_listed(name, policy->hosts, policy->host_count);
}

/* ---- Origin ---- */

/* Browsers leave a scheme's own port out, other clients may not. */
static struct http_str without_default_port(struct http_str s, bool is_tls)
{
    const char *port = is_tls ? ":443" : ":80";
    if (ends_with_nocase(s, port))
        s.len -= strlen(port);
    return s;
}

static bool is_own(const struct http_request *request, struct http_str origin, bool is_tls)
{
    const char *scheme = is_tls ? "https://" : "http://";
    const struct http_str *host = http_request_field(request, "host");
    if (!host || !starts_with_nocase(origin, scheme))
        return false;
    origin.data += strlen(scheme);
    origin.len -= strlen(scheme);
    return same_nocase(without_default_port(origin, is_tls), without_default_port(*host, is_tls));
}

static bool allows_all(const struct http_policy *policy)
{
    return is_listed((struct http_str){ "*", 1 }, policy->origins, policy->origin_count);
}

/* A safe method changes nothing; what it answers is kept from the page by the browser. */
static bool is_safe(struct http_str method)
{
    return http_str_is(method, "GET") || http_str_is(method, "HEAD");
}

static size_t count_fields(const struct http_request *request, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < request->field_count; i++)
        count += http_str_is_nocase(request->fields[i].name, name);
    return count;
}

static void judge_origin(const struct http_policy *policy, const struct http_request *request,
                         bool is_tls, struct http_verdict *verdict)
{
    const struct http_str *origin = http_request_field(request, "origin");
    if (!origin)
        return;
    bool is_one = count_fields(request, "origin") == 1;
    if (is_one && is_own(request, *origin, is_tls))
        return;
    if (is_one && (is_listed(*origin, policy->origins, policy->origin_count) || allows_all(policy)))
        verdict->cors_origin = *origin;
    else if (policy->check_origin && !is_safe(request->method))
        verdict->rule = HTTP_RULE_ORIGIN_DENIED;
    verdict->is_preflight = verdict->cors_origin.data && http_str_is(request->method, "OPTIONS") &&
                            http_request_field(request, "access-control-request-method");
}

struct http_verdict http_policy_judge(const struct http_policy *policy,
                                      const struct http_request *request, bool is_tls)
{
    struct http_verdict verdict = { .rule = HTTP_RULE_NONE };
    if (policy->check_host && !host_is_allowed(policy, request))
        verdict.rule = HTTP_RULE_HOST_DENIED;
    else if (policy->check_origin || policy->origin_count)
        judge_origin(policy, request, is_tls, &verdict);
    return verdict;
}

/* ---- what an answer says ---- */

static enum base_err line(struct base_buf *out, const char *name, const char *value)
{
    return value ? buf_printf(out, "%s: %s\r\n", name, value) : OK;
}

static enum base_err preflight_lines(const struct http_policy *policy, struct base_buf *out)
{
    enum base_err rc = line(out, "Access-Control-Allow-Methods", policy->allow_methods);
    if (!rc)
        rc = line(out, "Access-Control-Allow-Headers", policy->allow_headers);
    if (!rc && policy->max_age_s)
        rc = buf_printf(out, "Access-Control-Max-Age: %u\r\n", policy->max_age_s);
    return rc;
}

static enum base_err origin_lines(const struct http_policy *policy, struct http_str origin,
                                  struct base_buf *out)
{
    enum base_err rc = buf_append_str(out, "Access-Control-Allow-Origin: ");
    if (!rc)
        rc = buf_append(out, origin.data, origin.len);
    if (!rc)
        rc = buf_append_str(out, "\r\n");
    if (!rc && policy->allow_credentials)
        rc = line(out, "Access-Control-Allow-Credentials", "true");
    return rc;
}

enum base_err http_policy_headers(const struct http_policy *policy, struct http_str cors_origin,
                                  bool is_preflight, struct base_buf *out)
{
    if (!policy->origin_count)
        return OK;
    /* Also without an Origin: a cache must not give this answer to a page. */
    enum base_err rc = line(out, "Vary", "Origin");
    if (rc || !cors_origin.data)
        return rc;
    rc = origin_lines(policy, cors_origin, out);
    if (!rc && is_preflight)
        rc = preflight_lines(policy, out);
    else if (!rc)
        rc = line(out, "Access-Control-Expose-Headers", policy->expose_headers);
    return rc;
}

/* ---- is it a policy ---- */

static bool is_text(const char *s)
{
    for (; s && *s; s++) {
        if (*s < ' ' || *s > '~')
            return false;
    }
    return true;
}

/* scheme "://" host [":" port], as a browser sends it: no path, no slash at the end. */
static bool is_origin(const char *s)
{
    const char *host = strstr(s, "://");
    return strcmp(s, "*") == 0 || (host && host > s && host[3] && !strpbrk(host + 3, "/?#@* ,"));
}

enum base_err http_policy_validate(const struct http_policy *policy, struct base_err_info *info)
{
    for (size_t i = 0; i < policy->origin_count; i++) {
        const char *origin = policy->origins[i];
        if (!is_text(origin) || !is_origin(origin))
            return base_err_set(info, E_INVALID,
                                "\"%s\" is not an origin, such as https://app.example:8443",
                                origin);
    }
    if (policy->allow_credentials && allows_all(policy))
        return base_err_set(info, E_INVALID, "credentials need origins that are listed, not \"*\"");
    if (!is_text(policy->allow_methods) || !is_text(policy->allow_headers) ||
        !is_text(policy->expose_headers))
        return base_err_set(info, E_INVALID, "a list of headers or methods is not plain text");
    return OK;
}
