/*
 * What a request can ask for besides tokens: when it may end and how that is said, logprobs of
 * answers and prompts, and what is out of range.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/engine_int.h"
#include "engine/rig.h"
#include "engine/suite.h"

enum {
    JOBS = 48,
    PROMPT_MAX = 256
};

static struct rig g_rig;
static int32_t g_prompts[4][PROMPT_MAX];
static struct script_job g_jobs[JOBS];
static struct script_job g_expected[4];

static struct script_job *set_job(int32_t i, int32_t prompt_count, int32_t max_new)
{
    int32_t *prompt = g_prompts[i % 4];
    rig_prompt(&g_rig, 600 + (uint64_t)i % 4, prompt, prompt_count);
    g_jobs[i] = (struct script_job){
        .request = { .prompt = prompt,
                     .prompt_count = prompt_count,
                     .max_new = max_new,
                     .sampling = { .seed = (uint64_t)i, .top_p = 1 } },
    };
    return &g_jobs[i];
}

static void run(int32_t n, int32_t rows)
{
    struct script s = { .jobs = g_jobs, .job_count = n };
    rig_run(&g_rig, (struct rig_size){ rows, 40, 0, false }, &s, NULL);
}

static bool has_id(const struct script_job *job, int32_t id)
{
    for (int32_t i = 0; i < job->count; i++) {
        if (job->ids[i] == id)
            return true;
    }
    return false;
}

/* ---- when an answer may end ---- */

/* The end token is by far the most likely; min_tokens and ignore_eos keep it away. */
START_TEST(the_end_token_waits_for_min_tokens)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    int32_t end = g_rig.tiny.shape.vocab - 1;
    const struct valet_bias bias = { end, 100 };
    for (int32_t i = 0; i < 12; i++) {
        struct valet_request *r = &set_job(i, 10, 8)->request;
        r->sampling.bias = &bias;
        r->sampling.bias_count = 1;
        r->sampling.temperature = (float)(i % 2);
        r->min_tokens = i;
    }
    for (int32_t i = 0; i < 2; i++) {
        struct valet_request *r = &set_job(12 + i, 10, 8)->request;
        r->sampling.bias = &bias;
        r->sampling.bias_count = 1;
        r->ignore_eos = true;
        r->min_tokens = 3 * i;
    }
    run(14, 4);
    for (int32_t i = 0; i < 14; i++) {
        bool ends = i < 8;
        ck_assert_int_eq(g_jobs[i].end, VALET_END_DONE);
        ck_assert_int_eq(g_jobs[i].count, ends ? i + 1 : 8);
        ck_assert_int_eq(g_jobs[i].finish, ends ? VALET_FINISH_STOP : VALET_FINISH_LENGTH);
        ck_assert_int_eq(g_jobs[i].stop_kind, ends ? VALET_STOP_END : VALET_STOP_NONE);
        ck_assert(has_id(&g_jobs[i], end) == ends);
    }
    ck_assert_uint_eq(g_jobs[0].text_len, 0); /* the end token has no text */
    rig_close(&g_rig);
}
END_TEST

START_TEST(stop_ids_end_an_answer)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    int32_t end = g_rig.tiny.shape.vocab - 1;
    static const int32_t stop_ids[] = { 17, 70, 71, 70 };
    const int32_t ends[] = { 70, end };
    for (int32_t i = 0; i < 10; i++) {
        struct valet_request *r = &set_job(i, 10, 6)->request;
        static const struct valet_bias to_stop = { 70, 100 };
        r->sampling.bias = &to_stop;
        r->sampling.bias_count = 1;
        r->stop_ids = stop_ids;
        r->stop_id_count = 4;
        r->min_tokens = i;
        r->ignore_eos = i % 2;
    }
    const struct valet_bias to_end = { end, 100 };
    struct valet_request *r = &set_job(10, 10, 6)->request;
    r->sampling.bias = &to_end;
    r->sampling.bias_count = 1;
    r->stop_ids = ends; /* the model's end is an end of the model, even if it is named here */
    r->stop_id_count = 2;
    run(11, 3);
    for (int32_t i = 0; i < 10; i++) {
        ck_assert_int_eq(g_jobs[i].count, i < 6 ? i + 1 : 6);
        ck_assert_int_eq(g_jobs[i].stop_kind, i < 6 ? VALET_STOP_ID : VALET_STOP_NONE);
        if (i < 6)
            ck_assert_int_eq(g_jobs[i].ids[i], 70);
        else
            ck_assert(!has_id(&g_jobs[i], 70) && !has_id(&g_jobs[i], 17));
    }
    ck_assert_int_eq(g_jobs[10].stop_kind, VALET_STOP_END);
    rig_close(&g_rig);
}
END_TEST

