#include "engine/script.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "engine/suite.h"
#include "tensor/tensor.h"

enum {
    WAITS_MAX = 100000 /* far more than any test needs: the engine spins */
};

uint64_t script_steps(const valet_engine *engine)
{
    struct valet_engine_stats stats;
    valet_engine_stats(engine, &stats);
    return stats.steps;
}

static void check_allocs(const struct script *s)
{
    if (s->check_allocs)
        EXPECT(mem_alloc_count() == s->alloc_count, "the engine allocates while it runs");
}

static void check_running(const struct script_job *job)
{
    EXPECT(job->state == SCRIPT_RUNNING, "a call for a request that %s",
           job->state == SCRIPT_ENDED ? "has ended" : "was not taken");
}

static uint64_t blocks_of(const struct script *s, const struct script_job *job)
{
    const struct valet_request *r = &job->request;
    if (job->unbooked || r->prompt_count < 1 || r->max_new < 1)
        return 0;
    uint64_t blocks = valet_engine_blocks(r->prompt_count, r->max_new);
    return blocks <= s->block_count ? blocks : 0; /* never to be had: the engine must say so */
}

static size_t script_take(void *arg, void **works, const struct valet_request **requests,
                          size_t room)
{
    struct script *s = arg;
    check_allocs(s);
    EXPECT(room >= 1, "asks without room");
    size_t n = 0;
    while (n < room && s->next < s->job_count && (s->take_max == 0 || n < (size_t)s->take_max)) {
        struct script_job *job = &s->jobs[s->next];
        if (s->booked + blocks_of(s, job) > s->block_count)
            break;
        s->booked += blocks_of(s, job);
        s->next++;
        s->live++;
        job->state = SCRIPT_RUNNING;
        works[n] = job;
        requests[n++] = &job->request;
    }
    return n;
}

static bool script_wait(void *arg)
{
    struct script *s = arg;
    check_allocs(s);
    EXPECT(++s->waits < WAITS_MAX, "the engine spins");
    if (s->stop_in_wait || (s->next == s->job_count && s->live == 0))
        return false;
    for (int32_t i = 0; i < s->job_count; i++) {
        if (s->jobs[i].refuse_count == SCRIPT_REFUSE_UNTIL_WAIT && s->jobs[i].refused > 0)
            s->jobs[i].refuse_count = 0;
    }
    return true;
}

static bool script_cancelled(void *arg, void *work)
{
    struct script *s = arg;
    struct script_job *job = work;
    check_running(job);
    EXPECT(!s->told_cancelled, "a cancelled request was not ended at once");
    s->told_cancelled = job->cancel && job->count >= job->cancel_count &&
                        script_steps(s->engine) >= job->cancel_step;
    return s->told_cancelled;
}

/* Whether this event is to be refused now. */
static bool refuses(struct script_job *job, const struct valet_event *event)
{
    if (event->generated != job->refuse_at || job->refuse_count == 0)
        return false;
    job->refused++;
    if (job->refuse_count != SCRIPT_REFUSE_UNTIL_WAIT)
        job->refuse_count--;
    return true;
}

static bool is_paused(const struct script_job *job)
{
    bool has_it = job->refuse_at == 0 ? job->started : job->count >= job->refuse_at;
    return job->state == SCRIPT_RUNNING && job->refused > 0 && !has_it;
}

static void keep_token(struct script_job *job, const struct valet_event *event)
{
    EXPECT(event->type == VALET_EVENT_TOKEN, "event type %d", event->type);
    EXPECT(job->started, "a token before START");
    EXPECT(event->generated == job->count + 1, "token %d after token %d", event->generated,
           job->count);
    EXPECT(event->generated <= job->request.max_new, "token %d of at most %d", event->generated,
           job->request.max_new);
    EXPECT(event->id >= 0, "token id %d", event->id);
    EXPECT(job->count < SCRIPT_IDS_MAX, "more tokens than the script keeps");
    job->ids[job->count++] = event->id;
    EXPECT(job->text_len + event->text_len <= SCRIPT_TEXT_MAX, "more text than the script keeps");
    if (event->text_len) {
        EXPECT(utf8_is_valid(event->text, event->text_len),
               "an event released a part of a character");
        memcpy(job->text + job->text_len, event->text, event->text_len);
    }
    job->text_len += event->text_len;
    job->finish = event->finish;
}

