#ifndef API_ERRORS_H
#define API_ERRORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "park/park.h"

/*
 * The one table of errors that clients see: name, HTTP status, type, code. What refuses a
 * request fills a struct api_error; what answers it reads the row.
 */
#define API_ERROR_LIST(X)                                                                          \
    X(API_INVALID_JSON, 400, "invalid_request_error", "invalid_json")                              \
    X(API_INVALID_VALUE, 400, "invalid_request_error", "invalid_value")                            \
    X(API_MISSING, 400, "invalid_request_error", "missing_required_parameter")                     \
    X(API_UNSUPPORTED, 400, "invalid_request_error", "unsupported_parameter")                      \
    X(API_CONTEXT_LENGTH, 400, "invalid_request_error", "context_length_exceeded")                 \
    X(API_OVERSIZE, 400, "invalid_request_error", "oversize")                                      \
    X(API_DEADLINE_PAST, 400, "invalid_request_error", "deadline_past")                            \
    X(API_MISSING_KEY, 401, "authentication_error", "missing_api_key")                             \
    X(API_INVALID_KEY, 401, "authentication_error", "invalid_api_key")                             \
    X(API_SCOPE_DENIED, 403, "permission_error", "scope_denied")                                   \
    X(API_MODEL_DENIED, 403, "permission_error", "model_denied")                                   \
    X(API_HOST_DENIED, 403, "permission_error", "host_denied")                                     \
    X(API_MODEL_NOT_FOUND, 404, "invalid_request_error", "model_not_found")                        \
    X(API_NOT_FOUND, 404, "not_found_error", "not_found")                                          \
    X(API_METHOD_NOT_ALLOWED, 405, "invalid_request_error", "method_not_allowed")                  \
    X(API_REQUEST_TIMEOUT, 408, "timeout_error", "request_timeout")                                \
    X(API_RESULT_EXPIRED, 410, "not_found_error", "result_expired")                                \
    X(API_EVENT_GAP, 410, "not_found_error", "event_gap")                                          \
    X(API_BODY_TOO_LARGE, 413, "invalid_request_error", "body_too_large")                          \
    X(API_URI_TOO_LONG, 414, "invalid_request_error", "uri_too_long")                              \
    X(API_MEDIA_TYPE, 415, "invalid_request_error", "unsupported_media_type")                      \
    X(API_HEADERS_TOO_LARGE, 431, "invalid_request_error", "headers_too_large")                    \
    X(API_RATE_LIMIT, 429, "rate_limit_error", "rate_limit_exceeded")                              \
    X(API_CONCURRENCY, 429, "rate_limit_error", "concurrency_limit")                               \
    X(API_CLASS_FULL, 429, "rate_limit_error", "class_queue_full")                                 \
    X(API_QUEUE_FULL, 429, "rate_limit_error", "queue_full")                                       \
    X(API_SERVER_FULL, 503, "overloaded_error", "server_full")                                     \
    X(API_DRAINING, 503, "overloaded_error", "draining")                                           \
    X(API_NOT_READY, 503, "overloaded_error", "not_ready")                                         \
    X(API_QUEUE_TIMEOUT, 503, "overloaded_error", "queue_timeout")                                 \
    X(API_DEADLINE_EXPIRED, 503, "overloaded_error", "deadline_expired")                           \
    X(API_INTERNAL, 500, "server_error", "internal_error")                                         \
    X(API_RUN_TIMEOUT, 504, "timeout_error", "run_timeout")

/* The header that deadline_past is about. */
#define API_DEADLINE_FIELD "X-Valet-Deadline-Ms"

enum api_code {
#define X(name, status, type, code) name,
    API_ERROR_LIST(X)
#undef X
    API_CODE_COUNT
};

struct api_error {
    enum api_code code;
    char message[640];       /* field, what was expected, what came; well-formed UTF-8 */
    char param[160];         /* path of the field, "": null */
    uint64_t retry_after_ms; /* 429 and 503: at least 1 */
    bool has_queue;          /* the lot said how many wait; else it is asked for the answer */
    uint64_t queue_depth;    /* 429 and 503: tasks parked; class_queue_full: of the class */
    uint64_t position;       /* the place that the work would have had; 0: null */
    const char *allow;       /* 405: the methods that are; a literal */
};

int api_error_status(enum api_code code);
const char *api_error_type(enum api_code code);
const char *api_error_name(enum api_code code);

/*
 * Fills `error`; `param` may be NULL. A 429 or 503 gets a time to come back. Returns
 * E_INVALID, so that a parser can `return api_error_set(…)`.
 */
__attribute__((format(printf, 4, 5))) enum base_err api_error_set(struct api_error *error,
                                                                  enum api_code code,
                                                                  const char *param,
                                                                  const char *format, ...);

/* API_SERVER_FULL for lack of memory. Returns E_NOMEM. */
enum base_err api_error_nomem(struct api_error *error);

/* The row for an error of the lot. */
enum api_code api_code_of_park(enum park_err err);

/* The row for a ticket that ended without an answer. */
enum api_code api_code_of_end(enum park_state state, enum park_reason reason);

/*
 * Why park_submit or park_reserve said no. `dim_name` is that of refusal->dim; `length_field`
 * of the body asks for the length of an answer.
 */
void api_error_of_refusal(struct api_error *error, const struct park_refusal *refusal,
                          const char *dim_name, const char *length_field);

/* Why a ticket ended without an answer: failed, cancelled, dropped or expired. */
void api_error_of_status(struct api_error *error, const struct park_status *status);

/* Whether the official clients should not try again, although the status says so. */
bool api_error_is_final(const struct api_error *error);

/*
 * {"error":{…}}; what has a time to come back carries retry_after_ms, queue_depth and position
 * if `with_retry`.
 */
json_t *api_error_json(const struct api_error *error, bool with_retry);

/* Retry-After in whole seconds, at least 1. */
uint64_t api_retry_after_s(uint64_t retry_after_ms);

/*
 * The body of a refusal made below the routes, as http_handler.error_body wants it; with
 * retry_after_ms unless that is 0.
 */
size_t api_error_http_body(int status, const char *code, const char *message,
                           uint64_t retry_after_ms, char *out, size_t out_size);

/* When it is worth coming back after such a refusal; 0: never. */
uint64_t api_error_http_retry_ms(int status, const char *code);

#endif
