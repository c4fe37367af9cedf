#include "engine/script.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/text.h"
#include "engine/engine_int.h"
#include "engine/lend.h"
#include "engine/suite.h"
#include "tensor/tensor.h"

enum {
    WAITS_MAX = 100000, /* far more than any test needs: the engine spins */
    PATIENCE = 300      /* refusals of an event until a wait that may not come */
};

uint64_t script_steps(const valet_engine *engine)
{
    struct valet_engine_stats stats;
    valet_engine_stats(engine, &stats);
    return stats.steps;
}

static uint64_t random_next(struct script *s)
{
    s->random += 0x9e3779b97f4a7c15u;
    return random_mix(s->random);
}

static bool one_in(struct script *s, uint32_t n)
{
    return n > 0 && random_next(s) % n == 0;
}

static void check_allocs(const struct script *s)
{
    if (s->check_allocs)
        EXPECT(mem_alloc_count() == s->alloc_count, "the engine allocates while it runs");
}

static void check_running(const struct script_job *job)
{
    EXPECT(job->state == SCRIPT_RUNNING, "a call for a request that %s",
           job->state == SCRIPT_ENDED ? "has ended" : "is not in the batch");
}

/* ---- lending ---- */

/* The request of a job that starts; choices that are in the batch together have one. */
static const struct valet_request *lend_request(struct script *s, struct script_job *job)
{
    struct script_lent *lent = NULL;
    for (int32_t i = 0; i < s->job_count && job->group != 0; i++) {
        if (s->jobs[i].group == job->group && s->jobs[i].lent)
            lent = s->jobs[i].lent;
    }
    job->lent = lent ? lent : lent_create(&job->request);
    job->lent->refs++;
    return &job->lent->request;
}

static void drop_progress(struct script_job *job)
{
    if (job->progress_ids) {
        memset(job->progress_ids, 0xa5, (size_t)job->progress.count * sizeof(int32_t));
        free(job->progress_ids);
    }
    job->progress_ids = NULL;
    job->progress = (struct valet_progress){ 0 };
}

/* The job is not in the batch any more: nothing that was lent may be looked at. */
static void take_back(struct script *s, struct script_job *job)
{
    lent_unref(job->lent);
    job->lent = NULL;
    drop_progress(job);
    s->booked -= job->booked;
    s->live--;
}

/* ---- taking ---- */

/* Cancelled while it was out: it comes back at once, with nothing booked, to be ended. */
static bool is_cancelled_outside(const struct script_job *job)
{
    return job->cancel_requeued && job->preempted > 0;
}

static uint64_t blocks_of(const struct script *s, const struct script_job *job)
{
    const struct valet_request *r = &job->request;
    if (job->unbooked || r->prompt_count < 1 || r->max_new < 0 || is_cancelled_outside(job))
        return 0;
    uint64_t blocks = valet_engine_blocks(r->prompt_count, r->max_new);
    if (blocks > s->block_count)
        return 0; /* never to be had: the engine must say so */
    if (job->preempted > 0 && s->books_back)
        return job->booked; /* what it held */
    return s->optimistic ? valet_engine_blocks_start(r->prompt_count, r->max_new) : blocks;
}

static void end_job(struct script *s, struct script_job *job, enum valet_end end, const char *error)
{
    job->state = SCRIPT_ENDED;
    job->end = end;
    snprintf(job->error, sizeof job->error, "%s", error ? error : "");
    job->end_step = script_steps(s->engine);
}

/* The first job that waits. */
static struct script_job *next_job(struct script *s)
{
    struct script_job *found = NULL;
    for (int32_t i = 0; i < s->job_count; i++) {
        struct script_job *job = &s->jobs[i];
        if (job->state != SCRIPT_WAITING || job->from_step > script_steps(s->engine))
            continue;
        if (is_cancelled_outside(job))
            return job;
        found = found ? found : job;
    }
    return found;
}

