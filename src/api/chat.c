/*
 * The life of one chat request, from its body to the last byte of its answer.
 *
 *   POST ──▶ checked, submitted ──▶ waiting ──START──▶ answering ──terminal──▶ answered
 *     │           chat_submit          │   chat_event     │  ▲      chat_end
 *     └─ refused: an error             │                  │  └─ drained: api_chat_resume
 *                                      └──── gone ────────┴──▶ left: api_chat_gone
 *
 * Invariants
 *  1. A struct chat exists while its exchange does: it is freed when the answer ends or the
 *     client has left, never later. It holds one reference to its ticket.
 *  2. A notice of the inbox is matched by its ticket in api->chats. The inbox may still name
 *     a ticket whose chat is gone (an event or the end was listed before); that ticket is
 *     not in the table and the notice is dropped. So nothing of the loop hangs on the
 *     ticket, and how long the engine still needs it does not matter.
 *  3. What the engine reads, the struct chat_job, belongs to the lot from park_submit on and
 *     is released by it, on any thread.
 *  4. The ticket's state is looked at before its events are read: if it was terminal then,
 *     an empty read means that everything was seen.
 *  5. `cursor` is the last event that was formatted; only then may the ring forget it.
 *  6. The answer ends exactly once, in chat_finish or by the client's leaving. Calls of the
 *     http folder only append to its output: none of them leads back into this file.
 *
 * Threads: the loop.
 */
#include <string.h>

#include "api/api_int.h"
#include "api/chat_format.h"
#include "api/chat_job.h"
#include "api/chat_parse.h"
#include "api/json.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    PENDING_BYTES_MAX = 256 << 10, /* not yet taken by the client: stop reading the ring */
    EVENTS_PER_READ = 64,
    COST_OUTPUT_MAX = 256, /* answers are seldom longer; for waiting-time estimates */
    PARSE_BYTES_MAX = 128 << 20,
    ANSWER_BYTES_MAX = 128 << 20,
    TEXT_SLACK_BYTES = 4096
};

struct chat {
    struct api *api;
    struct chat *next;    /* in its bucket */
    park_ticket *ticket;  /* one reference */
    struct api_peer peer;
    struct chat_format format;
    uint64_t cursor;      /* event seq */
    struct base_buf text; /* plain: the answer so far */
    bool stream;
    bool started; /* stream: headers and role chunk are out */
};

/* ---- the table of chats by ticket ---- */

static struct chat **bucket(struct api *api, const park_ticket *ticket)
{
    uint64_t hash = random_mix((uint64_t)(uintptr_t)ticket);
    return &api->chats[hash & (API_CHAT_BUCKETS - 1)];
}

static struct chat *chat_find(struct api *api, const park_ticket *ticket)
{
    struct chat *c = *bucket(api, ticket);
    while (c && c->ticket != ticket)
        c = c->next;
    return c;
}

static void chat_add(struct chat *c)
{
    struct chat **at = bucket(c->api, c->ticket);
    c->next = *at;
    *at = c;
}

static void chat_remove(struct chat *c)
{
    struct chat **at = bucket(c->api, c->ticket);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
}

/* ---- the end ---- */

/* A ticket that is not terminal yet is cancelled: nobody is left who wants its answer. */
static void chat_destroy(struct chat *c)
{
    if (c->ticket) {
        chat_remove(c);
        park_cancel(c->ticket, PARK_REASON_DISCONNECT);
        park_ticket_unref(c->ticket);
    }
    c->api->stats.streams -= c->started;
    buf_fini(&c->text);
    mem_free(c);
}

/* Ends a stream whose last frames are in api->frames; `rc` not OK: they could not be made. */
static void stream_finish(struct chat *c, enum base_err rc)
{
    struct api *api = c->api;
    api_count_status(api, 200);
    if (rc) {
        http_exchange_abort(c->peer.x);
        return;
    }
    http_stream_write(c->peer.x, api->frames.data, api->frames.len);
    http_stream_end(c->peer.x);
}

/* Ends the answer with what `error` says, or well if it is NULL. Destroys the chat. */
static void chat_finish(struct chat *c, const struct api_error *error)
{
    struct api *api = c->api;
    struct base_buf body;
    buf_init(&body, MEM_API, ANSWER_BYTES_MAX);
    buf_clear(&api->frames);
    http_exchange_set_user(c->peer.x, NULL);
    if (c->started) {
        stream_finish(c, error ? chat_format_error(error, &api->frames)
                               : chat_format_end(&c->format, &api->frames));
    } else if (error) {
        api_reply_error(api, &c->peer, error);
    } else if (chat_format_completion(&c->format, c->text.data ? c->text.data : "", c->text.len,
                                      &body)) {
        struct api_error full;
        api_error_nomem(&full);
        api_reply_error(api, &c->peer, &full);
    } else {
        api_reply_bytes(api, &c->peer, 200, "application/json", &body);
    }
    buf_fini(&body);
    chat_destroy(c);
}

