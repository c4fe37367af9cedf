/*
 * Listening, the limit of connections, and the end.
 *
 * The server's memory is freed when the last of its libuv handles has closed: `handle_count`
 * counts them, its own and those of its connections.
 */
#include <netinet/in.h>
#include <signal.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "http/http_int.h"

enum {
    BACKLOG = 1024
};

struct listener {
    struct http_link link; /* first, in server->listeners */
    struct http_server *server;
    uv_tcp_t tcp;
    bool is_waiting; /* a connection could not be accepted yet */
};

void http_options_init(struct http_options *options)
{
    *options = (struct http_options){
        .request_line_bytes_max = 8 * 1024,
        .header_bytes_max = 16 * 1024,
        .field_count_max = 100,
        .body_bytes_max = 8 * 1024 * 1024,
        .header_timeout_ms = 10000,
        .idle_timeout_ms = 60000,
        .body_timeout_ms = 30000,
        .write_timeout_ms = 30000,
        .connections_max = 10000,
        .pipeline_bytes_max = 64 * 1024,
        .stream_resume_bytes = 64 * 1024,
    };
}

static bool options_are_valid(const struct http_options *o)
{
    const size_t bytes_max = SIZE_MAX / 16; /* sums of limits do not overflow */
    if (o->server_name && strpbrk(o->server_name, "\r\n"))
        return false;
    return o->request_line_bytes_max && o->request_line_bytes_max < bytes_max &&
           o->header_bytes_max && o->header_bytes_max < bytes_max && o->field_count_max &&
           o->body_bytes_max < bytes_max && o->header_timeout_ms && o->idle_timeout_ms &&
           o->body_timeout_ms && o->write_timeout_ms && o->connections_max &&
           o->pipeline_bytes_max && o->pipeline_bytes_max < bytes_max && o->stream_resume_bytes;
}

/* libuv writes with write(2): a client that left would kill a program that never thought of it. */
static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) != 0 || action.sa_handler != SIG_DFL)
        return;
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

static void on_wake(uv_idle_t *wake);

enum base_err http_server_create(uv_loop_t *loop, const struct http_options *options,
                                 const struct http_handler *handler, struct http_server **out)
{
    ASSERT(handler->request && handler->gone);
    *out = NULL;
    if (!options_are_valid(options))
        return E_INVALID;
    struct http_server *server = mem_calloc(MEM_HTTP, 1, sizeof *server);
    if (!server)
        return E_NOMEM;
    server->options = *options;
    server->options.server_name = NULL;
    server->read_buf = mem_alloc(MEM_HTTP, HTTP_READ_BYTES);
    if (!server->read_buf)
        goto out_free;
    if (options->server_name) {
        server->options.server_name =
            mem_strndup(MEM_HTTP, options->server_name, strlen(options->server_name));
        if (!server->options.server_name)
            goto out_free_buf;
    }
    server->loop = loop;
    server->handler = *handler;
    server->limits = (struct http_limits){
        .request_line_bytes_max = options->request_line_bytes_max,
        .header_bytes_max = options->header_bytes_max,
        .field_count_max = options->field_count_max,
        .body_bytes_max = options->body_bytes_max,
    };
    link_init(&server->conns);
    link_init(&server->ready);
    link_init(&server->listeners);
    int rc = uv_idle_init(loop, &server->wake);
    ASSERT(rc == 0);
    server->wake.data = server;
    server->handle_count = 1;
    ignore_sigpipe();
    *out = server;
    return OK;

out_free_buf:
    mem_free(server->read_buf);
out_free:
    mem_free(server);
    return E_NOMEM;
}

/* ---- accepting ---- */

static void accept_waiting(struct http_server *server);

static void on_spare_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;
    server->spare_is_busy = false;
    if (!server->is_draining)
        accept_waiting(server);
    http_server_handle_closed(server);
}

/* libuv offers no further connection until this one is accepted, so it is, and dropped. */
static void accept_and_drop(struct listener *l)
{
    struct http_server *server = l->server;
    l->is_waiting = server->spare_is_busy;
    if (server->spare_is_busy)
        return;
    server->spare_is_busy = true;
    int rc = uv_tcp_init(server->loop, &server->spare);
    ASSERT(rc == 0);
    server->spare.data = server;
    server->handle_count++;
    uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&server->spare);
    uv_close((uv_handle_t *)&server->spare, on_spare_closed);
}

static void accept_one(struct listener *l)
{
    l->is_waiting = false;
    if (http_conn_accept(l->server, (uv_stream_t *)&l->tcp))
        accept_and_drop(l);
}

static void accept_waiting(struct http_server *server)
{
    struct http_link *ring = &server->listeners;
    for (struct http_link *at = ring->next; at != ring; at = at->next) {
        struct listener *l = (struct listener *)at;
        if (l->is_waiting)
            accept_one(l);
    }
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *l = stream->data;
    if (status < 0)
        log_line(LOG_WARN, "event=http.accept error=\"%s\"", uv_strerror(status));
    else
        accept_one(l);
}

/* ---- listening ---- */

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    struct http_server *server = l->server;
    link_remove(&l->link);
    mem_free(l);
    http_server_handle_closed(server);
}

static int bind_and_listen(struct listener *l, const struct sockaddr *address)
{
    /* [::] must not take 0.0.0.0 as well: both can be asked for, one by one. */
    unsigned flags = address->sa_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0;
    int rc = uv_tcp_bind(&l->tcp, address, flags);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
    return rc;
}

