/*
 * Too many for the blocks there are: a source that books as requests grow, and takes rows away.
 * A preempted request sees a pause. What it has reported comes once, what it had not comes
 * still, and every token, byte and logprob is what it is alone. All of it on every instruction
 * set of this machine.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/rig.h"
#include "engine/suite.h"

enum {
    JOBS = 12,
    PROMPT_MAX = 60,
    ANSWER = 120 /* tokens: three blocks more than a start books */
};

static struct rig g_rig;
static int32_t g_prompts[JOBS][PROMPT_MAX];
static struct script_job g_jobs[JOBS];
static struct script_job g_expected[JOBS];

/* A few different prompts of different lengths; job i depends on i alone. */
static struct script_job *set_job(int32_t i)
{
    int32_t count = 1 + (7 * i) % PROMPT_MAX;
    rig_prompt(&g_rig, 400 + (uint64_t)i, g_prompts[i], count);
    g_jobs[i] = (struct script_job){
        .request = { .prompt = g_prompts[i],
                     .prompt_count = count,
                     .max_new = ANSWER + i % 5,
                     .sampling = { .temperature = i % 3 ? 0.6f + 0.1f * (float)i : 0,
                                   .top_p = 1,
                                   .seed = 4000 + (uint64_t)i },
                     .logprobs = i % 2,
                     .top_logprobs = i % 4 },
    };
    return &g_jobs[i];
}

static void open_all(int isa)
{
    const char *isas[SCRIPT_ISAS_MAX];
    ck_assert_int_lt(isa, script_isas(isas));
    rig_open(&g_rig, tiny_plain(TENSOR_Q8_0), isas[isa], 1);
    for (int32_t i = 0; i < JOBS; i++)
        set_job(i);
}

static struct script optimistic(enum script_victim victim, uint64_t seed)
{
    return (struct script){
        .jobs = g_jobs, .job_count = JOBS, .optimistic = true, .victim = victim, .seed = seed
    };
}

static void expect_all(const char *what, uint64_t number)
{
    char text[80];
    for (int32_t i = 0; i < JOBS; i++) {
        snprintf(text, sizeof text, "%s %d, job %d", what, (int)number, i);
        script_expect_same(&g_jobs[i], &g_expected[i], text);
    }
}

/* ---- who is preempted ---- */

START_TEST(all_complete_with_a_third_of_the_blocks)
{
    open_all(_i);
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    static const int32_t chunks[] = { 3, 32, 256 };
    for (int32_t i = 0; i < 12; i++) {
        /* 60 blocks are wanted in all, 6 by the largest */
        struct script s = optimistic(SCRIPT_VICTIM_LATEST, 0);
        s.books_back = i / 6;
        s.no_drafts = true;
        struct rig_size size = { 2 + 5 * (i % 3), chunks[i / 4], 7 + (uint64_t)(i % 4) * 5, i % 2 };
        struct valet_engine_stats stats;
        rig_run(&g_rig, size, &s, &stats);
        expect_all("size", (uint64_t)i);
        printf("%d rows, %d blocks, chunk %d: %d preemptions\n", size.rows_max, (int)size.blocks,
               size.chunk_max, s.preemptions);
        ck_assert_uint_eq(stats.preemptions, (uint64_t)s.preemptions);
        /* each growth preempts one at most, and the oldest keeps what it has grown */
        ck_assert_int_le(s.preemptions, JOBS * 6);
        if (size.rows_max > 2 && size.blocks < 20)
            ck_assert_int_gt(s.preemptions, 3);
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(any_victim_will_do)
{
    static const enum script_victim victims[] = { SCRIPT_VICTIM_RANDOM, SCRIPT_VICTIM_SELF,
                                                  SCRIPT_VICTIM_NONE };
    open_all(_i);
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    for (int v = 0; v < 3; v++) {
        int32_t preemptions = 0;
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct script s = optimistic(victims[v], seed);
            s.books_back = seed % 2;
            rig_run(&g_rig, (struct rig_size){ 8, 20, 12 + 2 * seed, seed % 2 }, &s, NULL);
            expect_all("victim, seed", (uint64_t)victims[v] * 10 + seed);
            preemptions += s.preemptions;
        }
        printf("victims of kind %d: %d preemptions\n", (int)victims[v], preemptions);
        ck_assert_int_gt(preemptions, 0);
    }
    rig_close(&g_rig);
}
END_TEST

/* Preempted for no reason that the engine could see, while rows of others are in the batch. */
START_TEST(growth_may_be_refused_at_any_time)
{
    open_all(_i);
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    int32_t preemptions = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct script s = optimistic(seed % 2 ? SCRIPT_VICTIM_RANDOM : SCRIPT_VICTIM_LATEST, seed);
        s.no_grow_one_in = 2;
        s.take_max = (int32_t)(seed % 3);
        rig_run(&g_rig, (struct rig_size){ 6, 50, 0, seed == 3 }, &s, NULL);
        expect_all("seed", seed);
        preemptions += s.preemptions;
    }
    ck_assert_int_gt(preemptions, 20);
    rig_close(&g_rig);
}
END_TEST