static size_t script_take(void *arg, struct valet_start *starts, size_t room)
{
    struct script *s = arg;
    check_allocs(s);
    EXPECT(room >= 1, "asks without room");
    EXPECT(s->outrank_one_in == 0 || s->is_asked, "takes before it asks who is outranked");
    s->is_asked = false;
    size_t n = 0;
    struct script_job *job;
    while (n < room && (s->take_max == 0 || n < (size_t)s->take_max) && (job = next_job(s))) {
        uint64_t blocks = blocks_of(s, job);
        if (s->booked + blocks > s->block_count)
            break;
        job->booked = blocks;
        s->booked += blocks;
        s->misbooked |= blocks == 0 && !is_cancelled_outside(job);
        s->live++;
        job->start_number = ++s->starts;
        job->state = SCRIPT_RUNNING;
        starts[n++] = (struct valet_start){
            .work = job,
            .request = lend_request(s, job),
            .choice = job->choice,
            .rank = job->rank,
            .blocks = blocks ? blocks
                             : valet_engine_blocks(job->request.prompt_count, job->request.max_new),
            .progress = job->progress,
        };
    }
    return n;
}

static bool all_ended(const struct script *s)
{
    for (int32_t i = 0; i < s->job_count; i++) {
        if (s->jobs[i].state != SCRIPT_ENDED)
            return false;
    }
    return true;
}

static bool script_wait(void *arg)
{
    struct script *s = arg;
    check_allocs(s);
    EXPECT(++s->waits < WAITS_MAX, "the engine spins");
    if (s->stop_in_wait || all_ended(s))
        return false;
    for (int32_t i = 0; i < s->job_count; i++) {
        if (s->jobs[i].refuse_count == SCRIPT_REFUSE_UNTIL_WAIT && s->jobs[i].refused > 0)
            s->jobs[i].refuse_count = 0;
        if (s->live == 0)
            s->jobs[i].from_step = 0; /* nobody makes the steps it waits for */
    }
    return true;
}

static bool script_cancelled(void *arg, void *work)
{
    struct script *s = arg;
    struct script_job *job = work;
    check_running(job);
    EXPECT(!s->told_cancelled, "a cancelled request was not ended at once");
    struct valet_engine_stats stats;
    valet_engine_stats(s->engine, &stats);
    EXPECT(s->misbooked || engine_prefix_held(&s->engine->prefix) <= s->booked,
           "%d blocks are held and %d booked", (int)engine_prefix_held(&s->engine->prefix),
           (int)s->booked);
    s->told_cancelled =
        is_cancelled_outside(job) ||
        (job->cancel && job->count >= job->cancel_count && stats.steps >= job->cancel_step);
    return s->told_cancelled;
}

/* ---- growing ---- */

static bool script_grow(void *arg, void *work, uint64_t blocks)
{
    struct script *s = arg;
    struct script_job *job = work;
    check_allocs(s);
    check_running(job);
    EXPECT(blocks > job->booked, "grows from %d to %d", (int)job->booked, (int)blocks);
    EXPECT(blocks <= valet_engine_blocks(job->request.prompt_count, job->request.max_new),
           "more blocks than the request can need");
    s->growing = job;
    s->refused_growth = s->booked - job->booked + blocks > s->block_count ||
                        (s->live > 1 && one_in(s, s->no_grow_one_in));
    if (s->refused_growth)
        return false;
    s->booked += blocks - job->booked;
    job->booked = blocks;
    return true;
}

static struct script_job *oldest(struct script *s)
{
    struct script_job *found = NULL;
    for (int32_t i = 0; i < s->job_count; i++) {
        struct script_job *job = &s->jobs[i];
        if (job->state == SCRIPT_RUNNING && (!found || job->start_number < found->start_number))
            found = job;
    }
    return found;
}

static struct script_job *latest(struct script *s)
{
    struct script_job *found = NULL;
    for (int32_t i = 0; i < s->job_count; i++) {
        struct script_job *job = &s->jobs[i];
        if (job->state == SCRIPT_RUNNING && (!found || job->start_number > found->start_number))
            found = job;
    }
    return found;
}

