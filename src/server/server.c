/*
 * `valet serve`: wires the folders together and runs the loop.
 *
 * Threads: the caller's is the loop thread (http, api, this file); one engine thread runs
 * valet_engine_run with the lot as its source; the kernel team belongs to the model.
 *
 * Reload (SIGHUP): file, keys and certificate are read again; on any error everything stays as
 * it is. What may change at run time goes to http, the lot and the api; accepted work is not
 * touched.
 *
 * Shutdown, in this order:
 *   1. signal      → http_server_drain, park_drain: nothing new comes in; /ready says so
 *   2. time is up, or a second signal → park_drain(NOW): running work is cancelled
 *   3. lot empty and no answer running → the engine thread is stopped and joined
 *   4. http_server_close; handles of the loop are closed; the loop ends
 *   5. api, inbox, lot, engine, model are freed
 */
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "api/api.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/thread.h"
#include "http/http.h"
#include "park/park.h"
#include "server/auth.h"
#include "server/metrics.h"
#include "server/settings.h"
#include "server/source.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

#ifndef VALET_VERSION
#define VALET_VERSION "0"
#endif

enum {
    MODEL_ID_MAX = 128,
    TOKEN_TEXT_MAX = 63
};

struct server {
    const struct config *first; /* as at the start; borrowed */
    struct config *reloaded;    /* what replaced it, or NULL */
    struct keys *keys;          /* NULL: the server has none */
    uv_loop_t loop;
    uv_signal_t term;
    uv_signal_t interrupt;
    uv_signal_t hangup;
    uv_timer_t drain_timer;
    uv_check_t drained_check; /* runs after each turn of the loop while draining */
    uv_poll_t inbox_poll;
    uv_prepare_t before_sleep;
    uv_timer_t tick_timer;  /* ends the sleep when a timer of api or lot is due */
    uv_async_t timer_moved; /* the lot's next timer has become an earlier one */

    valet_model *model;
    valet_engine *engine;
    park_pool *pool;
    park_inbox *inbox;
    struct server_source source;
    struct base_thread engine_thread;
    struct http_server *http;
    struct api *api;

    char model_id[MODEL_ID_MAX + 1];
    char bos_text[TOKEN_TEXT_MAX + 1];
    char eos_text[TOKEN_TEXT_MAX + 1];
    char fingerprint[48];
    bool draining;
};

/* The configuration in force. */
static const struct config *config_of(const struct server *s)
{
    return s->reloaded ? s->reloaded : s->first;
}

static const struct valet_config *values_of(const struct server *s)
{
    return config_values(config_of(s));
}

/* ---- what the api asks ---- */

static uint64_t request_blocks(void *arg, int32_t prompt_count, int32_t max_new)
{
    (void)arg;
    return valet_engine_blocks(prompt_count, max_new);
}

static uint64_t request_blocks_start(void *arg, int32_t prompt_count, int32_t max_new)
{
    (void)arg;
    return valet_engine_blocks_start(prompt_count, max_new);
}

static enum base_err write_metrics(void *arg, struct base_buf *out)
{
    struct server *s = arg;
    const struct metrics_source source = { s->model_id, s->pool, s->engine, s->http, s->api };
    return metrics_write(&source, out);
}

/* The engine showed life lately, or has nothing to do. */
static bool is_healthy(void *arg)
{
    struct server *s = arg;
    struct valet_engine_stats stats;
    valet_engine_stats(s->engine, &stats);
    uint64_t now_ns = clock_now_ns(&base_clock_monotonic);
    return !stats.stepping || now_ns < stats.beat_ns ||
           now_ns - stats.beat_ns < (uint64_t)values_of(s)->server.watchdog_ms * 1000000u;
}

static const char *not_ready(void *arg)
{
    struct server *s = arg;
    return s->draining ? "draining" : NULL;
}

static bool authenticate(void *arg, const struct http_str *key, struct api_caller *out)
{
    struct server *s = arg;
    return server_auth(s->keys, key, clock_wall_seconds(), out);
}

/* Keys that are read and checked, and that nothing looks at yet: better said than believed. */
static void warn_of_no_effect(const struct server *s)
{
    static const char *const keys[] = {
        "server.strict_max_tokens", "pool.retry_after.min_ms", "pool.retry_after.max_ms",
        "pool.retry_after.jitter",  "models[].aliases",
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(config_origin(config_of(s), keys[i]), "default") != 0)
            log_line(LOG_WARN, "event=config.no_effect key=%s", keys[i]);
    }
}

