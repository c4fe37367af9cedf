/*
 * Sharing prefixes saves work and changes nothing: the same tokens, text and logprobs, to the
 * bit, whoever computed the keys and values before, and however. What is said to be cached is
 * what was not computed.
 */
#include <stdio.h>
#include <string.h>

#include "engine/rig.h"
#include "engine/suite.h"

enum {
    JOBS = 16,
    PROMPT_MAX = 160,
    COMMON_MAX = 70
};

static struct rig g_rig;
static int32_t g_prompts[JOBS][PROMPT_MAX];
static struct script_job g_jobs[JOBS];
static struct script_job g_expected[JOBS];

/* Greedy or drawn, with all that an event can carry. */
static struct script_job *set_job(int32_t i, const int32_t *prompt, int32_t count, int32_t max_new)
{
    g_jobs[i] = (struct script_job){
        .request = { .prompt = prompt,
                     .prompt_count = count,
                     .max_new = max_new,
                     .sampling = { .temperature = i % 2 ? 0.9f : 0,
                                   .top_p = 0.95f,
                                   .seed = 70 + (uint64_t)i },
                     .logprobs = true,
                     .top_logprobs = 3 },
    };
    return &g_jobs[i];
}

static uint64_t prompt_tokens(const valet_engine *engine)
{
    struct valet_engine_stats stats;
    valet_engine_stats(engine, &stats);
    return stats.prompt_tokens;
}

/* Runs job i; returns how many tokens of prompts were computed for it. */
static int32_t run_one(valet_engine *engine, int32_t i)
{
    uint64_t before = prompt_tokens(engine);
    script_reset(&g_jobs[i], 1);
    script_run_jobs(engine, &g_jobs[i], 1);
    ck_assert_int_eq(g_jobs[i].end, VALET_END_DONE);
    return (int32_t)(prompt_tokens(engine) - before);
}

/* Runs job i, expects it to compute all of its prompt but `cached` tokens and to say so. */
static void expect_cached(valet_engine *engine, int32_t i, int32_t cached, const char *what)
{
    int32_t computed = run_one(engine, i);
    ck_assert_msg(g_jobs[i].cached == cached, "%s: %d of %d tokens cached, expected %d", what,
                  g_jobs[i].cached, g_jobs[i].request.prompt_count, cached);
    ck_assert_msg(computed == g_jobs[i].request.prompt_count - cached,
                  "%s: %d tokens computed, %d of %d cached", what, computed, cached,
                  g_jobs[i].request.prompt_count);
}

/* ---- how much is shared ---- */

START_TEST(the_same_prompt_again_computes_one_token)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    for (int32_t count = 1; count <= 100; count++) {
        char what[40];
        snprintf(what, sizeof what, "%d tokens", count);
        valet_engine *engine = script_engine_with(g_rig.model, 1, 256, 0, true);
        rig_prompt(&g_rig, (uint64_t)count, g_prompts[0], count);
        set_job(0, g_prompts[0], count, 1 + count % 5);
        rig_alone(&g_rig, g_jobs, g_expected, 1);
        expect_cached(engine, 0, 0, what);
        script_expect_same(&g_jobs[0], &g_expected[0], what);
        for (int round = 0; round < 2; round++) {
            expect_cached(engine, 0, count - 1, what);
            script_expect_same(&g_jobs[0], &g_expected[0], what);
        }
        struct valet_engine_stats stats;
        valet_engine_stats(engine, &stats);
        ck_assert_uint_eq(stats.prefix_query_tokens, 3 * (uint64_t)count);
        ck_assert_uint_eq(stats.prefix_hit_tokens, 2 * (uint64_t)(count - 1));
        ck_assert(count == 1 || stats.blocks_cached > 0);
        valet_engine_destroy(engine);
    }
    rig_close(&g_rig);
}
END_TEST

/* Two prompts that part after 1..70 tokens: exactly these are shared, blocks and a part. */
START_TEST(a_common_beginning_of_any_length_is_shared)
{
    rig_open(&g_rig, tiny_nasty(TENSOR_Q4_1), NULL, 1);
    rig_prompt(&g_rig, 1, g_prompts[0], 100);
    set_job(0, g_prompts[0], 100, 5);
    for (int32_t common = 1; common <= COMMON_MAX; common++) {
        char what[40];
        snprintf(what, sizeof what, "%d in common", common);
        memcpy(g_prompts[1], g_prompts[0], (size_t)common * sizeof(int32_t));
        rig_prompt(&g_rig, 50 + (uint64_t)common, g_prompts[1] + common, 7);
        g_prompts[1][common] = (g_prompts[0][common] + 1) % 250;
        set_job(1, g_prompts[1], common + 7, 6);
        rig_alone(&g_rig, g_jobs + 1, g_expected + 1, 1);
        valet_engine *engine = script_engine_with(g_rig.model, 1, 256, 0, true);
        run_one(engine, 0);
        expect_cached(engine, 1, common, what);
        script_expect_same(&g_jobs[1], &g_expected[1], what);
        /* a prompt that is only a beginning */
        set_job(2, g_prompts[0], common, 6);
        rig_alone(&g_rig, g_jobs + 2, g_expected + 2, 1);
        expect_cached(engine, 2, common - 1, what);
        script_expect_same(&g_jobs[2], &g_expected[2], what);
        valet_engine_destroy(engine);
    }
    rig_close(&g_rig);
}
END_TEST

