#ifndef ENGINE_ENGINE_INT_H
#define ENGINE_ENGINE_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/loaded.h"
#include "engine/prefix.h"
#include "engine/sampler.h"
#include "engine/stop.h"
#include "model/model.h"
#include "tensor/tensor.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

enum {
    /* Rows of a step whose logits are wanted for prompt_logprobs, over all sequences. */
    PROMPT_LOGITS_MAX = 32,
    ENGINE_NONE = -1,    /* no token */
    ENGINE_DRAFT_MAX = 3 /* drafts of a sequence in a step */
};

/* A VALET_EVENT_PROMPT that waits for room. */
struct engine_prompt_event {
    int32_t id;
    float logprob;
    uint32_t top_count;
    struct valet_top top[VALET_TOP_LOGPROBS_MAX];
};

/*
 * A sequence: one choice of a request in the batch. Its tokens are ids [known], the prompt and
 * what was generated; the keys and values of the first `computed` of them are in the cache. A
 * step computes some of the others; when the last known token is computed, the next is drawn.
 * So a sequence that was preempted differs from a new one only in `known`. In a step, `drafted`
 * guesses may stand behind the known ones.
 *
 *   FREE ──join──▶ WAITING ──admitted to a step──▶ RUNNING ──▶ FREE
 *                     └── end: cancelled, failed, done; or requeued ──┘
 *
 * Engine thread only.
 */
enum engine_seq_state {
    ENGINE_SEQ_FREE,
    ENGINE_SEQ_WAITING, /* the prefix cache has not been asked yet */
    ENGINE_SEQ_RUNNING
};

struct engine_seq {
    enum engine_seq_state state;
    uint32_t rank;  /* the lowest prefills first, ... */
    uint64_t order; /* ... of these the oldest: when it joined */

    /* set when it joins, constant afterwards; borrowed from the source until the end */
    void *work;
    const struct valet_request *request;
    uint32_t choice;

    /* progress */
    int32_t *ids;  /* [context] */
    int32_t known; /* prompt_count + generated */
    int32_t computed;
    int32_t generated; /* drawn; the last one may not be reported yet */
    int32_t reported;  /* of these, accepted by the source */
    bool started;      /* START was accepted */
    float mu;          /* mirostat, after `generated` draws */
    float mu_reported; /* after `reported` draws */

    /* blocks: computed tokens lie in the first of them */
    uint32_t *blocks; /* [context/32], the first block_count are held */
    int32_t block_count;
    int32_t node_count; /* leading blocks that are full nodes of the prefix cache */
    uint64_t booked;    /* blocks booked with the source */

    /* text */
    struct tokenizer_decoder decoder;
    struct engine_stop stop;
    char *stop_buffer;

    /* events the source had no room for: the row pauses until they are gone */
    bool has_pending;
    struct valet_event pending; /* its text is the front of stop.text */
    struct valet_top tops[VALET_TOP_LOGPROBS_MAX];
    struct engine_prompt_event *prompt_events; /* [PROMPT_LOGITS_MAX + 1] */
    int32_t prompt_event_count;
    int32_t prompt_event_sent;
    int32_t prompt_reported; /* over the whole prompt */

    /* speculation */
    int32_t draft_from; /* no draft before so many were generated */
    int32_t draft_wait; /* how long the last wrong draft made it wait; 0: it was right */

    /* in the current step */
    int32_t step_rows; /* rows of this sequence; 0: none */
    int32_t out_index; /* its first row of logits, -1: none */
    int32_t out_count;
    int32_t drafted; /* of the rows, those of drafts */
    int32_t drawn;   /* behind the last, ENGINE_NONE: none can be */
};

struct valet_engine {
    struct valet_model *model;
    const struct valet_engine_source *source; /* while running */

    /* sizes, constant */
    int32_t context;
    int32_t rows_max;
    int32_t chunk_max;
    int32_t step_rows_max; /* rows_max + chunk_max */
    int32_t out_max;       /* rows_max + PROMPT_LOGITS_MAX */
    int32_t vocab;
    uint64_t itl_target_ns;
    bool speculates;

