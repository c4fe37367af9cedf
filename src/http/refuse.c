/* Refusing: what goes to the log, and what goes to the client. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/http_int.h"

static void log_refusal(struct http_server *server, const struct http_rule_info *info)
{
    int64_t second = clock_wall_seconds();
    if (second == server->log_second) {
        server->log_skipped++;
        return;
    }
    server->log_second = second;
    log_line(LOG_INFO, "event=http.refused status=%d rule=%s skipped=%llu", info->status,
             info->name, (unsigned long long)server->log_skipped);
    server->log_skipped = 0;
}

void http_refusal_note(struct http_server *server, enum http_rule rule)
{
    struct http_rule_info info = http_rule_describe(rule);
    if (info.status != 503)
        server->stats.parse_errors++;
    log_refusal(server, &info);
}

size_t http_server_headers(struct http_conn *c, int status, const char *code,
                           struct http_header *out)
{
    const struct http_handler *handler = &c->server->handler;
    if (!handler->headers)
        return 0;
    size_t count = handler->headers(handler->arg, status, code, c->x ? &c->x->request : NULL, out);
    ASSERT(count <= HTTP_SERVER_HEADERS_MAX);
    return count;
}

static enum base_err append_refusal(struct http_conn *c, const struct http_rule_info *info)
{
    const struct http_handler *handler = &c->server->handler;
    struct http_header headers[HTTP_SERVER_HEADERS_MAX + 1];
    char body[HTTP_ERROR_BODY_BYTES];
    size_t len = 0;
    if (handler->error_body)
        len = handler->error_body(handler->arg, info->status, info->code, info->message, body,
                                  sizeof body);
    ASSERT(len <= sizeof body);
    size_t header_count = http_server_headers(c, info->status, info->code, headers);
    if (len)
        headers[header_count++] = (struct http_header){ "Content-Type", "application/json" };
    const struct http_answer answer = {
        .status = info->status,
        .headers = headers,
        .header_count = header_count,
        .cors_origin = c->x ? c->x->cors_origin : (struct http_str){ NULL, 0 },
        .has_length = true,
        .length = len,
    };
    enum base_err rc = http_answer_head(c->server, &c->out, &answer);
    return rc || (c->x && c->x->is_head) ? rc : buf_append(&c->out, body, len);
}

void http_conn_refuse(struct http_conn *c, enum http_rule rule)
{
    struct http_rule_info info = http_rule_describe(rule);
    http_refusal_note(c->server, rule);
    if (append_refusal(c, &info))
        c->is_broken = true;
    if (c->x)
        http_exchange_destroy(c->x);
    c->x = NULL;
    http_conn_finish(c);
}
