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
    return suite_run("share", t);
}