/* ---- names ---- */

/* The name it was given, or "smollm2-135m" for "models/smollm2-135m.gguf". */
static void make_model_id(struct server *s)
{
    const struct config_model *model = &values_of(s)->model;
    const char *path = model->name ? model->name : model->path;
    const char *base = model->name ? NULL : strrchr(path, '/');
    base = base ? base + 1 : path;
    size_t len = strlen(base);
    if (len > 5 && strcmp(base + len - 5, ".gguf") == 0)
        len -= 5;
    if (len > MODEL_ID_MAX)
        len = MODEL_ID_MAX;
    for (size_t i = 0; i < len; i++) {
        char c = base[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("._:-", c);
        s->model_id[i] = plain ? c : '-';
    }
    s->model_id[len] = '\0';
}

/* "b" + version + a hash of the file's first bytes and size. */
static void make_fingerprint(struct server *s)
{
    unsigned char head[4096];
    uint64_t hash = 0;
    int fd = open(values_of(s)->model.path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, head, sizeof head);
        off_t size = lseek(fd, 0, SEEK_END);
        hash = random_mix((uint64_t)size);
        for (ssize_t i = 0; i < n; i++)
            hash = random_mix(hash ^ head[i]);
        close(fd);
    }
    snprintf(s->fingerprint, sizeof s->fingerprint, "b%s-%08x", VALET_VERSION,
             (unsigned)(hash >> 32));
}

/* A token's text as a template names it, "" for none or one that is no C string. */
static void copy_token_text(const struct tokenizer *t, int32_t id, char out[TOKEN_TEXT_MAX + 1])
{
    out[0] = '\0';
    if (id < 0)
        return;
    struct tokenizer_text text = tokenizer_bytes(t, id);
    if (text.len > TOKEN_TEXT_MAX || memchr(text.data, '\0', text.len))
        return;
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

/* ---- shutdown ---- */

static void close_handle(uv_handle_t *handle)
{
    if (handle->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handle))
        uv_close(handle, NULL);
}

/*
 * Closing a signal handle brings back the default action, which would kill a process that
 * is about to end well; so further signals are blocked first. Other threads never take any.
 */
static void block_end_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void close_handles(struct server *s)
{
    block_end_signals();
    close_handle((uv_handle_t *)&s->term);
    close_handle((uv_handle_t *)&s->interrupt);
    close_handle((uv_handle_t *)&s->hangup);
    close_handle((uv_handle_t *)&s->drain_timer);
    close_handle((uv_handle_t *)&s->drained_check);
    close_handle((uv_handle_t *)&s->inbox_poll);
    close_handle((uv_handle_t *)&s->before_sleep);
    close_handle((uv_handle_t *)&s->tick_timer);
    close_handle((uv_handle_t *)&s->timer_moved);
}

static void on_http_closed(void *arg)
{
    struct server *s = arg;
    s->http = NULL;
    close_handles(s);
}

static void on_turn_while_draining(uv_check_t *check)
{
    struct server *s = check->data;
    if (!park_is_drained(s->pool) || !http_server_is_drained(s->http))
        return;
    uv_check_stop(check);
    log_line(LOG_INFO, "event=server.drained");
    http_server_close(s->http, on_http_closed, s);
}

static void on_drain_timeout(uv_timer_t *timer)
{
    struct server *s = timer->data;
    log_line(LOG_WARN, "event=server.drain_timeout action=cancel");
    park_drain(s->pool, PARK_DRAIN_NOW, 0);
    /* Whoever has not taken their answer by now is cut off. */
    uv_check_stop(&s->drained_check);
    http_server_close(s->http, on_http_closed, s);
}

/*
 * What was accepted is finished, within the time of drain.timeout_secs unless the mode is
 * finish_all; finish_running drops what still waits, with a last word.
 */
