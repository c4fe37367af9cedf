/*
 * libvalet: model files, tokenizers, paged KV, continuous batching, sampling.
 *
 * A program loads a model, makes an engine on it and runs the engine in a thread of its
 * own. The engine asks a source for requests and reports events to it; it knows nothing of
 * who waits or why. The source may be a parking lot, a loop over one prompt, or a test.
 */
#ifndef VALET_ENGINE_H
#define VALET_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "valet/event.h"
#include "valet/request.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VALET_API __attribute__((visibility("default")))

enum valet_err {
    VALET_OK = 0,
    VALET_E_NOMEM = -1,
    VALET_E_INVALID = -2,
    VALET_E_NOT_FOUND = -7,
    VALET_E_IO = -9,
    VALET_E_CORRUPT = -10,
    VALET_E_UNSUPPORTED = -11,
    VALET_E_TOO_BIG = -12
};

struct valet_error {
    enum valet_err code;
    char message[256]; /* one line for a person */
};

typedef struct valet_model valet_model;
typedef struct valet_engine valet_engine;
struct tokenizer; /* tokenizer/tokenizer.h */

/* ---- models ---- */

struct valet_model_options {
    uint32_t struct_size;
    int32_t threads; /* kernel threads; 0: the CPUs this process may use */
    const char *isa; /* "ref", "avx512vnni"; NULL: $VALET_ISA, else the best this CPU has */
};

VALET_API void valet_model_options_init(struct valet_model_options *options);

/*
 * Maps a model file, checks it and prepares its weights. Fails with *out NULL and one line
 * in `error` (may be NULL). Gives: valet_model_free.
 */
VALET_API enum valet_err valet_model_load(const char *path,
                                          const struct valet_model_options *options,
                                          valet_model **out, struct valet_error *error);

/* No engine on it may exist any more. */
VALET_API void valet_model_free(valet_model *model);

struct valet_model_info {
    const char *name; /* general.name, or "" */
    const char *arch;
    const char *isa;
    int32_t threads;
    int32_t context; /* the model's own limit */
    int32_t vocab;
    int32_t layers;
    int32_t width;
    int32_t heads;
    int32_t kv_heads;
    int32_t head_dim;
    uint64_t parameters;
    uint64_t weight_bytes;     /* read from the file */
    uint64_t packed_bytes;     /* copies made for this CPU */
    const char *chat_template; /* as in the file, or "" */
};

/* The strings live as long as the model. */
VALET_API void valet_model_info(const valet_model *model, struct valet_model_info *out);
VALET_API const struct tokenizer *valet_model_tokenizer(const valet_model *model);

/* ---- engines ---- */

#define VALET_BLOCK_TOKENS 32 /* tokens in a KV block */

struct valet_engine_options {
    uint32_t struct_size;
    int32_t context;   /* longest prompt + answer; 0: the model's */
    uint64_t kv_bytes; /* budget of the KV cache; 0: rows_max * context, at most half of memory */
    int32_t rows_max;  /* requests in the batch, 1..256 */
    int32_t chunk_max; /* prompt tokens of one step, all requests together */
    int32_t itl_target_ms; /* about how long a step with prompt tokens takes; 0: no bound */
    bool prefix_cache;     /* keys and values of finished prefixes are kept and shared */
    bool speculation;      /* tokens are guessed and checked several a step; same answers */
};

VALET_API void valet_engine_options_init(struct valet_engine_options *options);

/* Gives: valet_engine_destroy. INVALID: options out of range, TOO_BIG: the budget is too small. */
VALET_API enum valet_err valet_engine_create(valet_model *model,
                                             const struct valet_engine_options *options,
                                             valet_engine **out, struct valet_error *error);
VALET_API void valet_engine_destroy(valet_engine *engine);

struct valet_engine_info {
    int32_t context; /* in force: min(model, options, what the blocks hold) */
    int32_t rows_max;
    int32_t chunk_max;
    uint64_t block_count;
    uint64_t block_bytes; /* all layers */
};

VALET_API void valet_engine_info(const valet_engine *engine, struct valet_engine_info *out);

/* KV blocks that a request of this size holds at its end, and when it starts. */
VALET_API uint64_t valet_engine_blocks(int32_t prompt_count, int32_t max_new);
VALET_API uint64_t valet_engine_blocks_start(int32_t prompt_count, int32_t max_new);

