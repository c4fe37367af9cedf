#ifndef HTTP_HTTP_INT_H
#define HTTP_HTTP_INT_H

#include "base/buf.h"
#include "http/http.h"
#include "http/parser.h"
#include "http/peers.h"
#include "http/policy.h"
#include "http/tls.h"

/* A ring of neighbours; a node that is in no ring points to itself. */
struct http_link {
    struct http_link *prev;
    struct http_link *next;
};

static inline void link_init(struct http_link *link)
{
    link->prev = link;
    link->next = link;
}

static inline bool link_is_alone(const struct http_link *link)
{
    return link->next == link;
}

static inline void link_insert(struct http_link *ring, struct http_link *link)
{
    link->prev = ring->prev;
    link->next = ring;
    ring->prev->next = link;
    ring->prev = link;
}

static inline void link_remove(struct http_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link_init(link);
}

enum {
    HTTP_READ_BYTES = 64 * 1024, /* the server's one read buffer */
    /* Of it for TLS, for what was decrypted may be longer by a record that began earlier. */
    HTTP_TLS_READ_BYTES = 32 * 1024,
    HTTP_DATE_BYTES = 32,
    HTTP_ERROR_BODY_BYTES = 1024,
    HTTP_LINGER_MS = 3000,
    HTTP_LINGER_BYTES = 16 * 1024 * 1024,
    HTTP_REFUSED_MAX = 64,    /* connections over the limit that are still being told so */
    HTTP_TURN_REQUESTS = 16,  /* of one connection, before others have their turn */
    HTTP_BODY_RATE_MIN = 1024 /* bytes per second, once body_timeout_ms has passed */
};

struct http_server {
    uv_loop_t *loop;
    struct http_handler handler;
    char *read_buf; /* [HTTP_READ_BYTES], lent to libuv for the time of one read */

    struct http_options options; /* texts and lists are in options_block */
    struct http_limits limits;   /* of `options` */
    void *options_block;
    struct http_tls_context *tls; /* of new TCP connections; NULL: they are plain */
    char *tls_buf;                /* [HTTP_TLS_READ_BYTES], what is read decrypted */
    struct http_peers peers;

    uv_idle_t wake;         /* active while `ready` has someone in it, or on close */
    struct http_link conns; /* every connection until its memory is freed */
    struct http_link ready; /* connections that have something to do outside a callback */
    struct http_link listeners;
    uv_tcp_t spare; /* takes a connection that there is no memory for, and drops it */
    bool spare_is_busy;
    size_t handle_count;  /* libuv handles of the server and its connections not closed yet */
    size_t refused_count; /* open connections over connections_max */
    bool is_draining;
    bool is_closing;
    void (*closed)(void *arg);
    void *closed_arg;

    int64_t date_second; /* of `date` */
    char date[HTTP_DATE_BYTES];
    int64_t log_second; /* refusals are logged once a second */
    uint64_t log_skipped;
    struct http_stats stats;
};

enum http_conn_state {
    HTTP_CONN_HANDSHAKE, /* TLS is being agreed on */
    HTTP_CONN_IDLE,      /* between requests */
    HTTP_CONN_HEAD,      /* a request has begun */
    HTTP_CONN_BODY,      /* its head is accepted */
    HTTP_CONN_EXCHANGE,  /* the handler answers */
    HTTP_CONN_FINISH,    /* the last answer is being written */
    HTTP_CONN_LINGER,    /* our side is shut; what comes is dropped */
    HTTP_CONN_CLOSED     /* libuv closes the handles */
};

struct http_conn {
    struct http_server *server;
    struct http_link link;  /* in server->conns */
    struct http_link ready; /* in server->ready, or alone */
    enum http_conn_state state;
    uint8_t open_handles;
    bool is_refused; /* counted in server->refused_count */
    bool is_running; /* inside http_conn_run or a read: it will look at what is to do */
    bool is_reading;
    bool is_eof;    /* the client sends no more */
    bool is_broken; /* of no more use: no memory for its output, or too much of it */
    bool is_slow;   /* its client did not read, and is given up for that */
    bool is_unix;
    struct http_peer *peer; /* its share of server->peers, or NULL */
    struct http_address address;
    struct http_tls *tls; /* NULL: plain */
    bool is_tls_begun;    /* its first byte is seen */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe; /* is_unix */
    } io;
    uv_timer_t timer;
    uint64_t timer_due_ms;
    uint64_t read_deadline_ms; /* 0: none; what it means depends on `state` */

    /* the request that comes in */
    struct http_scan scan;
    struct base_buf head; /* what `scan` has read */
    uint64_t body_start_ms;
    struct http_exchange *x; /* from the end of its head on */
    struct base_buf in;      /* read ahead; the first in_used bytes are done with */
    size_t in_used;
    size_t linger_bytes;
    int turn_left; /* requests that may be taken in this turn */

    /* output */
    struct base_buf out;    /* not encrypted, not given to libuv yet */
    struct base_buf flight; /* given to libuv, which has not finished with it */
    uint64_t write_deadline_ms;
    uint64_t write_check_ms; /* when to see whether the client has taken a byte */
    size_t unread_seen;      /* bytes that the client had not taken then */
    union {
        uv_write_t write;
        uv_shutdown_t shutdown; /* never at the same time: only when nothing is in flight */
    } req;
};

