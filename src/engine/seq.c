#include "engine/engine_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/atom.h"

static bool request_is_possible(const struct valet_engine *e, const struct valet_request *r)
{
    if (r->prompt_count < 1 || r->max_new < 1 || r->stop_count > VALET_STOPS_MAX)
        return false;
    if (r->prompt_count > e->context - 1 || r->max_new > e->context - r->prompt_count)
        return false;
    for (int32_t i = 0; i < r->prompt_count; i++) {
        if (r->prompt[i] < 0 || r->prompt[i] >= e->sampler.vocab)
            return false;
    }
    for (uint32_t i = 0; i < r->stop_count; i++) {
        if (r->stops[i].len < 1 || r->stops[i].len > VALET_STOP_BYTES_MAX)
            return false;
    }
    return true;
}

static struct engine_seq *free_place(struct valet_engine *e)
{
    for (int32_t i = 0; i < e->rows_max; i++) {
        if (e->seqs[i].state == ENGINE_SEQ_FREE)
            return &e->seqs[i];
    }
    ASSERT(0 && "a source gave more requests than there is room for");
}

/* Hands an event to the source, or keeps it. */
static void emit(struct valet_engine *e, struct engine_seq *s, const struct valet_event *event)
{
    DCHECK(!s->has_pending);
    s->pending = *event;
    s->has_pending = true;
    engine_seq_flush(e, s);
}

void engine_seq_join(struct valet_engine *e, void *work, const struct valet_request *request)
{
    if (!request_is_possible(e, request)) {
        e->source->end(e->source->arg, work, VALET_END_FAILED, "the request is out of range");
        return;
    }
    struct engine_seq *s = free_place(e);
    s->state = ENGINE_SEQ_PREFILL;
    s->order = e->next_order++;
    s->work = work;
    s->request = request;
    s->computed = 0;
    s->generated = 0;
    s->next_id = -1;
    s->block_count = 0;
    s->has_pending = false;
    tokenizer_decoder_init(&s->decoder, e->model->tokenizer, false);
    engine_stop_init(&s->stop, request->stops, request->stop_count, s->stop_buffer,
                     tokenizer_piece_bytes_max(e->model->tokenizer));
    e->seq_count++;
    atom_store_relaxed(&e->stat_rows, (uint64_t)e->seq_count); /* statistics only */
    emit(e, s, &(struct valet_event){ .type = VALET_EVENT_START, .id = -1 });
}

void engine_seq_leave(struct valet_engine *e, struct engine_seq *s, enum valet_end end,
                      const char *error)
{
    for (int32_t i = 0; i < s->block_count; i++)
        engine_block_give(&e->blocks, s->blocks[i]);
    s->block_count = 0;
    s->has_pending = false;
    s->state = ENGINE_SEQ_FREE;
    e->seq_count--;
    /* Statistics only. They are moved first, so that whoever sees the end sees them too. */
    atom_store_relaxed(&e->stat_rows, (uint64_t)e->seq_count);
    atom_store_relaxed(&e->stat_blocks_used, e->blocks.count - e->blocks.free_count);
    e->source->end(e->source->arg, s->work, end, error);
}

bool engine_seq_grow(struct valet_engine *e, struct engine_seq *s, int32_t tokens)
{
    int32_t want = (tokens + VALET_BLOCK_TOKENS - 1) / VALET_BLOCK_TOKENS;
    while (s->block_count < want) {
        if (!engine_block_take(&e->blocks, &s->blocks[s->block_count]))
            return false;
        s->block_count++;
    }
    return true;
}

static bool is_end(const struct valet_model *m, int32_t id)
{
    for (int32_t i = 0; i < m->end_count; i++) {
        if (m->end_ids[i] == id)
            return true;
    }
    return false;
}

/* Nothing more comes: all that was held back may go out, up to a stop string it completes. */
static size_t release_rest(struct valet_engine *e, struct engine_seq *s)
{
    size_t release;
    size_t len = tokenizer_decode_end(&s->decoder, e->piece);
    return engine_stop_add(&s->stop, e->piece, len, &release) ? release : s->stop.len;
}

void engine_seq_accept(struct valet_engine *e, struct engine_seq *s, int32_t id)
{
    s->generated++;
    s->next_id = id;
    s->state = ENGINE_SEQ_DECODE;
    bool end = is_end(e->model, id);
    size_t len = end ? 0 : tokenizer_decode(&s->decoder, id, e->piece);
    size_t release = 0;
    enum valet_finish finish = VALET_FINISH_NONE;
    if (engine_stop_add(&s->stop, e->piece, len, &release)) {
        finish = VALET_FINISH_STOP;
    } else if (end || s->generated == s->request->max_new) {
        finish = end ? VALET_FINISH_STOP : VALET_FINISH_LENGTH;
        release = release_rest(e, s);
    }
    emit(e, s,
         &(struct valet_event){ .type = VALET_EVENT_TOKEN,
                                .id = id,
                                .finish = finish,
                                .generated = s->generated,
                                .text_len = (uint32_t)release,
                                .text = s->stop.text });
}

bool engine_seq_flush(struct valet_engine *e, struct engine_seq *s)
{
    if (!s->has_pending)
        return true;
    if (!e->source->emit(e->source->arg, s->work, &s->pending))
        return false;
    s->has_pending = false;
    engine_stop_released(&s->stop, s->pending.text_len);
    if (s->pending.finish != VALET_FINISH_NONE)
        engine_seq_leave(e, s, VALET_END_DONE, NULL);
    return true;
}
