#include "api/api_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    STREAM_PAUSE_BYTES = 256 << 10,
    NOTICES_PER_CALL = 64
};

/*
 * The client's own id, if the request is known and has one of 1..128 printable ASCII characters;
 * else a new one.
 */
static void request_id_make(const struct api *api, const struct http_request *request,
                            char out[API_REQUEST_ID_MAX + 1])
{
    const struct http_str *given = request ? http_request_field(request, "x-request-id") : NULL;
    bool good = given && given->len >= 1 && given->len <= API_REQUEST_ID_MAX;
    for (size_t i = 0; good && i < given->len; i++)
        good = given->data[i] >= 0x20 && given->data[i] <= 0x7e;
    if (!good) {
        random_id(api->options.random, "req_", out, API_REQUEST_ID_MAX + 1);
        return;
    }
    memcpy(out, given->data, given->len);
    out[given->len] = '\0';
}

/* ---- the callbacks of the server ---- */

static void on_request(void *arg, struct http_exchange *x, const struct http_request *request)
{
    struct api *api = arg;
    struct api_call call = { .api = api, .peer = { .x = x }, .request = request };
    api->stats.requests++;
    call.peer.arrived_ns = clock_now_ns(api->options.clock);
    call.is_counted = http_exchange_user(x) == api;
    http_exchange_set_user(x, NULL);
    request_id_make(api, request, call.peer.request_id);
    api_route(&call);
}

/*
 * The head alone says whether the body is worth reading; on_request looks at everything anew. In
 * between the exchange has the api as its mark of having been counted: its client may leave, but
 * it is not gone, for it has not begun.
 */
static bool on_admit(void *arg, struct http_exchange *x, const struct http_request *request)
{
    struct api *api = arg;
    struct api_call call = { .api = api, .peer = { .x = x }, .request = request };
    request_id_make(api, request, call.peer.request_id);
    bool admitted = api_route_admit(&call);
    if (admitted)
        http_exchange_set_user(x, api);
    else
        api->stats.requests++;
    return admitted;
}

static void on_gone(void *arg, struct http_exchange *x)
{
    struct api *api = arg;
    api->stats.disconnects++;
    struct answer *answer = http_exchange_user(x);
    if (answer)
        api_answer_gone(answer);
}

static void on_drained(void *arg, struct http_exchange *x)
{
    (void)arg;
    struct answer *answer = http_exchange_user(x);
    if (answer)
        api_answer_resume(answer);
}

static size_t on_error_body(void *arg, int status, const char *code, const char *message, char *out,
                            size_t out_size)
{
    struct api *api = arg;
    api->stats.requests++;
    api_count_status(api, status);
    uint64_t retry_ms = api_retry_in_bounds(api, api_error_http_retry_ms(status, code));
    return api_error_http_body(status, code, message, retry_ms, out, out_size);
}

static size_t on_headers(void *arg, int status, const char *code,
                         const struct http_request *request, struct http_header *out)
{
    struct api *api = arg;
    uint64_t retry_ms = api_retry_in_bounds(api, api_error_http_retry_ms(status, code));
    size_t count = 0;
    request_id_make(api, request, api->server_id);
    out[count++] = (struct http_header){ "X-Request-Id", api->server_id };
    if (!retry_ms)
        return count;
    snprintf(api->server_retry[0], sizeof api->server_retry[0], "%" PRIu64,
             api_retry_after_s(retry_ms));
    snprintf(api->server_retry[1], sizeof api->server_retry[1], "%" PRIu64, retry_ms);
    out[count++] = (struct http_header){ "Retry-After", api->server_retry[0] };
    out[count++] = (struct http_header){ "retry-after-ms", api->server_retry[1] };
    return count;
}

void api_http_handler(struct api *api, struct http_handler *out)
{
    *out = (struct http_handler){
        .arg = api,
        .request = on_request,
        .admit = on_admit,
        .gone = on_gone,
        .drained = on_drained,
        .error_body = on_error_body,
        .headers = on_headers,
    };
}

/* ---- life ---- */

