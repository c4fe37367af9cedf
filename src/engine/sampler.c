/* One draw: looks at the logits, gathers what may be drawn, takes the steps, draws. */
#include "engine/sampler.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/random.h"
#include "engine/sampler_int.h"
#include "engine/sampler_lanes.h"

enum {
    BLOCK = 64,  /* logits whose largest is kept, so that whole blocks can be passed over */
    AHEAD = 1024 /* logits between what is looked at and what is fetched */
};

static int32_t block_count(int32_t vocab)
{
    return (vocab + BLOCK - 1) / BLOCK;
}

enum base_err engine_sampler_init(struct engine_sampler *s, int32_t vocab)
{
    size_t count = (size_t)vocab;
    *s = (struct engine_sampler){ .vocab = vocab };
    s->logits = mem_alloc(MEM_ENGINE, count * sizeof *s->logits);
    s->tops = mem_alloc(MEM_ENGINE, (size_t)block_count(vocab) * sizeof *s->tops);
    s->masses = mem_alloc(MEM_ENGINE, (size_t)block_count(vocab) * sizeof *s->masses);
    s->left = mem_alloc(MEM_ENGINE, count * sizeof *s->left);
    s->close = mem_alloc(MEM_ENGINE, count * sizeof *s->close);
    s->counts = mem_calloc(MEM_ENGINE, count, sizeof *s->counts);
    s->repeats = mem_alloc(MEM_ENGINE, ENGINE_REPEAT_MAX * sizeof *s->repeats);
    if (s->logits && s->tops && s->masses && s->left && s->close && s->counts && s->repeats)
        return OK;
    engine_sampler_fini(s);
    return E_NOMEM;
}

void engine_sampler_fini(struct engine_sampler *s)
{
    mem_free(s->logits);
    mem_free(s->tops);
    mem_free(s->masses);
    mem_free(s->left);
    mem_free(s->close);
    mem_free(s->counts);
    mem_free(s->repeats);
    *s = (struct engine_sampler){ 0 };
}

/* ---- the random numbers ---- */

static uint64_t draw_key(uint64_t seed, uint32_t choice, int64_t position)
{
    uint64_t x = random_mix(seed + 0x9e3779b97f4a7c15u);
    x = random_mix(x ^ (choice + 0x632be59bd9b4e019u));
    return random_mix(x ^ ((uint64_t)position + 0x9e3779b97f4a7c15u));
}

/* A second number, independent of the draw's. */
static double xtc_uniform(uint64_t key)
{
    return random_unit(random_mix(key ^ 0xd1b54a32d192ed03u));
}

/* ---- looking at the logits ---- */

/*
 * The largest of `count` <= BLOCK logits. *nothing becomes NaN if one is not finite. What comes
 * next is fetched: other threads have written half of it.
 */
static inline float block_top(const float *logits, int32_t count, lanes *nothing)
{
    lanes top[2] = { lanes_of(-INFINITY), lanes_of(-INFINITY) };
    int32_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        lanes l[2] = { lanes_load(logits + i), lanes_load(logits + i + LANES) };
        top[0] = lanes_max(l[0], top[0]);
        top[1] = lanes_max(l[1], top[1]);
        *nothing += l[0] * 0.0f + l[1] * 0.0f;
        __builtin_prefetch(logits + i + AHEAD);
    }
    top[0] = lanes_max(top[0], top[1]);
    for (; i < count; i++) {
        top[0][0] = logits[i] > top[0][0] ? logits[i] : top[0][0];
        (*nothing)[0] += logits[i] * 0.0f;
    }
    for (int lane = 1; lane < LANES; lane++)
        top[0][0] = top[0][lane] > top[0][0] ? top[0][lane] : top[0][0];
    return top[0][0];
}

/*
 * The largest logit, and that of each block into `tops`. *sum becomes 0 if all are finite and
 * NaN if one is not.
 */
static float scan(const float *logits, int32_t vocab, float *tops, float *sum)
{
    lanes nothing = { 0 };
    float max = -INFINITY;
    for (int32_t at = 0; at < vocab; at += BLOCK) {
        float top = block_top(logits + at, at + BLOCK < vocab ? BLOCK : vocab - at, &nothing);
        tops[at / BLOCK] = top;
        max = top > max ? top : max;
    }
    *sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        *sum += nothing[lane];
    return max;
}

static int32_t first_of(const struct engine_sampler *s, const float *logits, float value)
{
    int32_t i = 0;
    while (s->tops[i] != value)
        i++;
    for (i *= BLOCK; logits[i] != value; i++) {
    }
    return i;
}

