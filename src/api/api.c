#include "api/api_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/json.h"
#include "base/assert.h"
#include "base/mem.h"

enum {
    NOTICES_PER_CALL = 64,
    HEADERS_MAX = 8,
    REPLY_BYTES_MAX = 256 << 20 /* answers are bounded where they are collected */
};

/* What is sent when there is no memory to say more. */
static const char g_nomem_body[] =
    "{\"error\":{\"message\":\"the server is out of memory for this request\","
    "\"type\":\"overloaded_error\",\"param\":null,\"code\":\"server_full\","
    "\"retry_after_ms\":1000,\"queue_depth\":0,\"position\":null}}";

/* The headers of one answer, with the memory their values need. */
struct headers {
    struct http_header list[HEADERS_MAX];
    size_t count;
    char retry_s[24];
    char retry_ms[24];
};

static void header_add(struct headers *h, const char *name, const char *value)
{
    ASSERT(h->count < HEADERS_MAX);
    h->list[h->count++] = (struct http_header){ name, value };
}

static void headers_init(struct headers *h, const struct api_peer *peer, const char *type)
{
    h->count = 0;
    header_add(h, "Content-Type", type);
    header_add(h, "X-Request-Id", peer->request_id);
    if (peer->ticket_id)
        header_add(h, "X-Valet-Ticket", peer->ticket_id);
}

static void header_add_retry(struct headers *h, uint64_t retry_after_ms)
{
    snprintf(h->retry_s, sizeof h->retry_s, "%" PRIu64, api_retry_after_s(retry_after_ms));
    snprintf(h->retry_ms, sizeof h->retry_ms, "%" PRIu64, retry_after_ms);
    header_add(h, "Retry-After", h->retry_s);
    header_add(h, "retry-after-ms", h->retry_ms);
}

void api_count_status(struct api *api, int status)
{
    api->stats.status[status / 100]++;
}

static void reply(struct api *api, const struct api_peer *peer, int status, struct headers *h,
                  const void *body, size_t len)
{
    api_count_status(api, status);
    http_respond(peer->x, status, h->list, h->count, body, len);
}

static void reply_nomem(struct api *api, const struct api_peer *peer)
{
    struct headers h;
    headers_init(&h, peer, "application/json");
    header_add_retry(&h, 1000);
    reply(api, peer, 503, &h, g_nomem_body, sizeof g_nomem_body - 1);
}

/* Takes `body`. */
static void reply_json(struct api *api, const struct api_peer *peer, int status, struct headers *h,
                       json_t *body)
{
    struct base_buf text;
    buf_init(&text, MEM_API, REPLY_BYTES_MAX);
    if (api_json_write(body, &text))
        reply_nomem(api, peer);
    else
        reply(api, peer, status, h, text.data, text.len);
    buf_fini(&text);
    json_decref(body);
}

void api_reply_json(struct api *api, const struct api_peer *peer, int status, json_t *body)
{
    struct headers h;
    headers_init(&h, peer, "application/json");
    reply_json(api, peer, status, &h, body);
}

void api_reply_bytes(struct api *api, const struct api_peer *peer, int status, const char *type,
                     const struct base_buf *body)
{
    struct headers h;
    headers_init(&h, peer, type);
    reply(api, peer, status, &h, body->data, body->len);
}

static uint64_t queue_depth(const struct api *api)
{
    struct park_stats stats;
    park_stats(api->options.pool, &stats);
    return stats.queued;
}

void api_reply_error(struct api *api, const struct api_peer *peer, const struct api_error *error)
{
    struct api_error full = *error;
    struct headers h;
    headers_init(&h, peer, "application/json");
    if (error->retry_after_ms) {
        header_add_retry(&h, error->retry_after_ms);
        full.queue_depth = queue_depth(api);
    }
    if (error->allow)
        header_add(&h, "Allow", error->allow);
    api->stats.refused_queue_full += error->code == API_QUEUE_FULL;
    api->stats.refused_draining += error->code == API_DRAINING;
    reply_json(api, peer, api_error_status(error->code), &h, api_error_json(&full, true));
}

void api_reply_status(struct api *api, const struct api_peer *peer, int status, const char *word)
{
    struct headers h;
    headers_init(&h, peer, "application/json");
    if (status == 503)
        header_add_retry(&h, 1000);
    reply_json(api, peer, status, &h, json_pack("{s:s}", "status", word));
}

void api_reply_stream(const struct api_peer *peer)
{
    struct headers h;
    headers_init(&h, peer, "text/event-stream; charset=utf-8");
    header_add(&h, "Cache-Control", "no-cache, no-transform");
    header_add(&h, "X-Accel-Buffering", "no");
    http_stream_start(peer->x, 200, h.list, h.count);
}

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
    rc = compile_template(api, info);
    if (rc) {
        mem_free(api);
        return rc;
    }
    api->render = (struct api_render){ &api->options.model, api->chat_template };
    buf_init(&api->frames, MEM_API, API_FRAME_BYTES_MAX);
    *out = api;
    return OK;
}

void api_destroy(struct api *api)
{
    for (size_t i = 0; i < API_ANSWER_BUCKETS; i++)
        ASSERT(!api->answers[i]);
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

void api_stats(const struct api *api, struct api_stats *out)
{
    *out = api->stats;
}
