/*
 * Nobody sees the others: requests that run together give, token for token and byte for byte,
 * what each gives alone, whatever the rows, chunks, threads and arrival.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/script.h"
#include "engine/suite.h"
#include "tiny_model.h"

enum {
    JOBS = 12,
    PROMPT_MAX = 110
};

static const int32_t g_prompt_counts[JOBS] = { 1, 2, 5, 17, 31, 32, 33, 63, 64, 65, 97, 110 };
static int32_t g_prompts[JOBS][PROMPT_MAX];
static struct script_job g_alone[JOBS];
static struct script_job g_together[JOBS];

/* Half of the requests greedy, half drawn, each with its own numbers; one with stop strings. */
static void make_jobs(struct script_job *jobs, int32_t vocab)
{
    static const struct valet_stop stops[] = { { "e", 1 }, { "<x2", 3 }, { "zz", 2 } };
    struct tiny_random r = { 31 };
    for (int32_t i = 0; i < JOBS; i++) {
        for (int32_t t = 0; t < g_prompt_counts[i]; t++)
            g_prompts[i][t] = tiny_random_below(&r, vocab);
        jobs[i] = (struct script_job){
            .request = {
                .prompt = g_prompts[i],
                .prompt_count = g_prompt_counts[i],
                .max_new = 6 + 3 * (i % 5),
                .sampling = { .temperature = i % 2 ? 0.5f + 0.25f * (float)i : 0,
                              .top_p = i % 3 ? 0.9f : 1,
                              .top_k = i % 4 == 3 ? 30 : 0,
                              .seed = 1000 + (uint64_t)i },
                .stops = stops,
                .stop_count = i == 7 ? 3 : 0,
            },
        };
    }
    /* same prompt and sampling but for the seed: the draws must differ */
    jobs[3].request.prompt = jobs[5].request.prompt;
    jobs[3].request.prompt_count = jobs[5].request.prompt_count;
    jobs[3].request.sampling = jobs[5].request.sampling;
    jobs[3].request.sampling.seed++;
}

static void run_alone(valet_model *model)
{
    valet_engine *engine = script_engine(model, 1, 256);
    int answers_differ = 0;
    for (int32_t i = 0; i < JOBS; i++) {
        script_run_jobs(engine, &g_alone[i], 1);
        ck_assert_int_eq(g_alone[i].end, VALET_END_DONE);
        answers_differ += i > 0 && g_alone[i].ids[0] != g_alone[i - 1].ids[0];
    }
    valet_engine_destroy(engine);
    ck_assert_int_gt(answers_differ, JOBS / 2); /* or the test would show nothing */
    ck_assert(g_alone[3].count != g_alone[5].count ||
              memcmp(g_alone[3].ids, g_alone[5].ids, sizeof g_alone[3].ids) != 0);
}

static void run_together(valet_model *model, int32_t rows, int32_t chunk, int32_t take_max,
                         const char *what)
{
    char text[160];
    snprintf(text, sizeof text, "%s, %d rows, chunk %d, %d at a time", what, rows, chunk, take_max);
    valet_engine *engine = script_engine(model, rows, chunk);
    memcpy(g_together, g_alone, sizeof g_together);
    script_reset(g_together, JOBS);
    struct script s = { .jobs = g_together, .job_count = JOBS, .take_max = take_max };
    script_run(engine, &s);
    valet_engine_destroy(engine);
    for (int32_t i = 0; i < JOBS; i++)
        script_expect_same(&g_together[i], &g_alone[i], text);
}

static void compare(const struct tiny_shape *shape, const char *isa)
{
    static const int32_t rows[] = { 1, 2, 4, 16 };
    static const int32_t chunks[] = { 1, 7, 32, 256 };
    struct tiny_model tiny;
    tiny_model_write(&tiny, shape);
    for (int32_t threads = 1; threads <= 2; threads++) {
        valet_model *model = script_load(tiny.path, isa, threads);
        char what[100];
        snprintf(what, sizeof what, "%s, type %d, %s, %d threads", shape->name, shape->type, isa,
                 threads);
        if (threads == 1) {
            make_jobs(g_alone, shape->vocab);
            run_alone(model);
        }
        bool whole = strcmp(isa, "ref") != 0 && !suite_is_slow() && threads == 2;
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 4; j++) {
                /* the short form: each number once with some thread count */
                if (whole || ((i + j) % 4 == 0 && i % 2 == threads - 1))
                    run_together(model, rows[i], chunks[j], j < 2 ? 1 : 0, what);
            }
        }
        valet_model_free(model);
    }
    tiny_model_remove(&tiny);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static void compare_all(enum tensor_type type)
{
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    for (int i = 0; i < count; i++) {
        struct tiny_shape plain = tiny_plain(type);
        struct tiny_shape nasty = tiny_nasty(type);
        compare(&plain, isas[i]);
        compare(&nasty, isas[i]);
    }
}

START_TEST(f32_together_equals_alone)
{
    compare_all(TENSOR_F32);
    struct tiny_shape odd = tiny_odd();
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    for (int i = 0; i < count; i++)
        compare(&odd, isas[i]);
}
END_TEST

START_TEST(q8_0_together_equals_alone)
{
    compare_all(TENSOR_Q8_0);
}
END_TEST

START_TEST(q4_1_together_equals_alone)
{
    compare_all(TENSOR_Q4_1);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, f32_together_equals_alone);
    tcase_add_test(t, q8_0_together_equals_alone);
    tcase_add_test(t, q4_1_together_equals_alone);
    return suite_run("batch", t);
}
