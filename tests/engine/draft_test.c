/*
 * Speculation: with drafts, right or wrong, an answer is what it is without, to the bit of its
 * logprobs; and where drafts would not pay there are none. That the rest of the engine's tests
 * run with speculation, and compare with answers without, is part of this.
 */
#include <string.h>

#include "engine/rig.h"
#include "engine/suite.h"

enum {
    KINDS = 9,
    PROMPT_COUNT = 40,
    PERIOD = 7,
    MAX_NEW = 120
};

static struct rig g_rig;
static int32_t g_prompt[PROMPT_COUNT];
static struct script_job g_jobs[KINDS];
static struct script_job g_expected[KINDS];

static void open_rig(struct tiny_shape shape, const char *isa, int32_t threads)
{
    rig_open(&g_rig, shape, isa, threads);
    rig_prompt(&g_rig, 9, g_prompt, PERIOD);
    for (int32_t i = PERIOD; i < PROMPT_COUNT; i++)
        g_prompt[i] = g_prompt[i - PERIOD];
}

/* Greedy, which soon repeats itself, and what bends or ends an answer on its way. */
static void set_jobs(void)
{
    static const struct valet_bias bias[] = { { 70, 4 }, { 71, 4 }, { 72, 4 } };
    static const struct valet_stop stops[] = { { "the", 3 }, { "\xef\xbf\xbdq", 4 } };
    for (int32_t i = 0; i < KINDS; i++) {
        g_jobs[i] = (struct script_job){
            .request = { .prompt = g_prompt,
                         .prompt_count = PROMPT_COUNT,
                         .max_new = MAX_NEW,
                         .ignore_eos = true,
                         .logprobs = true,
                         .top_logprobs = VALET_TOP_LOGPROBS_MAX,
                         .sampling = { .top_p = 1, .seed = (uint64_t)i } },
        };
    }
    g_jobs[1].request.sampling.temperature = 0.8f;
    g_jobs[1].request.sampling.bias = bias;
    g_jobs[1].request.sampling.bias_count = 3;
    g_jobs[2].request.sampling.repetition_penalty = 1.2f;
    g_jobs[2].request.sampling.repeat_last_n = 3;
    g_jobs[3].request.sampling.temperature = 0.5f;
    g_jobs[3].request.sampling.mirostat = 2;
    g_jobs[3].request.sampling.mirostat_tau = 1;
    g_jobs[3].request.sampling.mirostat_eta = 0.2f;
    g_jobs[4].request.stops = stops;
    g_jobs[4].request.stop_count = 2;
    g_jobs[4].request.ignore_eos = false;
    g_jobs[5].refuse_at = 6;
    g_jobs[5].refuse_count = 5;
    g_jobs[6].request.max_new = 2;
    g_jobs[7].request.prompt_logprobs = true;
    g_jobs[8].refuse_at = 50;
    g_jobs[8].refuse_count = SCRIPT_REFUSE_UNTIL_WAIT;
    rig_alone(&g_rig, g_jobs, g_expected, KINDS);
}

static void expect_all(const char *what)
{
    for (int32_t i = 0; i < KINDS; i++) {
        ck_assert_int_eq(g_jobs[i].end, VALET_END_DONE);
        script_expect_same(&g_jobs[i], &g_expected[i], what);
    }
}

/* One after the other, few together, and so that some give way. */
static void compare_ways(void)
{
    static const int32_t rows[] = { 1, 2, 3 };
    for (int i = 0; i < 3; i++) {
        struct script s = { .jobs = g_jobs, .job_count = KINDS };
        struct valet_engine_stats stats;
        rig_run(&g_rig, (struct rig_size){ rows[i], 16, 0, i == 0 }, &s, &stats);
        expect_all("together");
        ck_assert_uint_gt(stats.draft_accepted_tokens, 0);
        ck_assert_uint_gt(stats.draft_tokens, stats.draft_accepted_tokens);
    }
    struct script s = { .jobs = g_jobs,
                        .job_count = KINDS,
                        .optimistic = true,
                        .no_grow_one_in = 3,
                        .refuse_one_in = 5,
                        .seed = 4 };
    rig_run(&g_rig, (struct rig_size){ 3, 16, 12, false }, &s, NULL);
    expect_all("preempted");
    ck_assert_int_gt(s.preemptions, 0);
}