/* How a request ended. */
enum valet_end {
    VALET_END_DONE,      /* its last event has a finish reason */
    VALET_END_CANCELLED, /* the source said so */
    VALET_END_FAILED     /* `error` says why; other requests go on */
};

/*
 * What a request had done when it gave way to another (valet_engine_source.requeue); with it
 * the request goes on where it was. Zero: from the start.
 */
struct valet_progress {
    const int32_t *ids; /* [count] tokens generated and reported */
    int32_t count;
    int32_t prompt_reported; /* VALET_EVENT_PROMPT events reported */
    bool started;            /* VALET_EVENT_START was reported */
    float mirostat_mu;
};

/* A request that starts now. */
struct valet_start {
    void *work; /* the source's own name for it */
    const struct valet_request *request;
    uint32_t choice; /* which choice of the request: part of the random numbers */
    uint64_t blocks; /* booked for it */
    uint32_t rank;   /* a lower one goes first and takes more of a step; 0: the most urgent */
    struct valet_progress progress;
};

/*
 * Where work comes from and where events go. All functions are called from the thread in
 * valet_engine_run, outside all locks.
 */
struct valet_engine_source {
    void *arg;
    /*
     * Gives at most `room` requests that start now; never blocks. The source has booked at
     * least valet_engine_blocks_start for each, and the blocks booked never exceed block_count.
     * One that comes back asks for what it held by `grow` when it joins.
     * Request and progress are borrowed until the work's `end` or `requeue`.
     */
    size_t (*take)(void *arg, struct valet_start *starts, size_t room);
    /*
     * Blocks while there is nothing to do; called when no row can make progress. Returns
     * false when the engine shall end.
     */
    bool (*wait)(void *arg);
    /* Whether the request is no longer wanted. Asked when it is taken and before each step. */
    bool (*cancelled)(void *arg, void *work);
    /*
     * Books `blocks` in all for a request that grows. False: there are none; then the engine
     * asks for a victim. NULL: all were booked at the start (valet_engine_blocks).
     */
    bool (*grow)(void *arg, void *work, uint64_t blocks);
    /* The work that gives way when blocks run out; NULL: none, the row waits. */
    void *(*victim)(void *arg);
    /*
     * The work that gives way to more urgent work that does not fit, NULL: none. Asked once in
     * each step, before `take`. The function may be NULL.
     */
    void *(*outranked)(void *arg);
    /*
     * The work has left the batch and comes back by `take`, with what it had done (copied).
     * False: no memory; the engine ends it as failed.
     */
    bool (*requeue)(void *arg, void *work, const struct valet_progress *progress);
    /* Takes an event (copies it), or returns false: no room now, the row pauses and retries. */
    bool (*emit)(void *arg, void *work, const struct valet_event *event);
    /* The request has left the batch for good. Called exactly once for each request taken. */
    void (*end)(void *arg, void *work, enum valet_end end, const char *error);
};

/*
 * Runs steps until the source's wait returns false; requests still in the batch then end
 * CANCELLED. The calling thread becomes the engine thread and member 0 of the kernel team.
 */
VALET_API void valet_engine_run(valet_engine *engine, const struct valet_engine_source *source);

struct valet_engine_stats {
    uint64_t steps;
    uint64_t prompt_tokens;
    uint64_t generated_tokens;
    uint64_t prefix_query_tokens;   /* prompt tokens that could have been cached */
    uint64_t prefix_hit_tokens;     /* and those that were */
    uint64_t draft_tokens;          /* guessed by speculation */
    uint64_t draft_accepted_tokens; /* and those that were right */
    uint64_t preemptions;
    uint64_t blocks_cached; /* held by the prefix cache alone; free when needed */
    uint64_t blocks_used;
    uint64_t rows;    /* requests in the batch */
    uint64_t step_ns; /* time spent in steps */
    uint64_t beat_ns; /* when the engine last showed life (monotonic clock) */
    bool stepping;    /* inside a step now */
};

/* Any thread. Each number is right by itself; together they may be a step apart. */
VALET_API void valet_engine_stats(const valet_engine *engine, struct valet_engine_stats *out);

#ifdef __cplusplus
}
#endif

#endif
