/*
 * The sampler against a reference that sorts: the whole vocabulary in order, the k first, of
 * these the fewest that hold the mass, then inverse CDF in the order of ids. Where rounding
 * may decide (the sampler's weights are f32: sums within 1e-6 or 1e-5 of their bound) either
 * answer counts, and such cases must be rare.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/sampler.h"
#include "engine/suite.h"
#include "tiny_model.h"

enum {
    VOCAB_MAX = 50000
};

/* Counts what libc itself allocates, too, where malloc may be replaced. */
#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !HAS_FEATURE(address_sanitizer) && !HAS_FEATURE(thread_sanitizer) && \
    !HAS_FEATURE(memory_sanitizer)
#define COUNTS_MALLOC 1
void *__libc_malloc(size_t size);
static unsigned long g_mallocs;

__attribute__((visibility("default"))) void *malloc(size_t size) /* libc's calls come here too */
{
    g_mallocs++;
    return __libc_malloc(size);
}
#else
#define COUNTS_MALLOC 0
#endif

/* ---- the reference ---- */

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

/* The number that valet draws with, written once more: changing it changes every answer. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static double uniform(uint64_t seed, uint32_t choice, int64_t position)
{
    uint64_t x = mix(seed + 0x9e3779b97f4a7c15u);
    x = mix(x ^ (choice + 0x632be59bd9b4e019u));
    x = mix(x ^ ((uint64_t)position + 0x9e3779b97f4a7c15u));
    return (double)(x >> 11) * 0x1p-53;
}

struct reference {
    int32_t vocab;
    struct entry sorted[VOCAB_MAX];
    bool kept[VOCAB_MAX];
    int32_t count; /* kept */
    bool close;    /* one more or one fewer would be right as well */
};

/* Which tokens may be drawn. Tokens of no weight at all are never needed for the mass. */
static void reference_set(struct reference *r, const float *logits, int32_t vocab,
                          const struct valet_sampling *s)
{
    r->vocab = vocab;
    for (int32_t i = 0; i < vocab; i++)
        r->sorted[i] = (struct entry){ logits[i], i };
    qsort(r->sorted, (size_t)vocab, sizeof r->sorted[0], by_logit);
    r->count = s->top_k > 0 && s->top_k < vocab ? s->top_k : vocab;
    r->close = false;
    if (s->top_p < 1) {
        double total = 0;
        for (int32_t i = 0; i < r->count; i++)
            total += exp((double)r->sorted[i].logit - (double)r->sorted[0].logit);
        double sum = 0;
        int32_t n = 0;
        while (n < r->count && (n == 0 || sum < (double)s->top_p * total)) {
            sum += exp((double)r->sorted[n].logit - (double)r->sorted[0].logit);
            if (fabs(sum - (double)s->top_p * total) < 1e-6 * total)
                r->close = true;
            n++;
        }
        r->count = n;
    }
    memset(r->kept, 0, sizeof r->kept);
    for (int32_t i = 0; i < r->count; i++)
        r->kept[r->sorted[i].id] = true;
}

/* Whether `id` is what the inverse CDF gives for u; *close if only nearly so. */
static bool reference_draws(const struct reference *r, const float *logits, double temperature,
                            double u, int32_t id, bool *close)
{
    double max = (double)r->sorted[0].logit;
    double total = 0;
    double before = 0;
    double weight = 0;
    for (int32_t i = 0; i < r->vocab; i++) {
        if (!r->kept[i])
            continue;
        double w = exp(((double)logits[i] - max) / temperature);
        total += w;
        if (i < id)
            before += w;
        if (i == id)
            weight = w;
    }
    if (!r->kept[id] || weight == 0)
        return false;
    double at = u * total;
    if (before <= at && at < before + weight)
        return true;
    *close = true;
    double slack = 1e-5 * total;
    return before - slack <= at && at < before + weight + slack;
}

/* ---- logits ---- */

enum kind {
    KIND_NORMAL,
    KIND_TIES,   /* few different values */
    KIND_EQUAL,  /* one value */
    KIND_PEAK,   /* one far above the rest */
    KIND_WIDE,   /* spread over 1e4 */
    KIND_NARROW, /* spread over 1e-3: one bin of a histogram */
    KIND_FAR,    /* far from 0 */
    KIND_COUNT
};