START_TEST(masked_tokens_do_not_come)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_job(0, 10, 6);
    rig_alone(&g_rig, g_jobs, g_expected, 1);
    /* as many as may be masked, but never all: the answer goes on without them */
    static int32_t stop_ids[VALET_STOP_IDS_MAX];
    for (int32_t i = 0; i < VALET_STOP_IDS_MAX; i++)
        stop_ids[i] = g_expected[0].ids[i % 6];
    struct valet_request *r = &set_job(0, 10, 6)->request;
    r->stop_ids = stop_ids;
    r->stop_id_count = VALET_STOP_IDS_MAX;
    r->min_tokens = 6;
    r->ignore_eos = true;
    run(1, 1);
    ck_assert_int_eq(g_jobs[0].finish, VALET_FINISH_LENGTH);
    for (int32_t i = 0; i < 6; i++)
        ck_assert(!has_id(&g_jobs[0], g_expected[0].ids[i]));
    rig_close(&g_rig);
}
END_TEST

/* ---- stop strings ---- */

static bool is_inside(const struct script_job *job, uint32_t at)
{
    return at < job->text_len && ((unsigned char)job->text[at] & 0xc0) == 0x80;
}

/* Every piece of an answer as its stop string, from every token on: cut, and with it. */
START_TEST(a_stop_string_counts_from_min_tokens_on)
{
    rig_open(&g_rig, tiny_nasty(TENSOR_Q4_1), NULL, 1);
    set_job(0, 12, 30)->request.sampling.temperature = 1.2f;
    rig_alone(&g_rig, g_jobs, g_expected, 1);
    const struct script_job *whole = &g_expected[0];
    int counts[2] = { 0 };
    for (uint32_t at = 0; at + 5 < whole->text_len; at += suite_is_slow() ? 9 : 3) {
        uint32_t len = 1 + at % 4;
        if (is_inside(whole, at))
            continue;
        while (is_inside(whole, at + len))
            len++;
        const struct valet_stop stops[] = { { "not in any answer", 17 },
                                            { whole->text + at, len } };
        for (int32_t i = 0; i < 40; i++) {
            g_jobs[i] = (struct script_job){ .request = g_jobs[0].request };
            g_jobs[i].request.stops = stops;
            g_jobs[i].request.stop_count = 2;
            g_jobs[i].request.min_tokens = i / 2;
            g_jobs[i].request.include_stop = i % 2;
        }
        run(40, 16);
        for (int32_t i = 0; i < 40; i++) {
            /* what the tokens before min_tokens released is out of reach */
            uint32_t from = 0;
            for (int32_t t = 0; t + 1 < g_jobs[i].request.min_tokens; t++)
                from += whole->text_lens[t];
            const char *found =
                memmem(whole->text + from, whole->text_len - from, stops[1].text, stops[1].len);
            uint32_t end = found ? (uint32_t)(found - whole->text) +
                                       (g_jobs[i].request.include_stop ? stops[1].len : 0)
                                 : whole->text_len;
            ck_assert_uint_eq(g_jobs[i].text_len, end);
            ck_assert_mem_eq(g_jobs[i].text, whole->text, end);
            ck_assert_int_eq(g_jobs[i].stop_kind, found ? VALET_STOP_STRING : VALET_STOP_NONE);
            ck_assert_uint_eq(g_jobs[i].stop_index, found ? 1 : 0);
            counts[found != NULL]++;
            g_jobs[i].request.stops = NULL;
        }
    }
    ck_assert_int_gt(counts[0], 20);
    ck_assert_int_gt(counts[1], 20);
    rig_close(&g_rig);
}
END_TEST

