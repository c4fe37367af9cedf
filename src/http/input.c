/*
 * A connection's input: from bytes to whole requests, in turn. What is not yet due is kept
 * in `in` (rules 8 and 9).
 */
#include "base/assert.h"
#include "http/http_int.h"

static uint64_t now_ms(const struct http_conn *c)
{
    return uv_now(c->server->loop);
}

size_t http_in_ahead_bytes(const struct http_conn *c)
{
    return c->in.len - c->in_used;
}

bool http_in_may_take(const struct http_conn *c)
{
    bool is_between_exchanges = c->state >= HTTP_CONN_IDLE && c->state <= HTTP_CONN_BODY;
    return is_between_exchanges && !c->server->is_closing &&
           http_out_pending(c) <= c->server->options.stream_resume_bytes;
}

/* ---- a request comes in ---- */

static void start_request(struct http_conn *c)
{
    const struct http_options *o = &c->server->options;
    http_scan_init(&c->scan);
    c->head.len_max = o->request_line_bytes_max + o->header_bytes_max + 2;
    c->state = HTTP_CONN_HEAD;
    c->read_deadline_ms = now_ms(c) + o->header_timeout_ms;
}

static void begin_exchange(struct http_conn *c)
{
    c->turn_left--;
    c->x->is_running = true;
    c->state = HTTP_CONN_EXCHANGE;
    c->read_deadline_ms = 0;
    c->server->stats.requests++;
    c->server->stats.exchanges++;
}

/* The whole request is here. */
static void dispatch(struct http_conn *c)
{
    struct http_exchange *x = c->x;
    const struct http_handler *handler = &c->server->handler;
    x->request.body = (struct http_str){ x->body.len ? x->body.data : "", x->body.len };
    begin_exchange(c);
    if (!x->is_preflight) {
        handler->request(handler->arg, x, &x->request);
        return;
    }
    struct http_header headers[HTTP_SERVER_HEADERS_MAX];
    size_t count = http_server_headers(c, 204, "", headers);
    http_respond(x, 204, headers, count, NULL, 0);
}

/* Asks the handler about a request whose body is still to come. */
static bool is_admitted(struct http_conn *c)
{
    struct http_exchange *x = c->x;
    const struct http_handler *handler = &c->server->handler;
    if (!handler->admit || x->is_preflight)
        return true;
    bool keep_alive = x->keep_alive;
    x->keep_alive = false; /* whoever answers now leaves a body unread */
    begin_exchange(c);
    if (!handler->admit(handler->arg, x, &x->request)) {
        ASSERT(c->x == NULL);
        return false;
    }
    ASSERT(c->x == x);
    x->keep_alive = keep_alive;
    x->is_running = false;
    c->turn_left++;
    c->server->stats.requests--;
    c->server->stats.exchanges--;
    return true;
}

/*
 * A body in progress must not fall silent for body_timeout_ms, and when that much has
 * passed in all it must have come at a minimum rate.
 */
static void set_body_deadline(struct http_conn *c)
{
    uint64_t silence_ms = c->server->options.body_timeout_ms;
    uint64_t by_silence_ms = now_ms(c) + silence_ms;
    uint64_t by_rate_ms =
        c->body_start_ms + silence_ms + c->x->framing.body_bytes * 1000 / HTTP_BODY_RATE_MIN;
    c->read_deadline_ms = by_silence_ms < by_rate_ms ? by_silence_ms : by_rate_ms;
}

/* What refuses a request whose head is well-formed. */
static enum http_rule judge(struct http_conn *c)
{
    struct http_exchange *x = c->x;
    if (c->server->is_draining)
        return HTTP_RULE_DRAINING;
    if (c->is_unix)
        return HTTP_RULE_NONE; /* no page of a browser gets there */
    struct http_verdict verdict =
        http_policy_judge(&c->server->options.policy, &x->request, c->tls != NULL);
    x->cors_origin = verdict.cors_origin;
    x->is_preflight = verdict.is_preflight;
    return verdict.rule;
}