/* Its full blocks stay while there is room, so what it computes again is less than a block. */
/* By more urgent work, of which the engine knows nothing. */
START_TEST(who_is_outranked_gives_way_and_comes_back)
{
    open_all(_i);
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct script s = optimistic(SCRIPT_VICTIM_LATEST, seed);
        struct valet_engine_stats stats;
        s.outrank_one_in = 8;
        s.books_back = seed % 2;
        /* with blocks for all, and with so few that growth has its victims, too */
        rig_run(&g_rig, (struct rig_size){ 4, 50, seed < 3 ? 0 : 15, seed == 3 }, &s, &stats);
        expect_all("seed", seed);
        ck_assert_int_gt(s.outranked, 10);
        ck_assert_int_ge(s.preemptions, s.outranked);
        ck_assert_uint_eq(stats.preemptions, (uint64_t)s.preemptions);
        if (seed < 3)
            ck_assert_int_eq(s.preemptions, s.outranked);
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(what_was_computed_stays_cached)
{
    open_all(_i);
    for (int round = 0; round < 4; round++) {
        bool no_cache = round % 2;
        struct script s = optimistic(SCRIPT_VICTIM_LATEST, 5);
        s.books_back = round / 2;
        s.job_count = 3;
        s.no_grow_one_in = 3;
        struct valet_engine_stats stats;
        struct rig_size size = { 3, 256, 24, no_cache };
        rig_run(&g_rig, size, &s, &stats);
        int32_t prompts = 0;
        int32_t answers = 0;
        for (int32_t i = 0; i < 3; i++) {
            prompts += g_jobs[i].request.prompt_count;
            answers += g_jobs[i].count;
        }
        ck_assert_int_gt(s.preemptions, 0);
        ck_assert_uint_ge(stats.prompt_tokens, (uint64_t)prompts);
        if (no_cache)
            ck_assert_uint_gt(stats.prompt_tokens, (uint64_t)prompts);
        else
            ck_assert_uint_le(stats.prompt_tokens, (uint64_t)(prompts + s.preemptions));
        /* what was reported is not drawn again; what was not, is */
        ck_assert_uint_ge(stats.generated_tokens, (uint64_t)answers);
        ck_assert_uint_le(stats.generated_tokens, (uint64_t)(answers + s.preemptions));
    }
    rig_close(&g_rig);
}
END_TEST

/* ---- what a preemption meets ---- */

static bool is_inside(const char *text, uint32_t at)
{
    return ((unsigned char)text[at] & 0xc0) == 0x80; /* not the first byte of its character */
}

/* At least `len` bytes of the text from about `at`, whole characters. */
static struct valet_stop piece_of(const struct script_job *job, uint32_t at, uint32_t len)
{
    while (is_inside(job->text, at))
        at++;
    while (at + len < job->text_len && is_inside(job->text, at + len))
        len++;
    ck_assert_uint_le(at + len, job->text_len);
    return (struct valet_stop){ job->text + at, len };
}

/* Stop strings that never come but begin everywhere: text is held back all the time. */
START_TEST(held_text_survives)
{
    static char texts[8][16];
    static struct valet_stop stops[8];
    open_all(_i);
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    for (uint32_t i = 0; i < 8; i++) {
        struct valet_stop piece = piece_of(&g_expected[1], 10 * i, 2);
        memcpy(texts[i], piece.text, piece.len);
        memcpy(texts[i] + piece.len, "\x01\x02", 2);
        stops[i] = (struct valet_stop){ texts[i], piece.len + 2 };
    }
    /* and one that does come, across tokens, near the end of another answer */
    char late_text[16];
    struct valet_stop late = piece_of(&g_expected[4], g_expected[4].text_len - 20, 9);
    memcpy(late_text, late.text, late.len);
    late.text = late_text;
    for (int32_t i = 0; i < JOBS; i++) {
        g_jobs[i].request.stops = i == 4 ? &late : stops;
        g_jobs[i].request.stop_count = i == 4 ? 1 : 8;
        g_jobs[i].request.include_stop = i == 4;
    }
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    ck_assert_int_eq(g_expected[4].stop_kind, VALET_STOP_STRING);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct script s = optimistic(SCRIPT_VICTIM_RANDOM, seed);
        s.no_grow_one_in = 2;
        rig_run(&g_rig, (struct rig_size){ 5, 40, 14, seed % 2 }, &s, NULL);
        expect_all("held text, seed", seed);
    }
    rig_close(&g_rig);
}
END_TEST