static void *script_victim(void *arg)
{
    struct script *s = arg;
    EXPECT(s->refused_growth, "a victim for nothing");
    s->refused_growth = false;
    struct script_job *first = oldest(s);
    struct script_job *job = latest(s);
    if (s->victim == SCRIPT_VICTIM_SELF && s->growing != first)
        job = s->growing;
    if (s->victim == SCRIPT_VICTIM_RANDOM && s->live > 1) {
        do
            job = &s->jobs[random_next(s) % (uint64_t)s->job_count];
        while (job->state != SCRIPT_RUNNING || job == first);
    }
    if (s->victim == SCRIPT_VICTIM_NONE && s->growing != first)
        return NULL; /* the oldest gets on at the cost of the others, so all do in the end */
    EXPECT(job != first, "the oldest finds no blocks, and nobody else runs");
    return job;
}

/* Once in each turn of the engine, before it takes; anybody but the oldest may be named. */
static void *script_outranked(void *arg)
{
    struct script *s = arg;
    uint64_t steps = script_steps(s->engine);
    check_allocs(s);
    EXPECT(!s->is_asked || steps > s->outranked_step || s->waits > s->outranked_wait,
           "asked twice in a step");
    s->is_asked = true;
    s->outranked_step = steps;
    s->outranked_wait = s->waits;
    if (s->live < 2 || !one_in(s, s->outrank_one_in))
        return NULL;
    s->outranked++;
    struct script_job *job;
    do
        job = &s->jobs[random_next(s) % (uint64_t)s->job_count];
    while (job->state != SCRIPT_RUNNING || job == oldest(s));
    return job;
}

static bool script_requeue(void *arg, void *work, const struct valet_progress *progress)
{
    struct script *s = arg;
    struct script_job *job = work;
    check_running(job);
    EXPECT(progress->count == job->count && progress->started == job->started &&
               progress->prompt_reported == job->prompt_count,
           "progress of %d tokens, %d of the prompt; %d and %d were reported", progress->count,
           progress->prompt_reported, job->count, job->prompt_count);
    EXPECT(memcmp(progress->ids, job->ids, (size_t)job->count * sizeof *job->ids) == 0,
           "progress has other tokens than were reported");
    if (job->refuse_requeue)
        return false;
    int32_t *ids = NULL;
    if (progress->count > 0) {
        ids = malloc((size_t)progress->count * sizeof *ids);
        ck_assert_ptr_nonnull(ids);
        memcpy(ids, progress->ids, (size_t)progress->count * sizeof *ids);
    }
    struct valet_progress copy = *progress;
    copy.ids = ids;
    take_back(s, job);
    job->progress = copy;
    job->progress_ids = ids;
    job->state = SCRIPT_WAITING;
    job->preempted++;
    job->preempted_early += job->count == 0;
    s->preemptions++;
    return true;
}

/* ---- events ---- */

/* Whether this event is to be refused now. */
static bool refuses(struct script *s, struct script_job *job, const struct valet_event *event)
{
    bool at = job->refuse_prompt
                  ? event->type == VALET_EVENT_PROMPT && job->prompt_count == job->refuse_at
                  : event->type != VALET_EVENT_PROMPT && event->generated == job->refuse_at;
    if (!at || job->refuse_count == 0) {
        bool refused = one_in(s, s->refuse_one_in);
        job->refused += refused;
        return refused;
    }
    job->refused++;
    if (job->refuse_count != SCRIPT_REFUSE_UNTIL_WAIT)
        job->refuse_count--;
    else if (job->refused == PATIENCE) /* others may give way to each other for ever meanwhile */
        job->refuse_count = 0;
    return true;
}

static bool is_paused(const struct script_job *job)
{
    bool has_it = job->refuse_at == 0 ? job->started : job->count >= job->refuse_at;
    return job->state == SCRIPT_RUNNING && job->refused > 0 && !has_it;
}

static void keep_scores(struct script_scores *scores, const struct valet_event *event,
                        const struct valet_request *r, bool wanted)
{
    EXPECT(wanted || (isnan(event->logprob) && event->top_count == 0),
           "logprobs that nobody asked for");
    EXPECT(!wanted || event->logprob <= 0, "logprob %g", (double)event->logprob);
    EXPECT(event->top_count == (wanted ? (uint32_t)r->top_logprobs : 0), "%u tops",
           event->top_count);
    scores->logprob = event->logprob;
    scores->top_count = event->top_count;
    if (event->top_count > 0)
        memcpy(scores->top, event->top, event->top_count * sizeof *event->top);
}

