/*
 * The handler's side of a request. Every call appends to the connection's output and
 * returns: nothing is written, nobody is called, so that none of them can lead back into
 * the handler. The loop writes afterwards (output.c).
 */
#include <stdio.h>

#include "base/assert.h"
#include "http/http_int.h"

struct http_exchange *http_exchange_create(struct http_conn *c)
{
    size_t fields_bytes = c->scan.field_count * sizeof(struct http_field);
    struct http_exchange *x = mem_calloc(MEM_HTTP, 1, sizeof *x + fields_bytes);
    if (!x)
        return NULL;
    x->conn = c;
    x->head = c->head;
    buf_init(&c->head, MEM_HTTP, 0);
    buf_init(&x->body, MEM_HTTP, c->server->options.body_bytes_max);
    return x;
}

void http_exchange_destroy(struct http_exchange *x)
{
    buf_fini(&x->head);
    buf_fini(&x->body);
    mem_free(x);
}

void http_exchange_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_exchange_user(const struct http_exchange *x)
{
    return x->user;
}

size_t http_exchange_pending_bytes(const struct http_exchange *x)
{
    /* Answers before this one may still be in the output, in front of it. */
    size_t pending = http_out_pending(x->conn);
    return pending < x->answer_bytes ? pending : x->answer_bytes;
}

bool http_exchange_is_unix(const struct http_exchange *x)
{
    return x->conn->is_unix;
}

bool http_exchange_is_slow(const struct http_exchange *x)
{
    return x->conn->is_slow;
}

void http_exchange_peer(const struct http_exchange *x, char out[HTTP_PEER_BYTES])
{
    if (x->conn->is_unix)
        snprintf(out, HTTP_PEER_BYTES, "unix");
    else
        http_address_format(&x->conn->address, out);
}

/* A stream that its client does not take: paused from one mark on, given up at the other. */
static void mark_slow(struct http_exchange *x, size_t pending)
{
    const struct http_options *o = &x->conn->server->options;
    if (o->stream_pause_bytes && pending > o->stream_pause_bytes && !x->pause_deadline_ms)
        x->pause_deadline_ms = uv_now(x->conn->server->loop) + o->stream_pause_ms;
    if (o->stream_drop_bytes && pending > o->stream_drop_bytes) {
        x->conn->is_slow = true;
        x->conn->is_broken = true;
    }
}

/* Counts what was appended since `len_before`; a refusal makes the connection useless. */
static void appended(struct http_exchange *x, size_t len_before, enum base_err rc)
{
    struct http_conn *c = x->conn;
    x->answer_bytes += c->out.len - len_before;
    if (rc)
        c->is_broken = true;
    size_t pending = http_exchange_pending_bytes(x);
    if (pending > c->server->options.stream_resume_bytes)
        x->wants_drained = true;
    if (x->is_started)
        mark_slow(x, pending);
    http_conn_defer(c);
}

static bool status_has_body(int status)
{
    return status != 204 && status != 304;
}

static bool may_keep_alive(const struct http_exchange *x)
{
    return x->keep_alive && !x->conn->server->is_draining;
}

static void detach(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    c->x = NULL;
    c->server->stats.exchanges--;
    http_exchange_destroy(x);
}

static void end(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    /* Who was promised a further answer while no drain was known still hears of it. */
    bool hears_of_drain = x->is_promised && c->server->options.drain_idle_ms;
    bool stays = may_keep_alive(x) || hears_of_drain;
    detach(x);
    if (stays)
        http_conn_rest(c);
    else
        http_conn_finish(c);
    http_conn_defer(c);
}

/* An exchange that ended or is gone must not be used; this sees most such uses. */
static void check_running(const struct http_exchange *x)
{
    ASSERT(x->conn->x == x && x->is_running);
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t header_count, const void *body, size_t body_len)
{
    check_running(x);
    ASSERT(!x->is_started);
    ASSERT(status >= 200 && status <= 599);
    struct base_buf *out = &x->conn->out;
    size_t len_before = out->len;
    const struct http_answer answer = {
        .status = status,
        .headers = headers,
        .header_count = header_count,
        .cors_origin = x->cors_origin,
        .is_preflight = x->is_preflight,
        .keep_alive = may_keep_alive(x),
        .has_length = status_has_body(status),
        .length = body_len,
    };
    enum base_err rc = http_answer_head(x->conn->server, out, &answer);
    if (!rc && answer.has_length && !x->is_head)
        rc = buf_append(out, body, body_len);
    appended(x, len_before, rc);
    end(x);
}

void http_stream_start(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t header_count)
{
    check_running(x);
    ASSERT(!x->is_started);
    ASSERT(status >= 200 && status <= 599);
    x->is_started = true;
    x->has_body = status_has_body(status) && !x->is_head;
    x->is_chunked = status_has_body(status) && !x->is_http_1_0;
    if (x->is_http_1_0)
        x->keep_alive = false; /* the end of the answer is the end of the connection */
    struct base_buf *out = &x->conn->out;
    size_t len_before = out->len;
    const struct http_answer answer = {
        .status = status,
        .headers = headers,
        .header_count = header_count,
        .cors_origin = x->cors_origin,
        .is_preflight = x->is_preflight,
        .keep_alive = may_keep_alive(x),
        .is_chunked = x->is_chunked,
    };
    x->is_promised = answer.keep_alive;
    enum base_err rc = http_answer_head(x->conn->server, out, &answer);
    appended(x, len_before, rc);
}

void http_stream_write(struct http_exchange *x, const void *data, size_t len)
{
    check_running(x);
    ASSERT(x->is_started);
    if (len == 0 || !x->has_body || x->conn->is_broken)
        return; /* an empty chunk would end the answer */
    struct base_buf *out = &x->conn->out;
    size_t len_before = out->len;
    enum base_err rc = OK;
    if (x->is_chunked)
        rc = buf_printf(out, "%zx\r\n", len);
    if (!rc)
        rc = buf_append(out, data, len);
    if (!rc && x->is_chunked)
        rc = buf_append(out, "\r\n", 2);
    appended(x, len_before, rc);
}

void http_stream_end(struct http_exchange *x)
{
    check_running(x);
    ASSERT(x->is_started);
    if (x->is_chunked && x->has_body) {
        size_t len_before = x->conn->out.len;
        appended(x, len_before, buf_append(&x->conn->out, "0\r\n\r\n", 5));
    }
    end(x);
}

void http_exchange_abort(struct http_exchange *x)
{
    check_running(x);
    struct http_conn *c = x->conn;
    detach(x);
    http_conn_close(c, true);
}