static void start_drain(struct server *s)
{
    static const enum park_drain_mode modes[] = {
        [CONFIG_DRAIN_FINISH_ALL] = PARK_DRAIN_FINISH_ALL,
        [CONFIG_DRAIN_FINISH_RUNNING] = PARK_DRAIN_FINISH_RUNNING,
        [CONFIG_DRAIN_CANCEL_AFTER] = PARK_DRAIN_FINISH_ALL,
        [CONFIG_DRAIN_NOW] = PARK_DRAIN_NOW,
    };
    const struct config_pool *pool = &values_of(s)->pool;
    park_drain(s->pool, modes[pool->drain_mode], 0);
    if (pool->drain_mode != CONFIG_DRAIN_FINISH_ALL)
        uv_timer_start(&s->drain_timer, on_drain_timeout, (uint64_t)pool->drain_timeout_ms, 0);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    if (s->draining) {
        log_line(LOG_WARN, "event=server.signal signal=%d action=cancel", number);
        park_drain(s->pool, PARK_DRAIN_NOW, 0);
        return;
    }
    s->draining = true;
    log_line(LOG_INFO, "event=server.signal signal=%d action=drain", number);
    http_server_drain(s->http);
    start_drain(s);
    uv_check_start(&s->drained_check, on_turn_while_draining);
}

/* ---- reload ---- */

static void on_timer_moved(void *arg);

/* What of the lot's options is not the configuration's. */
static void set_lot(struct server *s, struct park_options *options)
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
    const struct valet_config *config = values_of(s);
    struct http_options http;
    struct park_options park;
    struct valet_engine_info engine;
    valet_engine_info(s->engine, &engine);
    settings_http(config, s->keys != NULL, &http);
    settings_park(config, &engine, &park);
    set_lot(s, &park);
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
    return OK;
}

