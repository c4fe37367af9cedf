/*
 * Requests by libcurl: plain HTTP, TLS with the certificate checked, or a Unix socket. It brings
 * some thirty libraries along, so it is loaded only by the commands that ask a server.
 */
#include "remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <dlfcn.h>
#include <jansson.h>

#include "commands.h"

enum {
    DEFAULT_PORT = 2000,
    CONNECT_MS_MAX = 5000,
    REQUEST_MS_MAX = 10000,
    MESSAGE_BYTES_MAX = 300 /* of what the server says of an error */
};

#define LIBRARY "libcurl.so.4"

/* What is used of libcurl. */
#define CALLS(X)                                                                                   \
    X(easy_cleanup)                                                                                \
    X(easy_getinfo)                                                                                \
    X(easy_init)                                                                                   \
    X(easy_perform)                                                                                \
    X(easy_reset)                                                                                  \
    X(easy_setopt)                                                                                 \
    X(easy_strerror)                                                                               \
    X(global_cleanup)                                                                              \
    X(global_init)                                                                                 \
    X(slist_append)                                                                                \
    X(slist_free_all)

#define FIELD(name) __typeof__(curl_##name) *name;
static struct {
    CALLS(FIELD)
} g_curl;

static bool load_library(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* for the life of the process */
    bool ok = library != NULL;
#define LOAD(name)                                                                                 \
    if (ok) {                                                                                      \
        void *address = dlsym(library, "curl_" #name);                                             \
        ok = address != NULL;                                                                      \
        memcpy(&g_curl.name, &address, sizeof address);                                            \
    }
    CALLS(LOAD)
    return ok;
}

/* ---- where ---- */

/* A URL of a server: a scheme, a host, maybe a port and a path, and nothing else. */
static bool is_url(const char *url)
{
    bool is_http = strncmp(url, "http://", 7) == 0 && url[7];
    bool is_https = strncmp(url, "https://", 8) == 0 && url[8];
    for (const char *p = url; *p; p++) {
        if (*p <= ' ' || *p == 0x7f || strchr("?#@", *p))
            return false;
    }
    return is_http || is_https;
}

static int place(struct remote *r, const struct remote_options *o)
{
    int port = o->port ? o->port : DEFAULT_PORT;
    size_t size = sizeof r->url;
    int len;
    if (o->url && o->port)
        return command_wrong("--url and --port are two ways to say the same");
    if (!o->url)
        len = snprintf(r->url, size, "http://127.0.0.1:%d", port);
    else if (strncmp(o->url, "unix:", 5) == 0)
        len = snprintf(r->url, size, "http://localhost");
    else
        len = snprintf(r->url, size, "%s%s", strstr(o->url, "://") ? "" : "http://", o->url);
    while (len > 0 && len < (int)size && r->url[len - 1] == '/')
        r->url[--len] = '\0';
    if (len >= (int)size || !is_url(r->url))
        return command_wrong("--url: expected http://HOST:PORT, https://HOST:PORT or unix:/path");
    if (o->url && strncmp(o->url, "unix:", 5) == 0)
        r->socket = o->url + 5;
    return EXIT_OK;
}

static int take_key(struct remote *r, const struct remote_options *o)
{
    const char *key = o->api_key ? o->api_key : getenv("VALET_API_KEY");
    if (!key || !*key)
        return EXIT_OK;
    for (const char *p = key; *p; p++) {
        if (*p <= ' ' || *p >= 0x7f)
            return command_wrong("--api-key: a key has printable characters and no space");
    }
    if (snprintf(r->key_line, sizeof r->key_line, "Authorization: Bearer %s", key) >=
        (int)sizeof r->key_line)
        return command_wrong("--api-key: the key is too long");
    return EXIT_OK;
}

int remote_open(struct remote *r, const struct remote_options *options)
{
    *r = (struct remote){ .cacert = options->cacert };
    int rc = place(r, options);
    if (rc == EXIT_OK)
        rc = take_key(r, options);
    if (rc != EXIT_OK)
        return rc;
    if (!load_library()) {
        fputs("valet: this needs libcurl (Debian: libcurl4)\n", stderr);
        return EXIT_FAILED;
    }
    if (g_curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        r->curl = g_curl.easy_init();
    if (r->curl)
        return EXIT_OK;
    fputs("valet: libcurl cannot be used\n", stderr);
    return EXIT_FAILED;
}

void remote_close(struct remote *r)
{
    g_curl.easy_cleanup(r->curl);
    r->curl = NULL;
    g_curl.global_cleanup();
}

const char *remote_name(const struct remote *r)
{
    return r->socket ? r->socket : r->url;
}

/* ---- what ---- */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    return buf_append(arg, data, size * count) == OK ? size * count : 0;
}

static bool set_up(struct remote *r, const char *url, struct curl_slist *fields,
                   struct base_buf *body, char *error)
{
    CURL *c = r->curl;
    g_curl.easy_reset(c);
    CURLcode rc = g_curl.easy_setopt(c, CURLOPT_URL, url);
    if (!rc)
        rc = g_curl.easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    if (!rc)
        rc = g_curl.easy_setopt(c, CURLOPT_HTTPHEADER, fields);
    if (!rc && r->socket)
        rc = g_curl.easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, r->socket);
    if (!rc && r->cacert)
        rc = g_curl.easy_setopt(c, CURLOPT_CAINFO, r->cacert);
    if (rc)
        return false;
    g_curl.easy_setopt(c, CURLOPT_PROXY, "");
    g_curl.easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    g_curl.easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    g_curl.easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS_MAX);
    g_curl.easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)REQUEST_MS_MAX);
    g_curl.easy_setopt(c, CURLOPT_USERAGENT, "valet/" VALET_VERSION);
    g_curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    g_curl.easy_setopt(c, CURLOPT_WRITEDATA, body);
    g_curl.easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    return true;
}

