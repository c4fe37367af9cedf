#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/err.h"

/*
 * An HTTP/1.1 server on a libuv loop: strict parser, keep-alive, pipelining, chunked and
 * streamed answers. It knows nothing of what is served.
 *
 * Threads: everything here belongs to the thread that runs the loop.
 *
 * Signals: libuv writes with write(2), so http_server_create has SIGPIPE ignored where it
 * would kill the program.
 */

struct http_server;

/* One request and its answer. Lives from the request callback until it ended or is gone. */
struct http_exchange;

struct http_str {
    const char *data; /* not terminated */
    size_t len;
};

struct http_field {
    struct http_str name;
    struct http_str value; /* without surrounding blanks */
};

/* Borrowed until the exchange ends or is gone. */
struct http_request {
    struct http_str method;
    struct http_str path;  /* of the target, before '?'; not percent-decoded */
    struct http_str query; /* behind '?', may be empty */
    const struct http_field *fields;
    size_t field_count;
    struct http_str body; /* framing removed; bounded by body_bytes_max */
};

/* A header to send. Name and value are checked: no CR, LF or NUL (ASSERTed). Copied. */
struct http_header {
    const char *name;
    const char *value;
};

struct http_handler {
    void *arg;
    /*
     * A whole request has come. The handler answers through `x`, now or later. HEAD comes
     * as it is; the server drops the body of its answer.
     */
    void (*request)(void *arg, struct http_exchange *x, const struct http_request *request);
    /*
     * The client left (or did not read for too long) before the answer was complete.
     * Called at most once, never after the answer was ended; `x` is invalid afterwards.
     * Comes from the loop, never from within a call that the handler makes into http.
     */
    void (*gone)(void *arg, struct http_exchange *x);
    /* What was written to a stream has drained to below stream_resume_bytes. */
    void (*drained)(void *arg, struct http_exchange *x);
    /*
     * A request was refused below the handler (parser, limits). Fills the body that goes
     * with `status` (JSON, at most out_size bytes) and returns its length.
     */
    size_t (*error_body)(void *arg, int status, const char *code, const char *message, char *out,
                         size_t out_size);
};

struct http_options {
    size_t request_line_bytes_max; /* 8 KiB: 414 */
    size_t header_bytes_max;       /* 16 KiB: 431 */
    size_t field_count_max;        /* 100: 431 */
    size_t body_bytes_max;         /* 8 MiB: 413 */
    uint64_t header_timeout_ms;    /* 10,000 from the first byte: 408 */
    uint64_t idle_timeout_ms;      /* 60,000 between requests: closed */
    uint64_t body_timeout_ms;      /* 30,000 without a byte, or then under 1 KiB/s: 408 */
    uint64_t write_timeout_ms;     /* 30,000 without the client taking a byte: gone */
    size_t connections_max;        /* 10,000: 503 and closed */
    size_t pipeline_bytes_max;     /* bytes read ahead while an answer runs; then reading pauses */
    size_t stream_resume_bytes;    /* 64 KiB */
    const char *server_name;       /* the Server field; NULL: none */
};

void http_options_init(struct http_options *options);

/* Gives: http_server_close, then run the loop until `closed` was called. */
enum base_err http_server_create(uv_loop_t *loop, const struct http_options *options,
                                 const struct http_handler *handler, struct http_server **out);

/*
 * Listens on a numeric address ("127.0.0.1", "::1", "0.0.0.0"). Port 0: any free one;
 * *port_out (may be NULL) gets the real one. May be called several times. E_IO with a
 * message that says what to do for a port in use.
 */
enum base_err http_server_listen(struct http_server *server, const char *address, uint16_t port,
                                 uint16_t *port_out, struct base_err_info *info);

/* No new connections or requests; idle connections close; running answers go on. */
void http_server_drain(struct http_server *server);

/*
 * Closes everything (running exchanges are gone) and frees the server from within the loop;
 * `closed` is called last.
 */
void http_server_close(struct http_server *server, void (*closed)(void *arg), void *arg);

struct http_stats {
    uint64_t connections; /* open now */
    uint64_t exchanges;   /* requests being answered now */
    uint64_t requests;    /* complete requests so far */
    uint64_t parse_errors;
    uint64_t bytes_in;
    uint64_t bytes_out;
};

void http_server_stats(const struct http_server *server, struct http_stats *out);

/* The value of a field by name in any case, or NULL. The first one, if it is repeated. */
const struct http_str *http_request_field(const struct http_request *request, const char *name);

/* Equality with a C string, exact. */
bool http_str_is(struct http_str s, const char *text);

/* The handler's own pointer on an exchange. */
void http_exchange_set_user(struct http_exchange *x, void *user);
void *http_exchange_user(const struct http_exchange *x);

/*
 * A complete answer; ends the exchange (invalid afterwards). Content-Length, Date, Server
 * and Connection are added. Body is copied.
 */
void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t header_count, const void *body, size_t body_len);

/* Starts an answer of unknown length (chunked; until close for HTTP/1.0). */
void http_stream_start(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t header_count);

/* One chunk, copied. Never blocks; what is not taken yet by the client is buffered. */
void http_stream_write(struct http_exchange *x, const void *data, size_t len);

/* Ends the answer and the exchange (invalid afterwards). */
void http_stream_end(struct http_exchange *x);

/* Cuts the connection without an orderly end; the exchange is invalid afterwards. */
void http_exchange_abort(struct http_exchange *x);

/* Bytes of this answer that the client has not taken yet. */
size_t http_exchange_pending_bytes(const struct http_exchange *x);

/* The standard reason phrase of a status, "" if unknown. */
const char *http_status_text(int status);

#endif
