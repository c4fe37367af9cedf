/*
 * The sampler against a reference that sorts: every step by its definition over the whole
 * vocabulary in double precision, then inverse CDF in the order of ids. What changes logits
 * before (bias, masks, penalties, DRY) is compared bit for bit. Where rounding may decide (the
 * sampler's weights are f32: sums within 1e-6 or 1e-5 of their bound) either answer counts,
 * and such cases must be rare.
 */
#include <float.h>
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
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&       \
    !HAS_FEATURE(address_sanitizer) && !HAS_FEATURE(thread_sanitizer) &&                           \
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

static double xtc_uniform(uint64_t seed, uint32_t choice, int64_t position)
{
    uint64_t x = mix(seed + 0x9e3779b97f4a7c15u);
    x = mix(x ^ (choice + 0x632be59bd9b4e019u));
    x = mix(x ^ ((uint64_t)position + 0x9e3779b97f4a7c15u));
    return (double)(mix(x ^ 0xd1b54a32d192ed03u) >> 11) * 0x1p-53;
}

struct reference {
    int32_t vocab;
    float logits[VOCAB_MAX];        /* after bias, masks, penalties, DRY */
    struct entry sorted[VOCAB_MAX]; /* [count] what is kept, in order */
    bool kept[VOCAB_MAX];           /* by id, once all steps are done */
    int32_t count;
    double max; /* the largest of those kept, once all steps are done */
    bool close; /* one more or one fewer would be right as well */
};

/* The text so far, prompt and answer in one. */
struct text {
    int32_t ids[4 * VOCAB_MAX];
    int32_t prompt_count;
    int32_t count; /* all */
};

static struct text g_text;

static float in_range(double x)
{
    return x > (double)FLT_MAX ? FLT_MAX : x < -(double)FLT_MAX ? -FLT_MAX : (float)x;
}

static bool is_breaker(const struct valet_sampling *s, int32_t id)
{
    for (uint32_t i = 0; i < s->dry_breaker_count; i++) {
        if (s->dry_breakers[i] == id)
            return true;
    }
    return false;
}

/* The longest repeat that `id` would extend, by looking at every place and every length. */
static int32_t repeat_before(const struct valet_sampling *s, const struct text *t, int32_t id)
{
    int32_t first = s->dry_last_n > 0 && s->dry_last_n < t->count ? t->count - s->dry_last_n : 0;
    int32_t longest = 0;
    if (is_breaker(s, id))
        return 0;
    for (int32_t at = first + 1; at < t->count; at++) {
        int32_t n = 0;
        if (t->ids[at] != id)
            continue;
        while (n < ENGINE_REPEAT_MAX && at - n > first &&
               t->ids[at - 1 - n] == t->ids[t->count - 1 - n] && !is_breaker(s, t->ids[at - 1 - n]))
            n++;
        longest = n > longest ? n : longest;
    }
    return longest;
}

static void reference_edit(struct reference *r, const float *logits, int32_t vocab,
                           const struct valet_sampling *s, const struct text *t,
                           const int32_t *masked, uint32_t masked_count)
{
    int32_t first =
        s->repeat_last_n > 0 && s->repeat_last_n < t->count ? t->count - s->repeat_last_n : 0;
    r->vocab = vocab;
    r->close = false;
    for (int32_t id = 0; id < vocab; id++) {
        float l = logits[id];
        bool is_repeated = false;
        int32_t generated = 0;
        for (uint32_t i = 0; i < s->bias_count; i++)
            l = s->bias[i].id == id ? in_range((double)(l + s->bias[i].bias)) : l;
        for (int32_t i = first; i < t->count; i++)
            is_repeated |= t->ids[i] == id;
        for (int32_t i = t->prompt_count; i < t->count; i++)
            generated += t->ids[i] == id;
        if (is_repeated && s->repetition_penalty != 0)
            l = in_range((double)(l > 0 ? l / s->repetition_penalty : l * s->repetition_penalty));
        if (generated > 0)
            l = in_range((double)l -
                         (double)(s->frequency_penalty * (float)generated + s->presence_penalty));
        if (s->dry_multiplier > 0) {
            int32_t allowed = s->dry_allowed_length;
            int32_t n = repeat_before(s, t, id);
            if (n >= allowed)
                l = in_range((double)l -
                             (double)s->dry_multiplier * pow((double)s->dry_base, n - allowed));
        }
        for (uint32_t i = 0; i < masked_count; i++)
            l = masked[i] == id ? -INFINITY : l;
        r->logits[id] = l;
    }
}

/* The sum of exp(logit - the largest). */
static double mass_of(const struct reference *r)
{
    double total = 0;
    for (int32_t i = 0; i < r->count; i++)
        total += exp((double)r->sorted[i].logit - (double)r->sorted[0].logit);
    return total;
}

/* Probability of what stands at i. */
static double probability(const struct reference *r, int32_t i, double total)
{
    return exp((double)r->sorted[i].logit - (double)r->sorted[0].logit) / total;
}

static void note_close(struct reference *r, double value, double bound, double relative)
{
    if (value != bound && fabs(value - bound) <= relative * (fabs(bound) + 1e-30))
        r->close = true;
}

/* Keeps logits >= largest - distance. */
static void reference_within(struct reference *r, double distance)
{
    int32_t n = 0;
    for (int32_t i = 0; i < r->count; i++) {
        double d = (double)r->sorted[0].logit - (double)r->sorted[i].logit;
        note_close(r, d, distance, 1e-6);
        n += d <= distance;
    }
    r->count = n > 1 ? n : 1;
}

static void reference_sigma(struct reference *r, double sigmas)
{
    double mean = 0;
    double square = 0;
    for (int32_t i = 0; i < r->count; i++)
        mean += (double)r->sorted[i].logit / r->count;
    for (int32_t i = 0; i < r->count; i++)
        square += pow((double)r->sorted[i].logit - mean, 2) / r->count;
    double distance = sigmas * sqrt(square);
    /* of equal logits the deviation is 0 but for rounding */
    reference_within(r, distance > 1e-9 ? distance : 0);
}

struct surprise {
    double distance;
    struct entry entry;
    double p;
};

static int by_distance(const void *a, const void *b)
{
    const struct surprise *x = a;
    const struct surprise *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->entry.id < y->entry.id ? -1 : 1;
}

