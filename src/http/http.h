#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/err.h"

/*
 * An HTTP/1.1 server on a libuv loop: strict parser, keep-alive, pipelining, chunked and
 * streamed answers, TLS, Unix sockets. It knows nothing of what is served.
 *
 * Threads: everything here belongs to the thread that runs the loop.
 *
 * Signals: libuv writes with write(2), so http_server_create has SIGPIPE ignored where it
 * would kill the program.
 */

struct http_server;

/* One request and its answer. Lives from the request callback until it ended or is gone. */
struct http_exchange;

enum {
    HTTP_PEER_BYTES = 46,       /* the text of any address, with its zero byte */
    HTTP_SERVER_HEADERS_MAX = 4 /* of an answer that the server makes itself */
};

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
     * The head of a request has come whose body is still to be read (request->body is
     * empty). True has it read. False: the handler has answered with http_respond, within
     * this call; the body is not read and the connection ends. NULL: all are read.
     */
    bool (*admit)(void *arg, struct http_exchange *x, const struct http_request *request);
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
    /*
     * Headers for an answer that the server makes itself: a refusal, or a preflight's (204).
     * Fills out[HTTP_SERVER_HEADERS_MAX] and returns how many; their texts last until the next
     * call. `request`: what is known of it, at least its fields so far; NULL: nothing is. Called
     * behind error_body. NULL: none are added.
     */
    size_t (*headers)(void *arg, int status, const char *code, const struct http_request *request,
                      struct http_header *out);
};

/*
 * What browsers may do. All zero: no rule, no CORS. Requests over a Unix socket are not
 * looked at. Texts and lists are borrowed for the call they are given to.
 */
struct http_policy {
    /* DNS rebinding: Host is an address, a name without a dot, *.localhost or listed; else 403 */
    bool check_host;
    const char *const *hosts; /* names without a port, in any case */
    size_t host_count;

    /* Cross-site requests: an Origin neither own nor listed may GET and HEAD only; else 403 */
    bool check_origin;
    const char *const *origins; /* "https://app.example:8443", or "*" for all */
    size_t origin_count;

    /* CORS, for the listed origins. A NULL text leaves its header out. */
    bool allow_credentials;     /* not together with "*" */
    const char *allow_methods;  /* of a preflight's answer, such as "GET, POST" */
    const char *allow_headers;  /* of a preflight's answer */
    const char *expose_headers; /* of every other answer */
    uint32_t max_age_s;         /* how long a preflight's answer is good; 0: not said */
};

/* E_INVALID with a message for an origin that is none, "*" with credentials, a control character. */
enum base_err http_policy_validate(const struct http_policy *policy, struct base_err_info *info);

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

    /* 0: off */
    size_t connections_per_address_max; /* 256, not for loopback and Unix sockets: 503, closed */
    size_t stream_drop_bytes;           /* 4 MiB of a stream pending: gone */
    size_t stream_pause_bytes; /* 256 KiB: a stream above it counts as paused until it drained */
    uint64_t stream_pause_ms;  /* 30,000 paused: gone */
    uint64_t drain_idle_ms;    /* 0; how long a drain lets idle connections ask and hear 503 */
    struct http_policy policy;
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

/*
 * Listens on a Unix socket, mode 0660. A socket file that nobody listens on is replaced,
 * ours is unlinked when the server drains or closes. E_EXISTS if somebody listens on it or
 * it is no socket; E_INVALID for a path too long; E_IO.
 */
enum base_err http_server_listen_unix(struct http_server *server, const char *path,
                                      struct base_err_info *info);

/*
 * Has every TCP connection accepted from now on speak TLS 1.2 or 1.3 with this certificate
 * chain and key (PEM files, the key without a passphrase). Called before listening, and
 * again to change the certificate: running connections keep theirs. E_IO for files that
 * cannot be used, E_INVALID for a key of another certificate, each with a message and
 * without effect.
 */
enum base_err http_server_set_tls(struct http_server *server, const char *certificate_path,
                                  const char *key_path, struct base_err_info *info);

/*
 * Changes the options at run time, all but pipeline_bytes_max. Time limits that run already
 * go on. E_INVALID, E_NOMEM: nothing has changed.
 */
enum base_err http_server_set_options(struct http_server *server,
                                      const struct http_options *options);

/*
 * No new connections or requests: clients that ask hear 503 "draining". Idle connections
 * end, running answers go on and end theirs.
 */
void http_server_drain(struct http_server *server);

/*
 * Whether a drain is over: every answer is delivered to the system, every connection has
 * been ended. What is left waits for clients to close; http_server_close may follow. Walks
 * the connections.
 */
bool http_server_is_drained(const struct http_server *server);

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
    uint64_t slow_readers; /* connections cut because their client did not read */
    uint64_t bytes_in;     /* on the wire, TLS included */
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

/* Whether the request came over a Unix socket, whose clients are known by its file's mode. */
bool http_exchange_is_unix(const struct http_exchange *x);

/* The client's address as text, "unix" for a Unix socket. */
void http_exchange_peer(const struct http_exchange *x, char out[HTTP_PEER_BYTES]);

/* In `gone`: whether the client was given up because it did not read. */
bool http_exchange_is_slow(const struct http_exchange *x);

/*
 * A complete answer; ends the exchange (invalid afterwards). Content-Length, Date, Server
 * and Connection are added. Body is copied.
 */
void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t header_count, const void *body, size_t body_len);

/* Starts an answer of unknown length (chunked; until close for HTTP/1.0). */
void http_stream_start(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t header_count);

/*
 * One chunk, copied. Never blocks; what is not taken yet by the client is buffered. A client
 * that lets stream_drop_bytes pile up is gone soon after; what is written until then is lost.
 */
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
