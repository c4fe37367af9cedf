/*
 * Everything at once, at random: choices, common beginnings, salts, stop strings, logprobs of
 * prompts, slow readers, few blocks, any victim, cancellations. Each answer is what it is
 * alone, or its beginning where it was cancelled. On every instruction set of this machine.
 */
#include <stdio.h>
#include <string.h>

#include "engine/rig.h"
#include "engine/suite.h"

enum {
    JOBS = 18,
    PROMPT_MAX = 110,
    ANSWER_MAX = 190 /* with the prompt */
};

static struct rig g_rig;
static struct tiny_random g_random;
static int32_t g_prompts[JOBS][PROMPT_MAX];
static struct script_job g_jobs[JOBS];
static struct script_job g_expected[JOBS];

static int32_t below(int32_t n)
{
    return tiny_random_below(&g_random, n);
}

static bool one_in(int32_t n)
{
    return below(n) == 0;
}

static void set_sampling(struct valet_sampling *s)
{
    static const struct valet_bias bias[] = { { 70, 3 }, { 282, 4 } };
    *s = (struct valet_sampling){ .temperature = one_in(3) ? 0 : 0.5f + 0.1f * (float)below(10),
                                  .top_p = one_in(2) ? 0.9f : 0,
                                  .top_k = one_in(3) ? 20 : 0,
                                  .seed = tiny_random_u64(&g_random) };
    if (one_in(3)) {
        s->bias = bias;
        s->bias_count = 2; /* 282 is the end token of one of the models */
    }
    if (one_in(3)) {
        s->mirostat = 1 + below(2);
        s->mirostat_tau = 2 + (float)below(4);
        s->mirostat_eta = 0.3f;
    }
    s->repetition_penalty = one_in(3) ? 1.3f : 0;
    s->repeat_last_n = below(3) * 10;
    s->presence_penalty = one_in(3) ? 0.5f : 0;
}

static void set_request(struct valet_request *r, int32_t *prompt)
{
    static const struct valet_stop stops[] = { { "the", 3 },
                                               { "\xef\xbf\xbdq", 4 },
                                               { "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx", 10 } };
    static const int32_t stop_ids[] = { 9, 65, 200 };
    int32_t common = below(80);
    int32_t count = 1 + below(one_in(2) ? PROMPT_MAX : 30);
    rig_prompt(&g_rig, (uint64_t)below(3), prompt, common);
    if (count > common)
        rig_prompt(&g_rig, tiny_random_u64(&g_random), prompt + common, count - common);
    *r = (struct valet_request){
        .prompt = prompt,
        .prompt_count = count,
        .max_new = one_in(3) ? 1 + below(20) : ANSWER_MAX - count - below(60),
        .stops = stops,
        .stop_count = (uint32_t)below(4),
        .stop_ids = stop_ids,
        .stop_id_count = one_in(4) ? 3 : 0,
        .min_tokens = one_in(3) ? below(30) : 0,
        .ignore_eos = one_in(3),
        .include_stop = one_in(2),
        .logprobs = one_in(2),
        .top_logprobs = below(4),
        .prompt_logprobs = one_in(5),
        .cache_salt = (uint64_t)below(2),
    };
    if (r->prompt_logprobs && one_in(3))
        r->max_new = 0;
    set_sampling(&r->sampling);
}

static void set_all(uint64_t seed)
{
    g_random = (struct tiny_random){ seed };
    for (int32_t i = 0; i < JOBS; i++) {
        g_jobs[i] = (struct script_job){ .group = 0 };
        if (i % 3 == 0 || one_in(4)) {
            set_request(&g_jobs[i].request, g_prompts[i]);
        } else { /* another choice of the one before */
            g_jobs[i].request = g_jobs[i - 1].request;
            g_jobs[i].choice = g_jobs[i - 1].choice + 1;
        }
        g_jobs[i].group = g_jobs[i].choice ? g_jobs[i - 1].group : (uint32_t)i + 1;
    }
    rig_alone(&g_rig, g_jobs, g_expected, JOBS);
}

