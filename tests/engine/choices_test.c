/*
 * Several choices of one request: each is what it would be alone, and the prompt is computed
 * once for all of them.
 */
#include <stdio.h>
#include <string.h>

#include "engine/rig.h"
#include "engine/suite.h"

enum {
    CHOICES_MAX = 16,
    PROMPT_MAX = 130
};

static struct rig g_rig;
static int32_t g_prompt[PROMPT_MAX];
static int32_t g_other[PROMPT_MAX];
static struct script_job g_jobs[CHOICES_MAX + 2];
static struct script_job g_expected[CHOICES_MAX + 2];

/* All choices of one request in g_jobs, what each gives alone in g_expected. */
static void set_choices(int32_t n, int32_t prompt_count, int32_t max_new)
{
    rig_prompt(&g_rig, 77, g_prompt, prompt_count);
    for (int32_t i = 0; i < n; i++)
        g_jobs[i] = (struct script_job){
            .request = { .prompt = g_prompt,
                         .prompt_count = prompt_count,
                         .max_new = max_new,
                         .sampling = { .temperature = 1, .top_p = 1, .seed = 99 },
                         .logprobs = true,
                         .top_logprobs = 1 },
            .choice = (uint32_t)i,
            .group = 1,
        };
    rig_alone(&g_rig, g_jobs, g_expected, n);
}

static void expect_all(int32_t n, const char *what, int32_t number)
{
    char text[80];
    for (int32_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s %d, choice %d", what, number, i);
        script_expect_same(&g_jobs[i], &g_expected[i], text);
    }
}

static uint64_t run(struct rig_size size, struct script s, int32_t n)
{
    struct valet_engine_stats stats;
    s.jobs = g_jobs;
    s.job_count = n;
    rig_run(&g_rig, size, &s, &stats);
    return stats.prompt_tokens;
}

/* ---- the prompt is computed once ---- */

START_TEST(each_choice_is_what_it_is_alone)
{
    static const int32_t counts[] = { 1, 2, 31, 32, 33, 63, 64, 65, 96, 100 };
    const char *isas[SCRIPT_ISAS_MAX];
    ck_assert_int_lt(_i, script_isas(isas));
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), isas[_i], 1);
    for (int i = 0; i < 10; i++) {
        set_choices(5, counts[i], 12);
        int differ = 0;
        for (int k = 1; k < 5; k++)
            differ += memcmp(g_expected[k].ids, g_expected[0].ids, 12 * sizeof(int32_t)) != 0;
        ck_assert_int_eq(differ, 4); /* or the number of a choice says nothing */
        static const int32_t chunks[] = { 7, 32, 256 };
        for (int k = 0; k < 3; k++) {
            uint64_t tokens =
                run((struct rig_size){ 5, chunks[k], 0, false }, (struct script){ 0 }, 5);
            expect_all(5, "prompt of", counts[i]);
            ck_assert_uint_eq(tokens, (uint64_t)counts[i] + 4); /* the last one, for its logits */
            ck_assert_int_eq(g_jobs[0].cached, 0);
            for (int c = 1; c < 5; c++)
                ck_assert_int_eq(g_jobs[c].cached, counts[i] - 1);
        }
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(without_a_cache_each_computes_the_prompt)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_choices(6, 70, 12);
    uint64_t tokens = run((struct rig_size){ 6, 100, 0, true }, (struct script){ 0 }, 6);
    expect_all(6, "no cache", 0);
    ck_assert_uint_eq(tokens, 6 * 70);
    rig_close(&g_rig);
}
END_TEST

/* Its full blocks are held by all, what is behind them by each. */
START_TEST(choices_hold_the_blocks_of_the_prompt_together)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_choices(8, 100, 20);
    run((struct rig_size){ 8, 100, 0, false }, (struct script){ 0 }, 8);
    ck_assert_uint_eq(g_jobs[0].blocks_used, 3 + 8);
    run((struct rig_size){ 8, 100, 0, true }, (struct script){ 0 }, 8);
    ck_assert_uint_eq(g_jobs[0].blocks_used, 4 * 8);
    rig_close(&g_rig);
}
END_TEST

