#ifndef API_API_INT_H
#define API_API_INT_H

#include <jansson.h>

#include "api/api.h"
#include "api/errors.h"
#include "api/latency.h"
#include "api/limits.h"
#include "api/params.h"
#include "api/pulse.h"
#include "api/render.h"
#include "base/arena.h"
#include "base/buf.h"

enum {
    API_REQUEST_ID_MAX = 128,
    API_SHOWN_MAX = 200,
    API_ANSWER_BUCKETS = 1024,     /* a power of two; chains grow beyond */
    API_EVENT_BYTES = 64 << 10,    /* read from a ticket at once; holds the largest event */
    API_FRAME_BYTES_MAX = 64 << 20 /* frames of one event, which may repeat a whole prompt */
};

struct answer;

/* Loop thread only. */
struct api {
    struct api_options options;
    struct api_stats stats;
    struct api_render render;                   /* the model and its compiled chat template */
    jinja_template *chat_template;              /* NULL: ChatML */
    struct base_buf frames;                     /* scratch: what one event becomes */
    struct answer *answers[API_ANSWER_BUCKETS]; /* by ticket, see answer.c */
    struct limits limits;
    struct latency latency;
    struct pulse_list early;                  /* streams without headers yet */
    struct pulse_list beats;                  /* streams with headers */
    uint64_t salt_secret;                     /* keeps the prefixes of tenants apart */
    char server_id[API_REQUEST_ID_MAX + 1];   /* of the last answer that http made itself */
    char server_retry[2][24];                 /* in seconds, in ms */
    _Alignas(8) char events[API_EVENT_BYTES]; /* scratch: what was read from a ticket */
};

/* Whom an answer goes to. */
struct api_peer {
    struct http_exchange *x;
    uint64_t arrived_ns;   /* when the whole request was here */
    const char *ticket_id; /* NULL: no work */
    struct limits_use use; /* of the routes that are limited */
    char request_id[API_REQUEST_ID_MAX + 1];
};

/* One request while its route runs. */
struct api_call {
    struct api *api;
    struct api_peer peer;
    const struct http_request *request; /* borrowed until the exchange ends */
    struct http_str rest;               /* of the path, behind a route that ends in '/' */
    struct api_caller caller;           /* borrowed until the route returns */
    bool is_counted;                    /* of its tenant's requests, when its head was admitted */
};

/* ---- answers (reply.c). Each ends the exchange; the status is counted. ---- */

/* Takes `body`; NULL is a body that could not be made and becomes 503 server_full. */
void api_reply_json(struct api *api, const struct api_peer *peer, int status, json_t *body);
void api_reply_bytes(struct api *api, const struct api_peer *peer, int status, const char *type,
                     const struct base_buf *body);
void api_reply_error(struct api *api, const struct api_peer *peer, const struct api_error *error);

/* A state word for probes: 200, or 503 with a time to come back. */
void api_reply_status(struct api *api, const struct api_peer *peer, int status, const char *word);

/* Starts an SSE answer; its status is counted when it ends. */
void api_reply_stream(const struct api *api, const struct api_peer *peer);

/* `ms` within the bounds of the configuration; 0 stays 0. */
uint64_t api_retry_in_bounds(const struct api *api, uint64_t ms);

void api_count_status(struct api *api, int status);

/* ---- routes (routes.c) ---- */

void api_route(struct api_call *call);

/*
 * Decides by method, path and fields alone whether a request may go on: keys, scopes, method,
 * type of the body, requests of its tenant, where it is counted. False: the answer has been sent.
 */
bool api_route_admit(struct api_call *call);

/* A route as the outside sees it. */
struct api_route {
    const char *path; /* ends in '/': also everything behind it */
    bool post;        /* else GET and HEAD */
    unsigned scope;   /* of enum api_scope; 0: open to all */
};

/* The i-th route; false behind the last. */
bool api_route_at(size_t i, struct api_route *out);

/* Whether a part of the path is `text` once %XX is undone. */
bool api_percent_is(struct http_str raw, const char *text);

/* How much of the caller's own input goes into a message. */
int api_shown_len(struct http_str s);

/* ---- bodies (body.c) ---- */

/*
 * What a route does with its body: answers, or fills `error`. `scratch` and the body last
 * until it returns.
 */
typedef enum base_err (*api_body_fn)(struct api_call *call, const json_t *body,
                                     struct arena *scratch, struct api_error *error);

/* Parses the body of a call and runs `fn`; an error is the answer. */
void api_body_run(struct api_call *call, api_body_fn fn);

/* Whether work is taken now. */
enum base_err api_check_ready(const struct api *api, struct api_error *error);

/* Whether this is the model's id or one of its aliases. */
bool api_is_model(const struct api_model *model, struct http_str name);

/* Whether the model a body names, if any, is served, and the caller may use it. */
enum base_err api_check_model(const struct api_call *call, const char *name, size_t len,
                              struct api_error *error);

/* ---- keys (auth.c) ---- */

/* Finds call->caller: API_MISSING_KEY, API_INVALID_KEY. E_INVALID. */
enum base_err api_auth_caller(struct api_call *call, struct api_error *error);

/* Whether the caller may do this, or use the model: API_SCOPE_DENIED, API_MODEL_DENIED. */
enum base_err api_auth_scope(const struct api_call *call, unsigned scope, struct api_error *error);
enum base_err api_auth_model(const struct api_call *call, struct api_error *error);
bool api_auth_has_model(const struct api_call *call);

/* ---- one file per noun ---- */

/* The description of all routes (OpenAPI 3.1). E_NOMEM, E_TOO_BIG. */
enum base_err api_openapi_write(struct base_buf *out, const char *version);

void api_answer_gone(struct answer *answer);
void api_answer_resume(struct answer *answer);
void api_answer_notice(struct api *api, park_ticket *ticket);

/* An answer of api->early or api->beats is due. */
void api_answer_early(struct pulse *pulse);
void api_answer_beat(struct pulse *pulse);

void api_chat_post(struct api_call *call);
void api_completion_post(struct api_call *call);

void api_tokenize_post(struct api_call *call);
void api_detokenize_post(struct api_call *call);
void api_apply_template_post(struct api_call *call);

void api_models_get(struct api_call *call);
void api_model_get(struct api_call *call);

void api_health_get(struct api_call *call);
void api_ready_get(struct api_call *call);
void api_version_get(struct api_call *call);
void api_openapi_get(struct api_call *call);
void api_metrics_get(struct api_call *call);
void api_pools_get(struct api_call *call);
void api_pool_get(struct api_call *call);
void api_queues_get(struct api_call *call);

#endif
