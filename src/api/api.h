#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"
#include "http/http.h"
#include "park/park.h"
#include "tokenizer/tokenizer.h"

/*
 * The routes: JSON in, tickets, events, JSON or SSE out. A request is checked, rendered and
 * tokenised here and submitted to the lot; what comes back over the lot's inbox is
 * formatted. It knows neither the engine nor the model file.
 *
 * Threads: everything belongs to the loop thread.
 */
struct api;

/* What is served. Borrowed while the api lives. */
struct api_model {
    const char *id;             /* as clients name it */
    const char *fingerprint;    /* "b0.1.0-9f3a1c22" */
    int64_t created;            /* seconds since 1970 */
    int32_t context;            /* tokens of prompt + answer */
    const struct tokenizer *tokenizer;
    const char *default_system; /* put in front of a chat without system message; NULL: none */
};

struct api_options {
    struct api_model model;
    park_pool *pool;   /* dimension 0: KV blocks, 1: slots */
    park_inbox *inbox; /* the loop's own */
    const struct base_clock *clock;
    const struct base_random *random;
    void *arg;
    /* KV blocks a request of this size holds at its end. */
    uint64_t (*blocks)(void *arg, int32_t prompt_count, int32_t max_new);
    /* Writes the metrics text (format 0.0.4). */
    enum base_err (*metrics)(void *arg, struct base_buf *out);
    bool (*healthy)(void *arg); /* the engine showed life lately, or is idle */
    /* NULL when ready, else the word for /ready: "loading", "draining". */
    const char *(*not_ready)(void *arg);
};

enum base_err api_create(const struct api_options *options, struct api **out);

/* After http_server_close has called back: no exchange is left. */
void api_destroy(struct api *api);

/* The callbacks for http_server_create. */
void api_http_handler(struct api *api, struct http_handler *out);

/* Call when the inbox's descriptor is readable: formats what is new. Bounded work per call. */
void api_inbox_ready(struct api *api);

/* What was answered, for /metrics. */
struct api_stats {
    uint64_t requests;           /* all routes */
    uint64_t status[6];          /* by first digit of the status: [2] = 2xx, … */
    uint64_t disconnects;        /* the client left first */
    uint64_t refused_queue_full; /* 429 */
    uint64_t refused_draining;   /* 503 */
    uint64_t streams;            /* running now */
    uint64_t unknown_fields;     /* of bodies; ignored */
};

void api_stats(const struct api *api, struct api_stats *out);

#endif