/* ---- logprobs ---- */

/* What a step by step run gives, with the answer so far as the prompt. */
START_TEST(logprobs_are_those_of_single_steps)
{
    rig_open(&g_rig, tiny_nasty(TENSOR_Q8_0), NULL, 1);
    for (int32_t i = 0; i < 3; i++) {
        set_job(i, 5 + 30 * i, 36)->request.logprobs = true;
        g_jobs[i].request.top_logprobs = 7 * i;
    }
    run(3, 3);
    static struct script_job whole[3];
    memcpy(whole, g_jobs, sizeof whole);
    for (int32_t i = 0; i < 3; i++) {
        struct valet_request r = whole[i].request;
        memcpy(g_prompts[i] + r.prompt_count, whole[i].ids,
               (size_t)whole[i].count * sizeof(int32_t));
        for (int32_t t = 0; t < whole[i].count; t++) {
            g_jobs[t] = (struct script_job){ .request = r };
            g_jobs[t].request.prompt_count = r.prompt_count + t;
            g_jobs[t].request.max_new = 1;
        }
        struct script s = { .jobs = g_jobs, .job_count = whole[i].count };
        rig_run(&g_rig, (struct rig_size){ 5, 23, 0, i % 2 }, &s, NULL);
        for (int32_t t = 0; t < whole[i].count; t++) {
            const struct script_scores *a = &whole[i].scores[t];
            const struct script_scores *b = &g_jobs[t].scores[0];
            ck_assert_int_eq(g_jobs[t].ids[0], whole[i].ids[t]);
            ck_assert_mem_eq(&a->logprob, &b->logprob, sizeof a->logprob);
            ck_assert_uint_eq(a->top_count, (uint32_t)r.top_logprobs);
            ck_assert_mem_eq(a->top, b->top, b->top_count * sizeof *b->top);
        }
    }
    rig_close(&g_rig);
}
END_TEST

/* An answer fed back as part of the prompt has the logprobs it had when it was drawn. */
START_TEST(logprobs_of_a_prompt_are_those_of_the_answer_it_was)
{
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    for (int k = 0; k < count; k++) {
        rig_open(&g_rig, tiny_plain(TENSOR_Q4_1), isas[k], 1);
        for (int32_t i = 0; i < 4; i++) {
            struct valet_request *r = &set_job(i, 1 + 31 * i, 45)->request;
            r->sampling.temperature = i % 2 ? 1.1f : 0;
            r->logprobs = true;
            r->top_logprobs = 5;
        }
        run(4, 4);
        static struct script_job answers[4];
        memcpy(answers, g_jobs, sizeof answers);
        for (int32_t i = 0; i < 4; i++) {
            int32_t n = answers[i].request.prompt_count;
            memcpy(g_prompts[i] + n, answers[i].ids, (size_t)answers[i].count * sizeof(int32_t));
            g_jobs[i].request.prompt_count = n + answers[i].count;
            g_jobs[i].request.prompt_logprobs = true;
            g_jobs[i].request.max_new = i % 2; /* with and without a token more */
        }
        for (int32_t rows = 1; rows <= 4; rows += 3) {
            run(4, rows);
            for (int32_t i = 0; i < 4; i++) {
                int32_t n = answers[i].request.prompt_count;
                ck_assert_int_eq(g_jobs[i].end, VALET_END_DONE);
                ck_assert_int_eq(g_jobs[i].prompt_count, n + answers[i].count);
                ck_assert(isnan(g_jobs[i].prompt_scores[0].logprob));
                for (int32_t t = 0; t < answers[i].count; t++) {
                    const struct script_scores *a = &answers[i].scores[t];
                    const struct script_scores *b = &g_jobs[i].prompt_scores[n + t];
                    ck_assert_mem_eq(&a->logprob, &b->logprob, sizeof a->logprob);
                    ck_assert_uint_eq(b->top_count, 5);
                    ck_assert_mem_eq(a->top, b->top, 5 * sizeof *a->top);
                }
            }
        }
        rig_close(&g_rig);
    }
}
END_TEST

