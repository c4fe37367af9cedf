#include "engine/engine_int.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/atom.h"

/* ---- joining ---- */

static bool ids_are_valid(const int32_t *ids, int32_t count, int32_t vocab)
{
    for (int32_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= vocab)
            return false;
    }
    return true;
}

/* A NaN is within nothing. */
static bool is_within(float x, float min, float max)
{
    return x >= min && x <= max;
}

static bool sampling_numbers_are_possible(const struct valet_sampling *s)
{
    const float finite[] = { s->min_p,         s->top_n_sigma,        s->xtc_probability,
                             s->xtc_threshold, s->repetition_penalty, s->dry_multiplier,
                             s->dry_base,      s->mirostat_tau,       s->mirostat_eta };
    for (size_t i = 0; i < sizeof finite / sizeof *finite; i++) {
        if (!isfinite(finite[i]))
            return false;
    }
    return is_within(s->temperature, 0, FLT_MAX) && is_within(s->top_p, 0, 1) &&
           is_within(s->typical_p, 0, 1) && is_within(s->presence_penalty, -2, 2) &&
           is_within(s->frequency_penalty, -2, 2);
}

static bool sampling_is_possible(const struct valet_sampling *s, int32_t vocab)
{
    if (s->bias_count > VALET_BIAS_MAX || s->dry_breaker_count > INT32_MAX || s->mirostat < 0 ||
        s->mirostat > 2)
        return false;
    for (uint32_t i = 0; i < s->bias_count; i++) {
        if (s->bias[i].id < 0 || s->bias[i].id >= vocab || !is_within(s->bias[i].bias, -100, 100))
            return false;
    }
    return sampling_numbers_are_possible(s) &&
           ids_are_valid(s->dry_breakers, (int32_t)s->dry_breaker_count, vocab);
}

static bool request_is_possible(const struct valet_engine *e, const struct valet_request *r)
{
    int32_t vocab = e->vocab;
    if (r->prompt_count < 1 || r->max_new < (r->prompt_logprobs ? 0 : 1))
        return false;
    if (r->prompt_count > e->context - (r->max_new > 0) ||
        r->max_new > e->context - r->prompt_count)
        return false;
    if (r->stop_count > VALET_STOPS_MAX || r->stop_id_count > VALET_STOP_IDS_MAX)
        return false;
    if (r->top_logprobs < 0 || r->top_logprobs > VALET_TOP_LOGPROBS_MAX || r->top_logprobs > vocab)
        return false;
    for (uint32_t i = 0; i < r->stop_count; i++) {
        if (r->stops[i].len < 1 || r->stops[i].len > VALET_STOP_BYTES_MAX)
            return false;
    }
    return ids_are_valid(r->prompt, r->prompt_count, vocab) &&
           ids_are_valid(r->stop_ids, (int32_t)r->stop_id_count, vocab) &&
           sampling_is_possible(&r->sampling, vocab);
}

static bool progress_is_possible(const struct valet_request *r, const struct valet_progress *p,
                                 int32_t vocab)
{
    return p->count >= 0 && (p->count == 0 || p->count < r->max_new) && p->prompt_reported >= 0 &&
           p->prompt_reported <= r->prompt_count && ids_are_valid(p->ids, p->count, vocab);
}

static struct engine_seq *free_place(struct valet_engine *e)
{
    for (int32_t i = 0; i < e->rows_max; i++) {
        if (e->seqs[i].state == ENGINE_SEQ_FREE)
            return &e->seqs[i];
    }
    ASSERT(0 && "a source gave more requests than there is room for");
}

/* ---- text ---- */

