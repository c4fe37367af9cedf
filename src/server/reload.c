/*
 * The configuration in force. Reload: file, keys and certificate are read again; on any error
 * everything stays as it is. What may change at run time goes to http and the lot; accepted work
 * is not touched.
 */
#include "base/log.h"
#include "server/server_int.h"
#include "server/settings.h"

const struct config *server_config(const struct server *s)
{
    return s->reloaded ? s->reloaded : s->first;
}

const struct valet_config *server_values(const struct server *s)
{
    return config_values(server_config(s));
}

/* Any thread: the loop shall look at the lot's timers. */
static void on_timer_moved(void *arg)
{
    struct server *s = arg;
    uv_async_send(&s->timer_moved);
}

void server_set_lot(struct server *s, struct park_options *options)
{
    options->name = s->model_id;
    options->timer_moved = on_timer_moved;
    options->timer_arg = s;
}

extern char **environ;

static void log_report(const struct config_report *report)
{
    for (size_t i = 0; i < config_report_errors(report); i++)
        log_line(LOG_ERROR, "event=config.error text=\"%s\"", report->errors[i]);
}

/* Hands the configuration in force to those who may be told at run time. */
static enum base_err apply(struct server *s, struct base_err_info *info)
{
    const struct valet_config *config = server_values(s);
    struct http_options http;
    struct park_options park;
    struct valet_engine_info engine;
    valet_engine_info(s->engine, &engine);
    settings_http(config, s->keys != NULL, &http);
    settings_park(config, &engine, &park);
    server_set_lot(s, &park);
    if (config->server.tls_cert) {
        enum base_err rc =
            http_server_set_tls(s->http, config->server.tls_cert, config->server.tls_key, info);
        if (rc)
            return rc;
    }
    if (http_server_set_options(s->http, &http) != OK)
        return base_err_set(info, E_INVALID, "the options of the HTTP server do not fit together");
    enum park_err rc = park_reconfigure(s->pool, &park);
    if (rc)
        return base_err_set(info, E_INVALID, "the lot: %s", park_strerror(rc));
    struct api_settings api;
    settings_api(config, &api);
    api_configure(s->api, &api);
    return OK;
}

void server_reload(struct server *s)
{
    struct config_report report = { 0 };
    struct config_changes changes;
    struct config *config = NULL;
    struct keys *keys = NULL;
    struct config *old = s->reloaded;
    struct keys *old_keys = s->keys;
    struct base_err_info info = { 0 };
    enum base_err rc =
        config_reload(server_config(s), (const char *const *)environ, &config, &changes, &report);
    if (!rc && s->keys)
        rc = keys_open(&config_values(config)->auth, &keys, &report);
    if (rc) {
        log_report(&report);
        log_line(LOG_ERROR, "event=server.reload_failed action=none");
        config_destroy(config);
        return;
    }
    s->reloaded = config;
    s->keys = keys;
    if (apply(s, &info) != OK) {
        log_line(LOG_ERROR, "event=server.reload_failed text=\"%s\"", info.message);
        s->reloaded = old;
        s->keys = old_keys;
        apply(s, &info); /* what was in force before is still good */
        config_destroy(config);
        keys_close(keys);
        return;
    }
    for (size_t i = 0; i < changes.applied_count; i++)
        log_line(LOG_INFO, "event=config.changed key=%s", changes.applied[i]);
    for (size_t i = 0; i < changes.needs_restart_count; i++)
        log_line(LOG_WARN, "event=config.needs_restart key=%s", changes.needs_restart[i]);
    log_line(LOG_INFO, "event=server.reloaded");
    config_destroy(old);
    keys_close(old_keys);
}