static double log_softmax(const double *row, int32_t vocab, int32_t id)
{
    double max = row[0];
    double total = 0;
    for (int32_t i = 1; i < vocab; i++)
        max = row[i] > max ? row[i] : max;
    for (int32_t i = 0; i < vocab; i++)
        total += exp(row[i] - max);
    return row[id] - max - log(total);
}

static void check_scores(const struct script_scores *s, const double *row, int32_t id,
                         const char *what)
{
    int32_t vocab = g_rig.tiny.shape.vocab;
    EXPECT(fabs((double)s->logprob - log_softmax(row, vocab, id)) < 1e-4,
           "%s: logprob %g of token %d, expected %g", what, (double)s->logprob, id,
           log_softmax(row, vocab, id));
    for (uint32_t k = 0; k < s->top_count; k++) {
        const struct valet_top *top = &s->top[k];
        EXPECT(fabs((double)top->logprob - log_softmax(row, vocab, top->id)) < 1e-4, "%s: top %u",
               what, k);
        EXPECT(k == 0 || top[-1].logprob > top->logprob ||
                   (top[-1].logprob == top->logprob && top[-1].id < top->id),
               "%s: top %u is out of order", what, k);
        EXPECT(top->id != id || memcmp(&top->logprob, &s->logprob, sizeof s->logprob) == 0,
               "%s: one token with two logprobs", what);
    }
    int32_t above = 0; /* nothing that is left out is clearly larger than the last one kept */
    for (int32_t i = 0; s->top_count > 0 && i < vocab; i++)
        above += log_softmax(row, vocab, i) > (double)s->top[s->top_count - 1].logprob + 1e-4;
    EXPECT(above < (int32_t)s->top_count || s->top_count == 0, "%s: a larger one is left out",
           what);
}

