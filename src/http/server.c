/*
 * The server: its parts, its turn in the loop, and the end.
 *
 * The server's memory is freed when the last of its libuv handles has closed: `handle_count`
 * counts them, its own and those of its connections.
 */
#include <signal.h>

#include "base/assert.h"
#include "base/log.h"
#include "http/http_int.h"

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
    struct http_server *server = mem_calloc(MEM_HTTP, 1, sizeof *server);
    if (!server)
        return E_NOMEM;
    enum base_err rc = http_options_set(server, options);
    if (rc)
        goto out_free;
    rc = E_NOMEM;
    server->read_buf = mem_alloc(MEM_HTTP, HTTP_READ_BYTES);
    if (!server->read_buf)
        goto out_free_options;
    server->loop = loop;
    server->handler = *handler;
    link_init(&server->conns);
    link_init(&server->ready);
    link_init(&server->listeners);
    int uv_rc = uv_idle_init(loop, &server->wake);
    ASSERT(uv_rc == 0);
    server->wake.data = server;
    server->handle_count = 1;
    ignore_sigpipe();
    *out = server;
    return OK;

out_free_options:
    mem_free(server->options_block);
out_free:
    mem_free(server);
    return rc;
}

enum base_err http_server_set_tls(struct http_server *server, const char *certificate_path,
                                  const char *key_path, struct base_err_info *info)
{
    if (!server->tls_buf)
        server->tls_buf = mem_alloc(MEM_HTTP, HTTP_TLS_READ_BYTES);
    if (!server->tls_buf)
        return base_err_set(info, E_NOMEM, "out of memory");
    struct http_tls_context *context;
    enum base_err rc = http_tls_context_load(certificate_path, key_path, &context, info);
    if (rc)
        return rc;
    http_tls_context_unref(server->tls);
    server->tls = context;
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
    http_listeners_close(server);
    struct http_link *ring = &server->conns;
    for (struct http_link *at = ring->next; at != ring; at = at->next)
        http_conn_drain(link_conn(at));
}

bool http_server_is_drained(const struct http_server *server)
{
    const struct http_link *ring = &server->conns;
    for (struct http_link *at = ring->next; at != ring; at = at->next) {
        if (link_conn(at)->state < HTTP_CONN_LINGER)
            return false;
    }
    return server->is_draining;
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
    http_tls_context_unref(server->tls);
    mem_free(server->tls_buf);
    mem_free(server->options_block);
    mem_free(server->read_buf);
    mem_free(server);
    if (closed)
        closed(arg);
}

void http_server_stats(const struct http_server *server, struct http_stats *out)
{
    *out = server->stats;
}