static void make_logits(float *logits, int32_t vocab, enum kind kind, struct tiny_random *r)
{
    for (int32_t i = 0; i < vocab; i++) {
        double x = tiny_random_normal(r);
        switch (kind) {
        case KIND_NORMAL:
            x = 4 * x;
            break;
        case KIND_TIES:
            x = tiny_random_below(r, 5);
            break;
        case KIND_EQUAL:
            x = -3.25;
            break;
        case KIND_PEAK:
            x = i == vocab / 3 ? 1e4 : x;
            break;
        case KIND_WIDE:
            x = 1e4 * tiny_random_unit(r);
            break;
        case KIND_NARROW:
            x = 1e-3 * x;
            break;
        case KIND_FAR:
            x = 1e6 + 8 * x;
            break;
        case KIND_COUNT:
            break;
        }
        logits[i] = (float)x;
    }
}

static struct reference g_reference;
static float g_logits[VOCAB_MAX];

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

static int32_t draw(struct engine_sampler *s, const float *logits, struct valet_sampling sampling,
                    uint32_t choice, int64_t position)
{
    int32_t id = -1;
    EXPECT(engine_sample(s, logits, &sampling, choice, position, &id), "refused");
    EXPECT(id >= 0 && id < s->vocab, "token %d", id);
    return id;
}

/* ---- tests ---- */

START_TEST(greedy_takes_the_lowest_of_equal_ids)
{
    struct engine_sampler s = sampler_open(40);
    struct tiny_random r = { 1 };
    for (int round = 0; round < 200; round++) {
        make_logits(g_logits, 40, round % 2 ? KIND_TIES : KIND_EQUAL, &r);
        int32_t best = 0;
        for (int32_t i = 1; i < 40; i++)
            best = g_logits[i] > g_logits[best] ? i : best;
        /* top_k, top_p and seed mean nothing at temperature 0 */
        struct valet_sampling sampling = { .temperature = 0, .top_p = 0.5f, .top_k = 3,
                                           .seed = tiny_random_u64(&r) };
        ck_assert_int_eq(draw(&s, g_logits, sampling, 0, round), best);
    }
    sampler_close(&s);
}
END_TEST

START_TEST(values_that_are_no_numbers_are_refused)
{
    static const float bad[] = { NAN, -NAN, INFINITY, -INFINITY };
    struct engine_sampler s = sampler_open(37);
    struct tiny_random r = { 2 };
    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        for (int32_t at = 0; at < 37; at++) {
            make_logits(g_logits, 37, KIND_NORMAL, &r);
            g_logits[at] = bad[b];
            int32_t id = -1;
            struct valet_sampling greedy = { .temperature = 0, .top_p = 1 };
            struct valet_sampling drawn = { .temperature = 1, .top_p = 0.9f, .top_k = 5 };
            ck_assert(!engine_sample(&s, g_logits, &greedy, 0, 0, &id));
            ck_assert(!engine_sample(&s, g_logits, &drawn, 0, 0, &id));
        }
    }
    /* the largest finite numbers are numbers */
    for (int32_t i = 0; i < 37; i++)
        g_logits[i] = i % 2 ? 3.4e38f : -3.4e38f;
    ck_assert_int_eq(draw(&s, g_logits, (struct valet_sampling){ .top_p = 1 }, 0, 0), 1);
    for (int64_t p = 0; p < 50; p++) {
        struct valet_sampling sampling = { .temperature = 1, .top_p = p % 2 ? 0.9f : 1,
                                           .top_k = (int32_t)(p % 4) };
        ck_assert_int_eq(draw(&s, g_logits, sampling, 0, p) % 2, 1);
    }
    sampler_close(&s);
}
END_TEST

