#ifndef TESTS_HTTP_RIG_TLS_H
#define TESTS_HTTP_RIG_TLS_H

#include <stdbool.h>
#include <sys/types.h>

#include <openssl/ssl.h>

/*
 * Certificates made for a test, in files of their own folder, and the client's side of TLS.
 */
enum {
    TLS_PATH_BYTES = 64
};

struct tls_pair {
    char certificate[TLS_PATH_BYTES];
    char key[TLS_PATH_BYTES];
};

/* A self-signed certificate for `name`; the files go with tls_pair_remove. */
struct tls_pair tls_pair_create(const char *name);
void tls_pair_remove(const struct tls_pair *pair);

/* Shakes hands on a blocking socket. `version`: TLS1_2_VERSION, ... or 0 for the best. */
SSL *tls_connect(int fd, int version);

/* The same without failing the test: NULL if the server refuses. `alpn` may be NULL. */
SSL *tls_try_connect(int fd, int version, const char *alpn);

/* The common name in the server's certificate. Valid until the next call. */
const char *tls_server_name(const SSL *ssl);

#endif