static void keep_prompt(struct script_job *job, const struct valet_event *event)
{
    const struct valet_request *r = &job->request;
    EXPECT(job->started && r->prompt_logprobs && job->count == 0, "an event of the prompt");
    EXPECT(job->prompt_count < r->prompt_count && job->prompt_count < SCRIPT_IDS_MAX,
           "more events than the prompt has tokens");
    EXPECT(event->id == r->prompt[job->prompt_count], "the event of token %d has id %d",
           job->prompt_count, event->id);
    EXPECT(event->text_len == 0 && event->generated == 0 && event->finish == VALET_FINISH_NONE,
           "an event of the prompt with text, number or finish");
    keep_scores(&job->prompt_scores[job->prompt_count], event, r, job->prompt_count > 0);
    job->prompt_count++;
}

static void keep_token(struct script_job *job, const struct valet_event *event)
{
    const struct valet_request *r = &job->request;
    EXPECT(event->type == VALET_EVENT_TOKEN, "event type %d", event->type);
    EXPECT(job->started, "a token before START");
    EXPECT(!r->prompt_logprobs || job->prompt_count == r->prompt_count,
           "a token before the prompt's events");
    job->finish = event->finish;
    job->stop_kind = event->stop_kind;
    job->stop_index = event->stop_index;
    EXPECT((event->stop_kind != VALET_STOP_NONE) == (event->finish == VALET_FINISH_STOP),
           "finish %d with stop kind %d", event->finish, event->stop_kind);
    if (r->max_new == 0) {
        EXPECT(event->id == -1 && event->generated == 0 && event->text_len == 0 &&
                   event->finish == VALET_FINISH_LENGTH && event->top_count == 0,
               "a token though none was asked for");
        return;
    }
    EXPECT(event->generated == job->count + 1, "token %d after token %d", event->generated,
           job->count);
    EXPECT(event->generated <= r->max_new, "token %d of at most %d", event->generated, r->max_new);
    EXPECT(event->id >= 0, "token id %d", event->id);
    EXPECT(job->count < SCRIPT_IDS_MAX, "more tokens than the script keeps");
    EXPECT(job->text_len + event->text_len <= SCRIPT_TEXT_MAX, "more text than the script keeps");
    if (event->text_len) {
        EXPECT(utf8_is_valid(event->text, event->text_len),
               "an event released a part of a character");
        memcpy(job->text + job->text_len, event->text, event->text_len);
    }
    keep_scores(&job->scores[job->count], event, r, r->logprobs);
    job->text_lens[job->count] = event->text_len;
    job->ids[job->count++] = event->id;
    job->text_len += event->text_len;
}

static void keep_start(struct script_job *job, const struct valet_event *event)
{
    EXPECT(!job->started, "START twice");
    EXPECT(event->id == -1 && event->generated == 0 && event->text_len == 0 &&
               event->finish == VALET_FINISH_NONE,
           "START with a token, text or finish");
    EXPECT(event->cached >= 0 && event->cached < job->request.prompt_count,
           "%d tokens cached of %d", event->cached, job->request.prompt_count);
    job->started = true;
    job->cached = event->cached;
}

static bool script_emit(void *arg, void *work, const struct valet_event *event)
{
    struct script *s = arg;
    struct script_job *job = work;
    check_allocs(s);
    check_running(job);
    EXPECT(!s->told_cancelled, "a cancelled request was not ended at once");
    EXPECT(job->finish == VALET_FINISH_NONE, "an event after the last");
    EXPECT(event->choice == job->choice, "choice %u", event->choice);
    if (refuses(s, job, event))
        return false;
    for (int32_t i = 0; i < s->job_count; i++) {
        if (&s->jobs[i] != job && is_paused(&s->jobs[i]))
            s->jobs[i].others_events++;
    }
    if (event->type == VALET_EVENT_START)
        keep_start(job, event);
    else if (event->type == VALET_EVENT_PROMPT)
        keep_prompt(job, event);
    else
        keep_token(job, event);
    job->blocks_used = engine_prefix_held(&s->engine->prefix);
    return true;
}