/* A token that was drawn and not reported is drawn again: with the same mu of mirostat. */
START_TEST(refused_events_and_mirostat_survive)
{
    open_all(_i);
    for (int32_t i = 0; i < JOBS; i++) {
        struct valet_sampling *sampling = &g_jobs[i].request.sampling;
        sampling->temperature = 1;
        sampling->mirostat = 2;
        sampling->mirostat_tau = 3 + 0.5f * (float)i;
        sampling->mirostat_eta = 0.4f;
        sampling->frequency_penalty = i % 2 ? 0.3f : 0;
        sampling->repetition_penalty = i % 3 ? 1.2f : 0;
    }
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct script s = optimistic(SCRIPT_VICTIM_RANDOM, seed);
        s.no_grow_one_in = 2;
        s.refuse_one_in = 3;
        struct valet_engine_stats stats;
        rig_run(&g_rig, (struct rig_size){ 6, 40, 18, seed % 2 }, &s, &stats);
        expect_all("mirostat, seed", seed);
        uint64_t answers = 0;
        for (int32_t i = 0; i < JOBS; i++)
            answers += (uint64_t)g_jobs[i].count;
        if (seed == 1) /* or nothing was drawn twice and the test shows little */
            ck_assert_uint_gt(stats.generated_tokens, answers);
    }
    rig_close(&g_rig);
}
END_TEST

/* The end was drawn, its event refused, its row taken away: the end comes once, later. */
START_TEST(a_refused_end_survives)
{
    open_all(_i);
    for (int32_t i = 0; i < 4; i++) {
        g_jobs[i].request.max_new = i == 0 ? ANSWER : 20;
        g_jobs[i].refuse_at = i == 0 ? -1 : 20;
        g_jobs[i].refuse_count = i == 0 ? 0 : 400;
    }
    rig_alone(&g_rig, g_jobs, g_expected, 4);
    struct script s = optimistic(SCRIPT_VICTIM_LATEST, 1);
    s.job_count = 4;
    rig_run(&g_rig, (struct rig_size){ 4, 40, 7, false }, &s, NULL);
    ck_assert_int_gt(s.preemptions, 0);
    for (int32_t i = 0; i < 4; i++)
        script_expect_same(&g_jobs[i], &g_expected[i], "a refused end");
    rig_close(&g_rig);
}
END_TEST

START_TEST(logprobs_of_the_prompt_come_once)
{
    open_all(_i);
    for (int32_t i = 0; i < JOBS; i++) {
        g_jobs[i].request.prompt_logprobs = i % 3 != 2;
        g_jobs[i].request.top_logprobs = i % 5;
    }
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    ck_assert_int_eq(g_expected[7].prompt_count, g_jobs[7].request.prompt_count);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct script s = optimistic(SCRIPT_VICTIM_RANDOM, seed);
        s.no_grow_one_in = 2;
        s.refuse_one_in = seed % 2 ? 4 : 0; /* some are preempted amid the prompt's events */
        rig_run(&g_rig, (struct rig_size){ 8, 9, 16, seed % 3 == 0 }, &s, NULL);
        expect_all("prompt, seed", seed);
    }
    rig_close(&g_rig);
}
END_TEST

START_TEST(a_prompt_that_is_half_done_may_be_preempted)
{
    open_all(_i);
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    struct script s = optimistic(SCRIPT_VICTIM_LATEST, 1);
    /* chunks of 2 take long; the first, already past its start, takes the others' blocks */
    g_jobs[0].request.max_new = ANSWER;
    for (int32_t i = 1; i < JOBS; i++)
        g_jobs[i].from_step = 20 + (uint64_t)i;
    rig_run(&g_rig, (struct rig_size){ 4, 2, 9, true }, &s, NULL);
    expect_all("half done", 0);
    int32_t early = 0;
    for (int32_t i = 0; i < JOBS; i++)
        early += g_jobs[i].preempted_early;
    ck_assert_int_gt(early, 0);
    rig_close(&g_rig);
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(a_requeue_without_memory_ends_one_request)
{
    open_all(_i);
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    int failed = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        for (int32_t i = 0; i < JOBS; i++)
            g_jobs[i].refuse_requeue = i % 4 == 2;
        struct script s = optimistic(SCRIPT_VICTIM_RANDOM, seed);
        s.no_grow_one_in = 3;
        rig_run(&g_rig, (struct rig_size){ 5, 40, 12, false }, &s, NULL);
        for (int32_t i = 0; i < JOBS; i++) {
            if (g_jobs[i].end == VALET_END_FAILED) {
                failed++;
                ck_assert(g_jobs[i].refuse_requeue);
                ck_assert_str_eq(g_jobs[i].error, "out of memory");
                script_expect_begins(&g_jobs[i], &g_expected[i], "failed");
            } else {
                script_expect_same(&g_jobs[i], &g_expected[i], "beside one that failed");
            }
        }
    }
    ck_assert_int_gt(failed, 2);
    rig_close(&g_rig);
}
END_TEST

