#include "api/api_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    STREAM_PAUSE_BYTES = 256 << 10,
    NOTICES_PER_CALL = 64
};

/* The client's own id if it is 1..128 printable ASCII characters, else a new one. */
static void request_id_make(const struct api *api, const struct http_request *request,
                            char out[API_REQUEST_ID_MAX + 1])
{
    const struct http_str *given = http_request_field(request, "x-request-id");
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
    request_id_make(api, request, call.peer.request_id);
    api_route(&call);
}

/* The head alone says whether the body is worth reading; on_request looks at everything anew. */
static bool on_admit(void *arg, struct http_exchange *x, const struct http_request *request)
{
    struct api *api = arg;
    struct api_call call = { .api = api, .peer = { .x = x }, .request = request };
    request_id_make(api, request, call.peer.request_id);
    bool admitted = api_route_admit(&call);
    api->stats.requests += !admitted;
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
    return api_error_http_body(status, code, message, out, out_size);
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
    pulse_list_init(&api->early, options->early_headers_ms);
    pulse_list_init(&api->beats, options->heartbeat_ms);
    api->salt_secret = random_u64(options->random);
    *out = api;
    return OK;
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