static void script_end(void *arg, void *work, enum valet_end end, const char *error)
{
    struct script *s = arg;
    struct script_job *job = work;
    check_allocs(s);
    check_running(job);
    EXPECT(!s->told_cancelled || end == VALET_END_CANCELLED, "a cancelled request ended as %d",
           end);
    s->told_cancelled = false;
    EXPECT((end == VALET_END_DONE) == (job->finish != VALET_FINISH_NONE), "end %d after finish %d",
           end, job->finish);
    EXPECT((end == VALET_END_FAILED) == (error != NULL), "a failure needs its reason");
    end_job(s, job, end, error);
    take_back(s, job);
}

/* ---- running ---- */

static void check_left(struct script *s)
{
    for (int32_t i = 0; i < s->job_count; i++) {
        struct script_job *job = &s->jobs[i];
        ck_assert_msg(job->state == SCRIPT_ENDED || (s->stop_in_wait && !job->lent),
                      "job %d never ended", i);
        drop_progress(job); /* of one that waits for ever */
    }
    ck_assert_int_eq(s->live, 0);
    ck_assert_uint_eq(s->booked, 0);
    struct valet_engine_stats stats;
    valet_engine_stats(s->engine, &stats);
    ck_assert_uint_eq(stats.blocks_used, 0);
    ck_assert_uint_eq(stats.rows, 0);
    ck_assert(!stats.stepping);
    ck_assert_uint_eq(stats.blocks_cached, s->engine->prefix.cached_count);
    engine_prefix_check(&s->engine->prefix);
}

void script_run(valet_engine *engine, struct script *s)
{
    struct valet_engine_info info;
    valet_engine_info(engine, &info);
    s->engine = engine;
    s->block_count = info.block_count;
    s->alloc_count = mem_alloc_count();
    s->random = s->seed;
    struct valet_engine_source source = {
        .arg = s,
        .take = script_take,
        .wait = script_wait,
        .cancelled = script_cancelled,
        .grow = s->optimistic ? script_grow : NULL,
        .victim = s->optimistic ? script_victim : NULL,
        .outranked = s->outrank_one_in ? script_outranked : NULL,
        .requeue = s->optimistic ? script_requeue : NULL,
        .emit = script_emit,
        .end = script_end,
    };
    valet_engine_run(engine, &source);
    check_left(s);
}

void script_run_jobs(valet_engine *engine, struct script_job *jobs, int32_t count)
{
    struct script s = { .jobs = jobs, .job_count = count };
    script_run(engine, &s);
}

void script_reset(struct script_job *jobs, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        struct script_job *job = &jobs[i];
        *job = (struct script_job){
            .request = job->request,
            .choice = job->choice,
            .group = job->group,
            .unbooked = job->unbooked,
            .from_step = job->from_step,
            .cancel = job->cancel,
            .cancel_step = job->cancel_step,
            .cancel_count = job->cancel_count,
            .cancel_requeued = job->cancel_requeued,
            .refuse_at = job->refuse_at,
            .refuse_count = job->refuse_count,
            .refuse_prompt = job->refuse_prompt,
            .refuse_requeue = job->refuse_requeue,
        };
    }
}

/* ---- comparing ---- */

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static bool same_scores(const struct script_scores *a, const struct script_scores *b)
{
    return memcmp(&a->logprob, &b->logprob, sizeof a->logprob) == 0 &&
           a->top_count == b->top_count &&
           memcmp(a->top, b->top, a->top_count * sizeof *a->top) == 0;
}

void script_expect_begins(const struct script_job *got, const struct script_job *expected,
                          const char *what)
{
    int32_t count = smaller(got->count, expected->count);
    for (int32_t i = 0; i < smaller(got->prompt_count, expected->prompt_count); i++)
        EXPECT(same_scores(&got->prompt_scores[i], &expected->prompt_scores[i]),
               "%s: the scores of prompt token %d differ", what, i);
    for (int32_t i = 0; i < count; i++) {
        EXPECT(got->ids[i] == expected->ids[i], "%s: token %d is %d, expected %d", what, i,
               got->ids[i], expected->ids[i]);
        EXPECT(same_scores(&got->scores[i], &expected->scores[i]),
               "%s: the scores of token %d differ: %a, expected %a", what, i,
               (double)got->scores[i].logprob, (double)expected->scores[i].logprob);
        EXPECT(got->text_lens[i] == expected->text_lens[i],
               "%s: token %d released %u bytes, expected %u", what, i, got->text_lens[i],
               expected->text_lens[i]);
    }
    ck_assert_msg(got->count <= expected->count && got->prompt_count <= expected->prompt_count &&
                      got->text_len <= expected->text_len,
                  "%s: more tokens or text than expected", what);
    ck_assert_msg(memcmp(got->text, expected->text, got->text_len) == 0, "%s: the text differs",
                  what);
}

