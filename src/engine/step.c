/*
 * A step: one forward pass over a mixed batch. Sequences with one token to compute get their
 * row first (in every other step not those behind a more urgent prompt); what the budget leaves
 * goes to longer ones (prompts, and sequences that were preempted), by rank and age. Then each
 * sequence whose last known token was computed draws its next.
 *
 * Where few decode and no prompt waits, rows are cheap, as many as share a load of weights: they
 * check drafts (draft.c). Behind each row of a draft the next token is drawn as always; the first
 * that is not the draft's ends it, and later rows count for nothing.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/atom.h"
#include "base/clock.h"
#include "engine/engine_int.h"
#include "tensor/team.h"

enum {
    CHUNK_MIN = 16,       /* prompt rows of a step, however slow it is: prompts must get on */
    CHUNK_MIN_ALONE = 64, /* the same where nobody decodes: as many as share weights well */
    DRAFT_ROWS = 4,       /* rows of a step that checks drafts, at most */
    AGE_TURN = 8          /* in one step of so many the oldest prompt goes before the urgent */
};

/* ---- who takes part ---- */

/*
 * Choices of one request share its prompt: the others wait until the first has computed it,
 * then take its blocks.
 */
static bool waits_for_sibling(const struct valet_engine *e, const struct engine_seq *s)
{
    if (!e->prefix.enabled || s->request->prompt_logprobs)
        return false;
    for (int32_t i = 0; i < e->rows_max; i++) {
        const struct engine_seq *other = &e->seqs[i];
        if (other != s && other->state != ENGINE_SEQ_FREE && other->request == s->request &&
            other->order < s->order && other->computed < other->request->prompt_count)
            return true;
    }
    return false;
}

static bool is_before(const struct engine_seq *a, const struct engine_seq *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->order < b->order;
}

/* Sequences that can make progress, by rank and age. Insertion sort: few, nearly in order. */
static int32_t collect(struct valet_engine *e)
{
    int32_t n = 0;
    for (int32_t i = 0; i < e->rows_max; i++) {
        struct engine_seq *s = &e->seqs[i];
        s->step_rows = 0;
        s->out_index = -1;
        s->out_count = 0;
        if (s->state == ENGINE_SEQ_FREE)
            continue;
        int32_t at = n++;
        while (at > 0 && is_before(s, e->order[at - 1])) {
            e->order[at] = e->order[at - 1];
            at--;
        }
        e->order[at] = s;
    }
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++) {
        struct engine_seq *s = e->order[i];
        if (s->state == ENGINE_SEQ_WAITING && !waits_for_sibling(e, s))
            engine_seq_admit(e, s);
        if (s->state == ENGINE_SEQ_RUNNING && engine_seq_flush(e, s) &&
            s->state == ENGINE_SEQ_RUNNING)
            e->order[kept++] = s;
    }
    return kept;
}

/* ---- rows ---- */

/* Rows of a sequence with one token left; they come first. */
static bool is_decode(const struct engine_seq *s)
{
    return s->known - s->computed == 1;
}

/* Logits that the rows computed..computed+n-1 give: of the last known token, or of all. */
static int32_t wanted_logits(const struct engine_seq *s, int32_t n)
{
    if (s->drafted > 0)
        return n;
    if (s->request->prompt_logprobs && s->computed < s->request->prompt_count)
        return n;
    return s->computed + n == s->known ? 1 : 0;
}

/* How many tokens a sequence computes now; a cut falls on a block border if it can. */
static int32_t chunk_len(const struct engine_seq *s, int32_t budget)
{
    int32_t left = s->known - s->computed;
    if (left <= budget)
        return left;
    int32_t end = (s->computed + budget) / PREFIX_TOKENS * PREFIX_TOKENS;
    return end > s->computed ? end - s->computed : budget;
}

/* Puts `n` rows of a sequence behind the rows already there. */
static void add_rows(struct valet_engine *e, struct model_batch *batch, struct engine_seq *s,
                     int32_t n)
{
    int64_t row = batch->rows.n_rows;
    for (int32_t i = 0; i < n; i++) {
        e->ids[row + i] = s->ids[s->computed + i];
        e->pos[row + i] = s->computed + i;
        e->row_blocks[row + i] = s->blocks;
    }
    batch->rows.n_rows += n;
    s->step_rows = n;
    s->out_count = wanted_logits(s, n);
    if (s->out_count == 0)
        return;
    s->out_index = (int32_t)batch->out_count;
    for (int32_t i = n - s->out_count; i < n; i++)
        e->out_rows[batch->out_count++] = (int32_t)(row + i);
}

