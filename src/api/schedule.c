#include "api/schedule.h"

#include <inttypes.h>
#include <string.h>

#define PRIORITY_FIELD "X-Valet-Priority"
#define TIMEOUT_FIELD "X-Valet-Queue-Timeout-Ms"
#define DISCONNECT_FIELD "X-Valet-On-Disconnect"
#define WAIT_MS_MAX INT64_C(31536000000) /* a year */

bool schedule_parse_class(const char *text, size_t len, enum park_class *out)
{
    for (int i = 0; i < PARK_CLASS_COUNT; i++) {
        const char *name = park_class_name((enum park_class)i);
        if (strlen(name) == len && memcmp(name, text, len) == 0) {
            *out = (enum park_class)i;
            return true;
        }
    }
    return false;
}

const char *schedule_tier(enum park_class klass)
{
    if (klass == PARK_CLASS_NORMAL)
        return "default";
    return klass == PARK_CLASS_LOW ? "flex" : "priority";
}

static enum base_err wrong(struct api_error *error, const char *name, const char *expected,
                           const struct http_str *got)
{
    return api_error_set(error, API_INVALID_VALUE, name, "%s: expected %s, got %.*s", name,
                         expected, api_shown_len(*got), got->data);
}

/* A decimal number of milliseconds up to a year; absent: *out stays. */
static enum base_err read_ms(const struct http_request *request, const char *name, int64_t min,
                             bool *present, int64_t *out, struct api_error *error)
{
    const struct http_str *value = http_request_field(request, name);
    int64_t ms = 0;
    *present = value != NULL;
    if (!value)
        return OK;
    bool good = value->len > 0;
    for (size_t i = 0; good && i < value->len; i++) {
        good = value->data[i] >= '0' && value->data[i] <= '9' && ms <= WAIT_MS_MAX;
        ms = ms * 10 + (value->data[i] - '0');
    }
    if (!good || ms < min || ms > WAIT_MS_MAX)
        return wrong(error, name,
                     min ? "a number of milliseconds from 1 to 31536000000"
                         : "a number of milliseconds from 0 to 31536000000",
                     value);
    *out = ms;
    return OK;
}

static enum base_err read_class(const struct http_request *request, enum park_class *klass,
                                struct api_error *error)
{
    const struct http_str *value = http_request_field(request, PRIORITY_FIELD);
    if (!value || schedule_parse_class(value->data, value->len, klass))
        return OK;
    return wrong(error, PRIORITY_FIELD, "critical, high, normal or low", value);
}

static enum base_err read_disconnect(const struct http_request *request, struct api_error *error)
{
    const struct http_str *value = http_request_field(request, DISCONNECT_FIELD);
    if (!value || http_str_is(*value, "cancel"))
        return OK;
    if (http_str_is(*value, "keep"))
        return api_error_set(error, API_UNSUPPORTED, DISCONNECT_FIELD,
                             DISCONNECT_FIELD ": this server does not support it; expected "
                                              "cancel, got keep");
    return wrong(error, DISCONNECT_FIELD, "cancel or keep", value);
}

enum base_err schedule_read(struct api_call *call, const struct api_params *params,
                            struct schedule *out, struct api_error *error)
{
    const struct http_request *request = call->request;
    int64_t deadline_ms = 0;
    int64_t timeout_ms = 0;
    bool has_deadline = false;
    bool has_timeout = false;
    *out = (struct schedule){ .klass = params->klass };
    enum base_err rc = read_class(request, &out->klass, error);
    if (!rc)
        rc = read_ms(request, API_DEADLINE_FIELD, 0, &has_deadline, &deadline_ms, error);
    if (!rc)
        rc = read_ms(request, TIMEOUT_FIELD, 1, &has_timeout, &timeout_ms, error);
    if (!rc)
        rc = read_disconnect(request, error);
    if (rc)
        return rc;
    if (out->klass < call->caller.class_max) {
        out->klass = call->caller.class_max;
        call->api->stats.clamped++;
    }
    if (has_deadline)
        out->deadline_ns =
            park_now_ns(call->api->options.pool) + (uint64_t)deadline_ms * UINT64_C(1000000);
    out->queue_timeout_ms = (uint64_t)timeout_ms;
    return OK;
}
