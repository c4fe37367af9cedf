/* The addresses that are served. */
#include <string.h>

#include "base/log.h"
#include "server/server_int.h"

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static enum base_err listen_one(struct server *s, const char *address, uint16_t *port,
                                struct base_err_info *info)
{
    enum base_err rc = http_server_listen(s->http, address, *port, port, info);
    if (!rc)
        log_line(LOG_INFO, "event=server.listen address=%s port=%u", address, *port);
    return rc;
}

static enum base_err listen_host(struct server *s, const char *host, uint16_t *port,
                                 struct base_err_info *info)
{
    static const char unix_prefix[] = "unix:";
    if (strncmp(host, unix_prefix, sizeof unix_prefix - 1) == 0) {
        const char *path = host + sizeof unix_prefix - 1;
        enum base_err rc = http_server_listen_unix(s->http, path, info);
        if (!rc)
            log_line(LOG_INFO, "event=server.listen address=%s", host);
        return rc;
    }
    if (strcmp(host, "localhost") != 0) {
        if (!is_loopback(host) && !s->keys)
            return base_err_set(info, E_INVALID,
                                "host '%s': without API keys only loopback addresses are served; "
                                "use 127.0.0.1, ::1 or localhost, or set auth.keys_file",
                                host);
        return listen_one(s, host, port, info);
    }
    enum base_err rc = listen_one(s, "127.0.0.1", port, info);
    if (rc)
        return rc;
    struct base_err_info v6 = { 0 };
    if (listen_one(s, "::1", port, &v6) != OK) /* a machine may have no IPv6 */
        log_line(LOG_WARN, "event=server.listen_failed address=::1 error=\"%s\"", v6.message);
    return OK;
}

/* All on one port: the one that the first found, if any will do. */
enum base_err server_listen(struct server *s, struct base_err_info *info)
{
    const struct config_server *config = &server_values(s)->server;
    uint16_t port = (uint16_t)config->port;
    enum base_err rc = OK;
    for (size_t i = 0; i < config->hosts.count && !rc; i++)
        rc = listen_host(s, config->hosts.items[i], &port, info);
    return rc;
}
