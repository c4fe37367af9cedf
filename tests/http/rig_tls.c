#include "http/rig_tls.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static X509 *self_signed(EVP_PKEY *key, const char *name)
{
    X509 *x = X509_new();
    ck_assert_ptr_nonnull(x);
    X509_NAME *subject = X509_get_subject_name(x);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 24 * 3600);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, subject);
    X509_set_pubkey(x, key);
    ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
    return x;
}

static FILE *create_file(const char *path)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    return f;
}

struct tls_pair tls_pair_create(const char *name)
{
    char folder[] = "/tmp/valet_tls_XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    struct tls_pair pair;
    snprintf(pair.certificate, sizeof pair.certificate, "%s/certificate.pem", folder);
    snprintf(pair.key, sizeof pair.key, "%s/key.pem", folder);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    ck_assert_ptr_nonnull(key);
    X509 *x = self_signed(key, name);
    FILE *f = create_file(pair.certificate);
    ck_assert_int_eq(PEM_write_X509(f, x), 1);
    fclose(f);
    f = create_file(pair.key);
    ck_assert_int_eq(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
    return pair;
}

void tls_pair_remove(const struct tls_pair *pair)
{
    char folder[TLS_PATH_BYTES];
    memcpy(folder, pair->key, sizeof folder);
    unlink(pair->certificate);
    unlink(pair->key);
    *strrchr(folder, '/') = '\0';
    rmdir(folder);
}

SSL *tls_try_connect(int fd, int version, const char *alpn)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    ck_assert_ptr_nonnull(ctx);
    SSL_CTX_set_security_level(ctx, 0); /* old versions as well, for the server to refuse */
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL *ssl = SSL_new(ctx);
    ck_assert_ptr_nonnull(ssl);
    SSL_CTX_free(ctx);
    if (alpn)
        SSL_set_alpn_protos(ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_fd(ssl, fd);
    ERR_clear_error();
    if (SSL_connect(ssl) == 1)
        return ssl;
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}

SSL *tls_connect(int fd, int version)
{
    SSL *ssl = tls_try_connect(fd, version, NULL);
    ck_assert_msg(ssl != NULL, "the server did not shake hands");
    return ssl;
}

const char *tls_server_name(const SSL *ssl)
{
    static char name[64];
    X509 *x = SSL_get1_peer_certificate(ssl);
    ck_assert_ptr_nonnull(x);
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof name);
    X509_free(x);
    return name;
}
