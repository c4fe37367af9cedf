/*
 * One connection: reading, time limits, and which request is whose turn.
 *
 *            first byte          head accepted         body complete
 *   IDLE ---start_request--> HEAD --head_done--> BODY --dispatch--> EXCHANGE
 *     ^                        \--head_done, no body------dispatch-->/   |
 *     |                                                                  |
 *     +------------------- the handler ends the answer (exchange.c) -----+
 *                                                                        |
 *   IDLE, HEAD, BODY --http_conn_refuse, http_conn_drain--> FINISH <-----+ no keep-alive
 *   FINISH --all is written: finish--> LINGER
 *   any --http_conn_lost, http_conn_close--> CLOSED --handles closed--> freed
 *
 * Invariants:
 *   1. One exchange at a time. A further request is taken from `in` only when the answer
 *      before it has ended and at most stream_resume_bytes of output wait.
 *   2. Reading stays on in every state, so that the end of the client is seen, but for one
 *      reason to pause: pipeline_bytes_max bytes are read ahead.
 *   3. `x` is set from the end of the head to the end of the answer; x->is_running from
 *      EXCHANGE on. The handler's `gone` is called by http_conn_lost alone.
 *   4. The handler is called from http_conn_run, from a read and from http_conn_lost, each
 *      called by the loop alone. So no call of the handler leads back into the handler.
 *   5. A connection at rest holds this struct and no buffer.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/http_int.h"

static uint64_t now_ms(const struct http_conn *c)
{
    return uv_now(c->server->loop);
}

/* ---- closing ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct http_conn *c = handle->data;
    struct http_server *server = c->server;
    if (--c->open_handles == 0) {
        link_remove(&c->link);
        server->stats.connections--;
        if (c->is_refused)
            server->refused_count--;
        buf_fini(&c->head);
        buf_fini(&c->in);
        buf_fini(&c->out);
        buf_fini(&c->flight);
        mem_free(c);
    }
    http_server_handle_closed(server);
}

void http_conn_close(struct http_conn *c, bool reset)
{
    if (c->state == HTTP_CONN_CLOSED)
        return;
    ASSERT(!c->x || !c->x->is_running);
    c->state = HTTP_CONN_CLOSED;
    link_remove(&c->ready);
    if (c->x)
        http_exchange_destroy(c->x);
    c->x = NULL;
    if (!reset || uv_tcp_close_reset(&c->tcp, on_handle_closed))
        uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

void http_conn_lost(struct http_conn *c)
{
    if (c->state == HTTP_CONN_CLOSED)
        return;
    struct http_exchange *running = c->x && c->x->is_running ? c->x : NULL;
    if (running)
        c->x = NULL;
    /* A cut answer must not look like a whole one: it may last until the end of the stream. */
    http_conn_close(c, running || c->is_broken || c->flight.len || c->out.len);
    if (!running)
        return;
    const struct http_handler *handler = &c->server->handler;
    c->server->stats.exchanges--;
    handler->gone(handler->arg, running);
    http_exchange_destroy(running);
}

/* ---- refusing ---- */

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

static enum base_err append_refusal(struct http_conn *c, const struct http_rule_info *info,
                                    bool with_body)
{
    const struct http_handler *handler = &c->server->handler;
    static const struct http_header type = { "Content-Type", "application/json" };
    char body[HTTP_ERROR_BODY_BYTES];
    size_t len = 0;
    if (handler->error_body)
        len = handler->error_body(handler->arg, info->status, info->code, info->message, body,
                                  sizeof body);
    ASSERT(len <= sizeof body);
    const struct http_answer answer = {
        .status = info->status,
        .headers = &type,
        .header_count = len ? 1 : 0,
        .has_length = true,
        .length = len,
    };
    enum base_err rc = http_answer_head(c->server, &c->out, &answer);
    return rc || !with_body ? rc : buf_append(&c->out, body, len);
}

