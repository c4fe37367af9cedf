/*
 * The engine: sizes everything at start, then runs steps.
 *
 * Invariants
 *  1. One thread, the one in valet_engine_run, owns sequences, blocks and batch; nothing in
 *     here has a lock.
 *  2. Every request taken from the source is ended exactly once.
 *  3. A step allocates nothing.
 *  4. What a sequence computes depends on its request alone (tensor's rule), so requests
 *     cannot see each other in their answers.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/atom.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "engine/engine_int.h"
#include "tensor/team.h"

enum {
    ROWS_MAX = 256,
    CHUNK_MAX = 8192
};

void valet_engine_options_init(struct valet_engine_options *options)
{
    *options = (struct valet_engine_options){ .struct_size = sizeof *options,
                                              .rows_max = 16,
                                              .chunk_max = 256,
                                              .itl_target_ms = 50,
                                              .prefix_cache = true,
                                              .speculation = true };
}

uint64_t valet_engine_blocks(int32_t prompt_count, int32_t max_new)
{
    /* The last token generated is never fed back, so its keys and values are not stored. */
    uint64_t tokens = (uint64_t)prompt_count + (uint64_t)(max_new > 0 ? max_new - 1 : 0);
    return (tokens + VALET_BLOCK_TOKENS - 1) / VALET_BLOCK_TOKENS;
}

uint64_t valet_engine_blocks_start(int32_t prompt_count, int32_t max_new)
{
    uint64_t whole = valet_engine_blocks(prompt_count, max_new);
    uint64_t start = valet_engine_blocks(prompt_count, 1) + 1;
    return start < whole ? start : whole;
}

static enum valet_err fail(struct valet_error *error, enum valet_err code, const char *message)
{
    if (error) {
        error->code = code;
        snprintf(error->message, sizeof error->message, "%s", message);
    }
    return code;
}

/* ---- sizes ---- */

static int32_t blocks_for(int64_t tokens)
{
    return (int32_t)((tokens + VALET_BLOCK_TOKENS - 1) / VALET_BLOCK_TOKENS);
}

/* Half of the memory that the weights leave. */
static uint64_t kv_bytes_auto_max(const struct valet_model *m)
{
    uint64_t total = mem_machine_bytes();
    uint64_t weights = m->model->weight_bytes + m->model->packed_bytes;
    return total > weights ? (total - weights) / 2 : 0;
}

static enum valet_err plan(struct valet_engine *e, const struct valet_engine_options *options,
                           uint64_t *block_count, struct valet_error *error)
{
    const struct model_params *p = &e->model->model->params;
    if (options->rows_max < 1 || options->rows_max > ROWS_MAX)
        return fail(error, VALET_E_INVALID, "max-num-seqs: expected 1 to 256");
    if (options->chunk_max < 1 || options->chunk_max > CHUNK_MAX)
        return fail(error, VALET_E_INVALID, "prefill chunk: expected 1 to 8192");
    if (options->itl_target_ms < 0)
        return fail(error, VALET_E_INVALID, "itl-target: expected 0 or more");
    if (options->context < 0)
        return fail(error, VALET_E_INVALID, "ctx-size: expected a positive number");
    e->rows_max = options->rows_max;
    e->chunk_max = options->chunk_max;
    e->step_rows_max = e->rows_max + e->chunk_max;
    e->out_max = e->rows_max + PROMPT_LOGITS_MAX;
    e->itl_target_ns = (uint64_t)options->itl_target_ms * 1000000u;
    e->speculates = options->speculation;
    e->vocab = p->vocab;
    e->context =
        options->context > 0 && options->context < p->context ? options->context : p->context;
    size_t block_bytes = tensor_kv_block_bytes(e->model->isa, p->layers, p->kv_heads, p->head_dim);
    uint64_t count;
    if (options->kv_bytes > 0) {
        count = options->kv_bytes / block_bytes;
    } else {
        count = (uint64_t)e->rows_max * (uint64_t)blocks_for(e->context);
        uint64_t most = kv_bytes_auto_max(e->model) / block_bytes;
        count = count < most ? count : most;
    }
    if (count < 1) {
        char message[128];
        snprintf(message, sizeof message,
                 "kv-mem: too small; one block of %d tokens takes %zu bytes", VALET_BLOCK_TOKENS,
                 block_bytes);
        return fail(error, VALET_E_TOO_BIG, message);
    }
    if (count > UINT32_MAX)
        return fail(error, VALET_E_TOO_BIG, "kv-mem: too many blocks");
    if (count < (uint64_t)blocks_for(e->context))
        e->context = (int32_t)count * VALET_BLOCK_TOKENS;
    if (e->context < 2)
        return fail(error, VALET_E_INVALID, "ctx-size: expected at least 2");
    *block_count = count;
    return VALET_OK;
}