static void reference_typical(struct reference *r, double mass)
{
    static struct surprise order[VOCAB_MAX];
    double total = mass_of(r);
    double entropy = 0;
    for (int32_t i = 0; i < r->count; i++) {
        double p = probability(r, i, total);
        entropy -= p > 0 ? p * log(p) : 0;
    }
    for (int32_t i = 0; i < r->count; i++) {
        double d = (double)r->sorted[0].logit - (double)r->sorted[i].logit;
        order[i] = (struct surprise){ fabs(d + log(total) - entropy), r->sorted[i],
                                      probability(r, i, total) };
    }
    qsort(order, (size_t)r->count, sizeof order[0], by_distance);
    int32_t n = 0;
    for (double sum = 0; n < r->count && (n == 0 || sum < mass); n++) {
        sum += order[n].p;
        if (fabs(sum - mass) < 1e-6)
            r->close = true;
    }
    for (int32_t i = 0; i < r->count; i++) {
        if (order[i].entry.logit != order[n - 1].entry.logit &&
            fabs(order[i].distance - order[n - 1].distance) < 2e-6 * (1 + order[i].distance))
            r->close = true;
    }
    for (int32_t i = 0; i < n; i++)
        r->sorted[i] = order[i].entry;
    r->count = n;
    qsort(r->sorted, (size_t)n, sizeof r->sorted[0], by_logit);
}

/* Tokens of no weight at all are never needed for the mass. */
static void reference_top_p(struct reference *r, double mass)
{
    double total = mass_of(r);
    double sum = 0;
    int32_t n = 0;
    while (n < r->count && (n == 0 || sum < mass)) {
        sum += probability(r, n, total);
        if (fabs(sum - mass) < 1e-6)
            r->close = true;
        n++;
    }
    r->count = n;
}

static void reference_xtc(struct reference *r, double threshold)
{
    double total = mass_of(r);
    int32_t above = 0;
    for (int32_t i = 0; i < r->count; i++) {
        double p = probability(r, i, total);
        note_close(r, p, threshold, 1e-6);
        above += p >= threshold;
    }
    if (above < 2)
        return;
    int32_t stays = above - 1; /* the lowest id of the least likely */
    while (stays > 0 && r->sorted[stays - 1].logit == r->sorted[above - 1].logit)
        stays--;
    struct entry entry = r->sorted[stays];
    r->sorted[above - 1] = entry;
    r->count -= above - 1;
    memmove(r->sorted, r->sorted + above - 1, (size_t)r->count * sizeof r->sorted[0]);
}

static void reference_mirostat(struct reference *r, int version, double mu)
{
    if (version == 2) {
        double distance = mu * log(2) - log(mass_of(r));
        if (distance < 0)
            r->count = 1;
        else
            reference_within(r, distance);
        return;
    }
    double product = 0;
    double square = 0;
    for (int32_t i = 0; i < 99 && i + 1 < r->count; i++) {
        double t = log((i + 2.0) / (i + 1.0));
        product += t * ((double)r->sorted[i].logit - (double)r->sorted[i + 1].logit);
        square += t * t;
    }
    if (r->count == 1)
        return;
    double s = product / square;
    double e = s - 1;
    double k = pow(e * exp2(mu) / (1 - pow(r->vocab, -e)), 1 / s);
    if (fabs(k - rint(k)) < 1e-5 * k || fabs(e) < 1e-6)
        r->close = true;
    r->count = k < 2 ? 1 : k < r->count ? (int32_t)k : r->count;
}

/* Which tokens may be drawn; r->logits are there. */
static void reference_steps(struct reference *r, const struct valet_sampling *s, double mu,
                            double xtc_u)
{
    r->count = 0;
    for (int32_t i = 0; i < r->vocab; i++) {
        if (r->logits[i] > -INFINITY)
            r->sorted[r->count++] = (struct entry){ r->logits[i], i };
    }
    qsort(r->sorted, (size_t)r->count, sizeof r->sorted[0], by_logit);
    if (s->mirostat) {
        reference_mirostat(r, s->mirostat, mu);
    } else {
        if (s->top_n_sigma > 0)
            reference_sigma(r, (double)s->top_n_sigma);
        if (s->top_k > 0 && s->top_k < r->count)
            r->count = s->top_k;
        if (s->typical_p > 0 && s->typical_p < 1)
            reference_typical(r, (double)s->typical_p);
        if (s->top_p > 0 && s->top_p < 1)
            reference_top_p(r, (double)s->top_p);
        if (s->min_p > 0)
            reference_within(r, -log((double)s->min_p));
        if (xtc_u < (double)s->xtc_probability)
            reference_xtc(r, (double)s->xtc_threshold);
    }
    memset(r->kept, 0, sizeof r->kept);
    for (int32_t i = 0; i < r->count; i++)
        r->kept[r->sorted[i].id] = true;
    r->max = (double)r->sorted[0].logit;
}

/* Without a text, and nothing masked. */
static void reference_set(struct reference *r, const float *logits, int32_t vocab,
                          const struct valet_sampling *s)
{
    static const struct text none;
    reference_edit(r, logits, vocab, s, &none, NULL, 0);
    reference_steps(r, s, 0, xtc_uniform(s->seed, 0, 0));
}

/*
 * Whether `id` is what the inverse CDF gives for u; *close if only nearly so. *surprise: of it,
 * in bits.
 */
static bool reference_draws(const struct reference *r, double temperature, double u, int32_t id,
                            bool *close, double *surprise)
{
    double total = 0;
    double before = 0;
    double weight = 0;
    for (int32_t i = 0; i < r->vocab; i++) {
        if (!r->kept[i])
            continue;
        double w = exp(((double)r->logits[i] - r->max) / temperature);
        total += w;
        if (i < id)
            before += w;
        if (i == id)
            weight = w;
    }
    if (weight == 0)
        return false;
    if (surprise)
        *surprise = log2(total / weight);
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
    struct engine_draw d = { .sampling = &sampling, .choice = choice, .position = position };
    EXPECT(engine_sample(s, logits, &d, &id), "refused");
    EXPECT(id >= 0 && id < s->vocab, "token %d", id);
    return id;
}