static bool wants_prompt_rows(const struct engine_seq *s)
{
    return s->state == ENGINE_SEQ_RUNNING && s->step_rows == 0 && !is_decode(s);
}

/* The lowest rank that decodes in this step: in every other, those behind a prompt wait. */
static uint32_t decode_rank_max(const struct valet_engine *e, int32_t seq_count)
{
    for (int32_t i = 0; e->turn % 2 == 1 && i < seq_count; i++) {
        if (wants_prompt_rows(e->order[i]))
            return e->order[i]->rank;
    }
    return UINT32_MAX;
}

/*
 * Prompt rows that a step may take: what the target for the time of a step leaves beside the
 * decode rows, by the running means of earlier steps. Where that is less than the decoding
 * takes, the prompts get as long: a step may last twice as long, and a full batch does not make
 * newcomers wait for dozens of steps.
 */
static int32_t prompt_budget(const struct valet_engine *e, int64_t decode_rows)
{
    if (e->itl_target_ns == 0 || e->row_ns <= 0)
        return e->chunk_max;
    double decode_ns = decode_rows > 0 ? e->decode_ns : 0;
    double rows = fmax((double)e->itl_target_ns - decode_ns, e->decode_ns) / e->row_ns;
    rows = fmax(rows, decode_rows > 0 ? CHUNK_MIN : CHUNK_MIN_ALONE);
    return rows < e->chunk_max ? (int32_t)rows : e->chunk_max;
}

/* NULL: there is none. */
static struct engine_seq *oldest_prompt(const struct valet_engine *e, int32_t seq_count)
{
    struct engine_seq *found = NULL;
    for (int32_t i = 0; i < seq_count; i++) {
        struct engine_seq *s = e->order[i];
        if (wants_prompt_rows(s) && (!found || s->order < found->order))
            found = s;
    }
    return found;
}

static int32_t add_prompt_rows(struct valet_engine *e, struct model_batch *batch,
                               struct engine_seq *s, int32_t budget, int32_t *logits_left)
{
    bool wants_all = s->request->prompt_logprobs && s->computed < s->request->prompt_count;
    if (wants_all && budget > *logits_left)
        budget = *logits_left;
    if (budget == 0)
        return 0;
    int32_t n = chunk_len(s, budget);
    if (!engine_seq_grow(e, s, s->computed + n))
        return 0;
    add_rows(e, batch, s, n);
    if (wants_all)
        *logits_left -= n;
    return n;
}

/* Rows for drafts: what the decoding sequences leave of DRAFT_ROWS, none beside a prompt. */
static int32_t draft_budget(const struct valet_engine *e, int32_t seq_count)
{
    int32_t left = DRAFT_ROWS < e->step_rows_max ? DRAFT_ROWS : e->step_rows_max;
    for (int32_t i = 0; i < seq_count; i++) {
        if (wants_prompt_rows(e->order[i]))
            return 0;
        left--;
    }
    return e->speculates && left > 0 ? left : 0;
}

static void add_decode_rows(struct valet_engine *e, struct model_batch *batch, int32_t seq_count,
                            uint32_t rank_max)
{
    int32_t drafts_left = draft_budget(e, seq_count);
    for (int32_t i = 0; i < seq_count; i++) {
        struct engine_seq *s = e->order[i];
        if (s->state != ENGINE_SEQ_RUNNING || !is_decode(s) || s->rank > rank_max ||
            !engine_seq_grow(e, s, s->known))
            continue;
        s->drafted = drafts_left > 0 ? engine_draft(s, drafts_left) : 0;
        drafts_left -= s->drafted;
        add_rows(e, batch, s, 1 + s->drafted);
    }
}