START_TEST(drafts_change_no_bit_of_an_answer)
{
    const char *isas[SCRIPT_ISAS_MAX];
    int n = script_isas(isas);
    for (int i = 0; i < n; i++) {
        open_rig(tiny_plain(TENSOR_Q8_0), isas[i], 1 + i % 2);
        set_jobs();
        compare_ways();
        rig_close(&g_rig);
    }
}
END_TEST

/* A token that is always drawn: each draft is right, and a step gives four. */
START_TEST(right_drafts_save_steps)
{
    open_rig(tiny_plain(TENSOR_Q8_0), NULL, 2);
    static const struct valet_bias bias = { 70, 100 };
    g_jobs[0] =
        (struct script_job){ .request = { .prompt = g_prompt,
                                          .prompt_count = PROMPT_COUNT,
                                          .max_new = MAX_NEW,
                                          .sampling = { .bias = &bias, .bias_count = 1 } } };
    struct script s = { .jobs = g_jobs, .job_count = 1 };
    struct valet_engine_stats stats;
    rig_run(&g_rig, (struct rig_size){ 1, 64, 0, false }, &s, &stats);
    ck_assert_int_eq(g_jobs[0].count, MAX_NEW);
    ck_assert_uint_eq(stats.draft_tokens, stats.draft_accepted_tokens);
    ck_assert_uint_lt(stats.steps, MAX_NEW / 3);
    rig_close(&g_rig);
}
END_TEST

/* A sequence whose drafts are mostly wrong asks for ever fewer; 80 if it did not wait. */
START_TEST(wrong_drafts_become_rare)
{
    open_rig(tiny_plain(TENSOR_Q8_0), NULL, 2);
    g_jobs[0] = (struct script_job){ .request = { .prompt = g_prompt,
                                                  .prompt_count = PROMPT_COUNT,
                                                  .max_new = 200,
                                                  .ignore_eos = true,
                                                  .sampling = {
                                                      .temperature = 5, .top_k = 2, .seed = 3 } } };
    struct script s = { .jobs = g_jobs, .job_count = 1 };
    struct valet_engine_stats stats;
    rig_run(&g_rig, (struct rig_size){ 1, 64, 0, false }, &s, &stats);
    ck_assert_uint_gt(stats.draft_tokens, 0);
    ck_assert_uint_lt(stats.draft_tokens, 40);
    rig_close(&g_rig);
}
END_TEST

/* `n` sequences that begin and end together. */
static uint64_t drafts_of(int32_t n, bool speculates)
{
    struct valet_engine_options options;
    valet_engine_options_init(&options);
    options.rows_max = n;
    options.chunk_max = 8 * PROMPT_COUNT;
    options.itl_target_ms = 0;
    options.speculation = speculates;
    options.prefix_cache = false;
    valet_engine *engine;
    ck_assert_int_eq(valet_engine_create(g_rig.model, &options, &engine, NULL), VALET_OK);
    static const struct valet_bias bias = { 70, 100 };
    for (int32_t i = 0; i < n; i++)
        g_jobs[i] =
            (struct script_job){ .request = { .prompt = g_prompt,
                                              .prompt_count = PROMPT_COUNT,
                                              .max_new = 30,
                                              .sampling = { .bias = &bias, .bias_count = 1 } } };
    script_run_jobs(engine, g_jobs, n);
    struct valet_engine_stats stats;
    valet_engine_stats(engine, &stats);
    valet_engine_destroy(engine);
    return stats.draft_tokens;
}

START_TEST(a_batch_that_needs_its_rows_checks_no_drafts)
{
    open_rig(tiny_plain(TENSOR_Q8_0), NULL, 2);
    ck_assert_uint_gt(drafts_of(1, true), 0);
    ck_assert_uint_gt(drafts_of(3, true), 0);
    ck_assert_uint_eq(drafts_of(4, true), 0);
    ck_assert_uint_eq(drafts_of(6, true), 0);
    ck_assert_uint_eq(drafts_of(1, false), 0);
    rig_close(&g_rig);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("draft");
    tcase_add_test(tc, drafts_change_no_bit_of_an_answer);
    tcase_add_test(tc, right_drafts_save_steps);
    tcase_add_test(tc, wrong_drafts_become_rare);
    tcase_add_test(tc, a_batch_that_needs_its_rows_checks_no_drafts);
    return suite_run("draft", tc);
}
