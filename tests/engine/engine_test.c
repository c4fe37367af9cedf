/*
 * What the engine promises to a source, request by request: events, ends, cancelling, pausing,
 * refusing. script.c checks the order of calls in every one of these tests.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "engine/script.h"
#include "engine/suite.h"
#include "tiny_model.h"
#include "tokenizer/tokenizer.h"

enum {
    JOBS_MAX = 40,
    PROMPT_MAX = 200
};

/* ---- one model, one engine ---- */

static struct tiny_model g_tiny;
static valet_model *g_model;
static struct script_job g_jobs[JOBS_MAX];
static struct script_job g_expected[JOBS_MAX];
static int32_t g_prompts[JOBS_MAX][PROMPT_MAX];

static void open_shape(struct tiny_shape shape)
{
    tiny_model_write(&g_tiny, &shape);
    g_model = script_load(g_tiny.path, script_best_isa(), 1);
}

static void open_model(void)
{
    open_shape(tiny_plain(TENSOR_Q8_0));
}

static void close_model(void)
{
    valet_model_free(g_model);
    tiny_model_remove(&g_tiny);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static valet_engine *engine_of(int32_t rows_max, int32_t chunk_max, uint64_t blocks)
{
    struct valet_engine_options options;
    valet_engine_options_init(&options);
    options.rows_max = rows_max;
    options.chunk_max = chunk_max;
    options.speculation = false; /* a token of each in a step: what is cancelled, and when */
    valet_engine *engine;
    ck_assert_int_eq(valet_engine_create(g_model, &options, &engine, NULL), VALET_OK);
    if (blocks == 0)
        return engine;
    struct valet_engine_info info;
    valet_engine_info(engine, &info);
    valet_engine_destroy(engine);
    options.kv_bytes = blocks * info.block_bytes;
    ck_assert_int_eq(valet_engine_create(g_model, &options, &engine, NULL), VALET_OK);
    return engine;
}

/* Job i: a random prompt of `prompt_count` tokens that depends on i alone. */
static struct script_job *set_job(int32_t i, int32_t prompt_count, int32_t max_new)
{
    struct tiny_random r = { 100 + (uint64_t)i };
    for (int32_t t = 0; t < prompt_count && t < PROMPT_MAX; t++)
        g_prompts[i][t] = tiny_random_below(&r, g_tiny.shape.vocab);
    g_jobs[i] = (struct script_job){
        .request = { .prompt = g_prompts[i],
                     .prompt_count = prompt_count,
                     .max_new = max_new,
                     .sampling = { .temperature = i % 2 ? 0.9f : 0,
                                   .top_p = 1,
                                   .seed = (uint64_t)i } },
    };
    return &g_jobs[i];
}

/* What job i gives when nothing happens to it, in g_expected[i]. */
static void expect_job(int32_t i)
{
    g_expected[i] = (struct script_job){ .request = g_jobs[i].request };
    valet_engine *engine = engine_of(1, 256, 0);
    script_run_jobs(engine, &g_expected[i], 1);
    valet_engine_destroy(engine);
}

/* ---- answers ---- */

START_TEST(an_answer_ends_at_max_new)
{
    open_model();
    valet_engine *engine = engine_of(4, 16, 0);
    for (int32_t i = 0; i < 8; i++)
        set_job(i, 3 + 5 * i, 1 + i);
    script_run_jobs(engine, g_jobs, 8);
    for (int32_t i = 0; i < 8; i++) {
        ck_assert_int_eq(g_jobs[i].end, VALET_END_DONE);
        ck_assert_int_eq(g_jobs[i].count, 1 + i);
        ck_assert_int_eq(g_jobs[i].finish, VALET_FINISH_LENGTH);
    }
    struct valet_engine_stats stats;
    valet_engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.prompt_tokens, 8 * 3 + 5 * 28);
    ck_assert_uint_eq(stats.generated_tokens, 36);
    ck_assert_uint_gt(stats.steps, 0);
    ck_assert_uint_gt(stats.beat_ns, 0);
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

START_TEST(the_whole_context_can_be_used)
{
    open_model();
    valet_engine *engine = engine_of(2, 64, 0);
    struct valet_engine_info info;
    valet_engine_info(engine, &info);
    ck_assert_int_eq(info.context, 256);
    set_job(0, 1, 255);
    set_job(1, 199, 57);
    script_run_jobs(engine, g_jobs, 2);
    ck_assert_int_eq(g_jobs[0].count, 255);
    ck_assert_int_eq(g_jobs[1].count, 57);
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

/* The text of an answer is that of its tokens, by the tokenizer alone. */
START_TEST(the_text_is_that_of_the_tokens)
{
    open_model();
    valet_engine *engine = engine_of(4, 16, 0);
    for (int32_t i = 0; i < 20; i++)
        set_job(i, 5 + i, 40)->request.sampling.temperature = 1.5f;
    script_run_jobs(engine, g_jobs, 20);
    const struct tokenizer *t = valet_model_tokenizer(g_model);
    int held = 0;
    for (int32_t i = 0; i < 20; i++) {
        struct tokenizer_decoder d;
        char text[SCRIPT_TEXT_MAX];
        size_t len = 0;
        tokenizer_decoder_init(&d, t, false);
        for (int32_t k = 0; k < g_jobs[i].count; k++) {
            if (g_jobs[i].finish != VALET_FINISH_STOP || k < g_jobs[i].count - 1)
                len += tokenizer_decode(&d, g_jobs[i].ids[k], text + len);
        }
        size_t rest = tokenizer_decode_end(&d, text + len);
        held += rest > 0;
        len += rest;
        ck_assert_uint_eq(g_jobs[i].text_len, len);
        ck_assert_mem_eq(g_jobs[i].text, text, len);
    }
    ck_assert_int_gt(held, 0); /* some answers end inside a character */
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

START_TEST(the_end_token_ends_the_answer)
{
    open_model();
    set_job(0, 10, 12);
    expect_job(0);
    close_model();
    /* the same model, but its end token is one of the answer */
    int32_t at = 5;
    int32_t end_id = g_expected[0].ids[at];
    for (int32_t i = 0; i < at; i++)
        at = g_expected[0].ids[i] == end_id ? i : at;
    struct tiny_shape shape = tiny_plain(TENSOR_Q8_0);
    shape.eos_id = end_id;
    open_shape(shape);
    valet_engine *engine = engine_of(2, 16, 0);
    set_job(0, 10, 12);
    set_job(1, 10, 12)->request = g_jobs[0].request;
    g_jobs[1].request.max_new = at + 1; /* end token and limit at once: it is a stop */
    script_run_jobs(engine, g_jobs, 2);
    for (int32_t i = 0; i < 2; i++) {
        ck_assert_int_eq(g_jobs[i].count, at + 1);
        ck_assert_int_eq(g_jobs[i].ids[at], end_id);
        ck_assert_int_eq(g_jobs[i].finish, VALET_FINISH_STOP);
    }
    /* the end token's own text is not part of the answer */
    struct script_job *shorter = set_job(2, 10, at > 0 ? at : 1);
    shorter->request.prompt = g_jobs[0].request.prompt;
    script_run_jobs(engine, shorter, 1);
    if (at > 0)
        ck_assert_uint_eq(g_jobs[0].text_len, shorter->text_len);
    else
        ck_assert_uint_eq(g_jobs[0].text_len, 0);
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

/* Every piece of a known answer as its stop string, within tokens and across them. */
START_TEST(stop_strings_cut_across_tokens)
{
    open_shape(tiny_nasty(TENSOR_Q4_1));
    set_job(1, 12, 40)->request.sampling.temperature = 1.2f;
    expect_job(1);
    const struct script_job *whole = &g_expected[1];
    ck_assert_uint_gt(whole->text_len, 40);
    valet_engine *engine = engine_of(4, 16, 0);
    struct valet_stop stops[8];
    for (uint32_t at = 0; at + 6 < whole->text_len; at += 3) {
        /* text that the answer has, whole characters */
        uint32_t len = 1 + at % 5;
        if (((unsigned char)whole->text[at] & 0xc0) == 0x80)
            continue;
        while (((unsigned char)whole->text[at + len] & 0xc0) == 0x80)
            len++;
        stops[0] = (struct valet_stop){ "never to be seen", 16 };
        stops[1] = (struct valet_stop){ whole->text + at, len };
        struct script_job *job = set_job(0, 1, 1);
        job->request = g_jobs[1].request;
        job->request.stops = stops;
        job->request.stop_count = 2;
        script_run_jobs(engine, job, 1);
        const char *first = memmem(whole->text, whole->text_len, stops[1].text, stops[1].len);
        ck_assert_int_eq(job->finish, VALET_FINISH_STOP);
        ck_assert_int_eq(job->end, VALET_END_DONE);
        ck_assert_uint_eq(job->text_len, (size_t)(first - whole->text));
        ck_assert_mem_eq(job->text, whole->text, job->text_len);
    }
    /* one that never comes, but begins everywhere: all held text comes at the end */
    static char almost[8][3];
    for (uint32_t i = 0; i < 8; i++) {
        almost[i][0] = whole->text[whole->text_len - 1 - i];
        memcpy(almost[i] + 1, "\x01\x01", 2);
        stops[i] = (struct valet_stop){ almost[i], 3 };
    }
    struct script_job *job = set_job(0, 1, 1);
    job->request = g_jobs[1].request;
    job->request.stops = stops;
    job->request.stop_count = 8;
    script_run_jobs(engine, job, 1);
    ck_assert_uint_eq(job->text_len, whole->text_len);
    ck_assert_mem_eq(job->text, whole->text, whole->text_len);
    ck_assert_int_eq(job->finish, whole->finish);
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

/* ---- order ---- */

/* Chunks of 4: three prompts of 100 tokens take 25 steps each, one after the other. */
START_TEST(the_oldest_prompt_is_computed_first)
{
    open_model();
    valet_engine *engine = engine_of(3, 4, 0);
    for (int32_t i = 0; i < 5; i++)
        set_job(i, 100, 1);
    script_run_jobs(engine, g_jobs, 5);
    for (int32_t i = 0; i < 5; i++) /* the last step counts when it is over */
        ck_assert_uint_eq(g_jobs[i].end_step, 25 * (uint64_t)(i + 1) - 1);
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

/* Who decodes gets a row in every step, however long the prompts beside it. */
START_TEST(decoding_goes_on_beside_a_long_prefill)
{
    open_model();
    valet_engine *engine = engine_of(3, 4, 0);
    set_job(0, 8, 40); /* 2 steps of prefill, then 39 of decoding */
    set_job(1, 200, 4);
    set_job(2, 200, 4);
    expect_job(0);
    ck_assert_int_eq(g_expected[0].count, 40);
    script_run_jobs(engine, g_jobs, 3);
    ck_assert_uint_eq(g_jobs[0].end_step, 2 + 39 - 1);
    ck_assert_uint_gt(g_jobs[1].end_step, 50);
    script_expect_same(&g_jobs[0], &g_expected[0], "beside long prompts");
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

/* ---- cancelling ---- */

START_TEST(cancelled_before_the_first_step)
{
    open_model();
    valet_engine *engine = engine_of(4, 16, 0);
    for (int32_t i = 0; i < 8; i++) {
        set_job(i, 20, 5)->cancel = i % 2;
        expect_job(i);
    }
    script_run_jobs(engine, g_jobs, 8);
    for (int32_t i = 0; i < 8; i++) {
        if (i % 2) {
            ck_assert_int_eq(g_jobs[i].end, VALET_END_CANCELLED);
            ck_assert_int_le(g_jobs[i].count, 1); /* one step at most: joined, then asked */
        } else {
            script_expect_same(&g_jobs[i], &g_expected[i], "a neighbour was cancelled");
        }
    }
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

START_TEST(cancelled_during_a_long_prefill)
{
    open_model();
    valet_engine *engine = engine_of(3, 4, 0); /* 190 tokens take 48 steps */
    set_job(0, 20, 30);
    struct script_job *job = set_job(1, 190, 10);
    job->cancel = true;
    job->cancel_step = 9;
    set_job(2, 30, 5);
    expect_job(0);
    expect_job(2);
    script_run_jobs(engine, g_jobs, 3);
    ck_assert_int_eq(job->end, VALET_END_CANCELLED);
    ck_assert_int_eq(job->count, 0);
    ck_assert_uint_eq(job->end_step, 9); /* asked before each step, gone before the next */
    script_expect_same(&g_jobs[0], &g_expected[0], "a neighbour was cancelled");
    script_expect_same(&g_jobs[2], &g_expected[2], "a neighbour was cancelled");
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

START_TEST(cancelled_while_it_decodes)
{
    open_model();
    valet_engine *engine = engine_of(3, 64, 0);
    for (int32_t i = 0; i < 9; i++) {
        set_job(i, 10 + i, 40);
        expect_job(i);
        g_jobs[i].cancel = i % 3 == 1;
        g_jobs[i].cancel_count = 3 + i;
    }
    script_run_jobs(engine, g_jobs, 9);
    for (int32_t i = 0; i < 9; i++) {
        if (i % 3 != 1) {
            script_expect_same(&g_jobs[i], &g_expected[i], "a neighbour was cancelled");
            continue;
        }
        ck_assert_int_eq(g_jobs[i].end, VALET_END_CANCELLED);
        ck_assert_int_eq(g_jobs[i].count, 3 + i); /* none after the one that cancelled it */
        ck_assert_mem_eq(g_jobs[i].ids, g_expected[i].ids, (size_t)(3 + i) * sizeof(int32_t));
    }
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

/* ---- a source without room ---- */

START_TEST(refused_events_come_again_and_others_go_on)
{
    open_model();
    valet_engine *engine = engine_of(4, 16, 0);
    for (int32_t i = 0; i < 12; i++) {
        set_job(i, 15 + i, 20);
        expect_job(i);
        g_jobs[i].refuse_at = i % 3 == 0 ? 0 : i % 3 == 1 ? 7 : 20; /* START, a token, the last */
        g_jobs[i].refuse_count = i % 4 == 3 ? 0 : 1 + 3 * (i % 4);
    }
    script_run_jobs(engine, g_jobs, 12);
    int32_t others = 0;
    for (int32_t i = 0; i < 12; i++) {
        ck_assert_int_eq(g_jobs[i].refused, i % 4 == 3 ? 0 : 1 + 3 * (i % 4));
        script_expect_same(&g_jobs[i], &g_expected[i], "its events were refused for a while");
        others += g_jobs[i].others_events;
    }
    ck_assert_int_gt(others, 12);
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

/* With every row paused the engine waits: two tries (in the step, at the retry) for one wait. */
START_TEST(the_engine_waits_when_all_rows_are_paused)
{
    open_model();
    valet_engine *engine = engine_of(3, 64, 0);
    for (int32_t i = 0; i < 3; i++) {
        set_job(i, 15, 20);
        expect_job(i);
        g_jobs[i].refuse_at = i == 2 ? 0 : 4 + i;
        g_jobs[i].refuse_count = SCRIPT_REFUSE_UNTIL_WAIT;
    }
    struct script s = { .jobs = g_jobs, .job_count = 3 };
    script_run(engine, &s);
    ck_assert_uint_eq(s.waits, 2); /* once with all paused, once at the end */
    for (int32_t i = 0; i < 3; i++)
        script_expect_same(&g_jobs[i], &g_expected[i], "paused until the wait");
    /* alone, each try can be counted */
    for (int32_t i = 0; i < 3; i++) {
        script_reset(&g_jobs[i], 1);
        g_jobs[i].refuse_count = SCRIPT_REFUSE_UNTIL_WAIT;
        script_run_jobs(engine, &g_jobs[i], 1);
        ck_assert_int_le(g_jobs[i].refused, 2);
        script_expect_same(&g_jobs[i], &g_expected[i], "paused alone");
    }
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

START_TEST(a_paused_request_can_be_cancelled)
{
    open_model();
    valet_engine *engine = engine_of(2, 64, 0);
    for (int32_t i = 0; i < 4; i++) {
        set_job(i, 15, 20);
        expect_job(i);
    }
    for (int32_t i = 0; i < 2; i++) {
        g_jobs[i].refuse_at = i == 0 ? 0 : 6;
        g_jobs[i].refuse_count = 1000;
        g_jobs[i].cancel = true;
        g_jobs[i].cancel_count = i == 0 ? 0 : 5;
    }
    script_run_jobs(engine, g_jobs, 4);
    for (int32_t i = 0; i < 2; i++) {
        ck_assert_int_eq(g_jobs[i].end, VALET_END_CANCELLED);
        ck_assert_int_lt(g_jobs[i].refused, 5);
    }
    script_expect_same(&g_jobs[2], &g_expected[2], "after a cancelled one");
    script_expect_same(&g_jobs[3], &g_expected[3], "after a cancelled one");
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

/* ---- requests that cannot be ---- */

START_TEST(impossible_requests_fail_and_others_go_on)
{
    open_model();
    static char long_text[VALET_STOP_BYTES_MAX + 1];
    static const struct valet_stop too_long[] = { { long_text, VALET_STOP_BYTES_MAX + 1 } };
    static const struct valet_stop empty[] = { { "x", 1 }, { "", 0 } };
    static struct valet_stop many[VALET_STOPS_MAX + 1];
    for (int i = 0; i <= VALET_STOPS_MAX; i++)
        many[i] = (struct valet_stop){ "x", 1 };
    static int32_t longer[300];
    enum {
        BAD = 15
    };
    for (int32_t i = 0; i < 2 * BAD; i++) {
        set_job(i, 10, 8);
        if (i % 2 == 0)
            expect_job(i);
    }
    struct valet_request *bad[BAD];
    for (int32_t i = 0; i < BAD; i++)
        bad[i] = &g_jobs[2 * i + 1].request;
    bad[0]->prompt_count = 0;
    bad[1]->prompt_count = -1;
    bad[2]->max_new = 0;
    bad[3]->max_new = INT32_MIN;
    bad[4]->max_new = INT32_MAX;
    bad[5]->max_new = 247; /* with 10 it is 257 of 256 */
    bad[6]->prompt = longer;
    bad[6]->prompt_count = 256;
    bad[6]->max_new = 1;
    bad[7]->prompt = longer;
    bad[7]->prompt_count = INT32_MAX;
    g_prompts[17][9] = g_tiny.shape.vocab;
    g_prompts[19][0] = -1;
    g_prompts[21][5] = INT32_MIN;
    g_prompts[23][5] = INT32_MAX;
    bad[12]->stops = too_long;
    bad[12]->stop_count = 1;
    bad[13]->stops = empty;
    bad[13]->stop_count = 2;
    bad[14]->stops = many;
    bad[14]->stop_count = VALET_STOPS_MAX + 1;
    for (int32_t rows = 1; rows <= 4; rows += 3) {
        valet_engine *engine = engine_of(rows, 8, 0);
        script_reset(g_jobs, 2 * BAD);
        script_run_jobs(engine, g_jobs, 2 * BAD);
        for (int32_t i = 0; i < 2 * BAD; i++) {
            if (i % 2 == 0) {
                script_expect_same(&g_jobs[i], &g_expected[i], "beside an impossible one");
                continue;
            }
            ck_assert_msg(g_jobs[i].end == VALET_END_FAILED, "bad request %d ended as %d", i / 2,
                          g_jobs[i].end);
            ck_assert_int_eq(g_jobs[i].count, 0);
            ck_assert(!g_jobs[i].started);
        }
        valet_engine_destroy(engine);
    }
    close_model();
}
END_TEST

/* 6 blocks of 32 tokens, requests for more: whoever finds none free fails, alone. */
START_TEST(misbooked_requests_fail_and_others_go_on)
{
    open_model();
    valet_engine *engine = engine_of(3, 16, 6);
    struct valet_engine_info info;
    valet_engine_info(engine, &info);
    ck_assert_uint_eq(info.block_count, 6);
    ck_assert_int_eq(info.context, 192);
    for (int32_t i = 0; i < 16; i++) {
        set_job(i, i % 2 ? 100 : 20, i % 4 ? 30 : 60)->unbooked = true;
        expect_job(i);
    }
    script_run_jobs(engine, g_jobs, 16);
    int failed = 0;
    for (int32_t i = 0; i < 16; i++) {
        if (g_jobs[i].end == VALET_END_FAILED) {
            failed++;
            ck_assert_str_eq(g_jobs[i].error, "out of KV blocks");
            ck_assert_int_le(g_jobs[i].count, g_expected[i].count);
            ck_assert_mem_eq(g_jobs[i].ids, g_expected[i].ids,
                             (size_t)g_jobs[i].count * sizeof(int32_t));
        } else {
            script_expect_same(&g_jobs[i], &g_expected[i], "beside one without blocks");
        }
    }
    printf("%d of 16 failed for lack of blocks\n", failed);
    ck_assert_int_gt(failed, 0);
    ck_assert_int_lt(failed, 16);
    /* the same requests, booked: all fit, one after the other */
    for (int32_t i = 0; i < 16; i++)
        g_jobs[i].unbooked = false;
    script_reset(g_jobs, 16);
    script_run_jobs(engine, g_jobs, 16);
    for (int32_t i = 0; i < 16; i++)
        script_expect_same(&g_jobs[i], &g_expected[i], "booked");
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

/* One token's embedding is no number. Who uses it fails; its blocks, full of NaN, are used
 * by others afterwards, and its neighbours in the batch see nothing. */
START_TEST(values_that_are_no_numbers_stay_with_their_request)
{
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    for (int k = 0; k < count; k++) {
        struct tiny_shape shape = tiny_nasty(TENSOR_F32);
        shape.poisoned_id = 65;
        tiny_model_write(&g_tiny, &shape);
        g_model = script_load(g_tiny.path, isas[k], 1);
        for (int32_t i = 0; i < 12; i++) {
            set_job(i, 40 + i, 10);
            for (int32_t t = 0; t < 40 + i; t++)
                g_prompts[i][t] = g_prompts[i][t] == 65 ? 66 : g_prompts[i][t];
            if (i % 3 == 0)
                g_prompts[i][i % 2 ? 3 : 39 + i] = 65;
            expect_job(i);
        }
        valet_engine *engine = engine_of(2, 16, 0); /* few rows: the same blocks again and again */
        script_run_jobs(engine, g_jobs, 12);
        for (int32_t i = 0; i < 12; i++) {
            ck_assert_int_eq(g_expected[i].end, i % 3 ? VALET_END_DONE : VALET_END_FAILED);
            script_expect_same(&g_jobs[i], &g_expected[i], "beside NaN");
        }
        valet_engine_destroy(engine);
        close_model();
    }
}
END_TEST

/* ---- the loop ---- */

START_TEST(nothing_is_allocated_while_it_runs)
{
    open_model();
    valet_engine *engine = engine_of(4, 16, 12);
    static const struct valet_stop stops[] = { { "ab", 2 } };
    for (int32_t i = 0; i < 12; i++) {
        struct script_job *job = set_job(i, 20 + i, 30);
        job->request.stops = stops;
        job->request.stop_count = (uint32_t)(i % 2);
        job->request.sampling.top_k = 20;
        job->request.sampling.top_p = 0.95f;
        job->cancel = i % 5 == 4;
        job->cancel_count = 5;
        job->unbooked = i == 7;
    }
    struct script s = { .jobs = g_jobs, .job_count = 12, .check_allocs = true };
    script_run(engine, &s);
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

START_TEST(a_source_that_ends_cancels_what_is_left)
{
    open_model();
    valet_engine *engine = engine_of(3, 64, 0);
    for (int32_t i = 0; i < 5; i++) {
        set_job(i, 15, 20)->refuse_at = i;
        g_jobs[i].refuse_count = SCRIPT_REFUSE_UNTIL_WAIT;
    }
    struct script s = { .jobs = g_jobs, .job_count = 5, .stop_in_wait = true };
    script_run(engine, &s);
    for (int32_t i = 0; i < 3; i++) {
        ck_assert_int_eq(g_jobs[i].state, SCRIPT_ENDED);
        ck_assert_int_eq(g_jobs[i].end, VALET_END_CANCELLED);
    }
    for (int32_t i = 3; i < 5; i++)
        ck_assert_int_eq(g_jobs[i].state, SCRIPT_WAITING);
    /* the engine can run again, as if new */
    set_job(6, 30, 10);
    expect_job(6);
    script_run_jobs(engine, &g_jobs[6], 1);
    script_expect_same(&g_jobs[6], &g_expected[6], "after a cancelled run");
    valet_engine_destroy(engine);
    close_model();
}
END_TEST

START_TEST(two_engines_on_one_model_take_turns)
{
    open_model();
    valet_engine *a = engine_of(2, 8, 0);
    valet_engine *b = engine_of(4, 64, 10);
    for (int32_t i = 0; i < 4; i++) {
        set_job(i, 20 + i, 10);
        expect_job(i);
    }
    for (int round = 0; round < 3; round++) {
        script_reset(g_jobs, 4);
        script_run_jobs(round % 2 ? a : b, g_jobs, 4);
        for (int32_t i = 0; i < 4; i++)
            script_expect_same(&g_jobs[i], &g_expected[i], "on another engine");
    }
    valet_engine_destroy(a);
    valet_engine_destroy(b);
    close_model();
}
END_TEST

/* An engine thread that is fed from outside, and looked at while it works. */
struct feeder {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    valet_engine *engine;
    int32_t given; /* jobs handed in so far */
    int32_t next;
    int32_t ended;
    bool stop;
};

static size_t feeder_take(void *arg, struct valet_start *starts, size_t room)
{
    struct feeder *f = arg;
    pthread_mutex_lock(&f->mutex);
    size_t n = 0;
    while (n < room && f->next < f->given) {
        struct script_job *job = &g_jobs[f->next++];
        starts[n++] = (struct valet_start){
            .work = job,
            .request = &job->request,
            .blocks = valet_engine_blocks(job->request.prompt_count, job->request.max_new),
        };
    }
    pthread_mutex_unlock(&f->mutex);
    return n;
}

static bool feeder_wait(void *arg)
{
    struct feeder *f = arg;
    pthread_mutex_lock(&f->mutex);
    while (f->next == f->given && !f->stop)
        pthread_cond_wait(&f->cond, &f->mutex);
    bool stop = f->stop;
    pthread_mutex_unlock(&f->mutex);
    return !stop;
}

static bool feeder_cancelled(void *arg, void *work)
{
    (void)arg;
    (void)work;
    return false;
}

static bool feeder_emit(void *arg, void *work, const struct valet_event *event)
{
    (void)arg;
    struct script_job *job = work;
    if (event->type == VALET_EVENT_TOKEN)
        job->ids[job->count++] = event->id;
    memcpy(job->text + job->text_len, event->text_len ? event->text : "", event->text_len);
    job->text_len += event->text_len;
    job->finish = event->finish;
    return true;
}

static void feeder_end(void *arg, void *work, enum valet_end end, const char *error)
{
    (void)error;
    struct feeder *f = arg;
    pthread_mutex_lock(&f->mutex);
    ((struct script_job *)work)->end = end;
    f->ended++;
    pthread_cond_broadcast(&f->cond);
    pthread_mutex_unlock(&f->mutex);
}

/* The feeder keeps less than a script does. */
static void expect_same_ids(const struct script_job *got, const struct script_job *expected)
{
    ck_assert_int_eq(got->count, expected->count);
    ck_assert_mem_eq(got->ids, expected->ids, (size_t)got->count * sizeof *got->ids);
    ck_assert_uint_eq(got->text_len, expected->text_len);
    ck_assert_mem_eq(got->text, expected->text, got->text_len);
    ck_assert_int_eq(got->end, VALET_END_DONE);
}

static void *feeder_main(void *arg)
{
    struct feeder *f = arg;
    struct valet_engine_source source = { .arg = f,
                                          .take = feeder_take,
                                          .wait = feeder_wait,
                                          .cancelled = feeder_cancelled,
                                          .emit = feeder_emit,
                                          .end = feeder_end };
    valet_engine_run(f->engine, &source);
    return NULL;
}

START_TEST(an_engine_thread_is_fed_and_watched_from_outside)
{
    enum {
        JOBS = 20
    };
    struct tiny_shape shape = tiny_plain(TENSOR_Q4_1);
    tiny_model_write(&g_tiny, &shape);
    g_model = script_load(g_tiny.path, script_best_isa(), 2);
    for (int32_t i = 0; i < JOBS; i++) {
        set_job(i, 10 + 3 * i, 15);
        expect_job(i);
    }
    struct feeder f = { .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
    f.engine = engine_of(4, 16, 0);
    struct base_thread thread;
    ck_assert_int_eq(thread_start(&thread, "engine", feeder_main, &f), OK);
    uint64_t steps = 0;
    for (int32_t i = 0; i < JOBS; i++) {
        pthread_mutex_lock(&f.mutex);
        f.given++;
        pthread_cond_broadcast(&f.cond);
        while (f.ended + 3 < f.given) /* three at most on their way */
            pthread_cond_wait(&f.cond, &f.mutex);
        pthread_mutex_unlock(&f.mutex);
        struct valet_engine_stats stats;
        valet_engine_stats(f.engine, &stats);
        ck_assert_uint_ge(stats.steps, steps);
        ck_assert_uint_le(stats.rows, 4);
        steps = stats.steps;
    }
    pthread_mutex_lock(&f.mutex);
    while (f.ended < JOBS)
        pthread_cond_wait(&f.cond, &f.mutex);
    struct valet_engine_stats stats;
    valet_engine_stats(f.engine, &stats); /* whoever has seen the end sees its blocks free */
    ck_assert_uint_eq(stats.blocks_used, 0);
    ck_assert_uint_eq(stats.rows, 0);
    f.stop = true;
    pthread_cond_broadcast(&f.cond);
    pthread_mutex_unlock(&f.mutex);
    thread_join(&thread);
    for (int32_t i = 0; i < JOBS; i++)
        expect_same_ids(&g_jobs[i], &g_expected[i]);
    valet_engine_destroy(f.engine);
    close_model();
}
END_TEST

START_TEST(blocks_of_a_request_are_counted_to_its_end)
{
    /* the last token is never fed back */
    ck_assert_uint_eq(valet_engine_blocks(1, 1), 1);
    ck_assert_uint_eq(valet_engine_blocks(32, 1), 1);
    ck_assert_uint_eq(valet_engine_blocks(32, 2), 2);
    ck_assert_uint_eq(valet_engine_blocks(1, 32), 1);
    ck_assert_uint_eq(valet_engine_blocks(1, 33), 2);
    ck_assert_uint_eq(valet_engine_blocks(1000, 1000), 63);
    ck_assert_uint_eq(valet_engine_blocks(INT32_MAX, INT32_MAX), 134217728);
    /* and exactly that many suffice: two requests, no block to spare */
    open_model();
    static const int32_t sizes[][2] = { { 33, 1 }, { 32, 33 }, { 31, 34 }, { 20, 45 }, { 64, 33 } };
    for (int32_t i = 0; i < 5; i++) {
        set_job(0, sizes[i][0], sizes[i][1]);
        set_job(1, sizes[i][0], sizes[i][1]);
        valet_engine *engine = engine_of(2, 32, 2 * valet_engine_blocks(sizes[i][0], sizes[i][1]));
        for (int32_t k = 0; k < 2; k++) {
            g_jobs[k].unbooked = true; /* both at once */
            expect_job(k);
        }
        script_run_jobs(engine, g_jobs, 2);
        for (int32_t k = 0; k < 2; k++)
            script_expect_same(&g_jobs[k], &g_expected[k], "with no block to spare");
        valet_engine_destroy(engine);
    }
    close_model();
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, an_answer_ends_at_max_new);
    tcase_add_test(t, the_whole_context_can_be_used);
    tcase_add_test(t, the_text_is_that_of_the_tokens);
    tcase_add_test(t, the_end_token_ends_the_answer);
    tcase_add_test(t, stop_strings_cut_across_tokens);
    tcase_add_test(t, the_oldest_prompt_is_computed_first);
    tcase_add_test(t, decoding_goes_on_beside_a_long_prefill);
    tcase_add_test(t, cancelled_before_the_first_step);
    tcase_add_test(t, cancelled_during_a_long_prefill);
    tcase_add_test(t, cancelled_while_it_decodes);
    tcase_add_test(t, refused_events_come_again_and_others_go_on);
    tcase_add_test(t, the_engine_waits_when_all_rows_are_paused);
    tcase_add_test(t, a_paused_request_can_be_cancelled);
    tcase_add_test(t, impossible_requests_fail_and_others_go_on);
    tcase_add_test(t, misbooked_requests_fail_and_others_go_on);
    tcase_add_test(t, values_that_are_no_numbers_stay_with_their_request);
    tcase_add_test(t, nothing_is_allocated_while_it_runs);
    tcase_add_test(t, a_source_that_ends_cancels_what_is_left);
    tcase_add_test(t, two_engines_on_one_model_take_turns);
    tcase_add_test(t, an_engine_thread_is_fed_and_watched_from_outside);
    tcase_add_test(t, blocks_of_a_request_are_counted_to_its_end);
    return suite_run("engine", t);
}