static void build_once(struct valet_engine *e, struct model_batch *batch, int32_t seq_count)
{
    for (int32_t i = 0; i < seq_count; i++)
        e->order[i]->step_rows = e->order[i]->out_count = e->order[i]->drafted = 0;
    *batch = (struct model_batch){ .rows = { .pos = e->pos, .blocks = e->row_blocks },
                                   .ids = e->ids,
                                   .out_rows = e->out_rows };
    add_decode_rows(e, batch, seq_count, decode_rank_max(e, seq_count));
    int32_t budget = prompt_budget(e, batch->rows.n_rows);
    int32_t logits_left = PROMPT_LOGITS_MAX;
    struct engine_seq *oldest = e->turn % AGE_TURN == 0 ? oldest_prompt(e, seq_count) : NULL;
    if (oldest)
        budget -= add_prompt_rows(e, batch, oldest, budget, &logits_left);
    for (int32_t i = 0; i < seq_count && budget > 0; i++) {
        if (wants_prompt_rows(e->order[i]))
            budget -= add_prompt_rows(e, batch, e->order[i], budget, &logits_left);
    }
    if (batch->rows.n_rows == 0) /* the prompt they waited for has no blocks */
        add_decode_rows(e, batch, seq_count, UINT32_MAX);
}

static int64_t count_rows(const struct valet_engine *e, int32_t seq_count)
{
    int64_t n = 0;
    for (int32_t i = 0; i < seq_count; i++)
        n += e->order[i]->step_rows;
    return n;
}

/*
 * A sequence that was preempted on the way may have rows in the batch, and its blocks a new
 * holder: then the batch is built again. Every turn has one sequence less.
 */
static void build(struct valet_engine *e, struct model_batch *batch, int32_t seq_count)
{
    int32_t before;
    do {
        before = e->seq_count;
        build_once(e, batch, seq_count);
    } while (e->seq_count != before);
    DCHECK(count_rows(e, seq_count) == batch->rows.n_rows);
}

/* ---- results ---- */

/* The i-th row of logits of a sequence in this step. */
static const float *logits_of(const struct valet_engine *e, const struct engine_seq *s, int32_t i)
{
    return e->logits + (size_t)(s->out_index + i) * (size_t)e->vocab;
}

/* False: one is no number. */
static bool note_prompt_logprobs(struct valet_engine *e, struct engine_seq *s, int32_t first)
{
    bool ok = first > 0 || engine_seq_note_prompt(e, s, 0, NULL);
    for (int32_t i = 0; ok && i < s->step_rows && first + i + 1 < s->request->prompt_count; i++)
        ok = engine_seq_note_prompt(e, s, first + i + 1, logits_of(e, s, i));
    return ok;
}

/* Draws the next token of a sequence, in any thread of the team: ENGINE_NONE if none can be drawn. */
static int32_t draw(const struct valet_engine *e, struct engine_seq *s, const float *logits)
{
    int32_t masked[MASKED_MAX];
    const struct engine_draw d = {
        .sampling = &s->request->sampling,
        .choice = s->choice,
        .position = s->generated,
        .prompt = s->ids,
        .prompt_count = s->request->prompt_count,
        .ids = s->ids + s->request->prompt_count,
        .count = s->generated,
        .masked = masked,
        .masked_count = engine_seq_masked(e, s, masked),
        .mirostat_mu = &s->mu,
    };
    int32_t id;
    DCHECK(team_member() < team_size(e->model->team));
    return engine_sample(&e->samplers[team_member()], logits, &d, &id) ? id : ENGINE_NONE;
}

static void accept(struct valet_engine *e, struct engine_seq *s, int32_t id, const float *logits)
{
    atom_add_relaxed(&e->stat_generated_tokens, id != ENGINE_NONE); /* statistics only */
    if (id != ENGINE_NONE)
        engine_seq_accept(e, s, id, logits);
    else
        engine_seq_leave(e, s, VALET_END_FAILED,
                         "no token can be drawn: a logit is no number, or all are masked");
}

/* Draws behind each row of a sequence with drafts, as long as what comes is the draft. */
static void draw_checking(struct valet_engine *e, struct engine_seq *s)
{
    int32_t drafts[ENGINE_DRAFT_MAX];
    int32_t drafted = s->drafted;
    int32_t accepted = 0;
    memcpy(drafts, s->ids + s->known, (size_t)drafted * sizeof *drafts);
    /* Statistics only. They are moved first, so that whoever sees the end sees them too. */
    atom_add_relaxed(&e->stat_draft_tokens, (uint64_t)drafted);
    for (;;) {
        s->computed++;
        engine_seq_note_full(e, s);
        const float *logits = logits_of(e, s, accepted);
        accept(e, s, draw(e, s, logits), logits);
        if (s->state != ENGINE_SEQ_RUNNING || accepted == drafted ||
            s->ids[s->known - 1] != drafts[accepted] || s->has_pending)
            break;
        accepted++;
        atom_add_relaxed(&e->stat_draft_accepted_tokens, 1);
    }
    engine_draft_note(s, drafted, accepted);
}