/* The words of an error answer, "" where it has none of valet's. */
static void error_words(const struct base_buf *body, char *out, size_t size)
{
    json_t *root = body->len ? json_loadb(body->data, body->len, 0, NULL) : NULL;
    const char *message =
        json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    snprintf(out, size, "%s", message ? message : "");
    for (char *p = out; *p; p++) {
        if ((unsigned char)*p < ' ')
            *p = ' ';
    }
    json_decref(root);
}

static bool fail(const struct remote *r, const char *what, const char *hint,
                 char why[REMOTE_WHY_BYTES])
{
    snprintf(why, REMOTE_WHY_BYTES, "%.180s: %.240s%s", remote_name(r), what, hint);
    return false;
}

static bool check_status(const struct remote *r, const char *path, const struct base_buf *body,
                         char why[REMOTE_WHY_BYTES])
{
    char words[MESSAGE_BYTES_MAX];
    char text[MESSAGE_BYTES_MAX + 64];
    long status = 0;
    g_curl.easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200)
        return true;
    error_words(body, words, sizeof words);
    snprintf(text, sizeof text, "%s answers %ld%s%s", path, status, words[0] ? ": " : "", words);
    if (status == 401)
        return fail(r, text, "; see --api-key", why);
    return fail(r, text, words[0] ? "" : "; is it valet?", why);
}

static bool perform(struct remote *r, const char *path, struct curl_slist *fields,
                    struct base_buf *body, char why[REMOTE_WHY_BYTES])
{
    char url[REMOTE_URL_BYTES + 64];
    char error[CURL_ERROR_SIZE] = "";
    snprintf(url, sizeof url, "%s%s", r->url, path);
    if (!set_up(r, url, fields, body, error))
        return fail(r, "libcurl refuses the request", "", why);
    CURLcode rc = g_curl.easy_perform(r->curl);
    if (rc == CURLE_COULDNT_CONNECT)
        return fail(r, "there is no connection", "; is 'valet serve' running there?", why);
    if (rc == CURLE_WRITE_ERROR)
        return fail(r, "the answer is too large", "", why);
    if (rc != CURLE_OK)
        return fail(r, error[0] ? error : g_curl.easy_strerror(rc), "", why);
    return check_status(r, path, body, why);
}

bool remote_get(struct remote *r, const char *path, struct base_buf *body,
                char why[REMOTE_WHY_BYTES])
{
    struct curl_slist *fields = NULL;
    if (r->key_line[0]) {
        fields = g_curl.slist_append(NULL, r->key_line);
        if (!fields)
            return fail(r, "out of memory", "", why);
    }
    bool ok = perform(r, path, fields, body, why);
    g_curl.slist_free_all(fields);
    return ok;
}