/* ---- gathering ---- */

/* n standard deviations of what is not masked. */
static double sigmas(const float *logits, int32_t vocab, float n)
{
    double sum = 0;
    int32_t count = 0;
    for (int32_t i = 0; i < vocab; i++) {
        if (logits[i] > -INFINITY) {
            sum += (double)logits[i];
            count++;
        }
    }
    double mean = sum / count;
    double square = 0;
    for (int32_t i = 0; i < vocab; i++) {
        double deviation = (double)logits[i] - mean;
        if (logits[i] > -INFINITY)
            square += deviation * deviation;
    }
    return (double)n * sqrt(square / count);
}

static bool is_fraction(float p)
{
    return p > 0 && p < 1;
}

static float larger(float a, double b)
{
    return b > (double)a ? engine_float_at_least(b) : a;
}

/* The logit at which p = min_p * p_max. */
static float min_p_lowest(float max, float min_p)
{
    return min_p < 1 ? engine_float_at_least((double)max + log((double)min_p)) : max;
}

/* Below it a logit's weight is nothing. */
static float weightless(float max, const struct valet_sampling *p)
{
    bool at_1 = p->mirostat || is_fraction(p->typical_p) || is_fraction(p->top_p);
    /* mirostat 1 looks at ranks, XTC may keep the very last */
    if (p->mirostat == 1 || (!p->mirostat && p->xtc_probability > 0))
        return -FLT_MAX;
    float distance = ENGINE_FAR * (at_1 && p->temperature < 1 ? 1 : p->temperature);
    return larger(-FLT_MAX, (double)(max - distance));
}

/*
 * The lowest logit that may matter. That is exact for top_n_sigma; for the other steps it is
 * what can be said before they are taken.
 */
static float lowest_logit(struct engine_candidates *c, const struct valet_sampling *p)
{
    struct engine_sampler *s = c->s;
    float lowest = weightless(c->max, p);
    if (p->mirostat)
        return lowest;
    if (p->top_n_sigma > 0)
        lowest = larger(lowest, (double)c->max - sigmas(c->logits, s->vocab, p->top_n_sigma));
    /* k blocks, each with one at least as large, hold the k largest */
    if (p->top_k > 0 && p->top_k <= block_count(s->vocab))
        lowest =
            larger(lowest, (double)engine_kth_largest(s, s->tops, block_count(s->vocab), p->top_k));
    if (is_fraction(p->typical_p))
        return lowest;
    if (!is_fraction(p->top_p))
        return p->min_p > 0 ? larger(lowest, (double)min_p_lowest(c->max, p->min_p)) : lowest;
    if (p->top_k > 0 || p->top_n_sigma > 0)
        return lowest;
    return larger(lowest,
                  (double)engine_top_p_lowest(c->logits, s->vocab, c->max, p->top_p, &c->total));
}

static void gather(struct engine_candidates *c, float lowest)
{
    struct engine_sampler *s = c->s;
    int32_t count = 0;
    for (int32_t at = 0; at < s->vocab; at += BLOCK) {
        if (s->tops[at / BLOCK] < lowest)
            continue;
        int32_t end = at + BLOCK < s->vocab ? at + BLOCK : s->vocab;
        for (int32_t i = at; i < end; i++) {
            s->left[count].rank = c->logits[i];
            s->left[count].id = i;
            count += c->logits[i] >= lowest;
        }
    }
    c->count = count;
}

/* ---- drawing ---- */

static void take_steps(struct engine_candidates *c, const struct engine_draw *d, uint64_t key)
{
    const struct valet_sampling *p = d->sampling;
    if (p->mirostat) {
        engine_keep_mirostat(c, p->mirostat, *d->mirostat_mu);
        return;
    }
    if (p->top_k > 0)
        engine_keep_top_k(c, p->top_k);
    if (is_fraction(p->typical_p))
        engine_keep_typical(c, p->typical_p);
    if (is_fraction(p->top_p))
        engine_keep_top_p(c, p->top_p);
    if (p->min_p > 0)
        engine_keep_at_least(c, min_p_lowest(c->max, p->min_p));
    if (p->xtc_probability > 0 && xtc_uniform(key) < (double)p->xtc_probability)
        engine_drop_top(c, p->xtc_threshold);
}