void http_conn_refuse(struct http_conn *c, enum http_rule rule)
{
    struct http_rule_info info = http_rule_describe(rule);
    bool is_head = c->x && c->x->is_head;
    if (info.status != 503)
        c->server->stats.parse_errors++;
    log_refusal(c->server, &info);
    if (c->x)
        http_exchange_destroy(c->x);
    c->x = NULL;
    c->state = HTTP_CONN_FINISH;
    c->read_deadline_ms = 0;
    if (append_refusal(c, &info, !is_head))
        c->is_broken = true;
    http_conn_defer(c);
}

/* ---- a request comes in ---- */

static bool is_between_exchanges(const struct http_conn *c)
{
    return c->state <= HTTP_CONN_BODY;
}

static bool may_take_input(const struct http_conn *c)
{
    return is_between_exchanges(c) && !c->server->is_closing &&
           http_out_pending(c) <= c->server->options.stream_resume_bytes;
}

static void start_request(struct http_conn *c)
{
    http_scan_init(&c->scan);
    c->state = HTTP_CONN_HEAD;
    c->read_deadline_ms = now_ms(c) + c->server->options.header_timeout_ms;
}

/* The whole request is here. */
static void dispatch(struct http_conn *c)
{
    struct http_exchange *x = c->x;
    const struct http_handler *handler = &c->server->handler;
    x->request.body = (struct http_str){ x->body.len ? x->body.data : "", x->body.len };
    x->is_running = true;
    c->state = HTTP_CONN_EXCHANGE;
    c->read_deadline_ms = 0;
    c->server->stats.requests++;
    c->server->stats.exchanges++;
    handler->request(handler->arg, x, &x->request);
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

/* `has_more`: bytes of the body are here already. */
static void head_done(struct http_conn *c, bool has_more)
{
    struct http_exchange *x = http_exchange_create(c);
    if (!x) {
        http_conn_lost(c);
        return;
    }
    c->x = x;
    struct http_head head;
    enum http_rule rule =
        http_head_parse(x->head.data, x->head.len, &c->server->limits, x->fields, &head);
    x->is_head = http_str_is(head.method, "HEAD");
    if (rule) {
        http_conn_refuse(c, rule);
        return;
    }
    x->request = (struct http_request){
        .method = head.method,
        .path = head.path,
        .query = head.query,
        .fields = x->fields,
        .field_count = head.field_count,
    };
    x->is_http_1_0 = head.is_http_1_0;
    x->keep_alive = head.keep_alive;
    if (!http_head_has_body(&head)) {
        dispatch(c);
        return;
    }
    http_framing_init(&x->framing, &head);
    c->state = HTTP_CONN_BODY;
    c->body_start_ms = now_ms(c);
    set_body_deadline(c);
    if (head.expects_continue && !has_more &&
        buf_append_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n"))
        c->is_broken = true;
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
    while (used < len && may_take_input(c)) {
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

static size_t ahead_bytes(const struct http_conn *c)
{
    return c->in.len - c->in_used;
}

static void drop_ahead(struct http_conn *c)
{
    buf_fini(&c->in);
    c->in_used = 0;
}

static void feed_ahead(struct http_conn *c)
{
    if (ahead_bytes(c))
        c->in_used += feed(c, c->in.data + c->in_used, ahead_bytes(c));
    if (c->in.data && (ahead_bytes(c) == 0 || c->state >= HTTP_CONN_FINISH))
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
    size_t len = HTTP_READ_BYTES;
    size_t ahead_max = c->server->options.pipeline_bytes_max;
    if (c->state == HTTP_CONN_EXCHANGE && ahead_max - ahead_bytes(c) < len)
        len = ahead_max - ahead_bytes(c);
    *buf = (uv_buf_t){ .base = c->server->read_buf, .len = len };
}

static void on_end(struct http_conn *c, bool is_orderly)
{
    c->is_eof = true;
    c->is_reading = false;
    bool has_answers = c->state == HTTP_CONN_IDLE || c->state == HTTP_CONN_FINISH;
    if (!is_orderly || !has_answers || http_out_pending(c) == 0) {
        http_conn_lost(c);
        return;
    }
    /* What was answered already is delivered; what was asked behind it is not answered. */
    c->state = HTTP_CONN_FINISH;
    c->read_deadline_ms = 0;
    http_conn_run(c);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct http_conn *c = stream->data;
    if (nread == 0)
        return;
    if (nread < 0) {
        on_end(c, nread == UV_EOF);
        return;
    }
    size_t len = (size_t)nread;
    c->server->stats.bytes_in += len;
    if (c->state >= HTTP_CONN_FINISH) {
        c->linger_bytes += c->state == HTTP_CONN_LINGER ? len : 0;
        if (c->linger_bytes > HTTP_LINGER_BYTES)
            http_conn_lost(c);
        return;
    }
    c->is_running = true;
    size_t used = ahead_bytes(c) == 0 ? feed(c, buf->base, len) : 0;
    if (used < len && c->state < HTTP_CONN_FINISH)
        keep_ahead(c, buf->base + used, len - used);
    http_conn_run(c);
}

static void update_reading(struct http_conn *c)
{
    bool wanted = !c->is_eof && (c->state >= HTTP_CONN_FINISH ||
                                 ahead_bytes(c) < c->server->options.pipeline_bytes_max);
    if (wanted == c->is_reading)
        return;
    c->is_reading = wanted;
    if (!wanted)
        uv_read_stop((uv_stream_t *)&c->tcp);
    else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read))
        http_conn_lost(c);
}

/* ---- time ---- */

static void on_read_deadline(struct http_conn *c)
{
    if (c->state == HTTP_CONN_HEAD)
        http_conn_refuse(c, HTTP_RULE_HEADER_TIMEOUT);
    else if (c->state == HTTP_CONN_BODY)
        http_conn_refuse(c, HTTP_RULE_BODY_TIMEOUT);
    else if (c->state == HTTP_CONN_IDLE && http_out_pending(c) > 0)
        c->read_deadline_ms = now_ms(c) + c->server->options.idle_timeout_ms;
    else
        http_conn_lost(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct http_conn *c = timer->data;
    if (c->read_deadline_ms && now_ms(c) >= c->read_deadline_ms)
        on_read_deadline(c);
    if (c->state != HTTP_CONN_CLOSED)
        http_out_check(c, now_ms(c));
    http_conn_run(c);
}

/* Deadlines mostly move away: the timer is left to fire in vain rather than moved along. */
static void update_timer(struct http_conn *c)
{
    uint64_t due_ms = c->read_deadline_ms;
    if (c->flight.len && (!due_ms || c->write_check_ms < due_ms))
        due_ms = c->write_check_ms;
    if (!due_ms || (uv_is_active((uv_handle_t *)&c->timer) && c->timer_due_ms <= due_ms))
        return;
    uint64_t wait_ms = due_ms > now_ms(c) ? due_ms - now_ms(c) : 0;
    c->timer_due_ms = due_ms;
    uv_timer_start(&c->timer, on_timer, wait_ms, 0);
}

/* ---- the turn of a connection ---- */

void http_conn_defer(struct http_conn *c)
{
    if (c->is_running || c->state == HTTP_CONN_CLOSED || !link_is_alone(&c->ready))
        return;
    link_insert(&c->server->ready, &c->ready);
    http_server_wake(c->server);
}

static void call_drained(struct http_conn *c)
{
    struct http_exchange *x = c->x;
    const struct http_handler *handler = &c->server->handler;
    if (!x || !x->wants_drained ||
        http_exchange_pending_bytes(x) >= c->server->options.stream_resume_bytes)
        return;
    x->wants_drained = false;
    if (handler->drained)
        handler->drained(handler->arg, x);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status; /* an error shows in reading as well */
}

/*
 * Everything is written: shuts our side only, and drops what still comes, so that the
 * client reads the answer and not a reset.
 */
static void finish(struct http_conn *c)
{
    if (c->state != HTTP_CONN_FINISH || http_out_pending(c) > 0)
        return;
    if (c->is_eof || uv_shutdown(&c->req.shutdown, (uv_stream_t *)&c->tcp, on_shutdown)) {
        http_conn_lost(c);
        return;
    }
    c->state = HTTP_CONN_LINGER;
    c->read_deadline_ms = now_ms(c) + HTTP_LINGER_MS;
}

void http_conn_run(struct http_conn *c)
{
    c->is_running = true;
    do {
        feed_ahead(c);
        http_out_flush(c);
    } while (ahead_bytes(c) && may_take_input(c));
    if (c->state != HTTP_CONN_CLOSED)
        call_drained(c);
    finish(c);
    if (c->state != HTTP_CONN_CLOSED)
        update_reading(c);
    if (c->state != HTTP_CONN_CLOSED)
        update_timer(c);
    link_remove(&c->ready);
    c->is_running = false;
    /* `drained` may have made work: for the next turn, so that others get theirs. */
    if (c->is_broken || (c->out.len && !c->flight.len) || (ahead_bytes(c) && may_take_input(c)))
        http_conn_defer(c);
}

void http_conn_drain(struct http_conn *c)
{
    if (c->state == HTTP_CONN_HEAD || c->state == HTTP_CONN_BODY) {
        http_conn_refuse(c, HTTP_RULE_DRAINING);
    } else if (c->state == HTTP_CONN_IDLE && http_out_pending(c) == 0) {
        http_conn_close(c, false);
    } else if (c->state == HTTP_CONN_IDLE) {
        c->state = HTTP_CONN_FINISH;
        c->read_deadline_ms = 0;
        http_conn_defer(c);
    }
}

/* ---- opening ---- */

static void init(struct http_conn *c, struct http_server *server)
{
    c->server = server;
    c->open_handles = 2;
    link_init(&c->link);
    link_init(&c->ready);
    const struct http_options *o = &server->options;
    buf_init(&c->head, MEM_HTTP, o->request_line_bytes_max + o->header_bytes_max + 2);
    buf_init(&c->in, MEM_HTTP, o->pipeline_bytes_max + HTTP_READ_BYTES);
    buf_init(&c->out, MEM_HTTP, SIZE_MAX / 4); /* bounded by the handler, see pending_bytes */
    buf_init(&c->flight, MEM_HTTP, SIZE_MAX / 4);
    c->read_deadline_ms = uv_now(server->loop) + o->idle_timeout_ms;
    c->tcp.data = c;
    c->timer.data = c;
}

enum base_err http_conn_accept(struct http_server *server, uv_stream_t *listener)
{
    struct http_conn *c = mem_calloc(MEM_HTTP, 1, sizeof *c);
    if (!c)
        return E_NOMEM;
    int rc = uv_tcp_init(server->loop, &c->tcp);
    ASSERT(rc == 0); /* it makes no socket yet */
    rc = uv_timer_init(server->loop, &c->timer);
    ASSERT(rc == 0);
    init(c, server);
    link_insert(&server->conns, &c->link);
    server->handle_count += 2;
    server->stats.connections++;

    uint64_t admitted = server->stats.connections - server->refused_count;
    if (admitted > server->options.connections_max) {
        c->is_refused = true;
        server->refused_count++;
    }
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) || server->is_draining ||
        server->refused_count > HTTP_REFUSED_MAX) {
        http_conn_close(c, false);
        return OK;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    uv_tcp_keepalive(&c->tcp, 1, 60); /* finds a client that vanished without a word */
    if (c->is_refused)
        http_conn_refuse(c, HTTP_RULE_OVERLOADED);
    http_conn_run(c);
    return OK;
}
