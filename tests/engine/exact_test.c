/*
 * One answer has the same bits however it is computed: alone, beside fifteen others, its
 * prompt cut at seven sizes, with a prefix from the cache or none, preempted, by one thread
 * or two; on every instruction set of this machine and with weights of every type. Compared
 * are ids, text and the logprobs, of which the 20 largest come with each token: each takes
 * the whole row of logits in.
 */
#include <stdio.h>
#include <string.h>

#include "engine/rig.h"
#include "engine/suite.h"
#include "tensor/types.h"

enum {
    JOBS = 16,
    PROMPT_MAX = 100,
    CHUNKS = 7,
    TYPES = 16
};

static const int32_t g_chunks[CHUNKS] = { 1, 5, 16, 31, 32, 33, 100 };

static struct rig g_rig;
static int32_t g_prompts[JOBS][PROMPT_MAX];
static struct script_job g_jobs[JOBS];
static struct script_job g_expected[JOBS];

/* How much is tried. */
enum scale {
    SCALE_WHOLE, /* everything at all sizes of chunks */
    SCALE_SHORT, /* a batch at all sizes, the rest at two; shorter prompts and answers */
    SCALE_LEAST, /* one size, alone by one thread and all else by two */
    SCALE_NONE
};

/* ---- requests ---- */

static void set_job(int32_t i, int32_t count, int32_t max_new)
{
    g_jobs[i] = (struct script_job){
        .request = { .prompt = g_prompts[i],
                     .prompt_count = count,
                     .max_new = max_new,
                     .sampling = { .temperature = i % 2 ? 0.9f : 0,
                                   .top_p = 0.95f,
                                   .seed = 70 + (uint64_t)i },
                     .logprobs = true,
                     .top_logprobs = VALET_TOP_LOGPROBS_MAX,
                     .prompt_logprobs = i == 7 || i == 10 },
    };
}

/* Prompts with common beginnings of many lengths, some the same, some one token long. Some
 * grow by more than the block that they begin with. */
static void set_family(enum scale scale)
{
    static const int32_t common[JOBS] = {
        0, 90, 90, 1, 31, 32, 33, 40, 63, 64, 65, 70, 0, 90, 5, 50
    };
    static const int32_t whole[JOBS] = { 96, 90, 97, 1,  40, 40, 65, 40,
                                         80, 66, 90, 71, 2,  90, 33, 100 };
    static const int32_t in_short[JOBS] = { 61, 30, 61, 1, 31, 32, 30, 28,
                                            4,  29, 31, 5, 2,  30, 7,  62 };
    static const int32_t least[JOBS] = { 33, 30, 33, 1, 2, 6, 8, 5, 4, 6, 7, 5, 9, 6, 7, 34 };
    static const int32_t *const counts_of[] = { whole, in_short, least };
    const int32_t *counts = counts_of[scale];
    rig_prompt(&g_rig, 1, g_prompts[0], PROMPT_MAX);
    for (int32_t i = 0; i < JOBS; i++) {
        if (i > 0)
            memcpy(g_prompts[i], g_prompts[0], (size_t)common[i] * sizeof(int32_t));
        if (i > 0 && counts[i] > common[i])
            rig_prompt(&g_rig, 100 + (uint64_t)i, g_prompts[i] + common[i], counts[i] - common[i]);
        if (scale == SCALE_WHOLE)
            set_job(i, counts[i], counts[i] <= 40 ? 75 + (i % 4) * 3 : 5 + i % 8);
        else
            set_job(i, counts[i], counts[i] < 5 ? 70 : 5);
        g_jobs[i].request.ignore_eos = scale != SCALE_WHOLE;
    }
}

static void expect_all(const char *what, const char *how, int32_t number)
{
    char text[120];
    snprintf(text, sizeof text, "%s: %s %d", what, how, number);
    for (int32_t i = 0; i < JOBS; i++) {
        ck_assert_int_eq(g_jobs[i].end, VALET_END_DONE);
        script_expect_same(&g_jobs[i], &g_expected[i], text);
    }
}

/* ---- ways to compute them ---- */

static void compare_batch(const char *what, int32_t chunk)
{
    struct script s = { .jobs = g_jobs, .job_count = JOBS };
    rig_run(&g_rig, (struct rig_size){ 16, chunk, 0, true }, &s, NULL);
    expect_all(what, "no cache, chunk", chunk);
}

/* Each asks the cache when the one before has joined. */
static void compare_cached(const char *what, int32_t chunk)
{
    struct script s = { .jobs = g_jobs, .job_count = JOBS, .take_max = 1 };
    struct valet_engine_stats stats;
    rig_run(&g_rig, (struct rig_size){ 6, chunk, 0, false }, &s, &stats);
    expect_all(what, "cache, chunk", chunk);
    ck_assert_uint_gt(stats.prefix_hit_tokens, 0);
}

