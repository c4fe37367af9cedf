/* Log probabilities and the most likely tokens, against sums and a sort in long double. */
#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "base/mem.h"
#include "engine/sampler.h"
#include "engine/suite.h"
#include "tiny_model.h"

enum {
    VOCAB_MAX = 50000
};

static float g_logits[VOCAB_MAX];

struct entry {
    float logit;
    int32_t id;
};

static int by_logit(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static struct engine_sampler sampler_open(int32_t vocab)
{
    struct engine_sampler s;
    ck_assert_int_eq(engine_sampler_init(&s, vocab), OK);
    return s;
}

static void sampler_close(struct engine_sampler *s)
{
    engine_sampler_fini(s);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static void make_logits(int32_t vocab, int kind, struct tiny_random *r)
{
    for (int32_t i = 0; i < vocab; i++) {
        double x = tiny_random_normal(r);
        g_logits[i] = kind == 0   ? (float)(4 * x)
                      : kind == 1 ? (float)tiny_random_below(r, 4)
                      : kind == 2 ? -3.25f
                      : kind == 3 ? (float)(1e6 + 8 * x)
                      : kind == 4 ? (float)(1e4 * x)
                                  : (i % 2 ? 3.4e38f : -3.4e38f);
    }
}

/* Within an ulp of f32, and what f64 leaves of the difference of two numbers so large. */
static bool is_near(float got, long double want, long double norm)
{
    if (want < -(long double)FLT_MAX)
        return got == -INFINITY;
    return fabsl(got - want) <= 1.2e-7L * fabsl(want) + 1e-14L * (1 + fabsl(norm));
}

static void expect_logprobs(const struct engine_sampler *s, int32_t id, uint32_t top_count)
{
    static struct entry sorted[VOCAB_MAX];
    struct valet_top top[VALET_TOP_LOGPROBS_MAX + 1];
    top[top_count].id = -5; /* a guard */
    float logprob = 7;
    long double sum = 0;
    for (int32_t i = 0; i < s->vocab; i++)
        sorted[i] = (struct entry){ g_logits[i], i };
    qsort(sorted, (size_t)s->vocab, sizeof sorted[0], by_logit);
    for (int32_t i = 0; i < s->vocab; i++)
        sum += expl((long double)g_logits[i] - (long double)sorted[0].logit);
    long double norm = (long double)sorted[0].logit + logl(sum);

    uint32_t count = engine_logprobs(s, g_logits, id, top_count, &logprob, top);
    uint32_t expected = top_count < (uint32_t)s->vocab ? top_count : (uint32_t)s->vocab;
    ck_assert_uint_eq(count, expected);
    ck_assert_int_eq(top[top_count].id, -5);
    EXPECT(is_near(logprob, (long double)g_logits[id] - norm, norm), "logprob %.9g of %d",
           (double)logprob, id);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT(top[i].id == sorted[i].id, "top %u is %d, not %d", i, top[i].id, sorted[i].id);
        EXPECT(is_near(top[i].logprob, (long double)sorted[i].logit - norm, norm), "top %u: %.9g",
               i, (double)top[i].logprob);
        EXPECT(top[i].id != id || top[i].logprob == logprob, "two numbers for token %d", id);
    }
}

START_TEST(logprobs_are_the_log_of_the_softmax)
{
    static const int32_t vocabs[] = { 1, 2, 3, 19, 20, 21, 500, 3001 };
    struct tiny_random r = { 1 };
    for (size_t v = 0; v < sizeof vocabs / sizeof vocabs[0]; v++) {
        struct engine_sampler s = sampler_open(vocabs[v]);
        for (int kind = 0; kind < 6; kind++) {
            for (int round = 0; round < (suite_is_slow() ? 3 : 20); round++) {
                make_logits(vocabs[v], kind, &r);
                uint32_t top_count = round == 0   ? 0
                                     : round == 1 ? VALET_TOP_LOGPROBS_MAX
                                                  : (uint32_t)tiny_random_below(&r, 21);
                expect_logprobs(&s, tiny_random_below(&r, vocabs[v]), top_count);
            }
        }
        sampler_close(&s);
    }
}
END_TEST

START_TEST(large_vocabularies_lose_nothing)
{
    struct engine_sampler s = sampler_open(VOCAB_MAX);
    struct tiny_random r = { 2 };
    for (int kind = 0; kind < 6; kind++) {
        make_logits(VOCAB_MAX, kind, &r);
        expect_logprobs(&s, 49999, VALET_TOP_LOGPROBS_MAX);
    }
    sampler_close(&s);
}
END_TEST

START_TEST(probabilities_sum_to_one)
{
    struct engine_sampler s = sampler_open(300);
    struct tiny_random r = { 4 };
    for (int kind = 0; kind < 5; kind++) {
        make_logits(300, kind, &r);
        double sum = 0;
        for (int32_t id = 0; id < 300; id++) {
            float logprob;
            engine_logprobs(&s, g_logits, id, 0, &logprob, NULL);
            sum += exp((double)logprob);
        }
        ck_assert_double_lt(fabs(sum - 1), 1e-6);
    }
    sampler_close(&s);
}
END_TEST

START_TEST(equal_logits_come_in_the_order_of_ids)
{
    struct engine_sampler s = sampler_open(6);
    static const float logits[6] = { 1, 2, 1, 2, 0, 2 };
    struct valet_top top[5];
    float logprob;
    ck_assert_uint_eq(engine_logprobs(&s, logits, 4, 5, &logprob, top), 5);
    static const int32_t order[5] = { 1, 3, 5, 0, 2 };
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(top[i].id, order[i]);
    ck_assert(top[0].logprob == top[2].logprob);
    ck_assert(fabsf(top[0].logprob - logprob - 2) < 1e-6f);
    sampler_close(&s);
}
END_TEST

/* The rows of a prompt are not looked at before. */
START_TEST(values_that_are_no_numbers_do_no_harm)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    struct engine_sampler s = sampler_open(40);
    struct valet_top top[VALET_TOP_LOGPROBS_MAX];
    for (int b = 0; b < 3; b++) {
        for (int32_t at = 0; at < 40; at++) {
            float logprob;
            make_logits(40, 0, &(struct tiny_random){ 3 });
            g_logits[at] = bad[b];
            ck_assert_uint_eq(engine_logprobs(&s, g_logits, 2, 20, &logprob, top), 20);
            for (int i = 0; i < 20; i++)
                EXPECT(top[i].id >= 0 && top[i].id < 40, "id %d", top[i].id);
        }
    }
    sampler_close(&s);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, logprobs_are_the_log_of_the_softmax);
    tcase_add_test(t, large_vocabularies_lose_nothing);
    tcase_add_test(t, probabilities_sum_to_one);
    tcase_add_test(t, equal_logits_come_in_the_order_of_ids);
    tcase_add_test(t, values_that_are_no_numbers_do_no_harm);
    return suite_run("logprobs", t);
}