/* Every combination of filters over every kind of logits, many positions. */
START_TEST(draws_equal_a_sampler_that_sorts)
{
    static const int32_t vocabs[] = { 1, 2, 3, 31, 32, 271, 1000 };
    static const float temperatures[] = { 0.05f, 0.7f, 1, 2.5f, 100 };
    static const float top_ps[] = { 1, 0.999999f, 0.9f, 0.5f, 0.1f, 1e-6f };
    static const int32_t top_ks[] = { 0, 1, 2, 7, 40, 999, 5000 };
    struct tiny_random r = { 3 };
    long draws = 0;
    long close = 0;
    for (size_t v = 0; v < sizeof vocabs / sizeof vocabs[0]; v++) {
        int32_t vocab = vocabs[v];
        struct engine_sampler s = sampler_open(vocab);
        for (int kind = 0; kind < KIND_COUNT; kind++) {
            for (int round = 0; round < (suite_is_slow() ? 10 : 60); round++) {
                make_logits(g_logits, vocab, (enum kind)kind, &r);
                struct valet_sampling sampling = {
                    .temperature = temperatures[tiny_random_below(&r, 5)],
                    .top_p = top_ps[tiny_random_below(&r, 6)],
                    .top_k = top_ks[tiny_random_below(&r, 7)],
                    .seed = tiny_random_u64(&r),
                };
                reference_set(&g_reference, g_logits, vocab, &sampling);
                for (int64_t p = 0; p < 8; p++) {
                    int32_t id = draw(&s, g_logits, sampling, 0, p);
                    bool is_close = g_reference.close;
                    bool same = reference_draws(&g_reference, g_logits,
                                                (double)sampling.temperature,
                                                uniform(sampling.seed, 0, p), id, &is_close);
                    EXPECT(same || g_reference.close,
                           "kind %d, %d ids, t %g, p %g, k %d, seed %llu, position %lld: token %d",
                           kind, vocab, (double)sampling.temperature, (double)sampling.top_p,
                           sampling.top_k, (unsigned long long)sampling.seed, (long long)p, id);
                    draws++;
                    close += is_close;
                }
            }
        }
        sampler_close(&s);
    }
    printf("%ld draws, %ld of them within rounding of a bound (seed 3)\n", draws, close);
    ck_assert_int_lt(close * 20, draws);
}
END_TEST

/* Hot enough, everything in the set comes up, and nothing else. */
static void expect_support(struct engine_sampler *s, const float *logits,
                           struct valet_sampling sampling)
{
    reference_set(&g_reference, logits, s->vocab, &sampling);
    ck_assert(!g_reference.close);
    static bool seen[VOCAB_MAX];
    memset(seen, 0, sizeof seen);
    sampling.temperature = 1e4f;
    for (int64_t p = 0; p < 40 * g_reference.count + 200; p++)
        seen[draw(s, logits, sampling, 0, p)] = true;
    for (int32_t i = 0; i < s->vocab; i++)
        EXPECT(seen[i] == g_reference.kept[i], "top_k %d, top_p %g: token %d %s",
               sampling.top_k, (double)sampling.top_p, i, seen[i] ? "was drawn" : "never came");
}

START_TEST(top_k_keeps_exactly_k)
{
    struct engine_sampler s = sampler_open(60);
    struct tiny_random r = { 4 };
    for (int round = 0; round < (suite_is_slow() ? 20 : 100); round++) {
        make_logits(g_logits, 60, round % 3 == 0 ? KIND_TIES : round % 3 == 1 ? KIND_NORMAL
                                                                            : KIND_EQUAL, &r);
        struct valet_sampling sampling = { .top_k = 1 + tiny_random_below(&r, 65), .top_p = 1,
                                           .seed = tiny_random_u64(&r) };
        expect_support(&s, g_logits, sampling);
        ck_assert_int_eq(g_reference.count, sampling.top_k < 60 ? sampling.top_k : 60);
    }
    sampler_close(&s);
}
END_TEST

START_TEST(top_p_keeps_the_fewest_that_hold_the_mass)
{
    struct engine_sampler s = sampler_open(60);
    struct tiny_random r = { 5 };
    for (int round = 0; round < (suite_is_slow() ? 20 : 100); round++) {
        make_logits(g_logits, 60, round % 2 ? KIND_NORMAL : KIND_TIES, &r);
        struct valet_sampling sampling = { .top_k = round % 4 ? 0 : 10,
                                           .top_p = (float)(0.02 + 0.96 * tiny_random_unit(&r)),
                                           .seed = tiny_random_u64(&r) };
        expect_support(&s, g_logits, sampling);
    }
    sampler_close(&s);
}
END_TEST

