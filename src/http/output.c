/*
 * Writing. Answers are appended to `out`; nothing is written inside a call of the handler.
 * http_conn_run, which the loop calls, flushes: what was appended in one turn of the loop
 * goes out in one write. What the kernel does not take at once is in `flight`, owned by a
 * uv_write; what is appended meanwhile follows when that has ended.
 *
 * SIGPIPE: libuv writes with write(2), so the signal must be ignored or blocked;
 * http_server_create sees to it.
 */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "base/fault.h"
#include "http/http_int.h"

size_t http_out_pending(const struct http_conn *c)
{
    size_t in_flight = c->flight.len ? uv_stream_get_write_queue_size(&c->io.stream) : 0;
    return c->out.len + in_flight;
}

/*
 * Bytes that the client's machine has not acknowledged. What is in flight alone would not do:
 * the kernel asks for more only when a third of its buffer is free, which may be a megabyte.
 */
static size_t unread_bytes(const struct http_conn *c)
{
    uv_os_fd_t fd;
    int in_kernel = 0;
    if (uv_fileno(&c->io.handle, &fd) || ioctl(fd, SIOCOUTQ, &in_kernel))
        in_kernel = 0;
    return uv_stream_get_write_queue_size(&c->io.stream) + (size_t)in_kernel;
}

static void note_progress(struct http_conn *c, uint64_t now_ms)
{
    c->unread_seen = unread_bytes(c);
    c->write_deadline_ms = now_ms + c->server->options.write_timeout_ms;
}

/* Four looks in each timeout: a silent client is given up after 1 to 1.25 of it. */
static void plan_check(struct http_conn *c, uint64_t now_ms)
{
    c->write_check_ms = now_ms + c->server->options.write_timeout_ms / 4 + 1;
}

void http_out_check(struct http_conn *c, uint64_t now_ms)
{
    if (!c->flight.len || now_ms < c->write_check_ms)
        return;
    if (unread_bytes(c) < c->unread_seen)
        note_progress(c, now_ms);
    if (now_ms < c->write_deadline_ms) {
        plan_check(c, now_ms);
        return;
    }
    c->is_slow = true;
    http_conn_lost(c);
}

static void on_written(uv_write_t *req, int status)
{
    struct http_conn *c = req->data;
    size_t len = c->flight.len;
    buf_fini(&c->flight);
    if (c->state == HTTP_CONN_CLOSED)
        return;
    if (status < 0) {
        http_conn_lost(c);
        return;
    }
    c->server->stats.bytes_out += len;
    http_conn_run(c);
}

/* Takes the whole of `from`, of which `written` bytes are gone. */
static void write_rest(struct http_conn *c, struct base_buf *from, size_t written)
{
    c->flight = *from;
    buf_init(from, MEM_HTTP, c->flight.len_max);
    buf_consume(&c->flight, written);
    uv_buf_t buf = { .base = c->flight.data, .len = c->flight.len };
    c->req.write.data = c;
    if (uv_write(&c->req.write, &c->io.stream, &buf, 1, on_written)) {
        buf_fini(&c->flight);
        http_conn_lost(c);
        return;
    }
    uint64_t now_ms = uv_now(c->server->loop);
    note_progress(c, now_ms);
    plan_check(c, now_ms);
}

/* Where the bytes for the kernel are: in `out`, or encrypted. */
static struct base_buf *outgoing(struct http_conn *c)
{
    return c->tls ? http_tls_wire(c->tls) : &c->out;
}

static void write_now(struct http_conn *c, struct base_buf *from)
{
    uv_buf_t buf = { .base = from->data, .len = from->len };
    int n = fault_hit(FAULT_WRITE) ? UV_EPIPE : uv_try_write(&c->io.stream, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        http_conn_lost(c);
        return;
    }
    size_t written = n > 0 ? (size_t)n : 0;
    c->server->stats.bytes_out += written;
    if (written < from->len)
        write_rest(c, from, written);
    else
        buf_fini(from);
}

void http_out_flush(struct http_conn *c)
{
    if (c->state == HTTP_CONN_CLOSED)
        return;
    if (c->is_broken) {
        http_conn_lost(c);
        return;
    }
    if (c->flight.len)
        return;
    if (c->tls && c->out.len && http_tls_write(c->tls, &c->out)) {
        http_conn_lost(c);
        return;
    }
    struct base_buf *from = outgoing(c);
    if (from->len)
        write_now(c, from);
}

bool http_out_finish(struct http_conn *c)
{
    if (c->tls && http_out_pending(c) == 0) {
        http_tls_shutdown(c->tls);
        http_out_flush(c);
    }
    return c->state == HTTP_CONN_FINISH && http_out_pending(c) == 0;
}

void http_out_say_end(struct http_conn *c)
{
    if (!c->tls || c->flight.len)
        return;
    http_tls_shutdown(c->tls);
    struct base_buf *wire = http_tls_wire(c->tls);
    uv_buf_t buf = { .base = wire->data, .len = wire->len };
    if (wire->len)
        uv_try_write(&c->io.stream, &buf, 1); /* all or not at all: it is the last word */
}