/* A draw with g_text before it. */
static struct engine_draw draw_after_text(const struct valet_sampling *sampling, int64_t position)
{
    return (struct engine_draw){ .sampling = sampling,
                                 .position = position,
                                 .prompt = g_text.ids,
                                 .prompt_count = g_text.prompt_count,
                                 .ids = g_text.ids + g_text.prompt_count,
                                 .count = g_text.count - g_text.prompt_count };
}

/* `count` tokens of a few different kinds, with repeats. */
static void make_text(int32_t count, int32_t vocab, struct tiny_random *r)
{
    int32_t kinds = 1 + tiny_random_below(r, vocab < 6 ? vocab : 6);
    g_text.count = count;
    g_text.prompt_count = count > 0 ? tiny_random_below(r, count + 1) : 0;
    for (int32_t i = 0; i < count; i++) {
        g_text.ids[i] = tiny_random_below(r, kinds);
        if (i > 8 && tiny_random_below(r, 10) < 7)
            g_text.ids[i] = g_text.ids[i - 1 - tiny_random_below(r, 2) * 6];
        if (tiny_random_below(r, 9) == 0)
            g_text.ids[i] = tiny_random_below(r, vocab);
    }
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
        struct valet_sampling sampling = {
            .temperature = 0, .top_p = 0.5f, .top_k = 3, .seed = tiny_random_u64(&r)
        };
        ck_assert_int_eq(draw(&s, g_logits, sampling, 0, round), best);
    }
    sampler_close(&s);
}
END_TEST

START_TEST(values_that_are_no_numbers_are_refused)
{
    static const float bad[] = { NAN, -NAN, INFINITY, -INFINITY };
    static const struct valet_bias bias = { 5, 1 };
    static const struct valet_sampling samplings[] = {
        { .temperature = 0 },
        { .temperature = 1, .top_p = 0.9f, .top_k = 5 },
        { .temperature = 1, .bias = &bias, .bias_count = 1 },
        { .temperature = 1, .mirostat = 2, .mirostat_tau = 3, .mirostat_eta = 0.1f },
    };
    struct engine_sampler s = sampler_open(37);
    struct tiny_random r = { 2 };
    for (size_t b = 0; b < 4; b++) {
        for (int32_t at = 0; at < 37; at++) {
            make_logits(g_logits, 37, KIND_NORMAL, &r);
            g_logits[at] = bad[b];
            for (size_t i = 0; i < 4; i++) {
                int32_t id = -7;
                float mu = 6;
                struct engine_draw d = { .sampling = &samplings[i],
                                         .mirostat_mu = &mu,
                                         .masked = &at,
                                         .masked_count = i == 2 };
                EXPECT(!engine_sample(&s, g_logits, &d, &id) && id == -7 && mu == 6,
                       "accepted %g at %d", (double)bad[b], at);
            }
        }
    }
    for (int32_t i = 0; i < 37; i++)
        g_logits[i] = i == 11 ? 1 : -INFINITY;
    for (size_t i = 0; i < 4; i++) {
        int32_t id = -7;
        float mu = 6;
        struct engine_draw d = { .sampling = &samplings[i], .mirostat_mu = &mu };
        ck_assert(!engine_sample(&s, g_logits, &d, &id));
    }
    /* the largest finite numbers are numbers */
    for (int32_t i = 0; i < 37; i++)
        g_logits[i] = i % 2 ? 3.4e38f : -3.4e38f;
    ck_assert_int_eq(draw(&s, g_logits, (struct valet_sampling){ .top_p = 1 }, 0, 0), 1);
    for (int64_t p = 0; p < 200; p++) {
        struct valet_sampling sampling = { .temperature = 1,
                                           .top_p = p % 2 ? 0.9f : 1,
                                           .top_k = (int32_t)(p % 4),
                                           .top_n_sigma = (float)(p % 3),
                                           .min_p = p % 5 == 0 ? 0.1f : 0,
                                           .typical_p = p % 7 == 0 ? 0.5f : 0 };
        ck_assert_int_eq(draw(&s, g_logits, sampling, 0, p) % 2, 1);
    }
    sampler_close(&s);
}
END_TEST

