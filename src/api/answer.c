/*
 * The life of one answer, from its job to its last byte: for chats and completions alike.
 *
 *   job ──▶ submitted ──▶ waiting ──START──▶ answering ──terminal──▶ answered
 *     │   answer_start.c     │  answer_event   │  ▲    answer_end
 *     └─ refused: an error   │                 │  └─ drained: api_answer_resume
 *                            └───── gone ──────┴──▶ left: api_answer_gone
 *
 * A stream that waits for long gets its headers while it waits (api_answer_early), and one that
 * is silent for long a comment (api_answer_beat).
 *
 * Invariants
 *  1. A struct answer exists while its exchange does: it is freed when the answer ends or the
 *     client has left, never later. It holds one reference to its ticket.
 *  2. A notice of the inbox is matched by its ticket in api->answers. The inbox may still name
 *     a ticket whose answer is gone (an event or the end was listed before); that ticket is
 *     not in the table and the notice is dropped. So nothing of the loop hangs on the
 *     ticket, and how long the engine still needs it does not matter.
 *  3. What the engine reads, the struct api_job, belongs to the lot from park_submit on and
 *     is released by it, on any thread.
 *  4. The ticket's state is looked at before its events are read: if it was terminal then,
 *     an empty read means that everything was seen.
 *  5. `cursor` is the last event that was formatted; only then may the ring forget it.
 *  6. The answer ends exactly once, in answer_finish or by the client's leaving. Calls of the
 *     http folder only append to its output: none of them leads back into this file.
 *
 * Threads: the loop.
 */
#include "api/answer_int.h"
#include "base/log.h"

enum {
    EVENTS_PER_READ = 64,
    ANSWER_BYTES_MAX = 128 << 20,    /* of a plain answer */
    FRAME_BYTES_KEPT_MAX = 256 << 10 /* memory that stays for the next event */
};

/* ---- the end ---- */

/* Why an answer could not be written. */
static enum base_err answer_error(enum base_err rc, struct api_error *error)
{
    if (rc == E_TOO_BIG)
        return api_error_set(error, API_INTERNAL, NULL, "the answer is larger than %d MiB",
                             ANSWER_BYTES_MAX >> 20);
    if (rc == E_CORRUPT)
        return api_error_set(error, API_INTERNAL, NULL, "an event could not be read");
    return api_error_nomem(error);
}

/* Ends a stream whose last frames are in api->frames; `rc` not OK: they could not be made. */
static void stream_finish(struct answer *a, enum base_err rc)
{
    struct api *api = a->api;
    api_count_status(api, 200);
    if (rc) {
        http_exchange_abort(a->peer.x);
        return;
    }
    http_stream_write(a->peer.x, api->frames.data, api->frames.len);
    http_stream_end(a->peer.x);
}

/* Ends a plain answer. */
static void plain_finish(struct answer *a)
{
    struct base_buf body;
    struct api_error error;
    buf_init(&body, MEM_API, ANSWER_BYTES_MAX);
    enum base_err rc = a->kind->whole(&a->format, &body);
    if (!rc) {
        api_reply_bytes(a->api, &a->peer, 200, "application/json", &body);
    } else {
        answer_error(rc, &error);
        api_reply_error(a->api, &a->peer, &error);
    }
    buf_fini(&body);
}

/* Ends the answer with what `error` says, or well if it is NULL. Destroys the answer. */
static void answer_finish(struct answer *a, const struct api_error *error)
{
    struct base_buf *frames = &a->api->frames;
    buf_clear(frames);
    answer_settle(a);
    http_exchange_set_user(a->peer.x, NULL);
    if (!a->started && !a->stream && !error)
        plain_finish(a);
    else if (!a->started && error)
        api_reply_error(a->api, &a->peer, error);
    else
        stream_finish(a, error ? format_error(error, frames) : a->kind->end(&a->format, frames));
    answer_destroy(a);
}

static void answer_fail(struct answer *a, const struct api_error *error)
{
    if (error->code == API_INTERNAL)
        log_line(LOG_ERROR, "event=answer.failed request=%s tenant=%s ticket=%s error=\"%s\"",
                 a->peer.request_id, a->tenant, a->peer.ticket_id, error->message);
    answer_finish(a, error);
}

/* The ticket is terminal and everything it emitted was seen. */
static void answer_end(struct answer *a, const struct park_status *status)
{
    struct api_error error;
    if (status->state == PARK_COMPLETED && format_is_complete(&a->format)) {
        latency_end(&a->api->latency, &a->latency, a->format.prompt_count * a->format.made,
                    clock_now_ns(a->api->options.clock));
        answer_finish(a, NULL);
        return;
    }
    api_error_of_status(&error, status);
    a->api->stats.expired += status->state == PARK_EXPIRED;
    answer_fail(a, &error);
}