    /* engine thread only */
    struct tensor_kv kv;
    struct engine_prefix prefix;
    struct model_state state;
    struct engine_sampler *samplers; /* [members of the team] */
    struct engine_seq **drawing;     /* [rows_max] those that draw one token in this step */
    struct engine_seq *seqs;         /* [rows_max] */
    int32_t seq_count;
    uint64_t next_order;
    struct valet_start *starts;                /* [rows_max] for source->take */
    struct engine_seq **order;                 /* [rows_max] sequences of a step, by rank and age */
    int32_t *seq_ids;                          /* [rows_max][context] */
    uint32_t *block_tables;                    /* [rows_max][context/32] */
    char *texts;                               /* [rows_max] stop buffers */
    struct engine_prompt_event *prompt_events; /* [rows_max][PROMPT_LOGITS_MAX + 1] */
    char *piece;                               /* one decoded piece */

    /* how long steps take, running means; 0: not known yet */
    double decode_ns; /* a step without prompt rows */
    double row_ns;    /* a prompt row in a step */
    uint32_t turn;    /* counts steps: who comes first is not the same in each */

    /* a step's batch; arrays of step_rows_max, logits [out_max][vocab] */
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
    _Atomic uint64_t stat_prefix_query_tokens;
    _Atomic uint64_t stat_prefix_hit_tokens;
    _Atomic uint64_t stat_draft_tokens;
    _Atomic uint64_t stat_draft_accepted_tokens;
    _Atomic uint64_t stat_preemptions;
    _Atomic uint64_t stat_blocks_used;
    _Atomic uint64_t stat_blocks_cached;
    _Atomic uint64_t stat_rows;
    _Atomic uint64_t stat_step_ns;
    _Atomic uint64_t stat_beat_ns;
    _Atomic bool stat_stepping;
};

/* ---- seq.c: the life of one sequence ---- */

/* Starts a request in a free place. An impossible request ends at once. */
void engine_seq_join(struct valet_engine *e, const struct valet_start *start);

/* Gives its blocks back, reports the end, frees the place. */
void engine_seq_leave(struct valet_engine *e, struct engine_seq *s, enum valet_end end,
                      const char *error);

/* The sequence of a work that the source names; it is in the batch. */
struct engine_seq *engine_seq_of(struct valet_engine *e, const void *work);

/* Leaves the batch for now; the source gives it back later. */
void engine_seq_preempt(struct valet_engine *e, struct engine_seq *s);

/* Takes the sampled token `id` into the answer: text, stop strings, event, perhaps the end. */
void engine_seq_accept(struct valet_engine *e, struct engine_seq *s, int32_t id,
                       const float *logits);

/* Ends a request that wanted its prompt's logprobs only. */
void engine_seq_finish_prompt(struct valet_engine *e, struct engine_seq *s);

/*
 * Notes the logprob of prompt token `index`; logits of the token before, NULL for the first.
 * False: it is no number.
 */
bool engine_seq_note_prompt(struct valet_engine *e, struct engine_seq *s, int32_t index,
                            const float *logits);

/* Offers pending events again; false: still no room. The sequence may be gone afterwards. */
bool engine_seq_flush(struct valet_engine *e, struct engine_seq *s);

/* The tokens that must not be drawn now; at most MASKED_MAX into `out`. */
enum {
    MASKED_MAX = LOADED_ENDS_MAX + VALET_STOP_IDS_MAX
};
uint32_t engine_seq_masked(const struct valet_engine *e, const struct engine_seq *s,
                           int32_t out[MASKED_MAX]);

/* ---- kv.c: the blocks of a sequence ---- */

/* Takes over what the prefix cache, or a sibling choice, has of its prompt; reports START. */
void engine_seq_admit(struct valet_engine *e, struct engine_seq *s);

/*
 * Holds blocks for `tokens` tokens in all, booking more if it must and preempting others if
 * there are none. False: not now (the row waits, or was itself preempted or ended).
 */
bool engine_seq_grow(struct valet_engine *e, struct engine_seq *s, int32_t tokens);

/* Tells the prefix cache of blocks that have become full. */
void engine_seq_note_full(struct valet_engine *e, struct engine_seq *s);

/* Gives all blocks back; what was computed stays cached while there is room. */
void engine_seq_give_blocks(struct valet_engine *e, struct engine_seq *s);

/* ---- draft.c: speculation ---- */

/* Writes at most `most` guesses behind the known tokens of a decoding sequence; returns how many. */
int32_t engine_draft(struct engine_seq *s, int32_t most);

/* Tells how many of them came true. Who guesses badly pauses, longer each time. */
void engine_draft_note(struct engine_seq *s, int32_t drafted, int32_t accepted);

/* ---- step.c ---- */

/* One forward pass over what can make progress; false: nothing can. */
bool engine_step(struct valet_engine *e);

#endif
