/*
 * A step: one forward pass over a mixed batch. Every sequence that decodes gets its row
 * first; what the chunk budget leaves goes to prompts, the oldest first. Then each sequence
 * whose last row was computed draws its token.
 */
#include <string.h>

#include "base/assert.h"
#include "base/atom.h"
#include "base/clock.h"
#include "engine/engine_int.h"

/* Sequences that can make progress, oldest first. Insertion sort: few, and nearly in order. */
static int32_t collect(struct valet_engine *e)
{
    int32_t n = 0;
    for (int32_t i = 0; i < e->rows_max; i++) {
        struct engine_seq *s = &e->seqs[i];
        s->step_rows = 0;
        s->out_index = -1;
        if (s->state == ENGINE_SEQ_FREE || s->has_pending)
            continue;
        int32_t at = n++;
        while (at > 0 && e->order[at - 1]->order > s->order) {
            e->order[at] = e->order[at - 1];
            at--;
        }
        e->order[at] = s;
    }
    return n;
}

/* How many prompt tokens a sequence computes now; a cut falls on a block border if it can. */
static int32_t chunk_len(const struct engine_seq *s, int32_t budget)
{
    int32_t left = s->request->prompt_count - s->computed;
    if (left <= budget)
        return left;
    int32_t end = (s->computed + budget) / VALET_BLOCK_TOKENS * VALET_BLOCK_TOKENS;
    return end > s->computed ? end - s->computed : budget;
}

/* Puts `n` rows of a sequence behind the rows already there. */
static void add_rows(struct valet_engine *e, struct model_batch *batch, struct engine_seq *s,
                     const int32_t *ids, int32_t n, bool wants_logits)
{
    int64_t row = batch->rows.n_rows;
    for (int32_t i = 0; i < n; i++) {
        e->ids[row + i] = ids[i];
        e->pos[row + i] = s->computed + i;
        e->row_blocks[row + i] = s->blocks;
    }
    batch->rows.n_rows += n;
    s->step_rows = n;
    if (wants_logits) {
        s->out_index = (int32_t)batch->out_count;
        e->out_rows[batch->out_count++] = (int32_t)(row + n - 1);
    }
}

static void add_decode_row(struct valet_engine *e, struct model_batch *batch, struct engine_seq *s)
{
    if (engine_seq_grow(e, s, s->computed + 1))
        add_rows(e, batch, s, &s->next_id, 1, true);
    else
        engine_seq_leave(e, s, VALET_END_FAILED, "out of KV blocks");
}

static int32_t add_prompt_rows(struct valet_engine *e, struct model_batch *batch,
                               struct engine_seq *s, int32_t budget)
{
    int32_t n = chunk_len(s, budget);
    if (!engine_seq_grow(e, s, s->computed + n)) {
        engine_seq_leave(e, s, VALET_END_FAILED, "out of KV blocks");
        return 0;
    }
    bool whole = s->computed + n == s->request->prompt_count;
    add_rows(e, batch, s, s->request->prompt + s->computed, n, whole);
    return n;
}

static void build(struct valet_engine *e, struct model_batch *batch, int32_t seq_count)
{
    *batch = (struct model_batch){ .rows = { .pos = e->pos, .blocks = e->row_blocks },
                                   .ids = e->ids,
                                   .out_rows = e->out_rows };
    for (int32_t i = 0; i < seq_count; i++) {
        if (e->order[i]->state == ENGINE_SEQ_DECODE)
            add_decode_row(e, batch, e->order[i]);
    }
    int32_t budget = e->chunk_max;
    for (int32_t i = 0; i < seq_count && budget > 0; i++) {
        if (e->order[i]->state == ENGINE_SEQ_PREFILL)
            budget -= add_prompt_rows(e, batch, e->order[i], budget);
    }
}

/* Draws the next token of every sequence whose logits were computed. */
static void sample_all(struct valet_engine *e, int32_t seq_count)
{
    for (int32_t i = 0; i < seq_count; i++) {
        struct engine_seq *s = e->order[i];
        if (s->step_rows == 0)
            continue;
        s->computed += s->step_rows;
        if (s->out_index < 0)
            continue;
        int32_t id;
        const float *logits = e->logits + (size_t)s->out_index * (size_t)e->sampler.vocab;
        if (engine_sample(&e->sampler, logits, &s->request->sampling, 0, s->generated, &id))
            engine_seq_accept(e, s, id);
        else
            engine_seq_leave(e, s, VALET_END_FAILED, "the model computed a value that is no number");
    }
}

bool engine_step(struct valet_engine *e)
{
    int32_t seq_count = collect(e);
    if (seq_count == 0)
        return false;
    uint64_t start_ns = clock_now_ns(&base_clock_monotonic);
    atom_store_relaxed(&e->stat_beat_ns, start_ns); /* statistics only, here and below */
    atom_store_relaxed(&e->stat_stepping, true);

    struct model_batch batch;
    build(e, &batch, seq_count);
    atom_store_relaxed(&e->stat_blocks_used, e->blocks.count - e->blocks.free_count);
    if (batch.rows.n_rows > 0)
        model_forward(e->model->model, &e->state, &e->kv, &batch, e->logits);

    for (int32_t i = 0; i < seq_count; i++) {
        if (e->order[i]->step_rows > 0 && e->order[i]->state == ENGINE_SEQ_PREFILL)
            atom_add_relaxed(&e->stat_prompt_tokens, (uint64_t)e->order[i]->step_rows);
    }
    atom_add_relaxed(&e->stat_generated_tokens, (uint64_t)batch.out_count);
    sample_all(e, seq_count);

    uint64_t end_ns = clock_now_ns(&base_clock_monotonic);
    atom_add_relaxed(&e->stat_steps, 1);
    atom_add_relaxed(&e->stat_step_ns, end_ns - start_ns);
    atom_store_relaxed(&e->stat_beat_ns, end_ns);
    atom_store_relaxed(&e->stat_stepping, false);
    return true;
}