START_TEST(top_p_at_its_ends)
{
    struct engine_sampler s = sampler_open(8);
    static const float logits[8] = { 0, 1, 0, 1, -1, 0.5f, 0, -2 };
    static const float even[8] = { 2, 2, 2, 2, 2, 2, 2, 2 };
    for (int64_t p = 0; p < 2000; p++) {
        struct valet_sampling tiny = { .temperature = 5, .top_p = 1e-30f, .seed = 9 };
        struct valet_sampling zero = { .temperature = 5, .top_p = 0, .seed = 9 };
        struct valet_sampling half = { .temperature = 5, .top_p = 0.5f, .seed = 9 };
        EXPECT(draw(&s, logits, tiny, 0, p) == 1, "tiny mass, position %d", (int)p);
        EXPECT(draw(&s, logits, zero, 0, p) == 1, "no mass, position %d", (int)p);
        EXPECT(draw(&s, even, half, 0, p) < 4, "of equals the lower ids, position %d", (int)p);
    }
    /* just below 1, and rounding may leave the sum below the bound: everything stays */
    struct tiny_random r = { 6 };
    struct engine_sampler many = sampler_open(1000);
    make_logits(g_logits, 1000, KIND_NARROW, &r);
    bool seen[1000] = { false };
    for (int64_t p = 0; p < 12000; p++) {
        struct valet_sampling sampling = { .temperature = 1, .top_p = 0.99999994f, .seed = 9 };
        seen[draw(&many, g_logits, sampling, 0, p)] = true;
    }
    for (int i = 0; i < 1000; i++)
        EXPECT(seen[i], "token %d never came", i);
    engine_sampler_fini(&many);
    sampler_close(&s);
}
END_TEST

/* Temperature alone: the share of each token is its softmax weight. */
START_TEST(draws_follow_the_softmax)
{
    enum {
        VOCAB = 50,
        DRAWS = 100000
    };
    static const float temperatures[] = { 0.6f, 1, 3 };
    struct engine_sampler s = sampler_open(VOCAB);
    struct tiny_random r = { 7 };
    for (int round = 0; round < 6; round++) {
        double temperature = (double)temperatures[round % 3];
        for (int32_t i = 0; i < VOCAB; i++)
            g_logits[i] = (float)(1.5 * tiny_random_normal(&r));
        double weights[VOCAB];
        double total = 0;
        for (int32_t i = 0; i < VOCAB; i++)
            total += weights[i] = exp((double)g_logits[i] / temperature);
        long counts[VOCAB] = { 0 };
        uint64_t seed = tiny_random_u64(&r);
        for (int64_t p = 0; p < DRAWS; p++) {
            /* consecutive positions of one seed, or consecutive seeds and choices */
            struct valet_sampling sampling = { .temperature = (float)temperature, .top_p = 1,
                                               .seed = round < 3 ? seed : seed + (uint64_t)p };
            counts[draw(&s, g_logits, sampling, round < 3 ? 0 : (uint32_t)(p % 3),
                        round < 3 ? p : 5)]++;
        }
        double chi2 = 0;
        int bins = 0;
        double rare_expected = 0;
        double rare = 0;
        for (int32_t i = 0; i < VOCAB; i++) {
            double expected = DRAWS * weights[i] / total;
            if (expected < 20) { /* too few for a bin of its own */
                rare_expected += expected;
                rare += (double)counts[i];
                continue;
            }
            chi2 += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
            bins++;
        }
        if (rare_expected >= 20) {
            chi2 += (rare - rare_expected) * (rare - rare_expected) / rare_expected;
            bins++;
        }
        double limit = bins - 1 + 4 * sqrt(2.0 * (bins - 1)); /* four deviations */
        printf("temperature %g: chi2 %.1f with %d bins, limit %.1f\n", temperature, chi2, bins,
               limit);
        ck_assert_double_lt(chi2, limit);
    }
    sampler_close(&s);
}
END_TEST