static void chat_fail(struct chat *c, const struct api_error *error)
{
    if (error->code == API_INTERNAL)
        log_line(LOG_ERROR, "event=chat.failed request=%s ticket=%s error=\"%s\"",
                 c->peer.request_id, c->peer.ticket_id, error->message);
    chat_finish(c, error);
}

/* The ticket is terminal and everything it emitted was seen. */
static void chat_end(struct chat *c, const struct park_status *status)
{
    struct api_error error;
    if (status->state == PARK_COMPLETED && c->format.finish != VALET_FINISH_NONE) {
        chat_finish(c, NULL);
        return;
    }
    api_error_of_status(&error, status);
    chat_fail(c, &error);
}

/* ---- events to bytes ---- */

static void stream_start(struct chat *c)
{
    c->started = true;
    c->api->stats.streams++;
    api_reply_stream(&c->peer);
}

/* Formats one event of a stream: the first one brings the headers and the role chunk. */
static enum base_err stream_event(struct chat *c, const struct valet_event *event)
{
    struct base_buf *frames = &c->api->frames;
    enum base_err rc = OK;
    buf_clear(frames);
    if (!c->started)
        rc = chat_format_role(&c->format, frames);
    if (!rc && event->type == VALET_EVENT_TOKEN)
        rc = chat_format_content(&c->format, event, frames);
    if (rc)
        return rc;
    if (!c->started)
        stream_start(c);
    if (frames->len)
        http_stream_write(c->peer.x, frames->data, frames->len);
    return OK;
}

static enum base_err chat_event(struct chat *c, const struct park_event *raw,
                                struct api_error *error)
{
    struct valet_event event;
    if (valet_event_decode(&event, raw->data, raw->len))
        return api_error_set(error, API_INTERNAL, NULL, "an event could not be read");
    chat_format_note(&c->format, &event);
    enum base_err rc = OK;
    if (c->stream)
        rc = stream_event(c, &event);
    else if (event.type == VALET_EVENT_TOKEN)
        rc = buf_append(&c->text, event.text, event.text_len);
    if (rc == E_TOO_BIG)
        return api_error_set(error, API_INTERNAL, NULL, "the answer is larger than its tokens");
    return rc ? api_error_nomem(error) : OK;
}

enum pump {
    PUMP_MORE,  /* there may be more events */
    PUMP_EMPTY, /* all events were formatted */
    PUMP_WAIT,  /* the client reads slowly: on from api_chat_resume */
    PUMP_BROKEN
};

static bool client_is_slow(const struct chat *c)
{
    return c->started && http_exchange_pending_bytes(c->peer.x) > PENDING_BYTES_MAX;
}

/* Formats what one read brings, at most EVENTS_PER_READ events. */
static enum pump chat_read(struct chat *c, struct api_error *error)
{
    struct api *api = c->api;
    struct park_event events[EVENTS_PER_READ];
    size_t count;
    uint64_t first;
    if (client_is_slow(c))
        return PUMP_WAIT;
    enum park_err rc = park_events_read(c->ticket, c->cursor, api->events, sizeof api->events,
                                        events, EVENTS_PER_READ, &count, &first);
    if (rc) {
        api_error_set(error, API_INTERNAL, NULL, "the events could not be read: %s",
                      park_strerror(rc));
        return PUMP_BROKEN;
    }
    for (size_t i = 0; i < count; i++) {
        if (chat_event(c, &events[i], error))
            return PUMP_BROKEN;
        c->cursor = events[i].seq;
    }
    return count ? PUMP_MORE : PUMP_EMPTY;
}

/*
 * Formats what is new and ends the answer if it is complete; may destroy the chat. Not bounded
 * by a count: the ring is, and the engine is far slower than this.
 */
static void chat_pump(struct chat *c)
{
    struct park_status status;
    struct api_error error;
    enum pump next;
    do {
        park_status(c->ticket, &status);
        next = chat_read(c, &error);
    } while (next == PUMP_MORE);
    if (next == PUMP_BROKEN)
        chat_fail(c, &error);
    else if (next == PUMP_EMPTY && park_state_is_terminal(status.state))
        chat_end(c, &status);
}

/* ---- called by the loop ---- */

void api_chat_notice(struct api *api, park_ticket *ticket)
{
    struct chat *c = chat_find(api, ticket);
    if (c)
        chat_pump(c);
}

void api_chat_resume(struct chat *c)
{
    chat_pump(c);
}

void api_chat_gone(struct chat *c)
{
    chat_destroy(c);
}

/* ---- the request ---- */

