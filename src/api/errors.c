#include "api/errors.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"

enum {
    RETRY_SOON_MS = 1000,  /* memory, loading: may pass at any moment */
    RETRY_DRAIN_MS = 5000, /* another process has to take over */
    BODY_MESSAGE_MAX = 256
};

static const struct {
    int status;
    const char *type;
    const char *name;
} g_rows[API_CODE_COUNT] = {
#define X(name, status, type, code) [name] = { status, type, code },
    API_ERROR_LIST(X)
#undef X
};

int api_error_status(enum api_code code)
{
    ASSERT((unsigned)code < API_CODE_COUNT);
    return g_rows[code].status;
}

const char *api_error_type(enum api_code code)
{
    ASSERT((unsigned)code < API_CODE_COUNT);
    return g_rows[code].type;
}

const char *api_error_name(enum api_code code)
{
    ASSERT((unsigned)code < API_CODE_COUNT);
    return g_rows[code].name;
}

/* Copies text so that it is well-formed UTF-8: a bad or cut character becomes '?'. */
static void text_copy_clean(char *out, size_t out_size, const char *s)
{
    size_t len = strlen(s);
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        int k = utf8_char_len(s + i, len - i);
        size_t step = k ? (size_t)k : 1;
        if (n + step + 1 > out_size)
            break;
        if (k)
            memcpy(out + n, s + i, step);
        else
            out[n] = '?';
        n += step;
        i += step;
    }
    out[n] = '\0';
}

static uint64_t retry_default_ms(enum api_code code)
{
    int status = api_error_status(code);
    if (code == API_DRAINING)
        return RETRY_DRAIN_MS;
    return status == 429 || status == 503 ? RETRY_SOON_MS : 0;
}

