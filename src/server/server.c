/*
 * `valet serve`: wires the folders together and runs the loop.
 *
 * Threads: the caller's is the loop thread (http, api, this file); one engine thread runs
 * valet_engine_run with the lot as its source; the kernel team belongs to the model.
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
#include "server/metrics.h"
#include "server/source.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

#ifndef VALET_VERSION
#define VALET_VERSION "0"
#endif

enum {
    MODEL_ID_MAX = 128,
    TOKEN_TEXT_MAX = 63,
    WATCHDOG_MS = 10000,
    EVENTS_BYTES_MAX = 1024 * 1024,
    QUEUE_BYTES_MAX = 256 * 1024 * 1024
};

struct server {
    const struct server_options *options;
    uv_loop_t loop;
    uv_signal_t term;
    uv_signal_t interrupt;
    uv_timer_t drain_timer;
    uv_check_t drained_check; /* runs after each turn of the loop while draining */
    uv_poll_t inbox_poll;

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

void server_options_init(struct server_options *options)
{
    *options = (struct server_options){
        .host = "localhost",
        .port = 2000,
        .rows_max = 16,
        .chunk_max = 256,
        .itl_target_ms = 50,
        .queue_count_max = 1000,
        .drain_ms = 30000,
    };
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
           now_ns - stats.beat_ns < WATCHDOG_MS * UINT64_C(1000000);
}

static const char *not_ready(void *arg)
{
    struct server *s = arg;
    return s->draining ? "draining" : NULL;
}

/* ---- names ---- */

/* "models/smollm2-135m.gguf" is served as "smollm2-135m". */
static void make_model_id(struct server *s)
{
    const char *base = strrchr(s->options->model_path, '/');
    base = base ? base + 1 : s->options->model_path;
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
    int fd = open(s->options->model_path, O_RDONLY | O_CLOEXEC);
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
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void close_handles(struct server *s)
{
    block_end_signals();
    close_handle((uv_handle_t *)&s->term);
    close_handle((uv_handle_t *)&s->interrupt);
    close_handle((uv_handle_t *)&s->drain_timer);
    close_handle((uv_handle_t *)&s->drained_check);
    close_handle((uv_handle_t *)&s->inbox_poll);
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
    struct http_stats stats;
    http_server_stats(s->http, &stats);
    if (!park_is_drained(s->pool) || stats.exchanges > 0)
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
    park_drain(s->pool, PARK_DRAIN_FINISH_ALL, 0);
    uv_timer_start(&s->drain_timer, on_drain_timeout, s->options->drain_ms, 0);
    uv_check_start(&s->drained_check, on_turn_while_draining);
}

/* ---- start ---- */

static void on_inbox_readable(uv_poll_t *poll, int status, int events)
{
    struct server *s = poll->data;
    (void)status;
    (void)events;
    api_inbox_ready(s->api);
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
    model_options.threads = s->options->threads;
    enum valet_err rc =
        valet_model_load(s->options->model_path, &model_options, &s->model, &error);
    if (rc)
        return from_valet(info, rc, &error);
    struct valet_engine_options engine_options;
    valet_engine_options_init(&engine_options);
    engine_options.context = s->options->context;
    engine_options.kv_bytes = s->options->kv_bytes;
    engine_options.rows_max = s->options->rows_max;
    engine_options.chunk_max = s->options->chunk_max;
    engine_options.itl_target_ms = s->options->itl_target_ms;
    engine_options.prefix_cache = !s->options->no_prefix_cache;
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

static enum base_err make_lot(struct server *s, struct base_err_info *info)
{
    struct valet_engine_info engine;
    valet_engine_info(s->engine, &engine);
    struct park_options options;
    park_options_init(&options);
    options.name = s->model_id;
    options.dim_count = 2;
    options.dim_names[0] = "kv_blocks";
    options.dim_names[1] = "slots";
    options.capacity.n[0] = engine.block_count;
    options.capacity.n[1] = (uint64_t)engine.rows_max;
    options.queue_count_max = s->options->queue_count_max;
    options.queue_bytes_max = QUEUE_BYTES_MAX;
    options.running_max = (uint64_t)engine.rows_max;
    options.events_bytes_max = EVENTS_BYTES_MAX;
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
    };
    enum base_err rc = api_create(&options, &s->api, info);
    if (rc)
        return rc;
    struct http_options http_options;
    http_options_init(&http_options);
    http_options.server_name = "valet";
    struct http_handler handler;
    api_http_handler(s->api, &handler);
    if (http_server_create(&s->loop, &http_options, &handler, &s->http) != OK)
        return base_err_set(info, E_NOMEM, "out of memory");
    return OK;
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

static enum base_err listen_all(struct server *s, struct base_err_info *info)
{
    const char *host = s->options->host;
    uint16_t port = s->options->port;
    if (strcmp(host, "localhost") != 0) {
        if (!is_loopback(host))
            return base_err_set(info, E_INVALID,
                                "host '%s': without API keys only loopback addresses are served; "
                                "use 127.0.0.1, ::1 or localhost",
                                host);
        return listen_one(s, host, &port, info);
    }
    enum base_err rc = listen_one(s, "127.0.0.1", &port, info);
    if (rc)
        return rc;
    struct base_err_info v6 = { 0 };
    if (listen_one(s, "::1", &port, &v6) != OK) /* a machine may have no IPv6 */
        log_line(LOG_WARN, "event=server.listen_failed address=::1 error=\"%s\"", v6.message);
    return OK;
}

static enum base_err watch(struct server *s, struct base_err_info *info)
{
    int rc = uv_signal_init(&s->loop, &s->term);
    if (!rc)
        rc = uv_signal_init(&s->loop, &s->interrupt);
    if (!rc)
        rc = uv_timer_init(&s->loop, &s->drain_timer);
    if (!rc)
        rc = uv_check_init(&s->loop, &s->drained_check);
    if (!rc)
        rc = uv_poll_init(&s->loop, &s->inbox_poll, park_inbox_fd(s->inbox));
    s->term.data = s->interrupt.data = s->drain_timer.data = s->drained_check.data =
        s->inbox_poll.data = s;
    if (!rc)
        rc = uv_signal_start(&s->term, on_signal, SIGTERM);
    if (!rc)
        rc = uv_signal_start(&s->interrupt, on_signal, SIGINT);
    if (!rc)
        rc = uv_poll_start(&s->inbox_poll, UV_READABLE, on_inbox_readable);
    return rc ? base_err_set(info, E_IO, "event loop: %s", uv_strerror(rc)) : OK;
}

static enum base_err start(struct server *s, struct base_err_info *info)
{
    enum base_err rc = load_engine(s, info);
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
}

enum base_err server_run(const struct server_options *options, struct base_err_info *info)
{
    struct server s = { .options = options };
    signal(SIGPIPE, SIG_IGN);
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