/* One engine for all of them: many branches at every place, each answer still its own. */
START_TEST(branches_of_one_beginning_do_not_mix)
{
    rig_open(&g_rig, tiny_plain(TENSOR_F32), NULL, 1);
    valet_engine *engine = script_engine_with(g_rig.model, 1, 256, 0, true);
    rig_prompt(&g_rig, 1, g_prompts[0], 100);
    struct tiny_random r = { 5 };
    int32_t saved = 0;
    for (int32_t round = 0; round < 150; round++) {
        int32_t common = tiny_random_below(&r, 80);
        memcpy(g_prompts[1], g_prompts[0], (size_t)common * sizeof(int32_t));
        rig_prompt(&g_rig, (uint64_t)tiny_random_below(&r, 3), g_prompts[1] + common, 20);
        set_job(round % 2, g_prompts[1], common + 1 + tiny_random_below(&r, 20), 4);
        struct script_job *job = &g_jobs[round % 2];
        rig_alone(&g_rig, job, g_expected, 1);
        int32_t computed = run_one(engine, round % 2);
        ck_assert_int_eq(computed + job->cached, job->request.prompt_count);
        script_expect_same(job, g_expected, "a branch");
        saved += job->cached;
    }
    printf("%d tokens shared by 150 prompts\n", saved);
    ck_assert_int_gt(saved, 3000);
    valet_engine_destroy(engine);
    rig_close(&g_rig);
}
END_TEST

/* A chat: each turn is the last one, its answer and a few tokens more. */
START_TEST(a_turn_of_a_chat_computes_what_is_new)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    for (int32_t more = 1; more <= 9; more += 4) {
        valet_engine *engine = script_engine_with(g_rig.model, 1, 256, 0, true);
        int32_t count = 20;
        int32_t known = 0; /* the last token of an answer is not computed */
        rig_prompt(&g_rig, 9, g_prompts[0], count);
        while (count < PROMPT_MAX - 30) {
            set_job(0, g_prompts[0], count, 11 + more)->request.sampling.temperature = 1;
            rig_alone(&g_rig, g_jobs, g_expected, 1);
            expect_cached(engine, 0, known, "a turn");
            script_expect_same(&g_jobs[0], &g_expected[0], "a turn");
            memcpy(g_prompts[0] + count, g_jobs[0].ids, (size_t)g_jobs[0].count * sizeof(int32_t));
            known = count + g_jobs[0].count - 1;
            count += g_jobs[0].count;
            rig_prompt(&g_rig, (uint64_t)count, g_prompts[0] + count, more);
            count += more;
        }
        valet_engine_destroy(engine);
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(salts_never_share)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    for (int32_t count = 2; count <= 100; count += 7) {
        valet_engine *engine = script_engine_with(g_rig.model, 4, 256, 0, true);
        rig_prompt(&g_rig, 3, g_prompts[0], count);
        static const uint64_t salts[] = { 0, 1, UINT64_MAX, UINT64_C(1) << 63 };
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 4; i++) {
                set_job(0, g_prompts[0], count, 4)->request.cache_salt = salts[i];
                expect_cached(engine, 0, round == 0 ? 0 : count - 1, "a salt");
            }
        }
        valet_engine_destroy(engine);
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(a_cache_that_is_off_shares_nothing)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    valet_engine *engine = script_engine_with(g_rig.model, 4, 256, 0, false);
    rig_prompt(&g_rig, 3, g_prompts[0], 90);
    set_job(0, g_prompts[0], 90, 4);
    for (int round = 0; round < 3; round++)
        expect_cached(engine, 0, 0, "off");
    struct valet_engine_stats stats;
    valet_engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.prefix_hit_tokens, 0);
    ck_assert_uint_eq(stats.blocks_cached, 0);
    valet_engine_destroy(engine);
    rig_close(&g_rig);
}
END_TEST

