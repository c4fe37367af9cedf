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
#include "valet/request.h"

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
    const char *const *aliases; /* [alias_count] other names for it */
    size_t alias_count;
    const char *fingerprint; /* "b0.1.0-9f3a1c22" */
    int64_t created;         /* seconds since 1970 */
    int32_t context;         /* tokens of prompt + answer */
    const struct tokenizer *tokenizer;
    const char *default_system; /* put in front of a chat without system message; NULL: none */
    const char *chat_template;  /* Jinja, compiled in api_create; NULL or "": ChatML */
    const char *bos_text;       /* bos_token and eos_token in the template; NULL: undefined */
    const char *eos_text;
};

/* What /version says; NULL: null. Borrowed while the api lives. */
struct api_version {
    const char *version; /* "0.1.0" */
    const char *commit;
    const char *build;
};

/* What a key is good for. */
enum api_scope {
    API_SCOPE_INFER = 1,
    API_SCOPE_ADMIN = 2,
    API_SCOPE_METRICS = 4
};

/* Who asks. A limit of 0 is none. */
struct api_caller {
    const char *tenant;        /* 1..PARK_TENANT_BYTES_MAX bytes */
    unsigned scopes;           /* of enum api_scope */
    enum park_class class_max; /* the most urgent one; work above it is lowered */
    const char *const *models; /* [model_count] that it may use; none: all */
    size_t model_count;
    int64_t requests_per_min; /* of the tenant, each over a window of one minute */
    int64_t tokens_per_min;
    int64_t in_flight_max; /* tickets, parked or running */
    int64_t running_max;   /* tickets that run; more wait */
};

/* What may change while the api lives. */
struct api_settings {
    bool strict_max_tokens; /* an answer longer than what fits is refused, not shortened */
    /* The times to come back of 429 and 503; up to `jitter` (0..1) of a time is added. */
    uint64_t retry_after_min_ms;
    uint64_t retry_after_max_ms; /* 0: the three defaults */
    double retry_after_jitter;
};

/* Answers are shortened; 1 to 60 s, spread by half. */
void api_settings_init(struct api_settings *settings);

struct api_options {
    struct api_model model;
    struct api_version version;
    park_pool *pool;   /* dimension 0: KV blocks, 1: slots */
    park_inbox *inbox; /* the loop's own */
    const struct base_clock *clock;
    const struct base_random *random;
    void *arg;
    /* KV blocks a request of this size holds when it starts, and at its end. */
    uint64_t (*blocks_start)(void *arg, int32_t prompt_count, int32_t max_new);
    uint64_t (*blocks)(void *arg, int32_t prompt_count, int32_t max_new);
    /* Writes the metrics text (format 0.0.4). */
    enum base_err (*metrics)(void *arg, struct base_buf *out);
    bool (*healthy)(void *arg); /* the engine showed life lately, or is idle */
    /* NULL when ready, else the word for /ready: "loading", "draining". */
    const char *(*not_ready)(void *arg);

    /*
     * Who has this key; `key` NULL: none was sent. False: nobody who may ask. What *out points
     * to lasts until the server's callback that asked returns. NULL: there are no keys; whoever
     * asks is tenant "default", up to class high, without limits. Clients on a Unix socket that
     * send no key are that, too.
     */
    bool (*authenticate)(void *arg, const struct http_str *key, struct api_caller *out);
    bool metrics_public; /* /metrics needs no key */
    struct api_settings settings;

    /* For api_tick; 0: never. */
    uint64_t early_headers_ms; /* a stream that waits that long gets its headers before an event */
    uint64_t heartbeat_ms;     /* a stream silent for that long gets a comment */
    size_t stream_pause_bytes; /* not yet taken by a client: its ring is not read; 0: 256 KiB */
};

/*
 * *out is NULL on an error, and `info` (may be NULL) says why: options that are missing, a
 * chat template that is none (E_INVALID, E_UNSUPPORTED, E_TOO_BIG), E_NOMEM.
 */
enum base_err api_create(const struct api_options *options, struct api **out,
                         struct base_err_info *info);

/* From now on; copied. */
void api_configure(struct api *api, const struct api_settings *settings);

/* After http_server_close has called back: no exchange is left. */
void api_destroy(struct api *api);

/* The callbacks for http_server_create. */
void api_http_handler(struct api *api, struct http_handler *out);

/* Call when the inbox's descriptor is readable: formats what is new. Bounded work per call. */
void api_inbox_ready(struct api *api);

/*
 * Does what is due by options.clock and returns when it has to be called again at the latest,
 * UINT64_MAX: nothing is due. Every other call into the api may bring that forward, so a loop
 * calls it before it sleeps.
 */
uint64_t api_tick(struct api *api);

/*
 * What a task of a ticket is to do: the request, and which of its choices. `payload` is the
 * task's. The events of a task carry its index in the ticket as their choice, so that
 * several prompts of one ticket can be told apart; the choice given here is for drawing.
 * Borrowed until the task is finished. Any thread.
 */
const struct valet_request *api_task_request(const void *payload, uint32_t task_index,
                                             uint32_t *choice);

/* What was answered, for /metrics. */
struct api_stats {
    uint64_t requests;           /* all routes */
    uint64_t status[6];          /* by first digit of the status: [2] = 2xx, … */
    uint64_t disconnects;        /* the client left first */
    uint64_t refused_queue_full; /* 429, of the lot and of a class */
    uint64_t refused_limits;     /* 429, of a tenant */
    uint64_t refused_keys;       /* 401 and 403 */
    uint64_t refused_draining;   /* 503 */
    uint64_t expired;            /* waited or ran too long */
    uint64_t clamped;            /* asked for a class above the caller's */
    uint64_t streams;            /* running now */
    uint64_t unknown_fields;     /* of bodies; ignored */
};

void api_stats(const struct api *api, struct api_stats *out);

/* What clients wait for, in seconds; where nothing else is said, since the whole request is here. */
enum api_latency {
    API_LATENCY_FIRST,     /* the first token of an answer */
    API_LATENCY_BETWEEN,   /* from one token of a choice to the next */
    API_LATENCY_PER_TOKEN, /* the mean of that, once for each complete choice */
    API_LATENCY_WHOLE,     /* the end of a complete answer */
    API_LATENCY_PREFILL,   /* of a complete answer: from the start to the first token */
    API_LATENCY_DECODE,    /* of a complete answer: from the first token to the last */
    API_LATENCY_COUNT
};

enum {
    API_BOUNDS_MAX = 22
};

/* Bucket i counts what was at most bounds[i] and in no bucket before; the last one the rest. */
struct api_histogram {
    const double *bounds; /* [bound_count], rising; as long as the program */
    size_t bound_count;
    uint64_t buckets[API_BOUNDS_MAX + 1];
    uint64_t count;
    double sum_s;
};

/* Borrowed; grows with what is answered. */
const struct api_histogram *api_latency(const struct api *api, enum api_latency kind,
                                        enum park_class klass);

#endif
