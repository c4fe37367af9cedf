/*
 * OpenSSL between two buffers. Its BIO is a struct http_tls: it reads from the bytes that
 * were fed last and writes to `wire`, so nothing is copied twice and nothing is kept.
 *
 * OpenSSL's own memory is not counted by base/mem.h.
 */
#include "http/tls.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

struct http_tls_context {
    SSL_CTX *ssl_ctx;
    BIO_METHOD *method;
    size_t ref_count; /* the owner and one for each connection */
};

struct http_tls {
    struct http_tls_context *context;
    SSL *ssl;
    const char *in; /* borrowed from http_tls_feed */
    size_t in_len;
    struct base_buf wire;
    bool is_failed; /* OpenSSL must not be asked any more */
    bool is_ended;
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *buf, size_t size, size_t *len)
{
    struct http_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->in_len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *len = size < tls->in_len ? size : tls->in_len;
    memcpy(buf, tls->in, *len);
    tls->in += *len;
    tls->in_len -= *len;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *written)
{
    struct http_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (buf_append(&tls->wire, data, len))
        return 0;
    *written = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "wire");
    if (!method)
        return NULL;
    if (BIO_meth_set_read_ex(method, bio_read) && BIO_meth_set_write_ex(method, bio_write) &&
        BIO_meth_set_ctrl(method, bio_ctrl))
        return method;
    BIO_meth_free(method);
    return NULL;
}

/* ---- the context ---- */

/* A key with a passphrase is an error, not a question at the terminal. */
static int no_passphrase(char *buf, int size, int is_writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1;
}

/* RFC 7301: the one protocol that is served, or a refusal if the client names only others. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *make_ssl_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets do without */
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20")) /* of TLS 1.2 */
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static enum base_err tls_error(struct base_err_info *info, enum base_err rc, const char *what,
                               const char *path)
{
    unsigned long code = ERR_peek_error();
    const char *reason =
        ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    base_err_set(info, rc, "%s %s: %s", what, path, reason ? reason : "unknown error");
    ERR_clear_error();
    return rc;
}

static enum base_err use_files(SSL_CTX *ctx, const char *certificate_path, const char *key_path,
                               struct base_err_info *info)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate_path) != 1)
        return tls_error(info, E_IO, "cannot use the certificate", certificate_path);
    if (SSL_CTX_use_PrivateKey_file(ctx, key_path, SSL_FILETYPE_PEM) != 1) {
        bool is_other = ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_X509;
        return tls_error(info, is_other ? E_INVALID : E_IO, "cannot use the key", key_path);
    }
    if (SSL_CTX_check_private_key(ctx) != 1)
        return tls_error(info, E_INVALID, "cannot use the key", key_path);
    return OK;
}

enum base_err http_tls_context_load(const char *certificate_path, const char *key_path,
                                    struct http_tls_context **out, struct base_err_info *info)
{
    *out = NULL;
    struct http_tls_context *context = mem_calloc(MEM_HTTP, 1, sizeof *context);
    if (!context)
        return base_err_set(info, E_NOMEM, "out of memory");
    context->ref_count = 1;
    context->method = make_method();
    context->ssl_ctx = make_ssl_ctx();
    enum base_err rc = E_NOMEM;
    if (!context->method || !context->ssl_ctx)
        base_err_set(info, rc, "TLS cannot be set up");
    else
        rc = use_files(context->ssl_ctx, certificate_path, key_path, info);
    if (rc)
        http_tls_context_unref(context);
    else
        *out = context;
    return rc;
}

void http_tls_context_unref(struct http_tls_context *context)
{
    if (!context || --context->ref_count > 0)
        return;
    SSL_CTX_free(context->ssl_ctx);
    BIO_meth_free(context->method);
    mem_free(context);
}

/* ---- a connection ---- */

struct http_tls *http_tls_create(struct http_tls_context *context)
{
    struct http_tls *tls = mem_calloc(MEM_HTTP, 1, sizeof *tls);
    if (!tls)
        return NULL;
    BIO *bio = BIO_new(context->method);
    tls->ssl = SSL_new(context->ssl_ctx);
    if (!bio || !tls->ssl) {
        BIO_free(bio);
        SSL_free(tls->ssl);
        mem_free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
    buf_init(&tls->wire, MEM_HTTP, SIZE_MAX / 4); /* bounded as the plain output is */
    tls->context = context;
    context->ref_count++;
    return tls;
}

void http_tls_destroy(struct http_tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    buf_fini(&tls->wire);
    http_tls_context_unref(tls->context);
    mem_free(tls);
}

struct base_buf *http_tls_wire(struct http_tls *tls)
{
    return &tls->wire;
}

void http_tls_feed(struct http_tls *tls, const char *data, size_t len)
{
    tls->in = data;
    tls->in_len = len;
}

/* What a call that returned `rc` has come to. */
static enum http_tls_state state_after(struct http_tls *tls, int rc)
{
    switch (SSL_get_error(tls->ssl, rc)) {
    case SSL_ERROR_NONE:
        return HTTP_TLS_READY;
    case SSL_ERROR_WANT_READ:
        return HTTP_TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return HTTP_TLS_END;
    default:
        tls->is_failed = true;
        ERR_clear_error();
        return HTTP_TLS_FAILED;
    }
}

enum http_tls_state http_tls_handshake(struct http_tls *tls)
{
    ERR_clear_error();
    return state_after(tls, SSL_do_handshake(tls->ssl));
}

enum http_tls_state http_tls_read(struct http_tls *tls, char *buf, size_t size, size_t *len)
{
    ERR_clear_error();
    *len = 0;
    return state_after(tls, SSL_read_ex(tls->ssl, buf, size, len));
}

enum base_err http_tls_write(struct http_tls *tls, struct base_buf *plain)
{
    if (tls->is_failed)
        return E_IO;
    ERR_clear_error();
    for (size_t done = 0; done < plain->len;) {
        size_t n = 0;
        int rc = SSL_write_ex(tls->ssl, plain->data + done, plain->len - done, &n);
        if (state_after(tls, rc) != HTTP_TLS_READY)
            return E_IO;
        done += n;
    }
    buf_fini(plain);
    return OK;
}

void http_tls_shutdown(struct http_tls *tls)
{
    if (tls->is_failed || tls->is_ended || !SSL_is_init_finished(tls->ssl))
        return;
    tls->is_ended = true;
    ERR_clear_error();
    SSL_shutdown(tls->ssl);
    ERR_clear_error();
}