START_TEST(more_choices_than_rows_take_turns)
{
    rig_open(&g_rig, tiny_nasty(TENSOR_Q4_1), NULL, 1);
    set_choices(CHOICES_MAX, 70, 10);
    for (int32_t rows = 1; rows <= 7; rows += 3) {
        uint64_t tokens =
            run((struct rig_size){ rows, 16, 0, false }, (struct script){ 0 }, CHOICES_MAX);
        expect_all(CHOICES_MAX, "rows", rows);
        ck_assert_uint_eq(tokens, 70 + CHOICES_MAX - 1);
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(choices_that_join_late_find_the_prompt)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_choices(6, 90, 15);
    for (int32_t gap = 1; gap <= 9; gap += 2) { /* amid the prompt, and amid the answers */
        for (int32_t i = 0; i < 6; i++)
            g_jobs[i].from_step = (uint64_t)(i * gap);
        uint64_t tokens = run((struct rig_size){ 6, 13, 0, false }, (struct script){ 0 }, 6);
        expect_all(6, "gap", gap);
        ck_assert_uint_eq(tokens, 90 + 5);
    }
    rig_close(&g_rig);
}
END_TEST

/* Others are not held up by those who wait for a prompt, nor taken for choices of it. */
START_TEST(others_go_on_beside_them)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_choices(4, 90, 10);
    rig_prompt(&g_rig, 78, g_other, 20);
    for (int32_t i = 4; i < 6; i++) {
        g_jobs[i] = g_jobs[0];
        g_jobs[i].request.prompt = g_other;
        g_jobs[i].request.prompt_count = 20;
        g_jobs[i].group = i == 4 ? 0 : 2;
        g_jobs[i].choice = 3;
    }
    rig_alone(&g_rig, g_jobs + 4, g_expected + 4, 2);
    run((struct rig_size){ 6, 10, 0, false }, (struct script){ 0 }, 6);
    expect_all(6, "beside", 0);
    rig_close(&g_rig);
}
END_TEST

/* ---- the first one has trouble ---- */

START_TEST(the_first_is_cancelled_while_the_others_wait)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_choices(5, 100, 12);
    for (uint64_t step = 0; step <= 12; step += 3) {
        for (int32_t i = 0; i < 5; i++)
            g_jobs[i].cancel = false;
        g_jobs[0].cancel = g_jobs[1].cancel = true;
        g_jobs[0].cancel_step = step;
        g_jobs[1].cancel_step = step + 2;
        uint64_t tokens = run((struct rig_size){ 5, 16, 0, false }, (struct script){ 0 }, 5);
        for (int32_t i = 0; i < 5; i++) {
            if (i < 2 && g_jobs[i].end == VALET_END_CANCELLED)
                script_expect_begins(&g_jobs[i], &g_expected[i], "cancelled");
            else
                script_expect_same(&g_jobs[i], &g_expected[i], "after a cancelled one");
        }
        ck_assert_int_eq(g_jobs[0].end, VALET_END_CANCELLED);
        ck_assert_uint_le(tokens, 100 + 5 + 2); /* what the first had done is not lost */
    }
    rig_close(&g_rig);
}
END_TEST

/* An older request, behind the choices in g_jobs; who is oldest is never preempted. */
static void set_older(int32_t n, uint64_t choices_from_step)
{
    rig_prompt(&g_rig, 78, g_other, 20);
    g_jobs[n] = g_jobs[0];
    g_jobs[n].request.prompt = g_other;
    g_jobs[n].request.prompt_count = 20;
    g_jobs[n].request.max_new = 200;
    g_jobs[n].group = 0;
    for (int32_t i = 0; i < n; i++)
        g_jobs[i].from_step = choices_from_step + (uint64_t)i;
    rig_alone(&g_rig, g_jobs + n, g_expected + n, 1);
}

/* Chunks of 2: when the older one grows, the prompt is half done and the others wait for it. */
START_TEST(the_first_is_preempted_amid_the_prompt)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_choices(4, 90, 10);
    set_older(4, 20);
    for (int32_t no_cache = 0; no_cache < 2; no_cache++) {
        struct script s = { .optimistic = true, .no_grow_one_in = 1 };
        uint64_t tokens = run((struct rig_size){ 5, 2, 0, no_cache }, s, 5);
        expect_all(5, "amid the prompt", no_cache);
        ck_assert_int_gt(g_jobs[0].preempted_early, 0);
        ck_assert_int_gt(g_jobs[3].preempted_early, 0);
        if (!no_cache) /* each preemption costs a token, the prompt is computed once */
            ck_assert_uint_le(tokens, 20 + 90 + 3 + 4 * 4);
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(any_of_them_is_preempted)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_choices(5, 20, 110);
    set_older(5, 3);
    int32_t preempted[5] = { 0 };
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct script s = {
            .optimistic = true, .victim = SCRIPT_VICTIM_RANDOM, .no_grow_one_in = 2, .seed = seed
        };
        run((struct rig_size){ 6, 16, 12 + seed, seed == 8 }, s, 6);
        expect_all(6, "seed", (int32_t)seed);
        for (int32_t i = 0; i < 5; i++)
            preempted[i] += g_jobs[i].preempted;
    }
    for (int32_t i = 0; i < 5; i++)
        ck_assert_int_gt(preempted[i], 0);
    rig_close(&g_rig);
}
END_TEST

