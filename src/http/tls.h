#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * The server's side of TLS 1.2 and 1.3, by OpenSSL, without sockets: bytes of the wire in,
 * bytes for the wire out.
 *
 * Threads: one, the loop's.
 */

/* A certificate with its key, shared by the connections made with it. */
struct http_tls_context;

/* One connection's state. At rest it holds no buffer of records. */
struct http_tls;

/* Gives: http_tls_context_unref. E_IO, E_INVALID as http_server_set_tls; E_NOMEM. */
enum base_err http_tls_context_load(const char *certificate_path, const char *key_path,
                                    struct http_tls_context **out, struct base_err_info *info);
void http_tls_context_unref(struct http_tls_context *context); /* NULL is allowed */

/* NULL if memory is refused. Holds a reference on `context`. Gives: http_tls_destroy. */
struct http_tls *http_tls_create(struct http_tls_context *context);
void http_tls_destroy(struct http_tls *tls); /* NULL is allowed */

enum http_tls_state {
    HTTP_TLS_MORE,  /* more bytes of the wire are needed */
    HTTP_TLS_READY, /* shaken hands; or read something */
    HTTP_TLS_END,   /* the client has said that nothing more comes */
    HTTP_TLS_FAILED
};

/* Lends bytes of the wire until all are used: until http_tls_handshake or _read wants more. */
void http_tls_feed(struct http_tls *tls, const char *data, size_t len);

enum http_tls_state http_tls_handshake(struct http_tls *tls);

/* Decrypts at most `size` bytes; *len > 0 with HTTP_TLS_READY only. */
enum http_tls_state http_tls_read(struct http_tls *tls, char *buf, size_t size, size_t *len);

/* Encrypts everything in `plain` and empties it. E_NOMEM, E_IO. */
enum base_err http_tls_write(struct http_tls *tls, struct base_buf *plain);

/* Says the end; only the first call does something. */
void http_tls_shutdown(struct http_tls *tls);

/* What is to be written. The caller takes from it as it likes. */
struct base_buf *http_tls_wire(struct http_tls *tls);

#endif