enum base_err api_error_set(struct api_error *error, enum api_code code, const char *param,
                            const char *format, ...)
{
    char message[sizeof error->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    *error = (struct api_error){ .code = code, .retry_after_ms = retry_default_ms(code) };
    text_copy_clean(error->message, sizeof error->message, message);
    if (param)
        text_copy_clean(error->param, sizeof error->param, param);
    return E_INVALID;
}

enum base_err api_error_nomem(struct api_error *error)
{
    api_error_set(error, API_SERVER_FULL, NULL, "the server is out of memory for this request");
    return E_NOMEM;
}

enum api_code api_code_of_park(enum park_err err)
{
    switch (err) {
    case PARK_E_NOMEM:
        return API_SERVER_FULL;
    case PARK_E_OVERSIZE:
        return API_OVERSIZE;
    case PARK_E_QUEUE_FULL:
        return API_QUEUE_FULL;
    case PARK_E_CLASS_FULL:
        return API_CLASS_FULL;
    case PARK_E_DEADLINE:
        return API_DEADLINE_PAST;
    case PARK_E_NOT_READY:
        return API_NOT_READY;
    case PARK_E_DRAINING:
    case PARK_E_CLOSED:
        return API_DRAINING;
    case PARK_E_NOT_FOUND:
        return API_NOT_FOUND;
    case PARK_E_GONE:
        return API_RESULT_EXPIRED;
    case PARK_E_GAP:
        return API_EVENT_GAP;
    case PARK_OK:
    case PARK_E_INVALID:
    case PARK_E_TIMEOUT:
    case PARK_E_AGAIN:
    case PARK_E_LIMIT:
        break;
    }
    return API_INTERNAL;
}

enum api_code api_code_of_end(enum park_state state, enum park_reason reason)
{
    switch (reason) {
    case PARK_REASON_SHUTDOWN:
    case PARK_REASON_DRAINING:
        return API_DRAINING;
    case PARK_REASON_QUEUE_TIMEOUT:
        return API_QUEUE_TIMEOUT;
    case PARK_REASON_DEADLINE:
        return API_DEADLINE_EXPIRED;
    case PARK_REASON_RUN_TIMEOUT:
        return API_RUN_TIMEOUT;
    case PARK_REASON_NO_LONGER_FITS:
        return API_OVERSIZE;
    case PARK_REASON_NONE:
    case PARK_REASON_ERROR:
    case PARK_REASON_CLIENT:
    case PARK_REASON_DISCONNECT:
    case PARK_REASON_SLOW_READER:
    case PARK_REASON_WORKER_DIED:
        break;
    }
    return state == PARK_EXPIRED ? API_QUEUE_TIMEOUT : API_INTERNAL;
}

/* The words of a refusal that has some of its own. */
static void refusal_text(struct api_error *error, enum api_code code,
                         const struct park_refusal *refusal, const char *dim_name,
                         const char *length_field)
{
    if (code == API_OVERSIZE)
        api_error_set(error, code, length_field,
                      "the prompt with %s needs %" PRIu64 " %s, the server has %" PRIu64,
                      length_field, refusal->requested, dim_name, refusal->available);
    else if (code == API_QUEUE_FULL)
        api_error_set(error, code, NULL, "the queue is full: %" PRIu64 " requests are waiting",
                      refusal->queue_count);
    else if (code == API_CLASS_FULL)
        api_error_set(error, code, NULL,
                      "the queue of this priority is full: %" PRIu64 " requests are waiting in it",
                      refusal->queue_count);
    else if (code == API_DEADLINE_PAST)
        api_error_set(error, code, API_DEADLINE_FIELD, "%s: it has passed already",
                      API_DEADLINE_FIELD);
    else if (code == API_DRAINING)
        api_error_set(error, code, NULL, "the server is shutting down and takes no new requests");
    else if (code == API_NOT_READY)
        api_error_set(error, code, NULL, "the server has no capacity now");
    else if (code == API_SERVER_FULL)
        api_error_nomem(error);
    else
        api_error_set(error, code, NULL, "the request could not be queued: %s",
                      park_strerror(refusal->code));
}

void api_error_of_refusal(struct api_error *error, const struct park_refusal *refusal,
                          const char *dim_name, const char *length_field)
{
    refusal_text(error, api_code_of_park(refusal->code), refusal, dim_name, length_field);
    if (!error->retry_after_ms)
        return;
    if (refusal->retry_after_ms)
        error->retry_after_ms = refusal->retry_after_ms;
    error->has_queue = true;
    error->queue_depth = refusal->queue_count;
    error->position = refusal->position;
}

void api_error_of_status(struct api_error *error, const struct park_status *status)
{
    uint64_t waited_ms = status->queued_ns / 1000000;
    uint64_t ran_ms = status->run_ns / 1000000;
    enum api_code code = api_code_of_end(status->state, status->reason);
    if (code == API_DRAINING)
        api_error_set(error, code, NULL,
                      status->state == PARK_DROPPED
                          ? "the server shut down before the request was started"
                          : "the server shut down before the answer was complete");
    else if (code == API_QUEUE_TIMEOUT)
        api_error_set(error, code, NULL,
                      "the request waited %" PRIu64 " ms, which is as long as it may", waited_ms);
    else if (code == API_DEADLINE_EXPIRED)
        api_error_set(error, code, NULL,
                      "the deadline passed before the request could start; it waited %" PRIu64
                      " ms",
                      waited_ms);
    else if (code == API_RUN_TIMEOUT)
        api_error_set(error, code, NULL,
                      "the request ran %" PRIu64 " ms, which is as long as it may", ran_ms);
    else if (code == API_OVERSIZE)
        api_error_set(error, code, NULL,
                      "the server became too small for the request while it waited");
    else if (status->state == PARK_FAILED)
        api_error_set(error, code, NULL, "the request failed: %s", status->error_text);
    else
        api_error_set(error, code, NULL, "the request ended without an answer: %s (%s)",
                      park_state_name(status->state), park_reason_name(status->reason));
    if (error->retry_after_ms && status->retry_after_ms)
        error->retry_after_ms = status->retry_after_ms;
}

bool api_error_is_final(const struct api_error *error)
{
    return error->code == API_RUN_TIMEOUT;
}

uint64_t api_retry_after_s(uint64_t retry_after_ms)
{
    return retry_after_ms <= 1000 ? 1 : (retry_after_ms - 1) / 1000 + 1;
}

json_t *api_error_json(const struct api_error *error, bool with_retry)
{
    const char *param = error->param[0] ? error->param : NULL;
    json_t *row =
        json_pack("{s:s,s:s,s:s?,s:s}", "message", error->message, "type",
                  api_error_type(error->code), "param", param, "code", api_error_name(error->code));
    json_t *position = error->position ? json_integer((json_int_t)error->position) : json_null();
    if (with_retry && error->retry_after_ms &&
        json_object_update_new(
            row, json_pack("{s:I,s:I,s:O}", "retry_after_ms", (json_int_t)error->retry_after_ms,
                           "queue_depth", (json_int_t)error->queue_depth, "position", position))) {
        json_decref(row);
        row = NULL;
    }
    json_decref(position);
    return json_pack("{s:o}", "error", row);
}

/* The row with this code, else the first one with this status, else API_CODE_COUNT. */
static enum api_code row_find(int status, const char *code)
{
    enum api_code found = API_CODE_COUNT;
    for (unsigned i = 0; i < API_CODE_COUNT; i++) {
        if (g_rows[i].status != status)
            continue;
        if (strcmp(g_rows[i].name, code) == 0)
            return (enum api_code)i;
        if (found == API_CODE_COUNT)
            found = (enum api_code)i;
    }
    return found;
}

uint64_t api_error_http_retry_ms(int status, const char *code)
{
    enum api_code row = row_find(status, code);
    return row == API_CODE_COUNT ? 0 : retry_default_ms(row);
}

size_t api_error_http_body(int status, const char *code, const char *message,
                           uint64_t retry_after_ms, char *out, size_t out_size)
{
    enum api_code row = row_find(status, code);
    const char *type = status >= 500 ? "server_error" : "invalid_request_error";
    if (row != API_CODE_COUNT)
        type = api_error_type(row);
    char text[BODY_MESSAGE_MAX];
    text_copy_clean(text, sizeof text, message);
    char name[64];
    text_copy_clean(name, sizeof name, code);
    json_t *retry = retry_after_ms ? json_integer((json_int_t)retry_after_ms) : NULL;
    json_t *body = json_pack("{s:{s:s,s:s,s:n,s:s,s:o*}}", "error", "message", text, "type", type,
                             "param", "code", name, "retry_after_ms", retry);
    size_t len = body ? json_dumpb(body, out, out_size, JSON_COMPACT) : 0;
    json_decref(body);
    return len <= out_size ? len : 0;
}
