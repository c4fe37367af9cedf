#include <string.h>

#include "http/http.h"
#include "http/parser.h"

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } names[] = {
        { 100, "Continue" },
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 402, "Payment Required" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" },
        { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" },
        { 424, "Failed Dependency" },
        { 425, "Too Early" },
        { 426, "Upgrade Required" },
        { 428, "Precondition Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].status == status)
            return names[i].text;
    }
    return "";
}

/* What a program reads in the body of a refusal. */
static const char *code_of(int status)
{
    switch (status) {
    case 403:
        return "host_denied";
    case 408:
        return "request_timeout";
    case 413:
        return "body_too_large";
    case 414:
        return "uri_too_long";
    case 417:
        return "expectation_failed";
    case 431:
        return "headers_too_large";
    case 503:
        return "overloaded";
    case 505:
        return "version_not_supported";
    default:
        return "invalid_request";
    }
}

struct http_rule_info http_rule_describe(enum http_rule rule)
{
    static const struct http_rule_info rules[] = {
#define X(name, status, text, message) { status, text, NULL, message },
        HTTP_RULE_LIST(X)
#undef X
    };
    struct http_rule_info info = rules[rule];
    info.code = rule == HTTP_RULE_DRAINING ? "draining" : code_of(info.status);
    return info;
}

bool http_str_is(struct http_str s, const char *text)
{
    size_t len = strlen(text);
    return s.len == len && (len == 0 || memcmp(s.data, text, len) == 0);
}

const struct http_str *http_request_field(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++) {
        if (http_str_is_nocase(request->fields[i].name, name))
            return &request->fields[i].value;
    }
    return NULL;
}