static enum base_err check_options(const struct api_options *o, struct base_err_info *info)
{
    const struct api_model *model = &o->model;
    if (!model->id || !model->fingerprint || !model->tokenizer || model->context < 2)
        return base_err_set(info, E_INVALID, "api: the model is not described");
    return OK;
}

void api_settings_init(struct api_settings *settings)
{
    *settings = (struct api_settings){
        .retry_after_min_ms = 1000,
        .retry_after_max_ms = 60000,
        .retry_after_jitter = 0.5,
    };
}

static enum base_err compile_template(struct api *api, struct base_err_info *info)
{
    const char *text = api->options.model.chat_template;
    struct jinja_limits limits;
    struct base_err_info why = { 0 };
    if (!text || !*text)
        return OK;
    jinja_limits_init(&limits);
    enum base_err rc = jinja_compile(text, strlen(text), &limits, &api->chat_template, &why);
    if (rc)
        base_err_set_at(info, rc, why.byte, "the chat template of model %s: %s",
                        api->options.model.id, why.message);
    return rc;
}

enum base_err api_create(const struct api_options *options, struct api **out,
                         struct base_err_info *info)
{
    *out = NULL;
    enum base_err rc = check_options(options, info);
    if (rc)
        return rc;
    struct api *api = mem_calloc(MEM_API, 1, sizeof *api);
    if (!api)
        return base_err_set(info, E_NOMEM, "out of memory");
    api->options = *options;
    if (api->options.stream_pause_bytes == 0)
        api->options.stream_pause_bytes = STREAM_PAUSE_BYTES;
    rc = compile_template(api, info);
    if (rc) {
        mem_free(api);
        return rc;
    }
    api->render = (struct api_render){ &api->options.model, api->chat_template };
    buf_init(&api->frames, MEM_API, API_FRAME_BYTES_MAX);
    limits_init(&api->limits, options->random);
    api_configure(api, &options->settings);
    latency_init(&api->latency);
    pulse_list_init(&api->early, options->early_headers_ms);
    pulse_list_init(&api->beats, options->heartbeat_ms);
    api->salt_secret = random_u64(options->random);
    *out = api;
    return OK;
}

void api_configure(struct api *api, const struct api_settings *settings)
{
    struct api_settings *s = &api->options.settings;
    struct api_settings defaults;
    api_settings_init(&defaults);
    *s = settings->retry_after_max_ms > 0 ? *settings : defaults;
    s->strict_max_tokens = settings->strict_max_tokens;
    limits_set_retry(&api->limits, s);
}

void api_destroy(struct api *api)
{
    for (size_t i = 0; i < API_ANSWER_BUCKETS; i++)
        ASSERT(!api->answers[i]);
    limits_fini(&api->limits);
    buf_fini(&api->frames);
    jinja_destroy(api->chat_template);
    mem_free(api);
}

void api_inbox_ready(struct api *api)
{
    for (int i = 0; i < NOTICES_PER_CALL; i++) {
        park_ticket *ticket = park_inbox_next(api->options.inbox);
        if (!ticket)
            return;
        api_answer_notice(api, ticket);
        park_ticket_unref(ticket);
    }
}

uint64_t api_tick(struct api *api)
{
    uint64_t now_ns = clock_now_ns(api->options.clock);
    struct pulse *pulse;
    while ((pulse = pulse_due(&api->early, now_ns)))
        api_answer_early(pulse);
    while ((pulse = pulse_due(&api->beats, now_ns)))
        api_answer_beat(pulse);
    uint64_t early_ns = pulse_next_ns(&api->early);
    uint64_t beat_ns = pulse_next_ns(&api->beats);
    return early_ns < beat_ns ? early_ns : beat_ns;
}

void api_stats(const struct api *api, struct api_stats *out)
{
    *out = api->stats;
}

const struct api_histogram *api_latency(const struct api *api, enum api_latency kind,
                                        enum park_class klass)
{
    ASSERT((unsigned)kind < API_LATENCY_COUNT && (unsigned)klass < PARK_CLASS_COUNT);
    return &api->latency.histograms[kind][klass];
}