START_TEST(a_request_can_be_cancelled_while_it_is_out)
{
    open_all(_i);
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
    int cancelled = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        for (int32_t i = 0; i < JOBS; i++)
            g_jobs[i].cancel_requeued = i % 2;
        struct script s = optimistic(SCRIPT_VICTIM_RANDOM, seed);
        s.no_grow_one_in = 3;
        rig_run(&g_rig, (struct rig_size){ 5, 40, 12, false }, &s, NULL);
        for (int32_t i = 0; i < JOBS; i++) {
            cancelled += g_jobs[i].end == VALET_END_CANCELLED;
            if (g_jobs[i].end == VALET_END_CANCELLED)
                script_expect_begins(&g_jobs[i], &g_expected[i], "cancelled");
            else
                script_expect_same(&g_jobs[i], &g_expected[i], "beside a cancelled one");
        }
    }
    ck_assert_int_gt(cancelled, 4);
    rig_close(&g_rig);
}
END_TEST

/* The source ends while some are in the batch and some are out. */
START_TEST(an_end_in_the_middle_leaves_nothing)
{
    open_all(_i);
    for (int32_t i = 0; i < JOBS; i++) {
        g_jobs[i].refuse_at = 50 + i;
        g_jobs[i].refuse_count = SCRIPT_REFUSE_UNTIL_WAIT;
    }
    struct script s = optimistic(SCRIPT_VICTIM_LATEST, 1);
    s.stop_in_wait = true;
    rig_run(&g_rig, (struct rig_size){ 5, 40, 12, false }, &s, NULL);
    int ended = 0;
    for (int32_t i = 0; i < JOBS; i++) {
        ended += g_jobs[i].state == SCRIPT_ENDED;
        ck_assert(g_jobs[i].state != SCRIPT_ENDED || g_jobs[i].end == VALET_END_CANCELLED);
    }
    ck_assert_int_gt(ended, 0);
    rig_close(&g_rig);
}
END_TEST

START_TEST(nothing_is_allocated_on_the_way)
{
    open_all(_i);
    struct script s = optimistic(SCRIPT_VICTIM_LATEST, 1);
    s.check_allocs = true;
    s.no_grow_one_in = 3;
    rig_run(&g_rig, (struct rig_size){ 6, 40, 14, false }, &s, NULL);
    ck_assert_int_gt(s.preemptions, 3);
    rig_close(&g_rig);
}
END_TEST

int main(void)
{
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    int fast = count > 1; /* the first that is not slow, for tests that are not short */
    TCase *t = tcase_create("unit");
    tcase_add_loop_test(t, all_complete_with_a_third_of_the_blocks, 0, count);
    tcase_add_loop_test(t, any_victim_will_do, fast, count);
    tcase_add_loop_test(t, growth_may_be_refused_at_any_time, fast, count);
    tcase_add_loop_test(t, who_is_outranked_gives_way_and_comes_back, fast, count);
    tcase_add_loop_test(t, what_was_computed_stays_cached, 0, count);
    tcase_add_loop_test(t, held_text_survives, fast, count);
    tcase_add_loop_test(t, refused_events_and_mirostat_survive, fast, count);
    tcase_add_loop_test(t, a_refused_end_survives, fast, count);
    tcase_add_loop_test(t, logprobs_of_the_prompt_come_once, 0, count);
    tcase_add_loop_test(t, a_prompt_that_is_half_done_may_be_preempted, fast, count);
    tcase_add_loop_test(t, a_requeue_without_memory_ends_one_request, fast, count);
    tcase_add_loop_test(t, a_request_can_be_cancelled_while_it_is_out, fast, count);
    tcase_add_loop_test(t, an_end_in_the_middle_leaves_nothing, fast, count);
    tcase_add_loop_test(t, nothing_is_allocated_on_the_way, fast, count);
    return suite_run("preempt", t);
}