/* Answers that were given once for these seeds: seeds are written down by those who ask. */
START_TEST(a_seed_gives_the_same_answer_for_ever)
{
    static const struct valet_sampling samplings[4] = {
        { .temperature = 1, .top_p = 1, .seed = 5 },
        { .temperature = 0.7f, .top_p = 0.9f, .seed = 6 },
        { .temperature = 1.5f, .top_p = 1, .top_k = 40, .seed = 7 },
        { .temperature = 2, .top_p = 0.95f, .top_k = 300, .seed = 8 },
    };
    static const int32_t ids[4][12] = {
        { 608, 743, 432, 179, 706, 981, 106, 876, 854, 949, 728, 69 },
        { 931, 275, 989, 926, 891, 871, 891, 423, 470, 661, 661, 183 },
        { 926, 880, 880, 107, 490, 880, 310, 179, 880, 891, 110, 706 },
        { 20, 993, 313, 77, 279, 375, 617, 756, 788, 392, 395, 625 },
    };
    struct engine_sampler s = sampler_open(1000);
    struct tiny_random r = { 21 };
    for (int32_t i = 0; i < 1000; i++)
        g_logits[i] = (float)tiny_random_below(&r, 4000) / 256;
    for (int i = 0; i < 4; i++) {
        for (int32_t p = 0; p < 12; p++)
            ck_assert_int_eq(draw(&s, g_logits, samplings[i], (uint32_t)p % 2, p), ids[i][p]);
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
                    bool same = reference_draws(&g_reference, (double)sampling.temperature,
                                                uniform(sampling.seed, 0, p), id, &is_close, NULL);
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
        EXPECT(seen[i] == g_reference.kept[i],
               "top_k %d, top_p %g, min_p %g, typical_p %g, sigma %g, xtc %g: token %d %s",
               sampling.top_k, (double)sampling.top_p, (double)sampling.min_p,
               (double)sampling.typical_p, (double)sampling.top_n_sigma,
               (double)sampling.xtc_threshold, i, seen[i] ? "was drawn" : "never came");
}

START_TEST(top_k_keeps_exactly_k)
{
    struct engine_sampler s = sampler_open(60);
    struct tiny_random r = { 4 };
    for (int round = 0; round < (suite_is_slow() ? 20 : 100); round++) {
        make_logits(g_logits, 60,
                    round % 3 == 0   ? KIND_TIES
                    : round % 3 == 1 ? KIND_NORMAL
                                     : KIND_EQUAL,
                    &r);
        struct valet_sampling sampling = { .top_k = 1 + tiny_random_below(&r, 65),
                                           .top_p = 1,
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
        struct valet_sampling one = { .temperature = 5, .top_p = 1, .seed = 9 };
        struct valet_sampling half = { .temperature = 5, .top_p = 0.5f, .seed = 9 };
        EXPECT(draw(&s, logits, tiny, 0, p) == 1, "tiny mass, position %d", (int)p);
        EXPECT(draw(&s, logits, zero, 0, p) == draw(&s, logits, one, 0, p), "0 is not off");
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

/* Each step alone, and after others. */
START_TEST(every_step_keeps_exactly_its_tokens)
{
    static const struct valet_sampling samplings[] = {
        { .min_p = 0.05f },
        { .min_p = 1 },
        { .min_p = 1e-6f, .top_k = 30 },
        { .top_n_sigma = 0.7f },
        { .top_n_sigma = 1.5f, .top_k = 9 },
        { .top_n_sigma = 2, .top_p = 0.8f },
        { .typical_p = 0.2f },
        { .typical_p = 0.6f },
        { .typical_p = 0.95f, .top_k = 20 },
        { .typical_p = 0.9f, .top_p = 0.7f, .min_p = 0.1f },
        { .xtc_probability = 1, .xtc_threshold = 0.05f },
        { .xtc_probability = 1, .xtc_threshold = 0 },
        { .xtc_probability = 1, .xtc_threshold = 0.6f },
        { .xtc_probability = 1, .xtc_threshold = 0.1f, .top_p = 0.9f },
        { .xtc_probability = 1,
          .xtc_threshold = 0.02f,
          .typical_p = 0.5f,
          .top_k = 25,
          .min_p = 0.01f,
          .top_p = 0.95f,
          .top_n_sigma = 3 },
    };
    static const enum kind kinds[] = { KIND_NORMAL, KIND_TIES, KIND_EQUAL, KIND_NORMAL };
    struct engine_sampler s = sampler_open(61);
    struct tiny_random r = { 11 };
    int cases = 0;
    int close = 0;
    for (size_t i = 0; i < sizeof samplings / sizeof samplings[0]; i++) {
        for (int round = 0; round < (suite_is_slow() ? 4 : 16); round++) {
            struct valet_sampling sampling = samplings[i];
            make_logits(g_logits, 61, kinds[round % 4], &r);
            for (int32_t id = 0; round % 4 == 0 && id < 61; id++)
                g_logits[id] /= 4; /* less steep */
            sampling.seed = tiny_random_u64(&r);
            reference_set(&g_reference, g_logits, 61, &sampling);
            cases++;
            close += g_reference.close;
            if (!g_reference.close)
                expect_support(&s, g_logits, sampling);
        }
    }
    printf("%d cases, %d of them within rounding of a bound\n", cases, close);
    ck_assert_int_lt(close * 10, cases);
    sampler_close(&s);
}
END_TEST

/* ---- everything together ---- */

struct mix {
    struct valet_sampling sampling;
    struct valet_bias bias[4];
    int32_t breakers[3];
    int32_t masked[3];
    uint32_t masked_count;
    float mu;
};

static float pick_float(struct tiny_random *r, const float *values, int32_t count)
{
    return values[tiny_random_below(r, count)];
}

/* Each feature in a third of the mixes. */
static void make_mix(struct mix *m, int32_t vocab, struct tiny_random *r)
{
    static const float temperatures[] = { 0, 0.3f, 0.7f, 1, 1.8f, 50 };
    static const float fractions[] = { 0.9f, 0.5f, 0.1f, 0.999f, 1 };
    static const float min_ps[] = { 0.05f, 0.3f, 1, 1e-4f };
    static const float penalties[] = { 1.1f, 2, 0.8f, 10 };
    static const float signed_[] = { 0.5f, -0.5f, 2, -2 };
    static const float bases[] = { 1.75f, 1, 1.1f, 1e6f };
    *m = (struct mix){ .mu = (float)(12 * tiny_random_unit(r)) };
    struct valet_sampling *s = &m->sampling;
    s->temperature = pick_float(r, temperatures, 6);
    s->seed = tiny_random_u64(r);
    if (tiny_random_below(r, 3) == 0)
        s->top_p = pick_float(r, fractions, 5);
    if (tiny_random_below(r, 3) == 0)
        s->typical_p = pick_float(r, fractions, 5);
    if (tiny_random_below(r, 3) == 0)
        s->top_k = 1 + tiny_random_below(r, tiny_random_below(r, 2) ? 10 : 1100);
    if (tiny_random_below(r, 3) == 0)
        s->min_p = pick_float(r, min_ps, 4);
    if (tiny_random_below(r, 3) == 0)
        s->top_n_sigma = (float)(3 * tiny_random_unit(r));
    if (tiny_random_below(r, 3) == 0) {
        s->xtc_probability = tiny_random_below(r, 2) ? 0.5f : 1;
        s->xtc_threshold = (float)(0.3 * tiny_random_unit(r) * tiny_random_below(r, 2));
    }
    if (tiny_random_below(r, 3) == 0)
        s->repetition_penalty = pick_float(r, penalties, 4);
    if (tiny_random_below(r, 2))
        s->repeat_last_n = 1 + tiny_random_below(r, 30);
    if (tiny_random_below(r, 3) == 0)
        s->frequency_penalty = pick_float(r, signed_, 4);
    if (tiny_random_below(r, 3) == 0)
        s->presence_penalty = pick_float(r, signed_, 4);
    if (tiny_random_below(r, 3) == 0) {
        s->dry_multiplier = (float)(2 * tiny_random_unit(r) + 0.01);
        s->dry_base = pick_float(r, bases, 4);
        s->dry_allowed_length = 1 + tiny_random_below(r, 4);
        s->dry_last_n = tiny_random_below(r, 2) ? 0 : 1 + tiny_random_below(r, 40);
        s->dry_breakers = m->breakers;
        s->dry_breaker_count = (uint32_t)tiny_random_below(r, 3);
        for (uint32_t i = 0; i < s->dry_breaker_count; i++)
            m->breakers[i] = tiny_random_below(r, vocab);
    }
    if (tiny_random_below(r, 4) == 0) {
        s->mirostat = 1 + tiny_random_below(r, 2);
        s->mirostat_tau = 4;
        s->mirostat_eta = 0.1f;
    }
    if (tiny_random_below(r, 3) == 0) {
        s->bias = m->bias;
        s->bias_count = 1 + (uint32_t)tiny_random_below(r, 4);
        for (uint32_t i = 0; i < s->bias_count; i++)
            m->bias[i] = (struct valet_bias){ tiny_random_below(r, vocab),
                                              (float)(200 * tiny_random_unit(r) - 100) };
    }
    if (vocab > 3 && tiny_random_below(r, 3) == 0) {
        m->masked_count = 1 + (uint32_t)tiny_random_below(r, 3);
        for (uint32_t i = 0; i < m->masked_count; i++)
            m->masked[i] = tiny_random_below(r, vocab);
    }
}

static bool is_edited(const struct mix *m)
{
    const struct valet_sampling *s = &m->sampling;
    return s->bias_count > 0 || m->masked_count > 0 || s->repetition_penalty != 0 ||
           s->frequency_penalty != 0 || s->presence_penalty != 0 || s->dry_multiplier != 0;
}

/* One draw against the reference; whether it was within rounding of a bound. */
static bool expect_draw(struct engine_sampler *s, const struct mix *m, int64_t position,
                        const char *where)
{
    const struct valet_sampling *p = &m->sampling;
    struct reference *r = &g_reference;
    float mu = m->mu;
    int32_t id = -1;
    struct engine_draw d = draw_after_text(p, position);
    d.masked = m->masked;
    d.masked_count = m->masked_count;
    d.mirostat_mu = &mu;
    EXPECT(engine_sample(s, g_logits, &d, &id), "%s: refused", where);
    reference_edit(r, g_logits, s->vocab, p, &g_text, m->masked, m->masked_count);
    for (int32_t i = 0; is_edited(m) && i < s->vocab; i++)
        EXPECT(s->logits[i] == r->logits[i], "%s: logit %d is %.9g, not %.9g", where, i,
               (double)s->logits[i], (double)r->logits[i]);
    reference_steps(r, p, (double)m->mu, xtc_uniform(p->seed, 0, position));
    if (p->temperature == 0) {
        int32_t best = 0;
        for (int32_t i = 1; i < s->vocab; i++)
            best = r->logits[i] > r->logits[best] ? i : best;
        EXPECT(id == best && mu == m->mu, "%s: %d, not %d", where, id, best);
        return false;
    }
    bool close = r->close;
    double surprise = 0;
    bool same = reference_draws(r, (double)p->temperature, uniform(p->seed, 0, position), id,
                                &close, &surprise);
    EXPECT(same || r->close, "%s: token %d", where, id);
    double next = (double)m->mu;
    if (p->mirostat)
        next -= (double)p->mirostat_eta * (surprise - (double)p->mirostat_tau);
    EXPECT(r->close || fabs((double)mu - next) < 1e-5 * (1 + fabs(next)), "%s: mu %g, not %g",
           where, (double)mu, next);
    return close;
}

START_TEST(mixes_of_all_features_equal_their_definitions)
{
    static const int32_t vocabs[] = { 1, 2, 5, 64, 65, 130, 1000 };
    struct tiny_random r = { 12 };
    long draws = 0;
    long close = 0;
    for (size_t v = 0; v < sizeof vocabs / sizeof vocabs[0]; v++) {
        struct engine_sampler s = sampler_open(vocabs[v]);
        for (int round = 0; round < (suite_is_slow() ? 100 : 800); round++) {
            static struct mix m;
            char where[200];
            enum kind kind = (enum kind)tiny_random_below(&r, KIND_COUNT);
            make_logits(g_logits, vocabs[v], kind, &r);
            make_text(tiny_random_below(&r, 60), vocabs[v], &r);
            make_mix(&m, vocabs[v], &r);
            snprintf(where, sizeof where, "%d ids, round %d, kind %d", vocabs[v], round, kind);
            if (kind == KIND_EQUAL && m.sampling.mirostat == 1)
                continue; /* no exponent: see the test of its own */
            for (int64_t p = 0; p < 2; p++) {
                draws++;
                close += expect_draw(&s, &m, p, where);
            }
        }
        sampler_close(&s);
    }
    printf("%ld draws, %ld of them within rounding of a bound (seed 12)\n", draws, close);
    ck_assert_int_lt(close * 20, draws);
}
END_TEST

/* ---- what changes single logits ---- */

START_TEST(masked_tokens_never_come)
{
    static const struct valet_bias bias[] = { { 3, 100 }, { 4, 100 }, { 9, -100 }, { 8, 50 },
                                              { 8, 50 },  { -1, 9 },  { 10, 9 } };
    static const int32_t masked[] = { 3, 4, 4, 3, 10, -1, 1 << 30 };
    struct valet_sampling sampling = { .temperature = 100, .bias = bias, .bias_count = 7 };
    struct engine_draw d = { .sampling = &sampling, .masked = masked, .masked_count = 7 };
    struct engine_sampler s = sampler_open(10);
    for (int32_t i = 0; i < 10; i++)
        g_logits[i] = 0.25f;
    int counts[10] = { 0 };
    for (d.position = 0; d.position < 3000; d.position++) {
        int32_t id;
        EXPECT(engine_sample(&s, g_logits, &d, &id), "refused");
        counts[id]++;
    }
    ck_assert_int_eq(counts[3] + counts[4], 0);
    ck_assert(s.logits[8] == 100.25f && s.logits[9] == -99.75f);
    for (int i = 0; i < 10; i++)
        ck_assert(i == 3 || i == 4 || counts[i] > 0);
    ck_assert_int_gt(counts[8], 2 * counts[0]);

    sampling.temperature = 0;
    int32_t id;
    ck_assert(engine_sample(&s, g_logits, &d, &id));
    ck_assert_int_eq(id, 8);
    sampler_close(&s);
}
END_TEST

START_TEST(with_every_token_masked_nothing_is_drawn)
{
    static int32_t masked[200];
    static const struct valet_sampling samplings[] = {
        { .temperature = 0 },
        { .temperature = 1, .top_p = 0.9f, .top_k = 4 },
        { .temperature = 1, .mirostat = 1, .mirostat_tau = 5, .mirostat_eta = 0.1f }
    };
    for (int32_t i = 0; i < 200; i++)
        masked[i] = 199 - i;
    make_logits(g_logits, 200, KIND_NORMAL, &(struct tiny_random){ 13 });
    for (int32_t vocab = 1; vocab <= 200; vocab += 199) {
        struct engine_sampler s = sampler_open(vocab);
        for (size_t i = 0; i < 3; i++) {
            float mu = 10;
            int32_t id = -7;
            struct engine_draw d = {
                .sampling = &samplings[i], .masked = masked, .masked_count = 200, .mirostat_mu = &mu
            };
            ck_assert(!engine_sample(&s, g_logits, &d, &id));
            ck_assert(id == -7 && mu == 10);
            d.masked_count = 199; /* all but token 0 */
            ck_assert(engine_sample(&s, g_logits, &d, &id));
            ck_assert_int_eq(id, 0);
        }
        sampler_close(&s);
    }
}
END_TEST

START_TEST(penalties_count_what_they_say)
{
    static const int32_t prompt[] = { 1, 1, 2 };
    static const int32_t ids[] = { 3, 4, 3, 3 };
    struct valet_sampling sampling = { .frequency_penalty = 0.5f, .presence_penalty = 0.25f };
    struct engine_draw d = {
        .sampling = &sampling, .prompt = prompt, .prompt_count = 3, .ids = ids, .count = 4
    };
    struct engine_sampler s = sampler_open(6);
    int32_t id;
    for (int32_t i = 0; i < 6; i++)
        g_logits[i] = i == 2 ? -3 : 3;
    ck_assert(engine_sample(&s, g_logits, &d, &id));
    static const float generated_only[] = { 3, 3, -3, 1.25f, 2.25f, 3 };
    ck_assert_mem_eq(s.logits, generated_only, sizeof generated_only);

    sampling = (struct valet_sampling){ .repetition_penalty = 2 };
    ck_assert(engine_sample(&s, g_logits, &d, &id));
    static const float once_each[] = { 3, 1.5f, -6, 1.5f, 1.5f, 3 };
    ck_assert_mem_eq(s.logits, once_each, sizeof once_each);

    sampling.repeat_last_n = 5; /* the 2 of the prompt, and the answer */
    ck_assert(engine_sample(&s, g_logits, &d, &id));
    static const float last_five[] = { 3, 3, -6, 1.5f, 1.5f, 3 };
    ck_assert_mem_eq(s.logits, last_five, sizeof last_five);
    sampler_close(&s);
}
END_TEST

/* The counts are stamped, not cleared: a stamp that comes round must not revive old ones. */
START_TEST(counts_are_forgotten_when_stamps_run_out)
{
    static const int32_t prompt[] = { 1, 2, 1 };
    struct valet_sampling sampling = { .repetition_penalty = 2 };
    struct engine_draw d = { .sampling = &sampling, .prompt = prompt, .prompt_count = 3 };
    struct engine_sampler s = sampler_open(4);
    static const float after[] = { 4, 2, 2, 4 };
    for (int32_t i = 0; i < 4; i++)
        g_logits[i] = 4;
    int32_t id;
    ck_assert(engine_sample(&s, g_logits, &d, &id));
    s.stamp = UINT32_MAX;
    d.prompt_count = 0;
    ck_assert(engine_sample(&s, g_logits, &d, &id));
    ck_assert_mem_eq(s.logits, g_logits, sizeof after);
    d.prompt_count = 3;
    for (int i = 0; i < 3; i++) {
        ck_assert(engine_sample(&s, g_logits, &d, &id));
        ck_assert_mem_eq(s.logits, after, sizeof after);
    }
    ck_assert_uint_lt(s.stamp, 10);
    sampler_close(&s);
}
END_TEST

/* The logit of `id` after DRY over g_text, all logits 0 before. */
static double dry_penalty(struct engine_sampler *s, struct valet_sampling sampling, int32_t id)
{
    int32_t drawn;
    struct engine_draw d = draw_after_text(&sampling, 0);
    memset(g_logits, 0, (size_t)s->vocab * sizeof g_logits[0]);
    EXPECT(engine_sample(s, g_logits, &d, &drawn), "refused");
    return -(double)s->logits[id];
}

static void set_text(const char *text, int32_t prompt_count)
{
    g_text.count = (int32_t)strlen(text);
    g_text.prompt_count = prompt_count;
    for (int32_t i = 0; i < g_text.count; i++)
        g_text.ids[i] = text[i] - 'a';
}

START_TEST(dry_knows_how_long_a_repeat_is)
{
    static const int32_t breakers[] = { 'x' - 'a', 'y' - 'a', -1, 400 };
    struct valet_sampling p = { .dry_multiplier = 1, .dry_base = 2, .dry_allowed_length = 2 };
    struct engine_sampler s = sampler_open(26);
    for (int32_t prompt_count = 0; prompt_count <= 10; prompt_count++) {
        set_text("abccbcyabc", prompt_count);
        ck_assert_double_eq(dry_penalty(&s, p, 'c' - 'a'), 2); /* "abc" came before it: 2^(3-2) */
        ck_assert_double_eq(dry_penalty(&s, p, 'y' - 'a'), 1); /* "bc" */
        ck_assert_double_eq(dry_penalty(&s, p, 'b' - 'a'), 0); /* "c", too short */
        ck_assert_double_eq(dry_penalty(&s, p, 'a' - 'a'), 0);
    }
    p.dry_last_n = 8; /* the "ab" is out of sight */
    ck_assert_double_eq(dry_penalty(&s, p, 'c' - 'a'), 0);
    ck_assert_double_eq(dry_penalty(&s, p, 'y' - 'a'), 1);
    p.dry_last_n = 9;
    ck_assert_double_eq(dry_penalty(&s, p, 'c' - 'a'), 1);
    p.dry_last_n = 0;

    p.dry_breakers = breakers;
    p.dry_breaker_count = 4;
    ck_assert_double_eq(dry_penalty(&s, p, 'c' - 'a'), 2);
    ck_assert_double_eq(dry_penalty(&s, p, 'y' - 'a'), 0); /* a breaker extends no repeat */
    set_text("defxghidefxgh", 3);
    ck_assert_double_eq(dry_penalty(&s, p, 'i' - 'a'), 1); /* "gh", not "defxgh" */
    set_text("defxghidefx", 3);
    ck_assert_double_eq(dry_penalty(&s, p, 'g' - 'a'), 0);
    p.dry_breaker_count = 0;
    ck_assert_double_eq(dry_penalty(&s, p, 'g' - 'a'), 4); /* "defx" */
    set_text("", 0);
    ck_assert_double_eq(dry_penalty(&s, p, 0), 0);
    set_text("a", 1);
    ck_assert_double_eq(dry_penalty(&s, p, 0), 0);
    set_text("aaaaaa", 2);
    ck_assert_double_eq(dry_penalty(&s, p, 0), 8); /* five before the sixth */
    sampler_close(&s);
}
END_TEST

START_TEST(dry_stays_finite_and_linear_in_long_texts)
{
    struct valet_sampling p = { .dry_multiplier = 1, .dry_base = 1.75f, .dry_allowed_length = 2 };
    struct engine_sampler s = sampler_open(26);
    g_text.count = 100000;
    g_text.prompt_count = 50000;
    for (int32_t i = 0; i < g_text.count; i++)
        g_text.ids[i] = i % 2;
    ck_assert_double_eq(dry_penalty(&s, p, 0), (double)FLT_MAX);
    ck_assert_double_eq(dry_penalty(&s, p, 1), 0);
    p.dry_base = 1;
    ck_assert_double_eq(dry_penalty(&s, p, 0), 1);
    p.dry_allowed_length = ENGINE_REPEAT_MAX;
    ck_assert_double_eq(dry_penalty(&s, p, 0), 1);
    p.dry_allowed_length++; /* no repeat counts for more */
    ck_assert_double_eq(dry_penalty(&s, p, 0), 0);
    sampler_close(&s);
}
END_TEST

/* Texts in which the Z function has boxes in boxes, and small alphabets. */
START_TEST(dry_finds_what_looking_everywhere_finds)
{
    struct engine_sampler s = sampler_open(4);
    struct tiny_random r = { 14 };
    static const int32_t breakers[] = { 3 };
    memset(g_logits, 0, 4 * sizeof g_logits[0]);
    for (int round = 0; round < (suite_is_slow() ? 300 : 3000); round++) {
        int32_t kinds = 1 + tiny_random_below(&r, 3);
        int32_t period = 1 + tiny_random_below(&r, 12);
        g_text.count = tiny_random_below(&r, 120);
        g_text.prompt_count = tiny_random_below(&r, g_text.count + 1);
        for (int32_t i = 0; i < g_text.count; i++) {
            bool again = i >= period && tiny_random_below(&r, 20) > 0;
            g_text.ids[i] = again ? g_text.ids[i - period] : tiny_random_below(&r, kinds);
            if (tiny_random_below(&r, 60) == 0)
                g_text.ids[i] = 3;
        }
        struct mix m = { .sampling = { .temperature = 0,
                                       .dry_multiplier = 0.01f,
                                       .dry_base = 1.2f,
                                       .dry_allowed_length = 1 + tiny_random_below(&r, 6),
                                       .dry_last_n = tiny_random_below(&r, 140),
                                       .dry_breakers = breakers,
                                       .dry_breaker_count = round % 2 } };
        expect_draw(&s, &m, 0, "dry");
    }
    sampler_close(&s);
}
END_TEST

START_TEST(huge_values_stay_finite)
{
    static const struct valet_bias bias[] = { { 0, 100 }, { 1, -100 } };
    struct engine_sampler s = sampler_open(8);
    set_text("abcdabcdabcd", 4);
    for (int round = 0; round < 64; round++) {
        struct mix m = { .mu = 10 };
        for (int32_t i = 0; i < 8; i++)
            g_logits[i] = i % 2 ? -FLT_MAX : round & 1 ? FLT_MAX : 0;
        m.sampling = (struct valet_sampling){ .temperature = round & 2 ? 1 : 1e-30f,
                                              .seed = (uint64_t)round,
                                              .bias = bias,
                                              .bias_count = 2,
                                              .repetition_penalty = round & 4 ? 10 : 1e-38f,
                                              .frequency_penalty = round & 8 ? 2 : -2,
                                              .dry_multiplier = 3e38f,
                                              .dry_base = 3e38f,
                                              .dry_allowed_length = 1,
                                              .typical_p = round & 16 ? 0.9f : 0,
                                              .top_n_sigma = (float)(round / 32) };
        expect_draw(&s, &m, round, "huge");
    }
    sampler_close(&s);
}
END_TEST

/* ---- chance ---- */

/* 0.7 and 0.3: token 0 comes if XTC does not, and then in 7 of 10. */
START_TEST(xtc_has_a_chance_of_its_own)
{
    enum {
        DRAWS = 20000
    };
    struct engine_sampler s = sampler_open(2);
    float logits[2] = { logf(0.7f), logf(0.3f) };
    for (int tenths = 0; tenths <= 10; tenths += 2) {
        int count = 0;
        for (int64_t p = 0; p < DRAWS; p++) {
            struct valet_sampling sampling = { .temperature = 1,
                                               .seed = 3,
                                               .xtc_probability = (float)tenths / 10,
                                               .xtc_threshold = 0.1f };
            count += draw(&s, logits, sampling, 0, p) == 0;
        }
        double share = 0.7 * (1 - tenths / 10.0);
        double deviation = sqrt(DRAWS * share * (1 - share));
        EXPECT(fabs(count - DRAWS * share) <= 4 * deviation, "chance 0.%d: %d of %d", tenths, count,
               DRAWS);
    }
    sampler_close(&s);
}
END_TEST

START_TEST(mirostat_brings_the_surprise_to_tau)
{
    struct engine_sampler s = sampler_open(2000);
    struct tiny_random r = { 15 };
    for (int version = 1; version <= 2; version++) {
        for (int tau = 2; tau <= 5; tau++) {
            struct mix m = { .sampling = { .temperature = 1,
                                           .seed = 4,
                                           .mirostat = version,
                                           .mirostat_tau = (float)tau,
                                           .mirostat_eta = 0.1f },
                             .mu = 2 * (float)tau };
            double sum = 0;
            g_text.count = g_text.prompt_count = 0;
            for (int64_t p = 0; p < 600; p++) {
                if (p % 20 == 0)
                    make_logits(g_logits, 2000, KIND_NORMAL, &r);
                float mu = m.mu;
                if (p % 10 == 0)
                    expect_draw(&s, &m, p, "mirostat");
                struct engine_draw d = { .sampling = &m.sampling,
                                         .position = p,
                                         .mirostat_mu = &m.mu };
                int32_t id;
                ck_assert(engine_sample(&s, g_logits, &d, &id));
                sum += (double)(mu - m.mu) / 0.1 + tau; /* its surprise */
            }
            printf("mirostat %d, tau %d: %.2f bits on average\n", version, tau, sum / 600);
            ck_assert_double_lt(fabs(sum / 600 - tau), 0.4);
        }
    }
    sampler_close(&s);
}
END_TEST

START_TEST(mirostat_keeps_one_token_at_least)
{
    static const float mus[] = { -1e30f, -5, 0, 1e-3f, 5, 200, 1e30f };
    static const int32_t vocabs[] = { 1, 2, 99, 100, 101, 300 };
    struct tiny_random r = { 16 };
    for (size_t v = 0; v < sizeof vocabs / sizeof vocabs[0]; v++) {
        struct engine_sampler s = sampler_open(vocabs[v]);
        for (int kind = 0; kind < KIND_COUNT; kind++) {
            for (int i = 0; i < 14; i++) {
                make_logits(g_logits, vocabs[v], (enum kind)kind, &r);
                struct valet_sampling sampling = {
                    .temperature = 1, .mirostat = 1 + i % 2, .mirostat_tau = 5, .mirostat_eta = 0.1f
                };
                float mu = mus[i / 2];
                struct engine_draw d = { .sampling = &sampling, .mirostat_mu = &mu };
                int32_t id = -1;
                EXPECT(engine_sample(&s, g_logits, &d, &id), "refused");
                EXPECT(id >= 0 && id < vocabs[v] && isfinite(mu), "token %d, mu %g", id,
                       (double)mu);
                int32_t best = 0;
                for (int32_t j = 1; j < vocabs[v]; j++)
                    best = g_logits[j] > g_logits[best] ? j : best;
                EXPECT(mus[i / 2] > 0 || id == best, "kind %d, %d ids, mirostat %d, mu %g: %d",
                       kind, vocabs[v], sampling.mirostat, (double)mus[i / 2], id);
            }
        }
        sampler_close(&s);
    }
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
            struct valet_sampling sampling = { .temperature = (float)temperature,
                                               .top_p = 1,
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

/* Where the difference of two logits rounds to what a bound lies away, the bound may lie between. */
START_TEST(top_p_keeps_logits_one_place_beside_a_bound)
{
    enum {
        VOCAB = 100,
        NEAR = 10,
        DRAWS = 500
    };
    static const float others[] = { -0.9f, -1.9f, -3.9f, -7.9f };
    struct engine_sampler s = sampler_open(VOCAB);
    for (size_t k = 0; k < sizeof others / sizeof others[0]; k++) {
        for (int32_t i = 0; i < VOCAB; i++)
            g_logits[i] = i == 0 ? 0.1f : -100;
        for (int32_t i = 1; i <= NEAR; i++)
            g_logits[i] = nextafterf(others[k], -INFINITY);
        struct valet_sampling sampling = { .temperature = 1, .top_p = 0.9999f, .seed = k };
        double others_weigh = NEAR * exp((double)others[k] - 0.1);
        double expected = DRAWS * others_weigh / (1 + others_weigh);
        int seen = 0;
        for (int64_t p = 0; p < DRAWS; p++)
            seen += draw(&s, g_logits, sampling, 0, p) != 0;
        ck_assert_double_lt(fabs(seen - expected), 5 * sqrt(expected) + 1);
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
                ck_assert_msg(reference_draws(&g_reference, 0.9, uniform(sampling.seed, 0, p), id,
                                              &close, NULL) ||
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
    struct valet_top top[VALET_TOP_LOGPROBS_MAX];
    for (int round = 0; round < 80; round++) {
        static struct mix m;
        make_logits(g_logits, VOCAB_MAX, (enum kind)(round % KIND_COUNT), &r);
        make_text(3000, VOCAB_MAX, &r);
        make_mix(&m, VOCAB_MAX, &r);
        struct engine_draw d = draw_after_text(&m.sampling, round);
        d.masked = m.masked;
        d.masked_count = m.masked_count;
        d.mirostat_mu = &m.mu;
        int32_t id;
        float logprob;
        unsigned long before = g_mallocs;
        bool drawn = engine_sample(&s, g_logits, &d, &id);
        engine_logprobs(&s, g_logits, 0, VALET_TOP_LOGPROBS_MAX, &logprob, top);
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
    tcase_add_test(t, a_seed_gives_the_same_answer_for_ever);
    tcase_add_test(t, draws_equal_a_sampler_that_sorts);
    tcase_add_test(t, top_k_keeps_exactly_k);
    tcase_add_test(t, top_p_keeps_the_fewest_that_hold_the_mass);
    tcase_add_test(t, top_p_at_its_ends);
    tcase_add_test(t, every_step_keeps_exactly_its_tokens);
    tcase_add_test(t, mixes_of_all_features_equal_their_definitions);
    tcase_add_test(t, masked_tokens_never_come);
    tcase_add_test(t, with_every_token_masked_nothing_is_drawn);
    tcase_add_test(t, penalties_count_what_they_say);
    tcase_add_test(t, counts_are_forgotten_when_stamps_run_out);
    tcase_add_test(t, dry_knows_how_long_a_repeat_is);
    tcase_add_test(t, dry_stays_finite_and_linear_in_long_texts);
    tcase_add_test(t, dry_finds_what_looking_everywhere_finds);
    tcase_add_test(t, huge_values_stay_finite);
    tcase_add_test(t, xtc_has_a_chance_of_its_own);
    tcase_add_test(t, mirostat_brings_the_surprise_to_tau);
    tcase_add_test(t, mirostat_keeps_one_token_at_least);
    tcase_add_test(t, draws_follow_the_softmax);
    tcase_add_test(t, top_p_keeps_logits_one_place_beside_a_bound);
    tcase_add_test(t, a_draw_depends_on_seed_choice_and_position_alone);
    tcase_add_test(t, large_vocabularies_are_drawn_from_correctly);
    tcase_add_test(t, a_draw_allocates_nothing);
    return suite_run("sampler", t);
}