/* Against the teacher in double precision: whatever the request does to its draws. */
START_TEST(logprobs_are_of_the_raw_logits)
{
    static double logits[120 * 300];
    rig_open(&g_rig, tiny_odd(), "ref", 1);
    static const struct valet_bias bias[] = { { 65, 5 }, { 66, -100 } };
    for (int32_t i = 0; i < 4; i++) {
        struct valet_request *r = &set_job(i, 10 + 20 * i, 30)->request;
        r->logprobs = r->prompt_logprobs = true;
        r->top_logprobs = i == 0 ? 0 : i == 1 ? 1 : VALET_TOP_LOGPROBS_MAX;
        r->sampling.temperature = i % 2 ? 2.0f : 0;
        r->sampling.top_k = i == 3 ? 4 : 0;
        r->sampling.frequency_penalty = i == 2 ? 1.5f : 0;
        r->sampling.bias = bias;
        r->sampling.bias_count = 2;
        r->min_tokens = 30;
    }
    run(4, 4);
    for (int32_t i = 0; i < 4; i++) {
        const struct script_job *job = &g_jobs[i];
        int32_t n = job->request.prompt_count;
        int32_t ids[120];
        memcpy(ids, job->request.prompt, (size_t)n * sizeof *ids);
        memcpy(ids + n, job->ids, (size_t)job->count * sizeof *ids);
        tiny_model_logits(&g_rig.tiny, ids, n + job->count, logits);
        for (int32_t t = 1; t < n + job->count; t++)
            check_scores(t < n ? &job->prompt_scores[t] : &job->scores[t - n],
                         logits + (size_t)(t - 1) * (size_t)g_rig.tiny.shape.vocab, ids[t],
                         t < n ? "prompt" : "answer");
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(a_prompt_alone_can_be_scored)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    static const int32_t counts[] = { 1, 2, 31, 32, 33, 34, 64, 65, 100, 256 };
    for (int32_t i = 0; i < 10; i++) {
        struct valet_request *r = &set_job(i, counts[i], 0)->request;
        r->prompt = g_prompts[0]; /* the same for all */
        r->prompt_logprobs = true;
        r->top_logprobs = 2;
    }
    rig_prompt(&g_rig, 1, g_prompts[0], PROMPT_MAX);
    for (int32_t rows = 1; rows <= 10; rows += 3) {
        struct script s = { .jobs = g_jobs, .job_count = 10, .refuse_one_in = 9, .seed = 3 };
        struct valet_engine_stats stats;
        rig_run(&g_rig, (struct rig_size){ rows, 70, 0, rows == 4 }, &s, &stats);
        ck_assert_uint_eq(stats.generated_tokens, 0);
        for (int32_t i = 0; i < 10; i++) {
            ck_assert_int_eq(g_jobs[i].end, VALET_END_DONE);
            ck_assert_int_eq(g_jobs[i].prompt_count, counts[i]);
            ck_assert_int_eq(g_jobs[i].count, 0);
            /* what comes later in a prompt has no say */
            for (int32_t t = 0; t < counts[i]; t++)
                ck_assert_mem_eq(&g_jobs[i].prompt_scores[t].logprob,
                                 &g_jobs[9].prompt_scores[t].logprob, sizeof(float));
        }
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(a_prompt_that_gives_no_number_fails)
{
    struct tiny_shape shape = tiny_nasty(TENSOR_F32);
    shape.poisoned_id = 65;
    rig_open(&g_rig, shape, NULL, 1);
    for (int32_t i = 0; i < 4; i++) {
        struct valet_request *r = &set_job(i, 50, i % 2)->request;
        for (int32_t t = 0; t < 50; t++)
            g_prompts[i][t] = g_prompts[i][t] == 65 ? 66 : g_prompts[i][t];
        g_prompts[i][20] = i < 2 ? 65 : 66;
        r->prompt_logprobs = true;
    }
    run(4, 4);
    for (int32_t i = 0; i < 4; i++)
        ck_assert_int_eq(g_jobs[i].end, i < 2 ? VALET_END_FAILED : VALET_END_DONE);
    rig_close(&g_rig);
}
END_TEST

/* ---- the time between two tokens ---- */

/* Steps that a prompt of 200 tokens takes, beside one that decodes or by itself. */
static uint64_t prefill_steps(uint64_t itl_target_ns, double row_ns, double decode_ns, bool beside)
{
    set_job(0, 8, 120);
    set_job(1, 200, 1)->from_step = beside ? 5 : 0;
    valet_engine *engine = script_engine_with(g_rig.model, 2, 256, 0, false);
    engine->itl_target_ns = itl_target_ns;
    engine->row_ns = row_ns; /* as after some steps; what they took has no say at these sizes */
    engine->decode_ns = decode_ns;
    script_run_jobs(engine, beside ? g_jobs : g_jobs + 1, beside ? 2 : 1);
    valet_engine_destroy(engine);
    /* a step counts when it is over, so the end is seen one early */
    return g_jobs[1].end_step + 1 - (beside ? 5 : 0);
}

START_TEST(a_long_prompt_gets_few_rows_beside_others)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    ck_assert_uint_eq(prefill_steps(0, 1, 0, true), 1);          /* no bound */
    ck_assert_uint_eq(prefill_steps(UINT64_MAX, 1, 0, true), 1); /* one that binds nobody */
    ck_assert_uint_eq(prefill_steps(1, 1e15, 0, true), 13);      /* 16 rows, however slow */
    ck_assert_uint_eq(prefill_steps(1, 1e15, 0, false), 4);      /* 64 where nobody decodes */
    ck_assert_uint_eq(prefill_steps(100, 1, 0, false), 3);       /* 100, cut to 96: half are 64 */
    /* As long as decoding takes: 100 rows, half of that after five steps, so a block of 32. */
    ck_assert_uint_eq(prefill_steps(1, 1e13, 1e15, true), 6); /* 5 blocks and the rest */
    rig_close(&g_rig);
}
END_TEST

/*
 * A prompt of rank 1 and then `urgent` of rank 0, beside one that decodes; a step takes 16 prompt
 * rows, or 64 where nobody decodes.
 */
static void run_ranks(uint32_t decode_rank, int32_t urgent)
{
    set_job(0, 8, 230)->rank = decode_rank;
    for (int32_t i = 1; i <= urgent + 1; i++) {
        set_job(i, 160, 1)->from_step = 5;
        g_jobs[i].rank = i == 1;
    }
    valet_engine *engine = script_engine_with(g_rig.model, urgent + 2, 256, 0, false);
    engine->itl_target_ns = 1;
    engine->row_ns = 1e15;
    engine->speculates = false;
    script_run_jobs(engine, g_jobs, urgent + 2);
    valet_engine_destroy(engine);
}

START_TEST(urgent_prompts_go_first_and_all_get_on)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    run_ranks(0, 1);
    ck_assert_uint_lt(g_jobs[2].end_step, g_jobs[1].end_step);
    ck_assert_uint_le(g_jobs[2].end_step, 5 + 10 + 2); /* ten steps, and two turns of the other */
    run_ranks(0, 20);
    ck_assert_uint_gt(g_jobs[1].end_step, 5 + 8 * 9); /* one step of eight ... */
    ck_assert_uint_lt(g_jobs[1].end_step, 5 + 8 * 11);
    ck_assert_uint_lt(g_jobs[1].end_step, g_jobs[21].end_step); /* ... but before the last */
    /* Who decodes at a higher rank than a prompt waits for it, but not in every step. */
    run_ranks(1, 1);
    ck_assert_uint_le(g_jobs[2].end_step, 5 + 6); /* 16 and 64 rows in turn */
    ck_assert_int_eq(g_jobs[0].count, 230);
    ck_assert_uint_ge(g_jobs[0].end_step, 230 + 2); /* steps without it */
    ck_assert_uint_le(g_jobs[0].end_step, 230 + 6);
    rig_close(&g_rig);
}
END_TEST

/* ---- out of range ---- */

static const struct valet_bias g_bad_bias[][1] = {
    { { -1, 1 } },       { { 288, 1 } },    { { INT32_MAX, 1 } }, { { 5, NAN } },
    { { 5, INFINITY } }, { { 5, 100.5f } }, { { 5, -101 } },
};
static const int32_t g_bad_ids[][2] = { { 5, -1 }, { 288, 5 }, { INT32_MIN, 5 } };

/* Makes a request one that cannot be, in way `n`; false: there are no more. */
static bool spoil(struct valet_request *r, int n)
{
    static struct valet_bias many_bias[VALET_BIAS_MAX + 1];
    static int32_t many_ids[VALET_STOP_IDS_MAX + 1];
    struct valet_sampling *s = &r->sampling;
    enum {
        BIAS = sizeof g_bad_bias / sizeof *g_bad_bias,
        IDS = sizeof g_bad_ids / sizeof *g_bad_ids
    };
    if (n < BIAS) {
        s->bias = g_bad_bias[n];
        s->bias_count = 1;
        return true;
    }
    n -= BIAS;
    if (n < IDS) {
        r->stop_ids = g_bad_ids[n];
        r->stop_id_count = 2;
        return true;
    }
    n -= IDS;
    if (n < IDS) {
        s->dry_breakers = g_bad_ids[n];
        s->dry_breaker_count = 2;
        return true;
    }
    float *const floats[] = { &s->temperature,
                              &s->top_p,
                              &s->min_p,
                              &s->typical_p,
                              &s->top_n_sigma,
                              &s->xtc_probability,
                              &s->xtc_threshold,
                              &s->presence_penalty,
                              &s->frequency_penalty,
                              &s->repetition_penalty,
                              &s->dry_multiplier,
                              &s->dry_base,
                              &s->mirostat_tau,
                              &s->mirostat_eta };
    enum {
        FLOATS = sizeof floats / sizeof *floats
    };
    n -= IDS;
    if (n < 2 * FLOATS) {
        *floats[n / 2] = n % 2 ? NAN : INFINITY;
        return true;
    }
    switch (n - 2 * FLOATS) {
    case 0:
        s->bias = many_bias;
        s->bias_count = VALET_BIAS_MAX + 1;
        return true;
    case 1:
        r->stop_ids = many_ids;
        r->stop_id_count = VALET_STOP_IDS_MAX + 1;
        return true;
    case 2:
        r->top_logprobs = -1;
        return true;
    case 3:
        r->top_logprobs = VALET_TOP_LOGPROBS_MAX + 1;
        return true;
    case 4:
        s->mirostat = 3;
        return true;
    case 5:
        s->mirostat = -1;
        return true;
    case 6:
        s->presence_penalty = 2.5f;
        return true;
    case 7:
        s->frequency_penalty = -2.5f;
        return true;
    case 8:
        s->top_p = 1.5f;
        return true;
    case 9:
        s->top_p = -0.5f;
        return true;
    case 10:
        s->typical_p = 2;
        return true;
    case 11:
        s->temperature = -1;
        return true;
    case 12:
        r->max_new = 0; /* and no prompt_logprobs */
        return true;
    case 13:
        r->max_new = -1;
        r->prompt_logprobs = true;
        return true;
    case 14:
        r->prompt_count = PROMPT_MAX + 1;
        r->max_new = 0;
        r->prompt_logprobs = true;
        return true;
    default:
        return false;
    }
}

START_TEST(what_is_out_of_range_fails_and_others_go_on)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_job(0, 10, 6)->request.sampling.temperature = 1;
    rig_alone(&g_rig, g_jobs, g_expected, 1);
    int n = 0;
    for (;; n++) {
        for (int32_t i = 0; i < 3; i++) {
            set_job(i, 10, 6)->request.sampling.temperature = 1;
            g_jobs[i].request.sampling.seed = 0;
            g_jobs[i].request.prompt = g_prompts[0];
        }
        rig_prompt(&g_rig, 600, g_prompts[0], 10);
        if (!spoil(&g_jobs[1].request, n))
            break;
        run(3, 3);
        script_expect_same(&g_jobs[0], &g_expected[0], "beside one out of range");
        script_expect_same(&g_jobs[2], &g_expected[0], "beside one out of range");
        ck_assert_msg(g_jobs[1].end == VALET_END_FAILED && !g_jobs[1].started,
                      "request %d out of range ended as %d", n, g_jobs[1].end);
        ck_assert_str_eq(g_jobs[1].error, "the request is out of range");
    }
    printf("%d requests out of range\n", n);
    rig_close(&g_rig);
}
END_TEST