/* Whether the last row of a sequence is that of its last known token, behind which one is drawn. */
static bool draws_one(const struct engine_seq *s)
{
    return s->step_rows > 0 && s->drafted == 0 && s->request->max_new > 0 &&
           s->computed + s->step_rows == s->known;
}

static void draw_tile(void *arg, int64_t tile)
{
    struct valet_engine *e = arg;
    struct engine_seq *s = e->drawing[tile];
    s->drawn = draw(e, s, logits_of(e, s, s->out_count - 1));
}

/* Draws for all that draw one, in all threads: looking at a vocabulary takes its time. */
static void draw_all(struct valet_engine *e, int32_t seq_count)
{
    int64_t count = 0;
    for (int32_t i = 0; i < seq_count; i++) {
        if (draws_one(e->order[i]))
            e->drawing[count++] = e->order[i];
    }
    team_run(e->model->team, draw_tile, e, count);
}

/* Moves every sequence of the step on. */
static void take_results(struct valet_engine *e, int32_t seq_count)
{
    draw_all(e, seq_count);
    for (int32_t i = 0; i < seq_count; i++) {
        struct engine_seq *s = e->order[i];
        if (s->step_rows == 0)
            continue;
        if (s->drafted > 0) {
            draw_checking(e, s);
            continue;
        }
        int32_t first = s->computed;
        if (s->request->prompt_logprobs && first < s->request->prompt_count &&
            !note_prompt_logprobs(e, s, first)) {
            engine_seq_leave(e, s, VALET_END_FAILED, "a logit of the prompt is no number");
            continue;
        }
        s->computed += s->step_rows;
        engine_seq_note_full(e, s);
        if (s->computed < s->known) {
            engine_seq_flush(e, s);
            continue;
        }
        if (s->request->max_new == 0)
            engine_seq_finish_prompt(e, s);
        else
            accept(e, s, s->drawn, logits_of(e, s, s->out_count - 1));
    }
}

/* ---- the step ---- */

static double blend(double mean, double value)
{
    return mean > 0 ? mean + (value - mean) / 8 : value;
}

static void note_time(struct valet_engine *e, double ns, int32_t prompt_rows, int64_t decode_rows)
{
    double prompt_ns = decode_rows > 0 ? ns - e->decode_ns : ns;
    if (prompt_rows == 0)
        e->decode_ns = blend(e->decode_ns, ns);
    else if (prompt_ns > 0 && prompt_rows >= CHUNK_MIN)
        e->row_ns = blend(e->row_ns, prompt_ns / prompt_rows);
}

static int32_t count_prompt_rows(const struct valet_engine *e, int32_t seq_count)
{
    int32_t n = 0;
    for (int32_t i = 0; i < seq_count; i++) {
        const struct engine_seq *s = e->order[i];
        if (s->step_rows > 0 && s->computed < s->request->prompt_count) /* else it may be gone */
            n += s->step_rows;
    }
    return n;
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
    e->turn++;
    atom_store_relaxed(&e->stat_blocks_used, engine_prefix_held(&e->prefix));
    atom_store_relaxed(&e->stat_blocks_cached, e->prefix.cached_count);
    if (batch.rows.n_rows > 0)
        model_forward(e->model->model, &e->state, &e->kv, &batch, e->logits);
    int32_t prompt_rows = count_prompt_rows(e, seq_count);
    atom_add_relaxed(&e->stat_prompt_tokens, (uint64_t)prompt_rows);
    take_results(e, seq_count);

    uint64_t end_ns = clock_now_ns(&base_clock_monotonic);
    if (batch.rows.n_rows > 0) { /* not where every row waits for blocks */
        note_time(e, (double)(end_ns - start_ns), prompt_rows, batch.rows.n_rows - prompt_rows);
        atom_add_relaxed(&e->stat_steps, 1);
    }
    atom_add_relaxed(&e->stat_step_ns, end_ns - start_ns);
    atom_store_relaxed(&e->stat_beat_ns, end_ns);
    atom_store_relaxed(&e->stat_stepping, false);
    return batch.rows.n_rows > 0;
}