/* ---- create and destroy ---- */

static bool allocate(struct valet_engine *e)
{
    size_t rows = (size_t)e->rows_max;
    size_t step_rows = (size_t)e->step_rows_max;
    size_t table = (size_t)blocks_for(e->context);
    size_t piece = tokenizer_piece_bytes_max(e->model->tokenizer);
    size_t text = engine_stop_bytes(piece);
    e->logits_bytes = (size_t)e->out_max * (size_t)e->model->model->params.vocab * sizeof(float);
    e->seqs = mem_calloc(MEM_ENGINE, rows, sizeof *e->seqs);
    e->starts = mem_calloc(MEM_ENGINE, rows, sizeof *e->starts);
    e->seq_ids = mem_calloc(MEM_ENGINE, rows * (size_t)e->context, sizeof *e->seq_ids);
    e->prompt_events =
        mem_calloc(MEM_ENGINE, rows * (PROMPT_LOGITS_MAX + 1), sizeof *e->prompt_events);
    e->order = mem_calloc(MEM_ENGINE, rows, sizeof *e->order);
    e->drawing = mem_calloc(MEM_ENGINE, rows, sizeof *e->drawing);
    e->samplers = mem_calloc(MEM_ENGINE, (size_t)team_size(e->model->team), sizeof *e->samplers);
    e->block_tables = mem_calloc(MEM_ENGINE, rows * table, sizeof *e->block_tables);
    e->texts = mem_calloc(MEM_ENGINE, rows, text);
    e->piece = mem_calloc(MEM_ENGINE, 1, piece);
    e->ids = mem_calloc(MEM_ENGINE, step_rows, sizeof *e->ids);
    e->pos = mem_calloc(MEM_ENGINE, step_rows, sizeof *e->pos);
    e->row_blocks = mem_calloc(MEM_ENGINE, step_rows, sizeof *e->row_blocks);
    e->out_rows = mem_calloc(MEM_ENGINE, (size_t)e->out_max, sizeof *e->out_rows);
    e->logits = mem_map(MEM_ENGINE, e->logits_bytes);
    if (!e->seqs || !e->starts || !e->seq_ids || !e->prompt_events || !e->order || !e->drawing ||
        !e->samplers || !e->block_tables || !e->texts || !e->piece || !e->ids || !e->pos ||
        !e->row_blocks || !e->out_rows || !e->logits)
        return false;
    for (size_t i = 0; i < rows; i++) {
        e->seqs[i].blocks = e->block_tables + i * table;
        e->seqs[i].stop_buffer = e->texts + i * text;
        e->seqs[i].ids = e->seq_ids + i * (size_t)e->context;
        e->seqs[i].prompt_events = e->prompt_events + i * (PROMPT_LOGITS_MAX + 1);
    }
    return true;
}

static enum base_err init_parts(struct valet_engine *e, uint64_t block_count, bool prefix_cache)
{
    const struct model_params *p = &e->model->model->params;
    enum base_err rc =
        tensor_kv_init(&e->kv, e->model->isa, p->layers, p->kv_heads, p->head_dim, block_count);
    if (!rc)
        rc = engine_prefix_init(&e->prefix, block_count, prefix_cache);
    if (!rc)
        rc = model_state_init(&e->state, e->model->model, e->step_rows_max, e->out_max);
    if (!rc && !allocate(e))
        rc = E_NOMEM;
    for (int i = 0; !rc && i < team_size(e->model->team); i++)
        rc = engine_sampler_init(&e->samplers[i], p->vocab);
    return rc;
}

enum valet_err valet_engine_create(valet_model *model, const struct valet_engine_options *options,
                                   valet_engine **out, struct valet_error *error)
{
    *out = NULL;
    struct valet_engine *e = mem_calloc(MEM_ENGINE, 1, sizeof *e);
    if (!e)
        return fail(error, VALET_E_NOMEM, "out of memory");
    e->model = model;
    uint64_t block_count = 0;
    enum valet_err rc = plan(e, options, &block_count, error);
    if (!rc && init_parts(e, block_count, options->prefix_cache) != OK)
        rc = fail(error, VALET_E_NOMEM,
                  "not enough memory for the KV cache and buffers; try a smaller --kv-mem");
    if (rc) {
        valet_engine_destroy(e);
        return rc;
    }
    *out = e;
    return VALET_OK;
}