static enum http_rule parse_head(struct http_conn *c, struct http_head *head)
{
    struct http_exchange *x = c->x;
    enum http_rule rule =
        http_head_parse(x->head.data, x->head.len, &c->server->limits, x->fields, head);
    x->is_head = http_str_is(head->method, "HEAD");
    x->request = (struct http_request){
        .method = head->method,
        .path = head->path,
        .query = head->query,
        .fields = x->fields,
        .field_count = head->field_count,
        .body = { "", 0 },
    };
    if (rule)
        return rule;
    x->is_http_1_0 = head->is_http_1_0;
    x->keep_alive = head->keep_alive;
    return judge(c);
}

/* `has_more`: bytes of the body are here already. */
static void begin_body(struct http_conn *c, const struct http_head *head, bool has_more)
{
    http_framing_init(&c->x->framing, head);
    c->state = HTTP_CONN_BODY;
    c->body_start_ms = now_ms(c);
    set_body_deadline(c);
    if (head->expects_continue && !has_more &&
        buf_append_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n"))
        c->is_broken = true;
}

static void head_done(struct http_conn *c, bool has_more)
{
    c->x = http_exchange_create(c);
    if (!c->x) {
        http_conn_lost(c);
        return;
    }
    struct http_head head;
    enum http_rule rule = parse_head(c, &head);
    if (rule)
        http_conn_refuse(c, rule);
    else if (!http_head_has_body(&head))
        dispatch(c);
    else if (is_admitted(c))
        begin_body(c, &head, has_more);
}

static size_t feed_head(struct http_conn *c, const char *data, size_t len)
{
    size_t used;
    enum http_parse rc = http_scan_feed(&c->scan, &c->server->limits, data, len, &used);
    if (rc == HTTP_PARSE_REFUSED)
        http_conn_refuse(c, c->scan.rule);
    else if (buf_append(&c->head, data, used))
        http_conn_lost(c);
    else if (rc == HTTP_PARSE_DONE)
        head_done(c, used < len);
    return used;
}

static size_t feed_body(struct http_conn *c, const char *data, size_t len)
{
    struct http_exchange *x = c->x;
    size_t used;
    struct http_str piece;
    enum http_parse rc =
        http_framing_feed(&x->framing, &c->server->limits, data, len, &used, &piece);
    if (rc == HTTP_PARSE_REFUSED)
        http_conn_refuse(c, x->framing.rule);
    else if (buf_append(&x->body, piece.data, piece.len))
        http_conn_lost(c);
    else if (rc == HTTP_PARSE_DONE)
        dispatch(c);
    else
        set_body_deadline(c);
    return used;
}

/* Takes requests from `data` as long as it is their turn; returns how much it used. */
static size_t feed(struct http_conn *c, const char *data, size_t len)
{
    size_t used = 0;
    while (used < len && c->turn_left > 0 && http_in_may_take(c)) {
        if (c->state == HTTP_CONN_IDLE)
            start_request(c);
        if (c->state == HTTP_CONN_HEAD)
            used += feed_head(c, data + used, len - used);
        else
            used += feed_body(c, data + used, len - used);
    }
    return used;
}

/* ---- bytes read ahead ---- */

static void drop_ahead(struct http_conn *c)
{
    buf_fini(&c->in);
    c->in_used = 0;
}

void http_in_feed_ahead(struct http_conn *c)
{
    if (http_in_ahead_bytes(c))
        c->in_used += feed(c, c->in.data + c->in_used, http_in_ahead_bytes(c));
    if (c->in.data && (http_in_ahead_bytes(c) == 0 || c->state >= HTTP_CONN_FINISH))
        drop_ahead(c);
}

static void keep_ahead(struct http_conn *c, const char *data, size_t len)
{
    buf_consume(&c->in, c->in_used);
    c->in_used = 0;
    if (buf_append(&c->in, data, len))
        http_conn_lost(c);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    const struct http_conn *c = handle->data;
    size_t len = c->tls ? HTTP_TLS_READ_BYTES : HTTP_READ_BYTES;
    size_t ahead_max = c->server->options.pipeline_bytes_max;
    if (c->state == HTTP_CONN_EXCHANGE && ahead_max - http_in_ahead_bytes(c) < len)
        len = ahead_max - http_in_ahead_bytes(c);
    *buf = (uv_buf_t){ .base = c->server->read_buf, .len = len };
}

static void on_end(struct http_conn *c, bool is_orderly)
{
    uv_read_stop(&c->io.stream);
    c->is_eof = true;
    c->is_reading = false;
    bool has_answers = c->state == HTTP_CONN_IDLE || c->state == HTTP_CONN_FINISH;
    if (!is_orderly || !has_answers || http_out_pending(c) == 0) {
        http_conn_lost(c);
        return;
    }
    /* What was answered already is delivered; what was asked behind it is not answered. */
    http_conn_finish(c);
}

/* What the client sent, decrypted. */
static void take(struct http_conn *c, const char *data, size_t len)
{
    size_t used = http_in_ahead_bytes(c) == 0 ? feed(c, data, len) : 0;
    if (used < len && c->state < HTTP_CONN_FINISH)
        keep_ahead(c, data + used, len - used);
}

/* Our side ends with the alert that OpenSSL has made. */
static void tls_failed(struct http_conn *c)
{
    http_refusal_note(c->server, HTTP_RULE_BAD_TLS);
    if (c->x && c->x->is_running)
        http_conn_lost(c);
    else
        http_conn_finish(c);
}

static void shake_hands(struct http_conn *c)
{
    enum http_tls_state state = http_tls_handshake(c->tls);
    if (state == HTTP_TLS_READY)
        http_conn_rest(c);
    else if (state == HTTP_TLS_FAILED)
        tls_failed(c);
}

static void decrypt(struct http_conn *c)
{
    char *buf = c->server->tls_buf;
    while (c->state >= HTTP_CONN_IDLE && c->state < HTTP_CONN_FINISH) {
        size_t len;
        enum http_tls_state state = http_tls_read(c->tls, buf, HTTP_TLS_READ_BYTES, &len);
        if (state == HTTP_TLS_READY)
            take(c, buf, len);
        else if (state == HTTP_TLS_END)
            on_end(c, true);
        else if (state == HTTP_TLS_FAILED)
            tls_failed(c);
        if (state != HTTP_TLS_READY)
            return;
    }
}

/* Whoever speaks plain HTTP to TLS begins with a method; a TLS record begins with 22. */
static bool is_plain_http(const struct http_conn *c, const char *data)
{
    return c->state == HTTP_CONN_HANDSHAKE && *data >= 'A' && *data <= 'Z' && !c->is_tls_begun;
}

static void take_tls(struct http_conn *c, const char *data, size_t len)
{
    if (is_plain_http(c, data)) {
        http_tls_destroy(c->tls);
        c->tls = NULL;
        http_conn_refuse(c, HTTP_RULE_PLAIN_HTTP);
        return;
    }
    c->is_tls_begun = true;
    http_tls_feed(c->tls, data, len);
    if (c->state == HTTP_CONN_HANDSHAKE)
        shake_hands(c);
    decrypt(c);
    /* Records of the protocol alone, asked for by a client that does not read them. */
    if (c->flight.len && http_tls_wire(c->tls)->len > HTTP_READ_BYTES)
        http_conn_lost(c);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct http_conn *c = stream->data;
    if (nread == 0)
        return;
    c->is_running = true;
    if (nread < 0) {
        on_end(c, nread == UV_EOF);
    } else if (c->state >= HTTP_CONN_FINISH) {
        c->linger_bytes += c->state == HTTP_CONN_LINGER ? (size_t)nread : 0;
        if (c->linger_bytes > HTTP_LINGER_BYTES)
            http_conn_lost(c);
    } else if (c->tls) {
        take_tls(c, buf->base, (size_t)nread);
    } else {
        take(c, buf->base, (size_t)nread);
    }
    if (nread > 0)
        c->server->stats.bytes_in += (size_t)nread;
    http_conn_run(c);
}

void http_in_update_reading(struct http_conn *c)
{
    bool wanted = !c->is_eof && (c->state >= HTTP_CONN_FINISH ||
                                 http_in_ahead_bytes(c) < c->server->options.pipeline_bytes_max);
    if (wanted == c->is_reading)
        return;
    c->is_reading = wanted;
    if (!wanted)
        uv_read_stop(&c->io.stream);
    else if (uv_read_start(&c->io.stream, on_alloc, on_read))
        http_conn_lost(c);
}