void script_expect_same(const struct script_job *got, const struct script_job *expected,
                        const char *what)
{
    script_expect_begins(got, expected, what);
    ck_assert_msg(got->count == expected->count && got->prompt_count == expected->prompt_count &&
                      got->text_len == expected->text_len,
                  "%s: %d + %d tokens, expected %d + %d", what, got->prompt_count, got->count,
                  expected->prompt_count, expected->count);
    ck_assert_msg(got->finish == expected->finish && got->end == expected->end,
                  "%s: finish %d, end %d (%s), expected %d, %d (%s)", what, got->finish, got->end,
                  got->error, expected->finish, expected->end, expected->error);
    ck_assert_msg(got->stop_kind == expected->stop_kind && got->stop_index == expected->stop_index,
                  "%s: stopped by %d, %u, expected %d, %u", what, got->stop_kind, got->stop_index,
                  expected->stop_kind, expected->stop_index);
}

/* ---- models and engines ---- */

int script_isas(const char *isas[SCRIPT_ISAS_MAX])
{
    static const char *const names[] = { "ref", "avx2", "avx512vnni", "amx", "neon" };
    const struct tensor_isa *found;
    int count = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (tensor_isa_find(names[i], &found, NULL) == OK)
            isas[count++] = names[i];
    }
    ASSERT(strcmp(isas[count - 1], script_best_isa()) == 0); /* or a new one is missing here */
    return count;
}

const char *script_best_isa(void)
{
    const struct tensor_isa *best;
    enum base_err rc = tensor_isa_find(NULL, &best, NULL);
    ASSERT(rc == OK);
    return tensor_isa_name(best);
}

valet_model *script_load(const char *path, const char *isa, int32_t threads)
{
    struct valet_model_options options;
    valet_model_options_init(&options);
    options.isa = isa;
    options.threads = threads;
    valet_model *model;
    struct valet_error error = { 0 };
    ck_assert_msg(valet_model_load(path, &options, &model, &error) == VALET_OK, "%s",
                  error.message);
    return model;
}

static valet_engine *create(valet_model *model, const struct valet_engine_options *options)
{
    valet_engine *engine;
    struct valet_error error = { 0 };
    ck_assert_msg(valet_engine_create(model, options, &engine, &error) == VALET_OK, "%s",
                  error.message);
    return engine;
}

valet_engine *script_engine(valet_model *model, int32_t rows_max, int32_t chunk_max)
{
    struct valet_engine_options options;
    valet_engine_options_init(&options);
    options.rows_max = rows_max;
    options.chunk_max = chunk_max;
    return create(model, &options);
}

valet_engine *script_engine_plain(valet_model *model)
{
    struct valet_engine_options options;
    valet_engine_options_init(&options);
    options.rows_max = 1;
    options.itl_target_ms = 0;
    options.prefix_cache = false;
    options.speculation = false;
    return create(model, &options);
}

valet_engine *script_engine_with(valet_model *model, int32_t rows_max, int32_t chunk_max,
                                 uint64_t blocks, bool prefix_cache)
{
    struct valet_engine_options options;
    valet_engine_options_init(&options);
    options.rows_max = rows_max;
    options.chunk_max = chunk_max;
    options.itl_target_ms = 0;
    options.prefix_cache = prefix_cache;
    valet_engine *engine = create(model, &options);
    if (blocks == 0)
        return engine;
    struct valet_engine_info info;
    valet_engine_info(engine, &info);
    valet_engine_destroy(engine);
    options.kv_bytes = blocks * info.block_bytes;
    return create(model, &options);
}
