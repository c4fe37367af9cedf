/* A connection's beginning: its handles, and whether it is admitted. */
#include <unistd.h>

#include "base/assert.h"
#include "http/http_int.h"

static struct http_conn *create(struct http_server *server, bool is_unix)
{
    struct http_conn *c = mem_calloc(MEM_HTTP, 1, sizeof *c);
    if (!c)
        return NULL;
    int rc = is_unix ? uv_pipe_init(server->loop, &c->io.pipe, 0)
                     : uv_tcp_init(server->loop, &c->io.tcp);
    ASSERT(rc == 0); /* it makes no socket yet */
    rc = uv_timer_init(server->loop, &c->timer);
    ASSERT(rc == 0);
    c->server = server;
    c->open_handles = 2;
    c->is_unix = is_unix;
    c->turn_left = HTTP_TURN_REQUESTS;
    c->state = HTTP_CONN_IDLE;
    c->io.handle.data = c;
    c->timer.data = c;
    link_init(&c->ready);
    link_init(&c->link);
    link_insert(&server->conns, &c->link);
    buf_init(&c->head, MEM_HTTP, 0); /* its bound comes with each request */
    buf_init(&c->in, MEM_HTTP, server->options.pipeline_bytes_max + HTTP_READ_BYTES);
    buf_init(&c->out, MEM_HTTP, SIZE_MAX / 4); /* bounded by the handler, see pending_bytes */
    buf_init(&c->flight, MEM_HTTP, SIZE_MAX / 4);
    server->handle_count += 2;
    server->stats.connections++;
    return c;
}

static void learn_address(struct http_conn *c)
{
    struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
    int len = sizeof name;
    if (!c->is_unix && uv_tcp_getpeername(&c->io.tcp, (struct sockaddr *)&name, &len) == 0)
        c->address = http_address_of(&name);
}

/* Whether there is room, in all and for this address. */
static enum http_rule admission(struct http_conn *c)
{
    struct http_server *server = c->server;
    const struct http_options *o = &server->options;
    if (server->is_draining)
        return HTTP_RULE_DRAINING;
    /* This one is counted already. */
    if (server->stats.connections - server->refused_count > o->connections_max)
        return HTTP_RULE_OVERLOADED;
    if (c->is_unix || !o->connections_per_address_max || http_address_is_loopback(&c->address))
        return HTTP_RULE_NONE;
    c->peer = http_peers_enter(&server->peers, &c->address);
    if (!c->peer || http_peer_count(c->peer) > o->connections_per_address_max)
        return HTTP_RULE_ADDRESS_FULL;
    return HTTP_RULE_NONE;
}

/*
 * Told without being parsed, and without a handshake: who is refused for lack of room shall
 * not cost the work that TLS takes, and is closed without a word. So are those beyond
 * HTTP_REFUSED_MAX.
 */
static void refuse(struct http_conn *c, enum http_rule rule)
{
    struct http_server *server = c->server;
    c->is_refused = true;
    server->refused_count++;
    if (server->refused_count <= HTTP_REFUSED_MAX && (!server->tls || c->is_unix)) {
        http_conn_refuse(c, rule);
        return;
    }
    http_refusal_note(server, rule);
    http_conn_close(c, false);
}

static void begin(struct http_conn *c)
{
    struct http_server *server = c->server;
    if (!server->tls || c->is_unix) {
        http_conn_rest(c);
        return;
    }
    c->tls = http_tls_create(server->tls);
    if (!c->tls) {
        http_conn_close(c, false);
        return;
    }
    c->state = HTTP_CONN_HANDSHAKE;
    c->read_deadline_ms = uv_now(server->loop) + server->options.header_timeout_ms;
}

/* `c` has its socket. */
static void start(struct http_conn *c)
{
    if (!c->is_unix) {
        uv_tcp_nodelay(&c->io.tcp, 1);
        uv_tcp_keepalive(&c->io.tcp, 1, 60); /* finds a client that vanished without a word */
    }
    learn_address(c);
    enum http_rule rule = admission(c);
    if (rule)
        refuse(c, rule);
    else
        begin(c);
    http_conn_run(c);
}

enum base_err http_conn_accept(struct http_server *server, uv_stream_t *listener, bool is_unix)
{
    struct http_conn *c = create(server, is_unix);
    if (!c)
        return E_NOMEM;
    if (uv_accept(listener, &c->io.stream))
        http_conn_close(c, false);
    else
        start(c);
    return OK;
}

void http_conn_turn_away(struct http_server *server, int fd, bool is_unix)
{
    struct http_conn *c = create(server, is_unix);
    int rc = UV_ENOMEM;
    if (c)
        rc = is_unix ? uv_pipe_open(&c->io.pipe, fd) : uv_tcp_open(&c->io.tcp, fd);
    if (rc == 0) {
        start(c);
        return;
    }
    close(fd);
    if (c)
        http_conn_close(c, false);
}
