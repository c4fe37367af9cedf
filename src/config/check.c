/* What cannot be seen from one value alone. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "config/config_int.h"
#include "config/keys.h"

struct check {
    const struct config *config;
    struct config_report *report;
};

/* "valet.yaml:3: server.tls.key: " and what is wrong with it. */
__attribute__((format(printf, 3, 4))) static void wrong(const struct check *k, const char *key,
                                                        const char *format, ...)
{
    char what[200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const char *origin = config_origin(k->config, key);
    bool is_default = strcmp(origin, "default") == 0;
    config_error(k->report, "%s%s%s: %s", is_default ? "" : origin, is_default ? "" : ": ", key,
                 what);
}

static bool is_unix(const char *host)
{
    return strncmp(host, "unix:/", 6) == 0;
}

static bool is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static bool is_local(const char *host)
{
    return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "::1") == 0 || is_unix(host);
}

static void check_hosts(const struct check *k)
{
    const struct valet_config *v = &k->config->values;
    bool has_keys = v->auth.keys_file || v->auth.api_key;
    for (size_t i = 0; i < v->server.hosts.count; i++) {
        const char *host = v->server.hosts.items[i];
        if (!is_address(host) && strcmp(host, "localhost") != 0 && !is_unix(host))
            wrong(k, "server.host", "'%.80s' is no address, localhost or unix:/path", host);
        else if (!is_local(host) && !has_keys)
            wrong(k, "server.host",
                  "'%.80s' is open to others and there are no API keys; set auth.keys_file, or use "
                  "127.0.0.1",
                  host);
    }
}

static void check_server(const struct check *k)
{
    const struct config_server *s = &k->config->values.server;
    if (s->tls_cert && !s->tls_key)
        wrong(k, "server.tls.cert", "needs server.tls.key");
    if (s->tls_key && !s->tls_cert)
        wrong(k, "server.tls.key", "needs server.tls.cert");
    if (s->stream_pause_bytes > s->stream_drop_bytes)
        wrong(k, "server.stream_pause_bytes", "is above server.stream_drop_bytes");
    for (size_t i = 0; i < s->cors_origins.count; i++) {
        if (s->cors_credentials && strcmp(s->cors_origins.items[i], "*") == 0)
            wrong(k, "server.cors.credentials", "cannot be true where server.cors.origins has '*'");
    }
}

static void check_pool(const struct check *k)
{
    const struct config_pool *p = &k->config->values.pool;
    if (p->run_timeout_ms > p->timeout_ms && p->timeout_ms > 0)
        wrong(k, "pool.run_timeout_secs", "is above pool.timeout_secs");
    if (p->retry_after_min_ms > p->retry_after_max_ms)
        wrong(k, "pool.retry_after.min_ms", "is above pool.retry_after.max_ms");
}

/* [A-Za-z0-9._:/-]{1,128} */
static bool is_model_name(const char *name)
{
    size_t len =
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-");
    return len > 0 && len <= 128 && name[len] == '\0';
}

static bool is_alias_taken(const struct config_model *m, size_t i)
{
    if (m->name && strcmp(m->name, m->aliases.items[i]) == 0)
        return true;
    for (size_t j = 0; j < i; j++) {
        if (strcmp(m->aliases.items[j], m->aliases.items[i]) == 0)
            return true;
    }
    return false;
}

static void check_model(const struct check *k)
{
    const struct config_model *m = &k->config->values.model;
    if (m->name && !is_model_name(m->name))
        wrong(k, "models[].name", "'%.60s' is not 1 to 128 of A-Z a-z 0-9 . _ : / -", m->name);
    for (size_t i = 0; i < m->aliases.count; i++) {
        if (!is_model_name(m->aliases.items[i]))
            wrong(k, "models[].aliases", "'%.60s' is not 1 to 128 of A-Z a-z 0-9 . _ : / -",
                  m->aliases.items[i]);
        else if (is_alias_taken(m, i))
            wrong(k, "models[].aliases", "'%.60s' names it twice", m->aliases.items[i]);
    }
    if (!m->path && (m->name || m->aliases.count > 0))
        wrong(k, m->name ? "models[].name" : "models[].aliases", "the model has no path");
}

void config_check_values(const struct config *c, struct config_report *report)
{
    const struct check k = { c, report };
    check_hosts(&k);
    check_server(&k);
    check_pool(&k);
    check_model(&k);
}

/* ---- files that are named ---- */

static void check_file(const struct check *k, const char *key, const char *path, bool is_secret)
{
    struct stat st;
    if (!path)
        return;
    if (stat(path, &st) != 0)
        wrong(k, key, "%.120s: no such file", path);
    else if (S_ISDIR(st.st_mode))
        wrong(k, key, "%.120s: a folder", path);
    else if (is_secret && (st.st_mode & S_IROTH))
        wrong(k, key, "%.120s: everybody may read it; chmod 600 or 640", path);
}

void config_check_files(const struct config *c, struct config_report *report)
{
    const struct check k = { c, report };
    const struct valet_config *v = &c->values;
    check_file(&k, "models[].path", v->model.path, false);
    check_file(&k, "server.tls.cert", v->server.tls_cert, false);
    check_file(&k, "server.tls.key", v->server.tls_key, true);
    struct keys *keys;
    if (keys_open(&v->auth, &keys, report) == OK)
        keys_close(keys);
}