static bool is_in(const int32_t *ids, uint32_t count, int32_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

static bool is_end(const struct valet_model *m, int32_t id)
{
    return is_in(m->end_ids, (uint32_t)m->end_count, id);
}

/* Takes one token's text in; stop strings count from min_tokens on. */
static struct engine_stop_result add_text(struct valet_engine *e, struct engine_seq *s, int32_t id)
{
    s->stop.count = s->generated >= s->request->min_tokens ? s->request->stop_count : 0;
    size_t len = is_end(e->model, id) ? 0 : tokenizer_decode(&s->decoder, id, e->piece);
    return engine_stop_add(&s->stop, e->piece, len);
}

/* Brings decoder and stop matcher to where they were after the tokens of `progress`. */
static void replay(struct valet_engine *e, struct engine_seq *s,
                   const struct valet_progress *progress)
{
    for (int32_t i = 0; i < progress->count; i++) {
        s->ids[s->known++] = progress->ids[i];
        s->generated++;
        engine_stop_released(&s->stop, add_text(e, s, progress->ids[i]).release);
    }
    s->reported = s->generated;
    s->started = progress->started;
    s->prompt_reported = progress->prompt_reported;
    if (progress->count > 0)
        s->mu = progress->mirostat_mu;
    s->mu_reported = s->mu;
}

void engine_seq_join(struct valet_engine *e, const struct valet_start *start)
{
    const struct valet_request *r = start->request;
    if (!request_is_possible(e, r) || !progress_is_possible(r, &start->progress, e->vocab)) {
        e->source->end(e->source->arg, start->work, VALET_END_FAILED,
                       "the request is out of range");
        return;
    }
    struct engine_seq *s = free_place(e);
    struct engine_seq kept = *s; /* the arrays stay with the place */
    *s = (struct engine_seq){
        .state = ENGINE_SEQ_WAITING,
        .rank = start->rank,
        .order = e->next_order++,
        .work = start->work,
        .request = r,
        .choice = start->choice,
        .ids = kept.ids,
        .known = r->prompt_count,
        .mu = 2 * r->sampling.mirostat_tau,
        .blocks = kept.blocks,
        .booked = start->blocks,
        .stop_buffer = kept.stop_buffer,
        .prompt_events = kept.prompt_events,
        .out_index = -1,
    };
    memcpy(s->ids, r->prompt, (size_t)r->prompt_count * sizeof *s->ids);
    tokenizer_decoder_init(&s->decoder, e->model->tokenizer, false);
    s->decoder.at_start = !r->continues;
    engine_stop_init(&s->stop, r->stops, r->stop_count, s->stop_buffer,
                     tokenizer_piece_bytes_max(e->model->tokenizer));
    replay(e, s, &start->progress);
    e->seq_count++;
    atom_store_relaxed(&e->stat_rows, (uint64_t)e->seq_count); /* statistics only */
}

/* ---- leaving ---- */

static void free_seq(struct valet_engine *e, struct engine_seq *s)
{
    engine_seq_give_blocks(e, s);
    s->has_pending = false;
    s->prompt_event_count = 0;
    s->step_rows = 0;
    s->state = ENGINE_SEQ_FREE;
    e->seq_count--;
    /* Statistics only. They are moved first, so that whoever sees the end sees them too. */
    atom_store_relaxed(&e->stat_rows, (uint64_t)e->seq_count);
    atom_store_relaxed(&e->stat_blocks_used, engine_prefix_held(&e->prefix));
    atom_store_relaxed(&e->stat_blocks_cached, e->prefix.cached_count);
}

void engine_seq_leave(struct valet_engine *e, struct engine_seq *s, enum valet_end end,
                      const char *error)
{
    free_seq(e, s);
    e->source->end(e->source->arg, s->work, end, error);
}

void engine_seq_preempt(struct valet_engine *e, struct engine_seq *s)
{
    /* What was drawn but not reported is drawn again, the same. */
    const struct valet_progress progress = {
        .ids = s->ids + s->request->prompt_count,
        .count = s->reported,
        .prompt_reported = s->prompt_reported,
        .started = s->started,
        .mirostat_mu = s->mu_reported,
    };
    free_seq(e, s);
    atom_add_relaxed(&e->stat_preemptions, 1);
    if (!e->source->requeue(e->source->arg, s->work, &progress))
        e->source->end(e->source->arg, s->work, VALET_END_FAILED, "out of memory");
}

/* ---- events ---- */

static bool send(struct valet_engine *e, struct engine_seq *s, const struct valet_event *event)
{
    return e->source->emit(e->source->arg, s->work, event);
}

static bool flush_start(struct valet_engine *e, struct engine_seq *s)
{
    if (s->started || s->state == ENGINE_SEQ_WAITING)
        return true;
    s->started = send(e, s,
                      &(struct valet_event){ .type = VALET_EVENT_START,
                                             .choice = s->choice,
                                             .id = -1,
                                             .logprob = NAN,
                                             .cached = s->computed });
    return s->started;
}

static bool flush_prompt(struct valet_engine *e, struct engine_seq *s)
{
    while (s->prompt_event_sent < s->prompt_event_count) {
        const struct engine_prompt_event *p = &s->prompt_events[s->prompt_event_sent];
        const struct valet_event event = {
            .type = VALET_EVENT_PROMPT,
            .choice = s->choice,
            .id = p->id,
            .logprob = p->logprob,
            .top_count = p->top_count,
            .top = p->top,
        };
        if (!send(e, s, &event))
            return false;
        s->prompt_event_sent++;
        s->prompt_reported++;
    }
    s->prompt_event_sent = s->prompt_event_count = 0;
    return true;
}

bool engine_seq_flush(struct valet_engine *e, struct engine_seq *s)
{
    if (!flush_start(e, s) || !flush_prompt(e, s))
        return false;
    if (!s->has_pending)
        return true;
    if (!send(e, s, &s->pending))
        return false;
    s->has_pending = false;
    s->reported = s->generated;
    s->mu_reported = s->mu;
    engine_stop_released(&s->stop, s->pending.text_len);
    if (s->pending.finish != VALET_FINISH_NONE)
        engine_seq_leave(e, s, VALET_END_DONE, NULL);
    return true;
}

static void emit(struct valet_engine *e, struct engine_seq *s, const struct valet_event *event)
{
    DCHECK(!s->has_pending);
    s->pending = *event;
    s->has_pending = true;
    engine_seq_flush(e, s);
}

/* ---- tokens ---- */

uint32_t engine_seq_masked(const struct valet_engine *e, const struct engine_seq *s,
                           int32_t out[MASKED_MAX])
{
    const struct valet_request *r = s->request;
    bool too_early = s->generated < r->min_tokens;
    uint32_t n = 0;
    for (int32_t i = 0; (r->ignore_eos || too_early) && i < e->model->end_count; i++)
        out[n++] = e->model->end_ids[i];
    for (uint32_t i = 0; too_early && i < r->stop_id_count; i++)
        out[n++] = r->stop_ids[i];
    return n;
}

/* Nothing more comes: all that was held back may go out, up to a stop string it completes. */
static struct engine_stop_result release_rest(struct valet_engine *e, struct engine_seq *s)
{
    size_t len = tokenizer_decode_end(&s->decoder, e->piece);
    struct engine_stop_result result = engine_stop_add(&s->stop, e->piece, len);
    if (!result.matched)
        result.release = s->stop.len;
    return result;
}

/* Whether and why the answer ends with token `id`; fills the event's text. */
static void decide_end(struct valet_engine *e, struct engine_seq *s, int32_t id,
                       struct valet_event *event)
{
    const struct valet_request *r = s->request;
    struct engine_stop_result text = add_text(e, s, id);
    if (!text.matched) {
        if (is_end(e->model, id))
            event->stop_kind = VALET_STOP_END;
        else if (is_in(r->stop_ids, r->stop_id_count, id))
            event->stop_kind = VALET_STOP_ID;
        if (event->stop_kind != VALET_STOP_NONE)
            event->finish = VALET_FINISH_STOP;
        else if (s->generated == r->max_new)
            event->finish = VALET_FINISH_LENGTH;
        if (event->finish != VALET_FINISH_NONE)
            text = release_rest(e, s);
    }
    if (text.matched) {
        event->finish = VALET_FINISH_STOP;
        event->stop_kind = VALET_STOP_STRING;
        event->stop_index = text.index;
        if (r->include_stop)
            text.release = text.match_end;
    }
    event->text_len = (uint32_t)text.release;
    event->text = s->stop.text;
}

void engine_seq_accept(struct valet_engine *e, struct engine_seq *s, int32_t id,
                       const float *logits)
{
    const struct valet_request *r = s->request;
    s->ids[s->known++] = id;
    s->generated++;
    struct valet_event event = { .type = VALET_EVENT_TOKEN,
                                 .choice = s->choice,
                                 .id = id,
                                 .generated = s->generated,
                                 .logprob = NAN };
    if (r->logprobs) {
        event.top_count = engine_logprobs(&e->samplers[0], logits, id, (uint32_t)r->top_logprobs,
                                          &event.logprob, s->tops);
        event.top = s->tops;
    }
    decide_end(e, s, id, &event);
    emit(e, s, &event);
}

void engine_seq_finish_prompt(struct valet_engine *e, struct engine_seq *s)
{
    emit(e, s,
         &(struct valet_event){ .type = VALET_EVENT_TOKEN,
                                .choice = s->choice,
                                .id = -1,
                                .finish = VALET_FINISH_LENGTH,
                                .logprob = NAN,
                                .text = s->stop.text });
}

bool engine_seq_note_prompt(struct valet_engine *e, struct engine_seq *s, int32_t index,
                            const float *logits)
{
    if (index < s->prompt_reported + s->prompt_event_count)
        return true; /* reported before it was preempted */
    ASSERT(s->prompt_event_count <= PROMPT_LOGITS_MAX);
    struct engine_prompt_event *p = &s->prompt_events[s->prompt_event_count++];
    p->id = s->ids[index];
    p->logprob = NAN;
    p->top_count = 0;
    if (!logits)
        return true;
    p->top_count = engine_logprobs(&e->samplers[0], logits, p->id,
                                   (uint32_t)s->request->top_logprobs, &p->logprob, p->top);
    return isfinite(p->logprob);
}