/* The prompt's logprobs need its logits, so it is computed; others may share what it leaves. */
START_TEST(logprobs_of_a_prompt_are_computed_not_cached)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    valet_engine *engine = script_engine_with(g_rig.model, 2, 256, 0, true);
    rig_prompt(&g_rig, 4, g_prompts[0], 90);
    set_job(0, g_prompts[0], 90, 4)->request.prompt_logprobs = true;
    rig_alone(&g_rig, g_jobs, g_expected, 1);
    set_job(1, g_prompts[0], 90, 4);
    for (int round = 0; round < 2; round++) {
        expect_cached(engine, 0, 0, "with prompt_logprobs");
        script_expect_same(&g_jobs[0], &g_expected[0], "with prompt_logprobs");
        expect_cached(engine, 1, 89, "after prompt_logprobs");
    }
    valet_engine_destroy(engine);
    rig_close(&g_rig);
}
END_TEST

/* ---- with others ---- */

/* The same prompt at the same time: each computes it, then all hold the same full blocks. */
START_TEST(prompts_computed_at_once_end_up_in_the_same_blocks)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    rig_prompt(&g_rig, 3, g_prompts[0], 70);
    for (int32_t i = 0; i < 4; i++) {
        set_job(i, g_prompts[0], 70, 10)->request.sampling.temperature = 1;
        rig_alone(&g_rig, &g_jobs[i], &g_expected[i], 1);
    }
    struct script s = { .jobs = g_jobs, .job_count = 4 };
    struct valet_engine_stats stats;
    rig_run(&g_rig, (struct rig_size){ 4, 256, 0, false }, &s, &stats);
    ck_assert_uint_eq(stats.prefix_hit_tokens, 0);
    for (int32_t i = 0; i < 4; i++)
        script_expect_same(&g_jobs[i], &g_expected[i], "at once");
    ck_assert_uint_eq(g_jobs[0].blocks_used, 2 + 4); /* two full ones for all, a part for each */
    rig_run(&g_rig, (struct rig_size){ 4, 256, 0, true }, &s, &stats);
    ck_assert_uint_eq(g_jobs[0].blocks_used, 3 * 4);
    rig_close(&g_rig);
}
END_TEST

/* 9 blocks for prompts that would like 40 to stay: what is cached goes, what is held stays. */
START_TEST(a_small_budget_evicts_only_what_nobody_holds)
{
    rig_open(&g_rig, tiny_nasty(TENSOR_Q8_0), NULL, 1);
    struct tiny_random r = { 8 };
    for (int32_t i = 0; i < JOBS; i++) {
        int32_t count = 20 + tiny_random_below(&r, 60);
        rig_prompt(&g_rig, (uint64_t)i % 5, g_prompts[i], count);
        set_job(i, g_prompts[i], count, 5 + i);
        g_jobs[i].request.cache_salt = (uint64_t)i % 2;
    }
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    valet_engine *engine = script_engine_with(g_rig.model, 3, 24, 9, true);
    for (int round = 0; round < 6; round++) {
        script_reset(g_jobs, JOBS);
        struct script s = {
            .jobs = g_jobs, .job_count = JOBS, .optimistic = round % 2, .seed = (uint64_t)round
        };
        script_run(engine, &s);
        for (int32_t i = 0; i < JOBS; i++)
            script_expect_same(&g_jobs[i], &g_expected[i], "with 9 blocks");
    }
    struct valet_engine_stats stats;
    valet_engine_stats(engine, &stats);
    printf("9 blocks: %d of %d tokens shared\n", (int)stats.prefix_hit_tokens,
           (int)stats.prefix_query_tokens);
    ck_assert_uint_gt(stats.prefix_hit_tokens, 0);
    ck_assert_uint_le(stats.blocks_cached, 9);
    valet_engine_destroy(engine);
    rig_close(&g_rig);
}
END_TEST

/* ---- bits ---- */

/* Prompts with common beginnings of many lengths, some the same, some one token long. */
static void set_family(void)
{
    static const int32_t common[JOBS] = {
        0, 90, 90, 1, 31, 32, 33, 40, 63, 64, 65, 70, 0, 90, 5, 50
    };
    static const int32_t counts[JOBS] = { 96, 90, 97, 1,  40, 40, 65, 40,
                                          80, 66, 90, 71, 2,  90, 33, 100 };
    rig_prompt(&g_rig, 1, g_prompts[0], 100);
    for (int32_t i = 0; i < JOBS; i++) {
        if (i > 0)
            memcpy(g_prompts[i], g_prompts[0], (size_t)common[i] * sizeof(int32_t));
        if (i > 0 && counts[i] > common[i])
            rig_prompt(&g_rig, 100 + (uint64_t)i, g_prompts[i] + common[i], counts[i] - common[i]);
        set_job(i, g_prompts[i], counts[i], counts[i] <= 40 ? 75 + (i % 4) * 3 : 5 + i % 8);
        g_jobs[i].request.prompt_logprobs = i == 7 || i == 10;
    }
}