/* What a source says that a request had done is looked at like the request. */
START_TEST(progress_out_of_range_fails)
{
    static const int32_t ids[] = { 5, 6, 7, 8, 9, 10 };
    static const int32_t bad_ids[] = { 5, 288 };
    static const struct valet_progress bad[] = {
        { .ids = ids, .count = -1, .started = true },
        { .ids = ids, .count = 6, .started = true }, /* all that was asked for */
        { .ids = ids, .count = INT32_MAX, .started = true },
        { .ids = bad_ids, .count = 2, .started = true },
        { .ids = ids, .count = 2, .prompt_reported = -1, .started = true },
        { .ids = ids, .count = 2, .prompt_reported = 11, .started = true },
    };
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    valet_engine *engine = script_engine_with(g_rig.model, 1, 256, 0, true);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set_job(0, 10, 6)->progress = bad[i];
        script_run_jobs(engine, g_jobs, 1);
        ck_assert_int_eq(g_jobs[0].end, VALET_END_FAILED);
    }
    valet_engine_destroy(engine);
    rig_close(&g_rig);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, the_end_token_waits_for_min_tokens);
    tcase_add_test(t, stop_ids_end_an_answer);
    tcase_add_test(t, masked_tokens_do_not_come);
    tcase_add_test(t, a_stop_string_counts_from_min_tokens_on);
    tcase_add_test(t, logprobs_are_those_of_single_steps);
    tcase_add_test(t, logprobs_of_a_prompt_are_those_of_the_answer_it_was);
    tcase_add_test(t, logprobs_are_of_the_raw_logits);
    tcase_add_test(t, a_prompt_alone_can_be_scored);
    tcase_add_test(t, a_prompt_that_gives_no_number_fails);
    tcase_add_test(t, a_long_prompt_gets_few_rows_beside_others);
    tcase_add_test(t, urgent_prompts_go_first_and_all_get_on);
    tcase_add_test(t, what_is_out_of_range_fails_and_others_go_on);
    tcase_add_test(t, progress_out_of_range_fails);
    return suite_run("params", t);
}