START_TEST(a_draw_depends_on_seed_choice_and_position_alone)
{
    enum {
        VOCAB = 1000,
        DRAWS = 200
    };
    struct engine_sampler s = sampler_open(VOCAB);
    struct engine_sampler other = sampler_open(VOCAB);
    struct tiny_random r = { 8 };
    make_logits(g_logits, VOCAB, KIND_EQUAL, &r);
    struct valet_sampling sampling = { .temperature = 1, .top_p = 1, .seed = 77 };
    struct valet_sampling next = sampling;
    next.seed++;
    int32_t first[DRAWS];
    int position = 0;
    int choice = 0;
    int seed = 0;
    for (int64_t p = 0; p < DRAWS; p++)
        first[p] = draw(&s, g_logits, sampling, 0, p);
    /* other order, other scratch, filters that do nothing */
    for (int64_t p = DRAWS - 1; p >= 0; p--) {
        struct valet_sampling wide = sampling;
        wide.top_k = VOCAB;
        ck_assert_int_eq(draw(&other, g_logits, wide, 0, p), first[p]);
        position += p > 0 && first[p] == first[p - 1];
        choice += first[p] == draw(&s, g_logits, sampling, 1, p);
        seed += first[p] == draw(&s, g_logits, next, 0, p);
    }
    /* of 200 pairs of independent draws over 1000 tokens, 0.2 are equal by chance */
    ck_assert_int_le(position, 3);
    ck_assert_int_le(choice, 3);
    ck_assert_int_le(seed, 3);
    engine_sampler_fini(&other);
    sampler_close(&s);
}
END_TEST

START_TEST(large_vocabularies_are_drawn_from_correctly)
{
    struct engine_sampler s = sampler_open(VOCAB_MAX);
    struct tiny_random r = { 9 };
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        for (int round = 0; round < (suite_is_slow() ? 1 : 4); round++) {
            make_logits(g_logits, VOCAB_MAX, (enum kind)kind, &r);
            struct valet_sampling sampling = { .temperature = 0.9f,
                                               .top_p = round % 2 ? 0.95f : 1,
                                               .top_k = round / 2 ? 12345 : 0,
                                               .seed = tiny_random_u64(&r) };
            reference_set(&g_reference, g_logits, VOCAB_MAX, &sampling);
            for (int64_t p = 0; p < 10; p++) {
                int32_t id = draw(&s, g_logits, sampling, 0, p);
                bool close = false;
                ck_assert_msg(reference_draws(&g_reference, g_logits, 0.9,
                                              uniform(sampling.seed, 0, p), id, &close) ||
                                  g_reference.close,
                              "kind %d, seed %llu, position %lld: token %d", kind,
                              (unsigned long long)sampling.seed, (long long)p, id);
            }
        }
    }
    sampler_close(&s);
}
END_TEST

START_TEST(a_draw_allocates_nothing)
{
#if COUNTS_MALLOC
    struct engine_sampler s = sampler_open(VOCAB_MAX);
    struct tiny_random r = { 10 };
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        make_logits(g_logits, VOCAB_MAX, (enum kind)kind, &r);
        struct valet_sampling sampling = { .temperature = 1, .top_p = 0.9f, .top_k = 20000 };
        int32_t id;
        unsigned long before = g_mallocs;
        bool drawn = engine_sample(&s, g_logits, &sampling, 0, 0, &id);
        unsigned long after = g_mallocs;
        ck_assert(drawn);
        ck_assert_uint_eq(after, before);
    }
    sampler_close(&s);
#endif
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, greedy_takes_the_lowest_of_equal_ids);
    tcase_add_test(t, values_that_are_no_numbers_are_refused);
    tcase_add_test(t, draws_equal_a_sampler_that_sorts);
    tcase_add_test(t, top_k_keeps_exactly_k);
    tcase_add_test(t, top_p_keeps_the_fewest_that_hold_the_mass);
    tcase_add_test(t, top_p_at_its_ends);
    tcase_add_test(t, draws_follow_the_softmax);
    tcase_add_test(t, a_draw_depends_on_seed_choice_and_position_alone);
    tcase_add_test(t, large_vocabularies_are_drawn_from_correctly);
    tcase_add_test(t, a_draw_allocates_nothing);
    return suite_run("sampler", t);
}
