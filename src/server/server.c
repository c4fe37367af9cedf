/*
 * `valet serve`: wires the folders together and runs the loop.
 *
 * Threads: the caller's is the loop thread (http, api, this file); one engine thread runs
 * valet_engine_run with the lot as its source; the kernel team belongs to the model.
 *
 * Shutdown, in this order:
 *   1. signal      → http_server_drain, park_drain: nothing new comes in; /ready says so
 *   2. time is up, or a second signal → park_drain(NOW): running work is cancelled
 *   3. lot empty and no answer running → http_server_close; handles of the loop are closed
 *   4. the loop ends; the engine thread is stopped and joined
 *   5. api, inbox, lot, engine, model are freed
 */
#include "server/server.h"

#include <signal.h>
#include <string.h>

#include <uv.h>

#include "api/api.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/thread.h"
#include "http/http.h"
#include "park/park.h"
#include "server/auth.h"
#include "server/metrics.h"
#include "server/settings.h"
#include "server/server_int.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

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
           now_ns - stats.beat_ns < (uint64_t)server_values(s)->server.watchdog_ms * 1000000u;
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
    const struct config_pool *pool = &server_values(s)->pool;
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

static void on_hangup(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    (void)number;
    if (!s->draining)
        server_reload(s);
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
    const struct config_model *config = &server_values(s)->model;
    if (config->threads != CONFIG_UNSET)
        model_options.threads = (int32_t)config->threads;
    enum valet_err rc = valet_model_load(config->path, &model_options, &s->model, &error);
    if (rc)
        return from_valet(info, rc, &error);
    struct valet_engine_options engine_options;
    settings_engine(server_values(s), &engine_options);
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

static void on_woken(uv_async_t *async)
{
    (void)async; /* on_before_sleep follows */
}

static enum base_err make_lot(struct server *s, struct base_err_info *info)
{
    struct valet_engine_info engine;
    valet_engine_info(s->engine, &engine);
    struct park_options options;
    settings_park(server_values(s), &engine, &options);
    server_set_lot(s, &options);
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
    const struct valet_config *config = server_values(s);
    valet_engine_info(s->engine, &engine);
    valet_model_info(s->model, &model);
    server_name_tokens(s);
    struct api_options options = {
        .model = { .id = s->model_id,
                   .aliases = config->model.aliases.items,
                   .alias_count = config->model.aliases.count,
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
        .stream_pause_bytes = config->server.stream_pause_bytes,
    };
    settings_api(config, &options.settings);
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
    rc = http_server_create(&s->loop, &http_options, &handler, &s->http);
    if (rc)
        return base_err_set(info, rc, "the HTTP server: %s", base_strerror(rc));
    if (config->server.tls_cert)
        rc = http_server_set_tls(s->http, config->server.tls_cert, config->server.tls_key, info);
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
    const struct config_auth *auth = &server_values(s)->auth;
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
        rc = server_listen(s, info);
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
    server_name_model(&s);
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