/* Inverse CDF in the order of ids: the candidate that u falls on. */
static struct engine_candidate pick(const struct engine_candidates *c, double total, double u)
{
    const struct engine_candidate *left = c->s->left;
    double rest = u * total;
    int32_t i = 0;
    for (; i < c->count; i++) {
        rest -= (double)left[i].weight;
        if (rest < 0)
            return left[i];
    }
    do /* rounding left a little over: the last that has a weight */
        i--;
    while (i > 0 && left[i].weight == 0);
    return left[i];
}

/* ---- drawing from all ---- */

/* Whether no step drops anything but what weighs nothing. */
static bool keeps_all(const struct valet_sampling *p)
{
    return !p->mirostat && p->top_k == 0 && !(p->top_n_sigma > 0) && !is_fraction(p->typical_p) &&
           !is_fraction(p->top_p) && !(p->min_p > 0) && !(p->xtc_probability > 0);
}

/* e^((l - max) / temperature) of a block of logits, 0 past `count`. Their sum. */
static double block_weights(const float *logits, int32_t count, float max, float inverse,
                            float weights[BLOCK])
{
    float padded[BLOCK];
    if (count < BLOCK) {
        for (int32_t i = 0; i < BLOCK; i++)
            padded[i] = i < count ? logits[i] : -INFINITY;
        logits = padded;
    }
    wide_lanes sum = { 0 };
    for (int32_t i = 0; i < BLOCK; i += LANES) {
        lanes w = lanes_exp((lanes_load(logits + i) - max) * inverse);
        memcpy(weights + i, &w, sizeof w);
        sum += __builtin_convertvector(w, wide_lanes);
    }
    return wide_lanes_sum(sum);
}

/* Inverse CDF in the order of ids, over blocks first: nothing is gathered. */
static int32_t draw_from_all(struct engine_sampler *s, const float *logits, float max,
                             const struct valet_sampling *p, double u)
{
    const float lowest = weightless(max, p);
    const int32_t blocks = block_count(s->vocab);
    float inverse = 1 / p->temperature; /* infinity times nothing were no number */
    inverse = inverse < FLT_MAX ? inverse : FLT_MAX;
    float weights[BLOCK];
    double total = 0;
    for (int32_t b = 0; b < blocks; b++) {
        int32_t count = s->vocab - b * BLOCK < BLOCK ? s->vocab - b * BLOCK : BLOCK;
        s->masses[b] = s->tops[b] < lowest
                           ? 0
                           : block_weights(logits + b * BLOCK, count, max, inverse, weights);
        total += s->masses[b];
    }
    double rest = u * total;
    int32_t at = -1; /* the block; the last with a mass if rounding left a little over */
    for (int32_t b = 0; b < blocks; b++) {
        if (s->masses[b] == 0)
            continue;
        if (at >= 0) {
            if (rest < s->masses[at])
                break;
            rest -= s->masses[at];
        }
        at = b;
    }
    int32_t count = s->vocab - at * BLOCK < BLOCK ? s->vocab - at * BLOCK : BLOCK;
    block_weights(logits + at * BLOCK, count, max, inverse, weights);
    int32_t id = 0;
    for (int32_t i = 0; i < count; i++) {
        if (weights[i] == 0)
            continue;
        id = at * BLOCK + i;
        rest -= (double)weights[i];
        if (rest < 0)
            break;
    }
    return id;
}

bool engine_sample(struct engine_sampler *s, const float *logits, const struct engine_draw *d,
                   int32_t *id)
{
    const struct valet_sampling *p = d->sampling;
    float sum;
    float max = scan(logits, s->vocab, s->tops, &sum);
    if (sum != 0)
        return false;
    if (engine_sampler_edits(d)) {
        engine_sampler_edit(s, logits, d);
        logits = s->logits;
        max = scan(logits, s->vocab, s->tops, &sum);
        if (max == -INFINITY)
            return false;
    }
    if (!(p->temperature > 0)) {
        *id = first_of(s, logits, max);
        return true;
    }
    uint64_t key = draw_key(p->seed, d->choice, d->position);
    if (keeps_all(p)) {
        *id = draw_from_all(s, logits, max, p, random_unit(key));
        return true;
    }
    struct engine_candidates c = { .s = s, .logits = logits, .max = max };
    gather(&c, lowest_logit(&c, p));
    take_steps(&c, d, key);
    double total = engine_weigh(&c, p->temperature);
    struct engine_candidate picked = pick(&c, total, random_unit(key));
    *id = picked.id;
    if (p->mirostat) {
        double surprise = log2(total / (double)picked.weight);
        *d->mirostat_mu -= (float)((double)p->mirostat_eta * (surprise - (double)p->mirostat_tau));
    }
    return true;
}