/*
 * One that comes back shares the prompt with its siblings and not their answers: they part
 * inside one block, whose beginning is the same.
 */
START_TEST(one_that_comes_back_does_not_take_an_answer_of_another)
{
    rig_open(&g_rig, tiny_plain(TENSOR_F32), NULL, 1);
    for (int32_t prompt_count = 1; prompt_count <= 33; prompt_count += 4) {
        set_choices(4, prompt_count, 100);
        for (uint64_t seed = 1; seed <= 4; seed++) {
            struct script s = { .optimistic = true,
                                .victim = SCRIPT_VICTIM_RANDOM,
                                .no_grow_one_in = 2,
                                .seed = seed };
            g_jobs[3].from_step = 70; /* young when the others grow */
            g_jobs[2].from_step = 50;
            run((struct rig_size){ 4, 64, 0, false }, s, 4);
            expect_all(4, "prompt of", prompt_count);
        }
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(the_first_has_a_slow_reader)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_choices(5, 70, 12);
    for (int32_t at = 0; at <= 12; at += 4) { /* START, a token, the last */
        for (int32_t k = 0; k < 2; k++) {
            for (int32_t i = 0; i < 5; i++)
                g_jobs[i].refuse_count = 0;
            g_jobs[0].refuse_at = at;
            g_jobs[0].refuse_count = k ? SCRIPT_REFUSE_UNTIL_WAIT : 9;
            uint64_t tokens = run((struct rig_size){ 5, 16, 0, false }, (struct script){ 0 }, 5);
            expect_all(5, "refused at", at);
            ck_assert_uint_eq(tokens, 70 + 4);
        }
    }
    /* every one of them */
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run((struct rig_size){ 3, 16, 0, false },
            (struct script){ .refuse_one_in = 2, .seed = seed }, 5);
        expect_all(5, "refused, seed", (int32_t)seed);
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(the_first_fails)
{
    struct tiny_shape shape = tiny_nasty(TENSOR_F32);
    shape.poisoned_id = 65;
    rig_open(&g_rig, shape, NULL, 1);
    set_choices(4, 50, 10);
    g_prompt[40] = 65; /* no choice can be drawn, and each says so */
    run((struct rig_size){ 4, 16, 0, false }, (struct script){ 0 }, 4);
    for (int32_t i = 0; i < 4; i++) {
        ck_assert_int_eq(g_jobs[i].end, VALET_END_FAILED);
        ck_assert_int_eq(g_jobs[i].count, 0);
    }
    rig_close(&g_rig);
}
END_TEST

/* The prompt's logprobs are each choice's own. */
START_TEST(choices_with_logprobs_of_the_prompt)
{
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), NULL, 1);
    set_choices(3, 70, 12);
    for (int32_t i = 0; i < 3; i++)
        g_jobs[i].request.prompt_logprobs = true;
    rig_alone(&g_rig, g_jobs, g_expected, 3);
    run((struct rig_size){ 3, 256, 0, false }, (struct script){ 0 }, 3);
    expect_all(3, "prompt_logprobs", 0);
    rig_close(&g_rig);
}
END_TEST

int main(void)
{
    const char *isas[SCRIPT_ISAS_MAX];
    TCase *t = tcase_create("unit");
    tcase_add_loop_test(t, each_choice_is_what_it_is_alone, 0, script_isas(isas));
    tcase_add_test(t, without_a_cache_each_computes_the_prompt);
    tcase_add_test(t, choices_hold_the_blocks_of_the_prompt_together);
    tcase_add_test(t, more_choices_than_rows_take_turns);
    tcase_add_test(t, choices_that_join_late_find_the_prompt);
    tcase_add_test(t, others_go_on_beside_them);
    tcase_add_test(t, the_first_is_cancelled_while_the_others_wait);
    tcase_add_test(t, the_first_is_preempted_amid_the_prompt);
    tcase_add_test(t, any_of_them_is_preempted);
    tcase_add_test(t, one_that_comes_back_does_not_take_an_answer_of_another);
    tcase_add_test(t, the_first_has_a_slow_reader);
    tcase_add_test(t, the_first_fails);
    tcase_add_test(t, choices_with_logprobs_of_the_prompt);
    return suite_run("choices", t);
}
