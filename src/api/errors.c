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
    case PARK_E_DRAINING:
    case PARK_E_CLOSED:
        return API_DRAINING;
    case PARK_E_NOT_FOUND:
        return API_NOT_FOUND;
    case PARK_OK:
    case PARK_E_INVALID:
    case PARK_E_TIMEOUT:
    case PARK_E_AGAIN:
    case PARK_E_GAP:
    case PARK_E_LIMIT:
        break;
    }
    return API_INTERNAL;
}

void api_error_of_refusal(struct api_error *error, const struct park_refusal *refusal,
                          const char *dim_name, const char *length_field)
{
    enum api_code code = api_code_of_park(refusal->code);
    if (code == API_OVERSIZE)
        api_error_set(error, code, length_field,
                      "the prompt with %s needs %" PRIu64 " %s, the server has %" PRIu64,
                      length_field, refusal->requested, dim_name, refusal->available);
    else if (code == API_QUEUE_FULL)
        api_error_set(error, code, NULL, "the queue is full: %" PRIu64 " requests are waiting",
                      refusal->queue_count);
    else if (code == API_DRAINING)
        api_error_set(error, code, NULL, "the server is shutting down and takes no new requests");
    else if (code == API_SERVER_FULL)
        api_error_nomem(error);
    else
        api_error_set(error, code, NULL, "the request could not be queued: %s",
                      park_strerror(refusal->code));
    if (error->retry_after_ms && refusal->retry_after_ms)
        error->retry_after_ms = refusal->retry_after_ms;
}

void api_error_of_status(struct api_error *error, const struct park_status *status)
{
    bool ending = status->reason == PARK_REASON_SHUTDOWN || status->reason == PARK_REASON_DRAINING;
    if (ending)
        api_error_set(error, API_DRAINING, NULL,
                      status->state == PARK_DROPPED
                          ? "the server shut down before the request was started"
                          : "the server shut down before the answer was complete");
    else if (status->state == PARK_FAILED)
        api_error_set(error, API_INTERNAL, NULL, "the request failed: %s", status->error_text);
    else
        api_error_set(error, API_INTERNAL, NULL, "the request ended without an answer: %s (%s)",
                      park_state_name(status->state), park_reason_name(status->reason));
}

uint64_t api_retry_after_s(uint64_t retry_after_ms)
{
    return retry_after_ms <= 1000 ? 1 : (retry_after_ms - 1) / 1000 + 1;
}

json_t *api_error_json(const struct api_error *error, bool with_retry)
{
    const char *param = error->param[0] ? error->param : NULL;
    const char *type = api_error_type(error->code);
    const char *name = api_error_name(error->code);
    if (!with_retry || !error->retry_after_ms)
        return json_pack("{s:{s:s,s:s,s:s?,s:s}}", "error", "message", error->message, "type", type,
                         "param", param, "code", name);
    return json_pack("{s:{s:s,s:s,s:s?,s:s,s:I,s:I,s:n}}", "error", "message", error->message,
                     "type", type, "param", param, "code", name, "retry_after_ms",
                     (json_int_t)error->retry_after_ms, "queue_depth",
                     (json_int_t)error->queue_depth, "position");
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

size_t api_error_http_body(int status, const char *code, const char *message, char *out,
                           size_t out_size)
{
    enum api_code row = row_find(status, code);
    const char *type = status >= 500 ? "server_error" : "invalid_request_error";
    if (row != API_CODE_COUNT)
        type = api_error_type(row);
    char text[BODY_MESSAGE_MAX];
    text_copy_clean(text, sizeof text, message);
    char name[64];
    text_copy_clean(name, sizeof name, code);
    json_t *body = json_pack("{s:{s:s,s:s,s:n,s:s}}", "error", "message", text, "type", type,
                             "param", "code", name);
    size_t len = body ? json_dumpb(body, out, out_size, JSON_COMPACT) : 0;
    json_decref(body);
    return len <= out_size ? len : 0;
}