void valet_engine_destroy(valet_engine *e)
{
    if (!e)
        return;
    ASSERT(e->seq_count == 0);
    tensor_kv_fini(&e->kv);
    engine_prefix_fini(&e->prefix);
    model_state_fini(&e->state);
    for (int i = 0; e->samplers && i < team_size(e->model->team); i++)
        engine_sampler_fini(&e->samplers[i]);
    mem_free(e->samplers);
    mem_free(e->drawing);
    mem_free(e->seqs);
    mem_free(e->starts);
    mem_free(e->seq_ids);
    mem_free(e->prompt_events);
    mem_free(e->order);
    mem_free(e->block_tables);
    mem_free(e->texts);
    mem_free(e->piece);
    mem_free(e->ids);
    mem_free(e->pos);
    mem_free(e->row_blocks);
    mem_free(e->out_rows);
    mem_unmap(MEM_ENGINE, e->logits, e->logits_bytes);
    mem_free(e);
}

void valet_engine_info(const valet_engine *e, struct valet_engine_info *out)
{
    *out = (struct valet_engine_info){
        .context = e->context,
        .rows_max = e->rows_max,
        .chunk_max = e->chunk_max,
        .block_count = e->prefix.count,
        .block_bytes = e->kv.block_bytes,
    };
}

/* ---- the loop ---- */

static void drop_cancelled(struct valet_engine *e)
{
    for (int32_t i = 0; i < e->rows_max; i++) {
        struct engine_seq *s = &e->seqs[i];
        if (s->state != ENGINE_SEQ_FREE && e->source->cancelled(e->source->arg, s->work))
            engine_seq_leave(e, s, VALET_END_CANCELLED, NULL);
    }
}

static void admit(struct valet_engine *e)
{
    int32_t room = e->rows_max - e->seq_count;
    if (room == 0)
        return;
    size_t n = e->source->take(e->source->arg, e->starts, (size_t)room);
    ASSERT(n <= (size_t)room);
    for (size_t i = 0; i < n; i++) {
        /* One that was cancelled while it was out may come with nothing booked. */
        if (e->source->cancelled(e->source->arg, e->starts[i].work))
            e->source->end(e->source->arg, e->starts[i].work, VALET_END_CANCELLED, NULL);
        else
            engine_seq_join(e, &e->starts[i]);
    }
}

static void give_way(struct valet_engine *e)
{
    void *work = e->source->outranked ? e->source->outranked(e->source->arg) : NULL;
    if (work)
        engine_seq_preempt(e, engine_seq_of(e, work));
}

static void cancel_all(struct valet_engine *e)
{
    for (int32_t i = 0; i < e->rows_max; i++) {
        if (e->seqs[i].state != ENGINE_SEQ_FREE)
            engine_seq_leave(e, &e->seqs[i], VALET_END_CANCELLED, NULL);
    }
}

void valet_engine_run(valet_engine *e, const struct valet_engine_source *source)
{
    e->source = source;
    for (;;) {
        drop_cancelled(e);
        give_way(e);
        admit(e);
        if (engine_step(e))
            continue;
        lock_check_none_held();
        if (!source->wait(source->arg))
            break;
        atom_store_relaxed(&e->stat_beat_ns, clock_now_ns(&base_clock_monotonic));
    }
    cancel_all(e);
    e->source = NULL;
}

void valet_engine_stats(const valet_engine *e, struct valet_engine_stats *out)
{
    *out = (struct valet_engine_stats){
        .steps = atom_load_relaxed(&e->stat_steps),
        .prompt_tokens = atom_load_relaxed(&e->stat_prompt_tokens),
        .generated_tokens = atom_load_relaxed(&e->stat_generated_tokens),
        .prefix_query_tokens = atom_load_relaxed(&e->stat_prefix_query_tokens),
        .prefix_hit_tokens = atom_load_relaxed(&e->stat_prefix_hit_tokens),
        .draft_tokens = atom_load_relaxed(&e->stat_draft_tokens),
        .draft_accepted_tokens = atom_load_relaxed(&e->stat_draft_accepted_tokens),
        .preemptions = atom_load_relaxed(&e->stat_preemptions),
        .blocks_cached = atom_load_relaxed(&e->stat_blocks_cached),
        .blocks_used = atom_load_relaxed(&e->stat_blocks_used),
        .rows = atom_load_relaxed(&e->stat_rows),
        .step_ns = atom_load_relaxed(&e->stat_step_ns),
        .beat_ns = atom_load_relaxed(&e->stat_beat_ns),
        .stepping = atom_load_relaxed(&e->stat_stepping),
    };
}