/* Few blocks for what would like many. Returns how often one gave way. */
static int32_t compare_preempted(const char *what, int32_t chunk, bool no_cache)
{
    struct script s = { .jobs = g_jobs,
                        .job_count = JOBS,
                        .optimistic = true,
                        .no_grow_one_in = 2,
                        .seed = (uint64_t)chunk };
    rig_run(&g_rig, (struct rig_size){ 16, chunk, 8, no_cache }, &s, NULL);
    expect_all(what, "preempted, chunk", chunk);
    return s.preemptions;
}

/* Twice on one engine: the second time all is there. */
static void compare_again(const char *what)
{
    valet_engine *engine = script_engine_with(g_rig.model, 4, 20, 200, true);
    for (int32_t round = 0; round < 2; round++) {
        script_reset(g_jobs, JOBS);
        script_run_jobs(engine, g_jobs, JOBS);
        expect_all(what, "round", round);
    }
    for (int32_t i = 0; i < JOBS; i++) {
        const struct valet_request *r = &g_jobs[i].request;
        ck_assert_int_eq(g_jobs[i].cached, r->prompt_logprobs ? 0 : r->prompt_count - 1);
    }
    valet_engine_destroy(engine);
}

static void compare_ways(const char *what, enum scale scale)
{
    int32_t preemptions = 0;
    for (int32_t i = 0; i < CHUNKS; i++) {
        bool chosen = scale == SCALE_WHOLE || i == 2 || (scale == SCALE_SHORT && i == 6);
        if (chosen || scale == SCALE_SHORT)
            compare_batch(what, g_chunks[i]);
        if (!chosen)
            continue;
        compare_cached(what, g_chunks[i]);
        preemptions += compare_preempted(what, g_chunks[i], i > 3);
    }
    compare_again(what);
    printf("%s: the same, %d preemptions\n", what, preemptions);
    ck_assert_int_gt(preemptions, 0);
}

/* ---- models ---- */

/* `scale` on fast kernels, `ref_scale` on slow ones. */
static void compare_model(struct tiny_shape shape, enum scale scale, enum scale ref_scale)
{
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    for (int i = ref_scale == SCALE_NONE; i < count; i++) {
        bool is_slow = strcmp(isas[i], "ref") == 0 || suite_is_slow();
        enum scale here = !is_slow ? scale : ref_scale == SCALE_NONE ? SCALE_LEAST : ref_scale;
        for (int32_t threads = 1; threads <= 2; threads++) {
            char what[60];
            snprintf(what, sizeof what, "%s %s, %s, %d threads", shape.name,
                     tensor_type_info(shape.type)->name, isas[i], threads);
            rig_open(&g_rig, shape, isas[i], threads);
            if (threads == 1) {
                set_family(here);
                rig_alone(&g_rig, g_jobs, g_expected, JOBS);
            }
            if (threads == 2 || here != SCALE_LEAST)
                compare_ways(what, here);
            rig_close(&g_rig);
        }
    }
}

START_TEST(bits_are_equal_in_every_way_to_compute_them_f32)
{
    compare_model(tiny_odd(), SCALE_WHOLE, SCALE_SHORT);
}
END_TEST

START_TEST(bits_are_equal_in_every_way_to_compute_them_q8_0)
{
    compare_model(tiny_nasty(TENSOR_Q8_0), SCALE_WHOLE, SCALE_LEAST);
}
END_TEST

START_TEST(bits_are_equal_in_every_way_to_compute_them_q4_1)
{
    compare_model(tiny_plain(TENSOR_Q4_1), SCALE_WHOLE, SCALE_SHORT);
}
END_TEST

/* The reference kernels differ between types in how a row is read alone, so some will do. */
static const struct {
    enum tensor_type type;
    bool on_ref;
} g_types[TYPES] = {
    { TENSOR_F32, false },  { TENSOR_F16, true },     { TENSOR_BF16, true },
    { TENSOR_Q4_0, true },  { TENSOR_Q4_1, false },   { TENSOR_Q5_0, false },
    { TENSOR_Q5_1, false }, { TENSOR_Q8_0, true },    { TENSOR_Q2_K, false },
    { TENSOR_Q3_K, false }, { TENSOR_Q4_K, true },    { TENSOR_Q5_K, false },
    { TENSOR_Q6_K, true },  { TENSOR_IQ4_NL, false }, { TENSOR_IQ4_XS, true },
    { TENSOR_MXFP4, true },
};

START_TEST(bits_are_equal_with_weights_of_any_type)
{
    bool on_ref = g_types[_i].on_ref && !suite_is_slow();
    compare_model(tiny_wide(g_types[_i].type), SCALE_SHORT, on_ref ? SCALE_LEAST : SCALE_NONE);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, bits_are_equal_in_every_way_to_compute_them_f32);
    tcase_add_test(t, bits_are_equal_in_every_way_to_compute_them_q8_0);
    tcase_add_test(t, bits_are_equal_in_every_way_to_compute_them_q4_1);
    tcase_add_loop_test(t, bits_are_equal_with_weights_of_any_type, 0, TYPES);
    return suite_run("exact", t);
}