static void reload(struct server *s)
{
    struct config_report report = { 0 };
    struct config_changes changes;
    struct config *config = NULL;
    struct keys *keys = NULL;
    struct config *old = s->reloaded;
    struct keys *old_keys = s->keys;
    struct base_err_info info = { 0 };
    enum base_err rc =
        config_reload(config_of(s), (const char *const *)environ, &config, &changes, &report);
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

static void on_hangup(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    (void)number;
    if (!s->draining)
        reload(s);
}

/* ---- start ---- */

static void on_inbox_readable(uv_poll_t *poll, int status, int events)
{
    struct server *s = poll->data;
    (void)status;
    (void)events;
    api_inbox_ready(s->api);
}

static void on_tick_timer(uv_timer_t *timer)
{
    (void)timer; /* on_before_sleep follows */
}

static void on_before_sleep(uv_prepare_t *prepare)
{
    struct server *s = prepare->data;
    uint64_t next_ns = park_tick(s->pool);
    uint64_t of_api = api_tick(s->api);
    next_ns = of_api < next_ns ? of_api : next_ns;
    uint64_t now_ns = clock_now_ns(&base_clock_monotonic);
    if (next_ns == UINT64_MAX)
        uv_timer_stop(&s->tick_timer);
    else
        uv_timer_start(&s->tick_timer, on_tick_timer,
                       next_ns > now_ns ? (next_ns - now_ns) / 1000000 + 1 : 0, 0);
}

static void *engine_main(void *arg)
{
    struct server *s = arg;
    struct valet_engine_source source;
    server_source_bind(&s->source, &source);
    valet_engine_run(s->engine, &source);
    return NULL;
}

static enum base_err from_valet(struct base_err_info *info, enum valet_err rc,
                                const struct valet_error *error)
{
    return base_err_set(info, (enum base_err)rc, "%s", error->message);
}

static enum base_err load_engine(struct server *s, struct base_err_info *info)
{
    struct valet_error error = { 0 };
    struct valet_model_options model_options;
    valet_model_options_init(&model_options);
    const struct config_model *config = &values_of(s)->model;
    if (config->threads != CONFIG_UNSET)
        model_options.threads = (int32_t)config->threads;
    enum valet_err rc = valet_model_load(config->path, &model_options, &s->model, &error);
    if (rc)
        return from_valet(info, rc, &error);
    struct valet_engine_options engine_options;
    settings_engine(values_of(s), &engine_options);
    rc = valet_engine_create(s->model, &engine_options, &s->engine, &error);
    if (rc)
        return from_valet(info, rc, &error);

    struct valet_model_info model;
    struct valet_engine_info engine;
    valet_model_info(s->model, &model);
    valet_engine_info(s->engine, &engine);
    log_line(LOG_INFO,
             "event=server.model id=%s arch=%s isa=%s threads=%d context=%d kv_blocks=%llu "
             "kv_mib=%llu max_num_seqs=%d",
             s->model_id, model.arch, model.isa, model.threads, engine.context,
             (unsigned long long)engine.block_count,
             (unsigned long long)(engine.block_count * engine.block_bytes >> 20), engine.rows_max);
    return OK;
}

/* Any thread: the loop shall look at the lot's timers. */
static void on_timer_moved(void *arg)
{
    struct server *s = arg;
    uv_async_send(&s->timer_moved);
}

static void on_woken(uv_async_t *async)
{
    (void)async; /* on_before_sleep follows */
}

static enum base_err make_lot(struct server *s, struct base_err_info *info)
{
    struct valet_engine_info engine;
    valet_engine_info(s->engine, &engine);
    struct park_options options;
    settings_park(values_of(s), &engine, &options);
    set_lot(s, &options);
    enum park_err rc = park_pool_create(&options, &s->pool);
    if (!rc)
        rc = park_inbox_create(&s->inbox);
    if (rc)
        return base_err_set(info, E_NOMEM, "cannot make the lot: %s", park_strerror(rc));
    size_t piece_max = tokenizer_piece_bytes_max(valet_model_tokenizer(s->model));
    if (server_source_init(&s->source, s->pool, piece_max + VALET_STOP_BYTES_MAX) != OK)
        return base_err_set(info, E_NOMEM, "out of memory");
    return OK;
}

static enum base_err make_api(struct server *s, struct base_err_info *info)
{
    struct valet_engine_info engine;
    struct valet_model_info model;
    const struct tokenizer *tokenizer = valet_model_tokenizer(s->model);
    const struct valet_config *config = values_of(s);
    valet_engine_info(s->engine, &engine);
    valet_model_info(s->model, &model);
    copy_token_text(tokenizer, tokenizer_bos(tokenizer), s->bos_text);
    copy_token_text(tokenizer, tokenizer_eos(tokenizer), s->eos_text);
    struct api_options options = {
        .model = { .id = s->model_id,
                   .fingerprint = s->fingerprint,
                   .created = clock_wall_seconds(),
                   .context = engine.context,
                   .tokenizer = tokenizer,
                   .chat_template = model.chat_template,
                   .bos_text = s->bos_text[0] ? s->bos_text : NULL,
                   .eos_text = s->eos_text[0] ? s->eos_text : NULL },
        .version = { .version = VALET_VERSION },
        .pool = s->pool,
        .inbox = s->inbox,
        .clock = &base_clock_monotonic,
        .random = &base_random_system,
        .arg = s,
        .blocks_start = request_blocks_start,
        .blocks = request_blocks,
        .metrics = write_metrics,
        .healthy = is_healthy,
        .not_ready = not_ready,
        .authenticate = s->keys ? authenticate : NULL,
        .metrics_public = config->auth.metrics_public,
        .early_headers_ms = (uint64_t)config->server.sse_early_headers_ms,
        .heartbeat_ms = (uint64_t)config->server.sse_heartbeat_ms,
    };
    enum base_err rc = api_create(&options, &s->api, info);
    if (rc)
        return rc;
    struct http_options http_options;
    settings_http(config, s->keys != NULL, &http_options);
    rc = http_policy_validate(&http_options.policy, info);
    if (rc)
        return rc;
    struct http_handler handler;
    api_http_handler(s->api, &handler);
    if (http_server_create(&s->loop, &http_options, &handler, &s->http) != OK)
        return base_err_set(info, E_NOMEM, "out of memory");
    if (config->server.tls_cert)
        rc = http_server_set_tls(s->http, config->server.tls_cert, config->server.tls_key, info);
    return rc;
}

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
static enum base_err listen_all(struct server *s, struct base_err_info *info)
{
    const struct config_server *config = &values_of(s)->server;
    uint16_t port = (uint16_t)config->port;
    enum base_err rc = OK;
    for (size_t i = 0; i < config->hosts.count && !rc; i++)
        rc = listen_host(s, config->hosts.items[i], &port, info);
    return rc;
}

static enum base_err watch(struct server *s, struct base_err_info *info)
{
    int rc = uv_signal_init(&s->loop, &s->term);
    if (!rc)
        rc = uv_signal_init(&s->loop, &s->interrupt);
    if (!rc)
        rc = uv_signal_init(&s->loop, &s->hangup);
    if (!rc)
        rc = uv_timer_init(&s->loop, &s->drain_timer);
    if (!rc)
        rc = uv_check_init(&s->loop, &s->drained_check);
    if (!rc)
        rc = uv_poll_init(&s->loop, &s->inbox_poll, park_inbox_fd(s->inbox));
    if (!rc)
        rc = uv_prepare_init(&s->loop, &s->before_sleep);
    if (!rc)
        rc = uv_timer_init(&s->loop, &s->tick_timer);
    s->before_sleep.data = s;
    s->term.data = s->interrupt.data = s->hangup.data = s->drain_timer.data =
        s->drained_check.data = s->inbox_poll.data = s;
    if (!rc)
        rc = uv_signal_start(&s->term, on_signal, SIGTERM);
    if (!rc)
        rc = uv_signal_start(&s->interrupt, on_signal, SIGINT);
    if (!rc)
        rc = uv_signal_start(&s->hangup, on_hangup, SIGHUP);
    if (!rc)
        rc = uv_poll_start(&s->inbox_poll, UV_READABLE, on_inbox_readable);
    if (!rc)
        rc = uv_prepare_start(&s->before_sleep, on_before_sleep);
    return rc ? base_err_set(info, E_IO, "event loop: %s", uv_strerror(rc)) : OK;
}

static enum base_err open_keys(struct server *s, struct base_err_info *info)
{
    const struct config_auth *auth = &values_of(s)->auth;
    struct config_report report = { 0 };
    if (!auth->keys_file && !auth->api_key)
        return OK;
    enum base_err rc = keys_open(auth, &s->keys, &report);
    if (rc)
        return base_err_set(info, rc, "%s",
                            config_report_errors(&report) > 0 ? report.errors[0]
                                                              : base_strerror(rc));
    return OK;
}

static enum base_err start(struct server *s, struct base_err_info *info)
{
    enum base_err rc = open_keys(s, info);
    if (!rc)
        rc = load_engine(s, info);
    if (!rc && uv_async_init(&s->loop, &s->timer_moved, on_woken) != 0)
        rc = base_err_set(info, E_IO, "event loop: no wake-up");
    if (!rc)
        rc = make_lot(s, info);
    if (!rc)
        rc = make_api(s, info);
    if (!rc)
        rc = watch(s, info);
    if (!rc)
        rc = listen_all(s, info);
    if (!rc && thread_start(&s->engine_thread, "valet-engine", engine_main, s) != OK)
        rc = base_err_set(info, E_NOMEM, "cannot start the engine thread");
    return rc;
}

/* ---- the whole ---- */

static void free_all(struct server *s)
{
    if (s->api)
        api_destroy(s->api);
    if (s->inbox)
        park_inbox_destroy(s->inbox);
    if (s->pool)
        park_pool_destroy(s->pool);
    server_source_fini(&s->source);
    valet_engine_destroy(s->engine);
    valet_model_free(s->model);
    keys_close(s->keys);
    config_destroy(s->reloaded);
}

enum base_err server_run(const struct config *config, struct base_err_info *info)
{
    struct server s = { .first = config };
    signal(SIGPIPE, SIG_IGN);
    warn_of_no_effect(&s);
    make_model_id(&s);
    make_fingerprint(&s);
    if (uv_loop_init(&s.loop) != 0)
        return base_err_set(info, E_NOMEM, "cannot make the event loop");
    enum base_err rc = start(&s, info);
    if (!rc) {
        log_line(LOG_INFO, "event=server.ready model=%s version=%s", s.model_id, VALET_VERSION);
        uv_run(&s.loop, UV_RUN_DEFAULT);
        server_source_stop(&s.source);
        thread_join(&s.engine_thread);
    } else {
        if (s.http)
            http_server_close(s.http, on_http_closed, &s);
        else
            close_handles(&s);
        uv_run(&s.loop, UV_RUN_DEFAULT);
    }
    free_all(&s);
    int closed = uv_loop_close(&s.loop);
    ASSERT(closed == 0);
    if (!rc)
        log_line(LOG_INFO, "event=server.stopped");
    return rc;
}