static void set_trouble(void)
{
    for (int32_t i = 0; i < JOBS; i++) {
        struct script_job *job = &g_jobs[i];
        job->from_step = one_in(2) ? (uint64_t)below(60) : 0;
        job->rank = (uint32_t)below(3);
        job->cancel = one_in(6);
        job->cancel_count = below(20);
        job->cancel_step = (uint64_t)below(80);
        job->cancel_requeued = one_in(6);
        job->refuse_requeue = one_in(20);
        job->refuse_at = below(30);
        job->refuse_count = one_in(4) ? SCRIPT_REFUSE_UNTIL_WAIT : one_in(4) ? below(20) : 0;
    }
}

/* Returns how often one was preempted. */
static int32_t run_mix(uint64_t seed, int rounds, int ends[3])
{
    static const int32_t chunks[] = { 1, 7, 32, 50, 200 };
    set_all(seed);
    int32_t preemptions = 0;
    int32_t cached = 0;
    for (int round = 0; round < rounds; round++) {
        char what[80];
        snprintf(what, sizeof what, "seed %d, round %d", (int)seed, round);
        valet_engine *engine = script_engine_with(g_rig.model, 1 + below(9), chunks[below(5)],
                                                  7 + (uint64_t)below(14), !one_in(4));
        for (int again = 0; again < 2; again++) { /* the second time much is cached */
            set_trouble();
            script_reset(g_jobs, JOBS);
            struct script s = {
                .jobs = g_jobs,
                .job_count = JOBS,
                .take_max = below(3),
                .optimistic = !one_in(5),
                .victim = (enum script_victim)below(4),
                .books_back = one_in(2),
                .no_grow_one_in = one_in(2) ? 2 : 0,
                .refuse_one_in = one_in(2) ? 5 : 0,
                .seed = tiny_random_u64(&g_random),
            };
            script_run(engine, &s);
            preemptions += s.preemptions;
            for (int32_t i = 0; i < JOBS; i++) {
                ends[g_jobs[i].end]++;
                cached += g_jobs[i].cached;
                if (g_jobs[i].end == VALET_END_DONE)
                    script_expect_same(&g_jobs[i], &g_expected[i], what);
                else
                    script_expect_begins(&g_jobs[i], &g_expected[i], what);
                ck_assert(g_jobs[i].end != VALET_END_FAILED || g_jobs[i].refuse_requeue ||
                          g_expected[i].end == VALET_END_FAILED);
            }
        }
        valet_engine_destroy(engine);
    }
    printf("seed %d: %d preemptions, %d tokens cached\n", (int)seed, preemptions, cached);
    ck_assert_int_gt(cached, 50 * rounds);
    return preemptions;
}

static void run_model(struct tiny_shape shape, const char *isa, int32_t threads,
                      uint64_t first_seed)
{
    int ends[3] = { 0 };
    bool is_ref = strcmp(isa, "ref") == 0;
    int seeds = suite_is_slow() || is_ref ? 1 : 4;
    int rounds = is_ref ? 2 : suite_is_slow() ? 3 : 6;
    rig_open(&g_rig, shape, isa, threads);
    int32_t preemptions = 0;
    for (int i = 0; i < seeds; i++)
        preemptions += run_mix(first_seed + (uint64_t)i, rounds, ends);
    printf("%s, %s: %d done, %d cancelled, %d failed\n", shape.name, isa, ends[VALET_END_DONE],
           ends[VALET_END_CANCELLED], ends[VALET_END_FAILED]);
    ck_assert_int_gt(preemptions, 2 * seeds * rounds);
    ck_assert_int_gt(ends[VALET_END_DONE], ends[VALET_END_CANCELLED]);
    ck_assert_int_gt(ends[VALET_END_CANCELLED], 2 * seeds * rounds);
    rig_close(&g_rig);
}

static void run_sets(struct tiny_shape shape, uint64_t first_seed)
{
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    for (int i = 0; i < count; i++)
        run_model(shape, isas[i], 1 + i % 2, first_seed);
}

START_TEST(whatever_happens_answers_stay_what_they_are_q8_0)
{
    run_sets(tiny_plain(TENSOR_Q8_0), 1000);
}
END_TEST

START_TEST(whatever_happens_answers_stay_what_they_are_q4_1)
{
    run_sets(tiny_nasty(TENSOR_Q4_1), 2000);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, whatever_happens_answers_stay_what_they_are_q8_0);
    tcase_add_test(t, whatever_happens_answers_stay_what_they_are_q4_1);
    return suite_run("mix", t);
}
