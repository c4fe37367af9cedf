#ifndef ENGINE_ENGINE_INT_H
#define ENGINE_ENGINE_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/blocks.h"
#include "engine/loaded.h"
#include "engine/sampler.h"
#include "engine/stop.h"
#include "model/model.h"
#include "tensor/tensor.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

/*
 * A sequence: one request in the batch.
 *
 *   FREE ──join──▶ PREFILL ──last prompt token computed──▶ DECODE ──▶ FREE
 *                     └────────── cancelled, failed, done ──────────────┘
 *
 * Engine thread only.
 */
enum engine_seq_state {
    ENGINE_SEQ_FREE,
    ENGINE_SEQ_PREFILL,
    ENGINE_SEQ_DECODE
};

struct engine_seq {
    enum engine_seq_state state;
    uint64_t order; /* when it joined; the oldest prefills first */

    /* set when it joins, constant afterwards; borrowed from the source until `end` */
    void *work;
    const struct valet_request *request;

    /* progress */
    int32_t computed; /* tokens whose keys and values are in the cache */
    int32_t generated;
    int32_t next_id;  /* DECODE: the token to compute next */
    uint32_t *blocks; /* [context/32], the first block_count are held */
    int32_t block_count;

    /* text */
    struct tokenizer_decoder decoder;
    struct engine_stop stop;
    char *stop_buffer;

    /* an event the source had no room for: the row pauses until it is gone */
    bool has_pending;
    struct valet_event pending; /* its text is the front of stop.text */

    /* in the current step */
    int32_t step_rows; /* rows of this sequence; 0: none */
    int32_t out_index; /* its row of logits, -1: none */
};

struct valet_engine {
    struct valet_model *model;
    const struct valet_engine_source *source; /* while running */

    /* sizes, constant */
    int32_t context;
    int32_t rows_max;
    int32_t chunk_max;
    int32_t step_rows_max; /* rows_max + chunk_max */

    /* engine thread only */
    struct tensor_kv kv;
    struct engine_blocks blocks;
    struct model_state state;
    struct engine_sampler sampler;
    struct engine_seq *seqs; /* [rows_max] */
    int32_t seq_count;
    uint64_t next_order;
    void **works;                       /* [rows_max] for source->take */
    const struct valet_request **taken; /* [rows_max] */
    struct engine_seq **order;          /* [rows_max] sequences of a step, oldest first */
    uint32_t *block_tables;             /* [rows_max][context/32] */
    char *texts;                        /* [rows_max] stop buffers */
    char *piece;                        /* one decoded piece */

    /* a step's batch; arrays of step_rows_max, logits [rows_max][vocab] */
    int32_t *ids;
    int32_t *pos;
    const uint32_t **row_blocks;
    int32_t *out_rows;
    float *logits;
    size_t logits_bytes;

    /* written by the engine thread, read by any: relaxed, each by itself */
    _Atomic uint64_t stat_steps;
    _Atomic uint64_t stat_prompt_tokens;
    _Atomic uint64_t stat_generated_tokens;
    _Atomic uint64_t stat_blocks_used;
    _Atomic uint64_t stat_rows;
    _Atomic uint64_t stat_step_ns;
    _Atomic uint64_t stat_beat_ns;
    _Atomic bool stat_stepping;
};

/* ---- seq.c: the life of one sequence ---- */

/* Starts a request in a free place; reports START. An impossible request ends at once. */
void engine_seq_join(struct valet_engine *e, void *work, const struct valet_request *request);

/* Gives its blocks back, reports the end, frees the place. */
void engine_seq_leave(struct valet_engine *e, struct engine_seq *s, enum valet_end end,
                      const char *error);

/* Holds blocks for `tokens` tokens in all; false: none is free. */
bool engine_seq_grow(struct valet_engine *e, struct engine_seq *s, int32_t tokens);

/* Takes the sampled token `id` into the answer: text, stop strings, event, perhaps the end. */
void engine_seq_accept(struct valet_engine *e, struct engine_seq *s, int32_t id);

/* Offers the pending event again; false: still no room. The sequence may be gone afterwards. */
bool engine_seq_flush(struct valet_engine *e, struct engine_seq *s);

/* ---- step.c ---- */

/* One forward pass over what can make progress; false: nothing can. */
bool engine_step(struct valet_engine *e);

#endif