static void expect_all(const char *what, const char *how, int32_t number)
{
    char text[120];
    snprintf(text, sizeof text, "%s: %s %d", what, how, number);
    for (int32_t i = 0; i < JOBS; i++)
        script_expect_same(&g_jobs[i], &g_expected[i], text);
}

/* In short: with some sizes only. */
static void compare_ways(const char *what, bool in_short)
{
    static const int32_t chunks[] = { 1, 5, 16, 31, 32, 33, 100 };
    struct script s;
    int32_t preemptions = 0;
    for (int32_t i = 0; i < 7; i++) {
        if (in_short && i % 6 != 1)
            continue;
        /* without a cache; with one, each asks when the one before has joined */
        s = (struct script){ .jobs = g_jobs, .job_count = JOBS };
        rig_run(&g_rig, (struct rig_size){ 16, chunks[i], 0, true }, &s, NULL);
        expect_all(what, "no cache, chunk", chunks[i]);
        s.take_max = 1;
        rig_run(&g_rig, (struct rig_size){ 6, chunks[i], 0, false }, &s, NULL);
        expect_all(what, "cache, chunk", chunks[i]);
        /* and with 8 blocks for what would like 50 */
        s = (struct script){
            .jobs = g_jobs, .job_count = JOBS, .optimistic = true, .seed = (uint64_t)i
        };
        rig_run(&g_rig, (struct rig_size){ 16, chunks[i], 8, i % 2 }, &s, NULL);
        expect_all(what, "preempted, chunk", chunks[i]);
        preemptions += s.preemptions;
    }
    printf("%s: %d preemptions\n", what, preemptions);
    ck_assert_int_gt(preemptions, 0);
    /* twice on one engine: the second time all is there */
    valet_engine *engine = script_engine_with(g_rig.model, 4, 20, 0, true);
    for (int32_t round = 0; round < 2; round++) {
        script_reset(g_jobs, JOBS);
        script_run_jobs(engine, g_jobs, JOBS);
        expect_all(what, "round", round);
    }
    valet_engine_destroy(engine);
}

static void compare_model(struct tiny_shape shape)
{
    const char *isas[2];
    int count = script_isas(isas);
    for (int i = 0; i < count; i++) {
        bool in_short = strcmp(isas[i], "ref") == 0 || suite_is_slow();
        for (int32_t threads = 1; threads <= (in_short ? 1 : 2); threads++) {
            char what[60];
            snprintf(what, sizeof what, "%s, %s, %d threads", shape.name, isas[i], threads);
            rig_open(&g_rig, shape, isas[i], threads);
            if (threads == 1) {
                set_family();
                rig_alone(&g_rig, g_jobs, g_expected, JOBS);
            }
            compare_ways(what, in_short);
            rig_close(&g_rig);
        }
    }
}

START_TEST(bits_are_equal_in_every_way_to_compute_them_f32)
{
    compare_model(tiny_odd());
}
END_TEST

START_TEST(bits_are_equal_in_every_way_to_compute_them_q8_0)
{
    compare_model(tiny_nasty(TENSOR_Q8_0));
}
END_TEST

START_TEST(bits_are_equal_in_every_way_to_compute_them_q4_1)
{
    compare_model(tiny_plain(TENSOR_Q4_1));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, the_same_prompt_again_computes_one_token);
    tcase_add_test(t, a_common_beginning_of_any_length_is_shared);
    tcase_add_test(t, branches_of_one_beginning_do_not_mix);
    tcase_add_test(t, a_turn_of_a_chat_computes_what_is_new);
    tcase_add_test(t, salts_never_share);
    tcase_add_test(t, a_cache_that_is_off_shares_nothing);
    tcase_add_test(t, logprobs_of_a_prompt_are_computed_not_cached);
    tcase_add_test(t, prompts_computed_at_once_end_up_in_the_same_blocks);
    tcase_add_test(t, a_small_budget_evicts_only_what_nobody_holds);
    tcase_add_test(t, bits_are_equal_in_every_way_to_compute_them_f32);
    tcase_add_test(t, bits_are_equal_in_every_way_to_compute_them_q8_0);
    tcase_add_test(t, bits_are_equal_in_every_way_to_compute_them_q4_1);
    return suite_run("share", t);
}