/* ---- events to bytes ---- */

static void stream_start(struct answer *a)
{
    a->started = true;
    a->api->stats.streams++;
    api_reply_stream(a->api, &a->peer);
    pulse_set(&a->api->beats, &a->pulse, clock_now_ns(a->api->options.clock));
}

static bool client_is_slow(const struct answer *a)
{
    return a->started &&
           http_exchange_pending_bytes(a->peer.x) > a->api->options.stream_pause_bytes;
}

/* From now on the stream is silent. */
static void stream_write(struct answer *a, const void *data, size_t len)
{
    if (len)
        http_stream_write(a->peer.x, data, len);
    pulse_set(&a->api->beats, &a->pulse, clock_now_ns(a->api->options.clock));
}

/* Formats one event of a stream; the first one brings the headers. */
static enum base_err stream_event(struct answer *a, const struct valet_event *event)
{
    struct base_buf *frames = &a->api->frames;
    buf_clear(frames);
    enum base_err rc = a->kind->event(&a->format, event, frames);
    if (rc)
        return rc;
    if (!a->started)
        stream_start(a);
    if (frames->len)
        stream_write(a, frames->data, frames->len);
    if (frames->cap > FRAME_BYTES_KEPT_MAX)
        buf_fini(frames);
    return OK;
}

static enum base_err answer_event(struct answer *a, const struct park_event *raw,
                                  struct api_error *error)
{
    struct valet_event event;
    enum base_err rc = E_CORRUPT;
    if (valet_event_decode(&event, raw->data, raw->len) == 0)
        rc = format_note(&a->format, &event);
    if (!rc) {
        latency_note(&a->api->latency, &a->latency, &event, clock_now_ns(a->api->options.clock));
        rc = a->stream ? stream_event(a, &event) : format_collect(&a->format, a->kind, &event);
    }
    return rc ? answer_error(rc, error) : OK;
}

enum pump {
    PUMP_MORE,  /* there may be more events */
    PUMP_EMPTY, /* all events were formatted */
    PUMP_WAIT,  /* the client reads slowly: on from api_answer_resume */
    PUMP_BROKEN
};

/* Formats what one read brings, at most EVENTS_PER_READ events. */
static enum pump answer_read(struct answer *a, struct api_error *error)
{
    struct api *api = a->api;
    struct park_event events[EVENTS_PER_READ];
    size_t count;
    uint64_t first;
    if (client_is_slow(a))
        return PUMP_WAIT;
    enum park_err rc = park_events_read(a->ticket, a->cursor, api->events, sizeof api->events,
                                        events, EVENTS_PER_READ, &count, &first);
    if (rc) {
        api_error_set(error, API_INTERNAL, NULL, "the events could not be read: %s",
                      park_strerror(rc));
        return PUMP_BROKEN;
    }
    for (size_t i = 0; i < count; i++) {
        if (answer_event(a, &events[i], error))
            return PUMP_BROKEN;
        a->cursor = events[i].seq;
    }
    return count ? PUMP_MORE : PUMP_EMPTY;
}

/*
 * Formats what is new and ends the answer if it is complete; may destroy the answer. Not bounded
 * by a count: the ring is, and the engine is far slower than this.
 */
static void answer_pump(struct answer *a)
{
    struct park_status status;
    struct api_error error;
    enum pump next;
    do {
        park_status(a->ticket, &status);
        next = answer_read(a, &error);
    } while (next == PUMP_MORE);
    if (next == PUMP_BROKEN)
        answer_fail(a, &error);
    else if (next == PUMP_EMPTY && park_state_is_terminal(status.state))
        answer_end(a, &status);
}

/* ---- called by the loop ---- */

void api_answer_notice(struct api *api, park_ticket *ticket)
{
    struct answer *a = answer_find(api, ticket);
    if (a)
        answer_pump(a);
}

void api_answer_early(struct pulse *pulse)
{
    stream_start(answer_of_pulse(pulse));
}

void api_answer_beat(struct pulse *pulse)
{
    static const char comment[] = ": ping\n\n";
    struct answer *a = answer_of_pulse(pulse);
    stream_write(a, comment, client_is_slow(a) ? 0 : sizeof comment - 1);
}

void api_answer_resume(struct answer *a)
{
    answer_pump(a);
}

void api_answer_gone(struct answer *a)
{
    answer_destroy(a);
}