struct http_exchange {
    struct http_conn *conn;
    void *user;
    struct http_request request;
    struct base_buf head;
    struct base_buf body;
    struct http_framing framing;
    size_t answer_bytes; /* of this answer, appended to the connection's output so far */
    bool is_running;     /* given to the handler */
    bool is_head;        /* HEAD: its answer has no body */
    bool is_http_1_0;
    bool keep_alive;
    bool is_started; /* as a stream */
    bool is_chunked;
    bool has_body;               /* the answer has one */
    bool wants_drained;          /* pending bytes went above stream_resume_bytes */
    bool is_promised;            /* a stream's head has said keep-alive */
    struct http_str cors_origin; /* a listed one, borrowed from `head`; no data: none */
    bool is_preflight;
    uint64_t pause_deadline_ms; /* of a stream above stream_pause_bytes, else 0 */
    struct http_field fields[];
};

/* From a link to the connection that it is in. */
static inline struct http_conn *link_conn(struct http_link *link)
{
    return (struct http_conn *)((char *)link - offsetof(struct http_conn, link));
}

static inline struct http_conn *ready_conn(struct http_link *ready)
{
    return (struct http_conn *)((char *)ready - offsetof(struct http_conn, ready));
}

/* answer.c: the text of an answer's head */

struct http_answer {
    int status;
    const struct http_header *headers;
    size_t header_count;
    struct http_str cors_origin; /* as in the exchange */
    bool is_preflight;
    bool keep_alive;
    bool is_chunked;
    bool has_length;
    uint64_t length;
};

enum base_err http_answer_head(struct http_server *server, struct base_buf *out,
                               const struct http_answer *answer);

/* options.c */

/* Copies `options` into the server, which owns the copy; on error nothing has changed. */
enum base_err http_options_set(struct http_server *server, const struct http_options *options);

/* server.c */

/* A handle of the server or of a connection has closed; frees the server after the last. */
void http_server_handle_closed(struct http_server *server);

/* Has the connections in `ready` run from the loop, soon. */
void http_server_wake(struct http_server *server);

/* listen.c */

/* Tells those who wait to be accepted, then closes every listener. */
void http_listeners_close(struct http_server *server);

/* refuse.c */

/* Answers for the handler, and makes it the last answer. */
void http_conn_refuse(struct http_conn *c, enum http_rule rule);

/* The handler's headers for an answer that the server makes itself: how many are in `out`. */
size_t http_server_headers(struct http_conn *c, int status, const char *code,
                           struct http_header *out);

/* Counts and logs, no more. */
void http_refusal_note(struct http_server *server, enum http_rule rule);

/* open.c */

/* Accepts what `listener` offers. E_NOMEM leaves it unaccepted. */
enum base_err http_conn_accept(struct http_server *server, uv_stream_t *listener, bool is_unix);

/* Takes an accepted socket, to tell its client that the server drains. */
void http_conn_turn_away(struct http_server *server, int fd, bool is_unix);

/* connection.c */

/* Starts what can be done now: requests read ahead, output, the end. From the loop only. */
void http_conn_run(struct http_conn *c);

/* Has http_conn_run called from the loop, soon. */
void http_conn_defer(struct http_conn *c);

/* The connection is of no use any more: the handler is told, then everything is closed. */
void http_conn_lost(struct http_conn *c);

/* Closes without telling the handler. `reset`: the client shall not take this for an end. */
void http_conn_close(struct http_conn *c, bool reset);

/* No request is taken any more; ends when all is written. Nothing runs on the connection. */
void http_conn_finish(struct http_conn *c);

/* No further requests; a connection without one ends. */
void http_conn_drain(struct http_conn *c);

/* Between requests, with the time that is left for the next one. */
void http_conn_rest(struct http_conn *c);

/* input.c */

/* Bytes read ahead, and whether it is the next request's turn. */
size_t http_in_ahead_bytes(const struct http_conn *c);
bool http_in_may_take(const struct http_conn *c);

/* Takes requests from what was read ahead. */
void http_in_feed_ahead(struct http_conn *c);

/* Reads, or pauses it (rule 9); may lose the connection. */
void http_in_update_reading(struct http_conn *c);

/* exchange.c */

/* Takes the connection's head. NULL if memory is refused; then the head is still there. */
struct http_exchange *http_exchange_create(struct http_conn *c);
void http_exchange_destroy(struct http_exchange *x);

/* output.c */

/* Bytes that the client (in truth: the kernel) has not taken. */
size_t http_out_pending(const struct http_conn *c);

/* Writes what can be written; may lose the connection. From the loop only. */
void http_out_flush(struct http_conn *c);

/* Sees whether the client takes anything; may lose the connection. */
void http_out_check(struct http_conn *c, uint64_t now_ms);

/* Whether nothing is left to write, the end of TLS included, which this appends. */
bool http_out_finish(struct http_conn *c);

/* Says the end of TLS as far as the kernel takes it at once. */
void http_out_say_end(struct http_conn *c);

#endif
