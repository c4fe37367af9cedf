/* Answers that are whole at once, and the headers of all. Each ends the exchange. */
#include <inttypes.h>
#include <stdio.h>

#include "api/api_int.h"
#include "api/json.h"
#include "base/assert.h"

enum {
    HEADERS_MAX = 16,
    NUMBERS_MAX = 8,
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
    char numbers[NUMBERS_MAX][32];
    size_t number_count;
};

static void header_add(struct headers *h, const char *name, const char *value)
{
    ASSERT(h->count < HEADERS_MAX);
    h->list[h->count++] = (struct http_header){ name, value };
}

/* Room for the text of a value. */
static char *number_text(struct headers *h)
{
    ASSERT(h->number_count < NUMBERS_MAX);
    return h->numbers[h->number_count++];
}

static void header_add_number(struct headers *h, const char *name, uint64_t number)
{
    char *text = number_text(h);
    snprintf(text, sizeof h->numbers[0], "%" PRIu64, number);
    header_add(h, name, text);
}

/* "250ms", "1.5s": as the clients of the rate limit headers read it. */
static void header_add_time(struct headers *h, const char *name, uint64_t ms)
{
    char *text = number_text(h);
    if (ms < 1000)
        snprintf(text, sizeof h->numbers[0], "%" PRIu64 "ms", ms);
    else
        snprintf(text, sizeof h->numbers[0], "%" PRIu64 ".%03us", ms / 1000, (unsigned)(ms % 1000));
    header_add(h, name, text);
}

/* What the caller has left, where it has limits. */
static void headers_add_limits(struct headers *h, const struct api *api,
                               const struct limits_use *use)
{
    uint64_t now_ns = clock_now_ns(api->options.clock);
    struct limits_left requests = limits_requests_left(use, now_ns);
    struct limits_left tokens = limits_tokens_left(use, now_ns);
    if (requests.limit) {
        header_add_number(h, "x-ratelimit-limit-requests", (uint64_t)requests.limit);
        header_add_number(h, "x-ratelimit-remaining-requests", (uint64_t)requests.remaining);
        header_add_time(h, "x-ratelimit-reset-requests", requests.reset_ms);
    }
    if (tokens.limit) {
        header_add_number(h, "x-ratelimit-limit-tokens", (uint64_t)tokens.limit);
        header_add_number(h, "x-ratelimit-remaining-tokens", (uint64_t)tokens.remaining);
        header_add_time(h, "x-ratelimit-reset-tokens", tokens.reset_ms);
    }
}

static void headers_init(struct headers *h, const struct api *api, const struct api_peer *peer,
                         const char *type)
{
    h->count = 0;
    h->number_count = 0;
    header_add(h, "Content-Type", type);
    header_add(h, "X-Request-Id", peer->request_id);
    if (peer->ticket_id)
        header_add(h, "X-Valet-Ticket", peer->ticket_id);
    if (peer->use.tenant)
        headers_add_limits(h, api, &peer->use);
}

static void headers_add_retry(struct headers *h, uint64_t retry_after_ms)
{
    header_add_number(h, "Retry-After", api_retry_after_s(retry_after_ms));
    header_add_number(h, "retry-after-ms", retry_after_ms);
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
    headers_init(&h, api, peer, "application/json");
    headers_add_retry(&h, 1000);
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
    headers_init(&h, api, peer, "application/json");
    reply_json(api, peer, status, &h, body);
}

void api_reply_bytes(struct api *api, const struct api_peer *peer, int status, const char *type,
                     const struct base_buf *body)
{
    struct headers h;
    headers_init(&h, api, peer, type);
    reply(api, peer, status, &h, body->data, body->len);
}

static void count_refusal(struct api *api, enum api_code code)
{
    struct api_stats *s = &api->stats;
    int status = api_error_status(code);
    s->refused_queue_full += code == API_QUEUE_FULL || code == API_CLASS_FULL;
    s->refused_limits += code == API_RATE_LIMIT || code == API_CONCURRENCY;
    s->refused_keys += status == 401 || status == 403;
    s->refused_draining += code == API_DRAINING;
}

static uint64_t queue_depth(const struct api *api)
{
    struct park_stats stats;
    park_stats(api->options.pool, &stats);
    return stats.tasks_queued;
}

/* Times that nobody computed, such as that of a drain, know no bounds yet. */
uint64_t api_retry_in_bounds(const struct api *api, uint64_t ms)
{
    const struct api_settings *s = &api->options.settings;
    if (ms == 0)
        return 0;
    if (ms < s->retry_after_min_ms)
        ms = s->retry_after_min_ms;
    return ms < s->retry_after_max_ms ? ms : s->retry_after_max_ms;
}

void api_reply_error(struct api *api, const struct api_peer *peer, const struct api_error *error)
{
    struct api_error full = *error;
    struct headers h;
    headers_init(&h, api, peer, "application/json");
    if (error->retry_after_ms) {
        full.retry_after_ms = api_retry_in_bounds(api, error->retry_after_ms);
        headers_add_retry(&h, full.retry_after_ms);
        if (!error->has_queue)
            full.queue_depth = queue_depth(api);
    }
    if (error->allow)
        header_add(&h, "Allow", error->allow);
    if (api_error_status(error->code) == 401)
        header_add(&h, "WWW-Authenticate", "Bearer");
    if (api_error_is_final(error))
        header_add(&h, "x-should-retry", "false");
    count_refusal(api, error->code);
    reply_json(api, peer, api_error_status(error->code), &h, api_error_json(&full, true));
}

void api_reply_status(struct api *api, const struct api_peer *peer, int status, const char *word)
{
    struct headers h;
    headers_init(&h, api, peer, "application/json");
    if (status == 503)
        headers_add_retry(&h, 1000);
    reply_json(api, peer, status, &h, json_pack("{s:s}", "status", word));
}

void api_reply_stream(const struct api *api, const struct api_peer *peer)
{
    struct headers h;
    headers_init(&h, api, peer, "text/event-stream; charset=utf-8");
    header_add(&h, "Cache-Control", "no-cache, no-transform");
    header_add(&h, "X-Accel-Buffering", "no");
    http_stream_start(peer->x, 200, h.list, h.count);
}
