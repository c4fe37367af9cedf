#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "options.h"

/* A running server, asked over its HTTP. */

struct remote_options {
    const char *url;     /* NULL: 127.0.0.1 and `port` */
    int32_t port;        /* 0: 2000 */
    const char *api_key; /* NULL: that of VALET_API_KEY, if any */
    const char *cacert;  /* NULL: the system's certificates */
};

/* Rows for the option table of a command whose struct has `member` of struct remote_options. */
#define REMOTE_OPTIONS(type, member)                                                               \
    { "url",                                                                                       \
      OPTION_TEXT,                                                                                 \
      "URL",                                                                                       \
      offsetof(struct type, member.url),                                                           \
      0,                                                                                           \
      0,                                                                                           \
      "the server (default http://127.0.0.1:2000); https://..., or unix:/path of its socket" },    \
        { "port",                                                                                  \
          OPTION_I32,                                                                              \
          "N",                                                                                     \
          offsetof(struct type, member.port),                                                      \
          1,                                                                                       \
          65535,                                                                                   \
          "its port on 127.0.0.1, instead of --url" },                                             \
        { "api-key",                                                                               \
          OPTION_TEXT,                                                                             \
          "KEY",                                                                                   \
          offsetof(struct type, member.api_key),                                                   \
          0,                                                                                       \
          0,                                                                                       \
          "an API key (default: that of VALET_API_KEY, which others cannot see)" },                \
    {                                                                                              \
        "cacert", OPTION_TEXT, "FILE", offsetof(struct type, member.cacert), 0, 0,                 \
            "certificates to check the server's by (default: the system's)"                        \
    }

enum {
    REMOTE_URL_BYTES = 1024,
    REMOTE_WHY_BYTES = 512,
    REMOTE_BODY_BYTES_MAX = 16 << 20
};

struct remote {
    char url[REMOTE_URL_BYTES]; /* without a slash at its end */
    const char *socket;         /* path of a Unix socket, or NULL; lies in the options' url */
    char key_line[1024];        /* header line; "": no key */
    const char *cacert;         /* borrowed */
    void *curl;
};

/*
 * Prepares requests; the options are borrowed until remote_close. An exit code: wrong options
 * are EXIT_USAGE, and one line was printed to stderr. Gives on EXIT_OK: remote_close.
 */
int remote_open(struct remote *r, const struct remote_options *options);
void remote_close(struct remote *r);

/* How people call the server: its URL, or the path of its socket. */
const char *remote_name(const struct remote *r);

/*
 * GET: appends the body of a 200. False: `why` is one line that says what went wrong. Takes 10
 * seconds at most; redirects are not followed and proxies not used.
 */
bool remote_get(struct remote *r, const char *path, struct base_buf *body,
                char why[REMOTE_WHY_BYTES]);

#endif