static enum base_err check_ready(const struct api_options *o, struct api_error *error)
{
    const char *why = o->not_ready(o->arg);
    if (!why)
        return OK;
    if (strcmp(why, "draining") == 0)
        return api_error_set(error, API_DRAINING, NULL,
                             "the server is shutting down and takes no new requests");
    return api_error_set(error, API_NOT_READY, NULL, "the server is not ready: %s", why);
}

static enum base_err check_model(const struct api_model *model, const struct chat_params *params,
                                 struct api_error *error)
{
    if (!params->model || (strlen(model->id) == params->model_len &&
                           memcmp(model->id, params->model, params->model_len) == 0))
        return OK;
    struct http_str got = { params->model, params->model_len };
    return api_error_set(error, API_MODEL_NOT_FOUND, "model",
                         "model: expected %s, the one model here, got %.*s", model->id,
                         api_shown_len(got), got.data);
}

static struct chat *chat_create(struct api_call *call, const struct chat_params *params,
                                const struct chat_job *job)
{
    struct api *api = call->api;
    const struct api_model *model = &api->options.model;
    struct chat *c = mem_calloc(MEM_API, 1, sizeof *c);
    if (!c)
        return NULL;
    c->api = api;
    c->peer = call->peer;
    c->stream = params->stream;
    c->format = (struct chat_format){
        .created = clock_wall_seconds(),
        .model = model->id,
        .fingerprint = model->fingerprint,
        .include_usage = params->include_usage,
        .prompt_count = job->request.prompt_count,
    };
    random_id(api->options.random, "chatcmpl-", c->format.id, sizeof c->format.id);
    size_t piece = tokenizer_piece_bytes_max(model->tokenizer);
    buf_init(&c->text, MEM_API, (size_t)job->request.max_new * piece + TEXT_SLACK_BYTES);
    return c;
}

/* Gives the job to the lot. On an error it is still the caller's. */
static enum base_err chat_submit(struct chat *c, struct chat_job *job, struct api_error *error)
{
    const struct api_options *o = &c->api->options;
    const struct valet_request *r = &job->request;
    struct park_refusal refusal;
    struct park_work work;
    park_work_init(&work);
    work.need.n[0] = o->blocks(o->arg, r->prompt_count, r->max_new);
    work.need.n[1] = 1;
    work.cost = (uint64_t)r->prompt_count +
                (uint64_t)(r->max_new < COST_OUTPUT_MAX ? r->max_new : COST_OUTPUT_MAX);
    work.payload = job;
    work.payload_bytes = job->arena.bytes;
    work.payload_destroy = chat_job_destroy;
    work.inbox = o->inbox;
    if (park_submit(o->pool, &work, &c->ticket, &refusal) == PARK_OK)
        return OK;
    struct park_stats stats;
    park_stats(o->pool, &stats);
    bool known = refusal.dim < stats.dim_count;
    api_error_of_refusal(error, &refusal, known ? stats.dim_names[refusal.dim] : "units");
    return E_INVALID;
}

/* The chat and its job, from the body. */
static enum base_err chat_read_body(struct api_call *call, const json_t *body, struct arena *arena,
                                    struct chat **chat, struct chat_job **job,
                                    struct api_error *error)
{
    struct api *api = call->api;
    const struct api_model *model = &api->options.model;
    struct chat_params params;
    enum base_err rc = chat_parse(body, arena, &params, error);
    if (!rc)
        rc = check_model(model, &params, error);
    if (rc)
        return rc;
    api->stats.unknown_fields += params.unknown_count;
    if (!params.seeded)
        params.sampling.seed = random_u64(api->options.random);
    rc = chat_job_make(model, &params, job, error);
    if (rc)
        return rc;
    *chat = chat_create(call, &params, *job);
    if (*chat)
        return OK;
    chat_job_destroy(*job);
    *job = NULL;
    return api_error_nomem(error);
}

static enum base_err chat_start(struct api_call *call, struct api_error *error)
{
    struct http_str text = call->request->body;
    struct chat *c = NULL;
    struct chat_job *job = NULL;
    struct arena arena;
    json_t *body;
    enum base_err rc = check_ready(&call->api->options, error);
    if (!rc)
        rc = api_json_parse(text.data, text.len, &body, error);
    if (rc)
        return rc;
    arena_init(&arena, MEM_API, PARSE_BYTES_MAX);
    rc = chat_read_body(call, body, &arena, &c, &job, error);
    arena_fini(&arena);
    json_decref(body);
    if (rc)
        return rc;
    rc = chat_submit(c, job, error);
    if (rc) {
        chat_job_destroy(job);
        chat_destroy(c);
        return rc;
    }
    c->peer.ticket_id = park_ticket_id(c->ticket);
    chat_add(c);
    http_exchange_set_user(c->peer.x, c);
    return OK;
}

void api_chat_post(struct api_call *call)
{
    struct api_error error;
    if (chat_start(call, &error))
        api_reply_error(call->api, &call->peer, &error);
}
