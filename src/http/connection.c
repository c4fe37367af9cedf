/*
 * One connection: time limits, its turn, its end.
 *
 *             first byte          head accepted         body complete
 *   IDLE ---start_request--> HEAD --head_done--> BODY --dispatch--> EXCHANGE
 *   ^ ^                        \--head_done, no body------dispatch-->/   |
 *   | |                                                                  |
 *   | +------------------- the handler ends the answer (exchange.c) -----+
 *   |                                                                    |
 *   HANDSHAKE (TLS)                                                      |
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
 *   5. A connection at rest holds this struct, that of TLS, and no buffer.
 */
#include "base/assert.h"
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
        http_peers_leave(&server->peers, c->peer);
        http_tls_destroy(c->tls);
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
    if (!reset)
        http_out_say_end(c);
    c->state = HTTP_CONN_CLOSED;
    link_remove(&c->ready);
    if (c->x)
        http_exchange_destroy(c->x);
    c->x = NULL;
    /* A Unix socket has no reset; there the missing end of the answer has to tell. */
    if (!reset || c->is_unix || uv_tcp_close_reset(&c->io.tcp, on_handle_closed))
        uv_close(&c->io.handle, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

void http_conn_lost(struct http_conn *c)
{
    if (c->state == HTTP_CONN_CLOSED)
        return;
    struct http_exchange *running = c->x && c->x->is_running ? c->x : NULL;
    if (running)
        c->x = NULL;
    c->server->stats.slow_readers += c->is_slow;
    /* A cut answer must not look like a whole one: it may last until the end of the stream. */
    http_conn_close(c, running || c->is_broken || c->flight.len || c->out.len);
    if (!running)
        return;
    const struct http_handler *handler = &c->server->handler;
    c->server->stats.exchanges--;
    handler->gone(handler->arg, running);
    http_exchange_destroy(running);
}

void http_conn_finish(struct http_conn *c)
{
    c->state = HTTP_CONN_FINISH;
    c->read_deadline_ms = 0;
    http_conn_defer(c);
}

/* ---- time ---- */

void http_conn_rest(struct http_conn *c)
{
    const struct http_server *server = c->server;
    c->state = HTTP_CONN_IDLE;
    c->read_deadline_ms = now_ms(c) + (server->is_draining ? server->options.drain_idle_ms
                                                           : server->options.idle_timeout_ms);
}

static void on_read_deadline(struct http_conn *c)
{
    if (c->state == HTTP_CONN_HEAD)
        http_conn_refuse(c, HTTP_RULE_HEADER_TIMEOUT);
    else if (c->state == HTTP_CONN_BODY)
        http_conn_refuse(c, HTTP_RULE_BODY_TIMEOUT);
    else if (c->state == HTTP_CONN_IDLE)
        http_conn_finish(c);
    else
        http_conn_lost(c);
}

/* The client takes its stream, but so slowly that it stays paused. */
static void check_pause(struct http_conn *c)
{
    const struct http_exchange *x = c->x;
    if (!x || !x->pause_deadline_ms || now_ms(c) < x->pause_deadline_ms)
        return;
    c->is_slow = true;
    http_conn_lost(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct http_conn *c = timer->data;
    if (c->read_deadline_ms && now_ms(c) >= c->read_deadline_ms)
        on_read_deadline(c);
    if (c->state != HTTP_CONN_CLOSED)
        http_out_check(c, now_ms(c));
    if (c->state != HTTP_CONN_CLOSED)
        check_pause(c);
    http_conn_run(c);
}

static uint64_t sooner(uint64_t a_ms, uint64_t b_ms)
{
    return b_ms && (!a_ms || b_ms < a_ms) ? b_ms : a_ms;
}

/* Deadlines mostly move away: the timer is left to fire in vain rather than moved along. */
static void update_timer(struct http_conn *c)
{
    uint64_t due_ms = c->read_deadline_ms;
    if (c->flight.len)
        due_ms = sooner(due_ms, c->write_check_ms);
    if (c->x)
        due_ms = sooner(due_ms, c->x->pause_deadline_ms);
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
    x->pause_deadline_ms = 0;
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
    if (c->state != HTTP_CONN_FINISH || !http_out_finish(c))
        return;
    if (c->is_eof || uv_shutdown(&c->req.shutdown, &c->io.stream, on_shutdown)) {
        http_conn_lost(c);
        return;
    }
    c->state = HTTP_CONN_LINGER;
    c->read_deadline_ms = now_ms(c) + HTTP_LINGER_MS;
}

static bool has_work(const struct http_conn *c)
{
    return c->is_broken || (c->out.len && !c->flight.len) ||
           (http_in_ahead_bytes(c) && http_in_may_take(c));
}

void http_conn_run(struct http_conn *c)
{
    c->is_running = true;
    do {
        http_in_feed_ahead(c);
        http_out_flush(c);
    } while (http_in_ahead_bytes(c) && c->turn_left > 0 && http_in_may_take(c));
    if (c->state != HTTP_CONN_CLOSED)
        call_drained(c);
    finish(c);
    if (c->state != HTTP_CONN_CLOSED)
        http_in_update_reading(c);
    if (c->state != HTTP_CONN_CLOSED)
        update_timer(c);
    link_remove(&c->ready);
    c->is_running = false;
    c->turn_left = HTTP_TURN_REQUESTS;
    /* What is left, or was made by `drained`, is for the next turn, so that others get theirs. */
    if (has_work(c))
        http_conn_defer(c);
}

void http_conn_drain(struct http_conn *c)
{
    switch (c->state) {
    case HTTP_CONN_HANDSHAKE:
        http_conn_close(c, false);
        break;
    case HTTP_CONN_IDLE:
        if (c->server->options.drain_idle_ms)
            http_conn_rest(c);
        else
            http_conn_finish(c);
        http_conn_defer(c);
        break;
    case HTTP_CONN_HEAD:
    case HTTP_CONN_BODY:
        http_conn_refuse(c, HTTP_RULE_DRAINING);
        break;
    case HTTP_CONN_EXCHANGE: /* its end sees that the server drains */
    case HTTP_CONN_FINISH:
    case HTTP_CONN_LINGER:
    case HTTP_CONN_CLOSED:
        break;
    }
}