static void keep_start(struct script_job *job, const struct valet_event *event)
{
    EXPECT(!job->started, "START twice");
    EXPECT(event->id == -1 && event->generated == 0 && event->text_len == 0 &&
               event->finish == VALET_FINISH_NONE,
           "START with a token, text or finish");
    job->started = true;
}

static bool script_emit(void *arg, void *work, const struct valet_event *event)
{
    struct script *s = arg;
    struct script_job *job = work;
    check_allocs(s);
    check_running(job);
    EXPECT(!s->told_cancelled, "a cancelled request was not ended at once");
    EXPECT(job->finish == VALET_FINISH_NONE, "an event after the last");
    EXPECT(event->choice == 0, "choice %u", event->choice);
    if (refuses(job, event))
        return false;
    for (int32_t i = 0; i < s->job_count; i++) {
        if (&s->jobs[i] != job && is_paused(&s->jobs[i]))
            s->jobs[i].others_events++;
    }
    if (event->type == VALET_EVENT_START)
        keep_start(job, event);
    else
        keep_token(job, event);
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
    EXPECT((end == VALET_END_DONE) == (job->finish != VALET_FINISH_NONE),
           "end %d after finish %d", end, job->finish);
    EXPECT((end == VALET_END_FAILED) == (error != NULL), "a failure needs its reason");
    job->state = SCRIPT_ENDED;
    job->end = end;
    snprintf(job->error, sizeof job->error, "%s", error ? error : "");
    job->end_step = script_steps(s->engine);
    s->booked -= blocks_of(s, job);
    s->live--;
}

void script_run(valet_engine *engine, struct script *s)
{
    struct valet_engine_info info;
    valet_engine_info(engine, &info);
    s->engine = engine;
    s->block_count = info.block_count;
    s->alloc_count = mem_alloc_count();
    struct valet_engine_source source = {
        .arg = s,
        .take = script_take,
        .wait = script_wait,
        .cancelled = script_cancelled,
        .emit = script_emit,
        .end = script_end,
    };
    valet_engine_run(engine, &source);
    for (int32_t i = 0; i < s->next; i++)
        ck_assert_msg(s->jobs[i].state == SCRIPT_ENDED, "job %d never ended", i);
    ck_assert_int_eq(s->live, 0);
    ck_assert_uint_eq(s->booked, 0);
    struct valet_engine_stats stats;
    valet_engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.blocks_used, 0);
    ck_assert_uint_eq(stats.rows, 0);
    ck_assert(!stats.stepping);
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
            .unbooked = job->unbooked,
            .cancel = job->cancel,
            .cancel_step = job->cancel_step,
            .cancel_count = job->cancel_count,
            .refuse_at = job->refuse_at,
            .refuse_count = job->refuse_count,
        };
    }
}

void script_expect_same(const struct script_job *got, const struct script_job *expected,
                        const char *what)
{
    for (int32_t i = 0; i < expected->count && i < got->count; i++)
        ck_assert_msg(got->ids[i] == expected->ids[i], "%s: token %d is %d, expected %d", what, i,
                      got->ids[i], expected->ids[i]);
    ck_assert_msg(got->count == expected->count, "%s: %d tokens, expected %d", what, got->count,
                  expected->count);
    ck_assert_msg(got->finish == expected->finish && got->end == expected->end,
                  "%s: finish %d, end %d (%s), expected %d, %d (%s)", what, got->finish, got->end,
                  got->error, expected->finish, expected->end, expected->error);
    ck_assert_msg(got->text_len == expected->text_len &&
                      memcmp(got->text, expected->text, got->text_len) == 0,
                  "%s: the text differs", what);
}

int script_isas(const char *isas[2])
{
    const struct tensor_isa *best;
    ck_assert_int_eq(tensor_isa_find(NULL, &best, NULL), OK);
    isas[0] = "ref";
    isas[1] = tensor_isa_name(best);
    return strcmp(isas[0], isas[1]) == 0 ? 1 : 2;
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

valet_engine *script_engine(valet_model *model, int32_t rows_max, int32_t chunk_max)
{
    struct valet_engine_options options;
    valet_engine_options_init(&options);
    options.rows_max = rows_max;
    options.chunk_max = chunk_max;
    valet_engine *engine;
    struct valet_error error = { 0 };
    ck_assert_msg(valet_engine_create(model, &options, &engine, &error) == VALET_OK, "%s",
                  error.message);
    return engine;
}