static int bound_port(const struct listener *l, uint16_t *port_out)
{
    struct sockaddr_storage name;
    int len = sizeof name;
    int rc = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&name, &len);
    if (rc)
        return rc;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    if (name.ss_family == AF_INET6) {
        memcpy(&in6, &name, sizeof in6);
        *port_out = ntohs(in6.sin6_port);
    } else {
        memcpy(&in4, &name, sizeof in4);
        *port_out = ntohs(in4.sin_port);
    }
    return 0;
}

static const char *advice_for(int uv_rc)
{
    switch (uv_rc) {
    case UV_EADDRINUSE:
        return "; choose another --port";
    case UV_EACCES:
        return "; ports below 1024 need a privilege, choose another --port";
    case UV_EADDRNOTAVAIL:
        return "; this machine does not have that address, choose another --host";
    default:
        return "";
    }
}

static enum base_err describe_failure(struct base_err_info *info, bool is_v6, const char *address,
                                      unsigned port, int uv_rc)
{
    enum base_err rc =
        base_err_set(info, E_IO, "cannot listen on %s%s%s:%u: %s%s", is_v6 ? "[" : "", address,
                     is_v6 ? "]" : "", port, uv_strerror(uv_rc), advice_for(uv_rc));
    if (info)
        info->sys_errno = -uv_rc; /* libuv's numbers are negated errno on Unix */
    return rc;
}

enum base_err http_server_listen(struct http_server *server, const char *address, uint16_t port,
                                 uint16_t *port_out, struct base_err_info *info)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } name;
    if (port_out)
        *port_out = 0;
    if (server->is_draining)
        return base_err_set(info, E_CLOSED, "the server takes no new connections");
    if (uv_ip4_addr(address, port, &name.in4) && uv_ip6_addr(address, port, &name.in6))
        return base_err_set(info, E_INVALID, "\"%s\" is not a numeric address, such as 127.0.0.1",
                            address);
    struct listener *l = mem_calloc(MEM_HTTP, 1, sizeof *l);
    if (!l)
        return base_err_set(info, E_NOMEM, "no memory to listen on %s", address);
    int rc = uv_tcp_init(server->loop, &l->tcp);
    ASSERT(rc == 0);
    l->server = server;
    l->tcp.data = l;
    link_insert(&server->listeners, &l->link);
    server->handle_count++;

    uint16_t bound = 0;
    rc = bind_and_listen(l, &name.any);
    if (rc == 0)
        rc = bound_port(l, &bound);
    if (rc) {
        link_remove(&l->link);
        uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
        return describe_failure(info, name.any.sa_family == AF_INET6, address, port, rc);
    }
    if (port_out)
        *port_out = bound;
    return OK;
}

/* ---- the turn of the server ---- */

void http_server_wake(struct http_server *server)
{
    uv_idle_start(&server->wake, on_wake);
}

static void on_wake_closed(uv_handle_t *handle)
{
    http_server_handle_closed(handle->data);
}

static void close_all(struct http_server *server)
{
    struct http_link *ring = &server->conns;
    for (struct http_link *at = ring->next; at != ring; at = at->next)
        http_conn_lost(link_conn(at));
    uv_close((uv_handle_t *)&server->wake, on_wake_closed);
}

static void on_wake(uv_idle_t *wake)
{
    struct http_server *server = wake->data;
    uv_idle_stop(wake);
    /* Those that become ready now have their turn in the next round of the loop. */
    struct http_link turn;
    link_init(&turn);
    while (!link_is_alone(&server->ready)) {
        struct http_link *first = server->ready.next;
        link_remove(first);
        link_insert(&turn, first);
    }
    while (!link_is_alone(&turn)) {
        struct http_conn *c = ready_conn(turn.next);
        link_remove(&c->ready);
        http_conn_run(c);
    }
    if (server->is_closing)
        close_all(server);
}

/* ---- the end ---- */

void http_server_drain(struct http_server *server)
{
    if (server->is_draining)
        return;
    server->is_draining = true;
    struct http_link *ring = &server->listeners;
    for (struct http_link *at = ring->next; at != ring; at = at->next)
        uv_close((uv_handle_t *)&((struct listener *)at)->tcp, on_listener_closed);
    ring = &server->conns;
    for (struct http_link *at = ring->next; at != ring; at = at->next)
        http_conn_drain(link_conn(at));
}

void http_server_close(struct http_server *server, void (*closed)(void *arg), void *arg)
{
    ASSERT(!server->is_closing);
    http_server_drain(server);
    server->is_closing = true;
    server->closed = closed;
    server->closed_arg = arg;
    http_server_wake(server); /* the handler hears of its exchanges from the loop */
}

void http_server_handle_closed(struct http_server *server)
{
    ASSERT(server->handle_count > 0);
    if (--server->handle_count > 0)
        return;
    void (*closed)(void *arg) = server->closed;
    void *arg = server->closed_arg;
    char *name = (char *)(uintptr_t)server->options.server_name;
    mem_free(name);
    mem_free(server->read_buf);
    mem_free(server);
    if (closed)
        closed(arg);
}

void http_server_stats(const struct http_server *server, struct http_stats *out)
{
    *out = server->stats;
}
