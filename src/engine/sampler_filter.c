/*
 * The steps that drop tokens, without sorting the vocabulary. "The k largest" and "the fewest
 * that hold mass p" are both prefixes of the order (rank falling, id rising), and a prefix is
 * named by its last element. That element is found with a histogram over the distance to the
 * maximum; only the bin where the prefix ends is put in order, as far as needed.
 */
#include <float.h>
#include <math.h>
#include <stddef.h>

#include "engine/sampler_int.h"
#include "engine/sampler_lanes.h"

enum {
    BINS = 1024,
    BINS_PER_NAT = 32, /* the last bin holds all that lies more than 32 nats below the maximum */
    WEIGHTS = 32,      /* computed before they are added */
    MIROSTAT_HEAD = 100
};

static const double LN2 = 0.693147180559945309417;

/* ---- the order ---- */

static bool comes_before(struct engine_candidate a, struct engine_candidate b)
{
    return a.rank > b.rank || (a.rank == b.rank && a.id < b.id);
}

/* Moves element i of a heap down to its place; what comes first in the order is on top. */
static void sift_down(struct engine_candidate *heap, int32_t count, int32_t i)
{
    struct engine_candidate moved = heap[i];
    for (int32_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && comes_before(heap[child + 1], heap[child]))
            child++;
        if (comes_before(moved, heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

/* A heap, not qsort: that one allocates, and only the first few are needed. */
static void heap_make(struct engine_candidate *heap, int32_t count)
{
    for (int32_t i = count / 2 - 1; i >= 0; i--)
        sift_down(heap, count, i);
}

static void heap_pop(struct engine_candidate *heap, int32_t *count)
{
    heap[0] = heap[--*count];
    if (*count > 0)
        sift_down(heap, *count, 0);
}

float engine_kth_largest(struct engine_sampler *s, const float *values, int32_t count, int32_t k)
{
    for (int32_t i = 0; i < count; i++)
        s->close[i] = (struct engine_candidate){ .rank = values[i], .id = i };
    heap_make(s->close, count);
    while (--k > 0)
        heap_pop(s->close, &count);
    return s->close[0].rank;
}

float engine_float_at_least(double x)
{
    float f = (float)x;
    return (double)f < x ? nextafterf(f, INFINITY) : f;
}

/* ---- prefixes of the order ---- */

static int bin_of(float rank, float max)
{
    float distance = (max - rank) * BINS_PER_NAT;
    return distance < BINS - 1 ? (int)distance : BINS - 1;
}

/* What a candidate adds to a prefix: 1 for top_k, its weight else. */
static double share(struct engine_candidate c, bool by_mass)
{
    return by_mass ? (double)c.weight : 1.0;
}

/* The element with which the shares, taken in order and added to `before`, reach `want`. */
static struct engine_candidate prefix_end(struct engine_candidate *heap, int32_t count,
                                          double before, double want, bool by_mass)
{
    heap_make(heap, count);
    for (;;) {
        before += share(heap[0], by_mass);
        if (before >= want || count == 1)
            return heap[0];
        heap_pop(heap, &count);
    }
}

/* The bin where the sum reaches `want`, and the sum before it. */
static int last_bin(const double *bins, double want, double *before)
{
    int last = 0;
    *before = 0;
    while (last < BINS - 1 && *before + bins[last] < want)
        *before += bins[last++];
    return last;
}

/* Keeps the shortest prefix of the order whose shares reach `want`; `max` is the first rank. */
static void keep_prefix(struct engine_candidates *p, float max, double want, bool by_mass)
{
    struct engine_candidate *left = p->s->left;
    double bins[BINS] = { 0 };
    for (int32_t i = 0; i < p->count; i++)
        bins[bin_of(left[i].rank, max)] += share(left[i], by_mass);
    double before;
    int last = last_bin(bins, want, &before);

    struct engine_candidate *close = p->s->close;
    int32_t close_count = 0;
    int32_t count = 0;
    for (int32_t i = 0; i < p->count; i++) {
        struct engine_candidate c = left[i];
        int bin = bin_of(c.rank, max);
        left[count] = c;
        count += bin <= last;
        close[close_count] = c;
        close_count += bin == last;
    }
    p->count = count;
    if (close_count == 0)
        return; /* rounding left the sum of all below `want` */
    struct engine_candidate end = prefix_end(close, close_count, before, want, by_mass);
    count = 0;
    for (int32_t i = 0; i < p->count; i++) {
        if (!comes_before(end, left[i]))
            left[count++] = left[i];
    }
    p->count = count;
}

static void find_max(struct engine_candidates *p)
{
    p->max = p->s->left[0].rank;
    for (int32_t i = 1; i < p->count; i++) {
        if (p->s->left[i].rank > p->max)
            p->max = p->s->left[i].rank;
    }
}

/* ---- the steps ---- */

double engine_weigh(struct engine_candidates *p, float temperature)
{
    double total = 0;
    for (int32_t at = 0; at < p->count; at += WEIGHTS) {
        struct engine_candidate *c = p->s->left + at;
        int32_t count = p->count - at < WEIGHTS ? p->count - at : WEIGHTS;
        float weights[WEIGHTS] = { 0 };
        for (int32_t i = 0; i < count; i++)
            weights[i] = (c[i].rank - p->max) / temperature;
        for (int32_t i = 0; i < count; i += LANES) {
            lanes w = lanes_exp(lanes_load(weights + i));
            memcpy(weights + i, &w, sizeof w);
        }
        for (int32_t i = 0; i < count; i++) {
            c[i].weight = weights[i];
            total += (double)weights[i];
        }
    }
    return total;
}

void engine_keep_at_least(struct engine_candidates *p, float lowest)
{
    struct engine_candidate *left = p->s->left;
    int32_t count = 0;
    for (int32_t i = 0; i < p->count; i++) {
        left[count] = left[i];
        count += left[i].rank >= lowest;
    }
    p->count = count;
}

void engine_keep_top_k(struct engine_candidates *p, int32_t k)
{
    if (k < p->count)
        keep_prefix(p, p->max, k, false);
}

void engine_keep_top_p(struct engine_candidates *p, float mass)
{
    double sum = engine_weigh(p, 1);
    keep_prefix(p, p->max, (double)mass * (p->total > 0 ? p->total : sum), true);
}

float engine_top_p_lowest(const float *logits, int32_t vocab, float max, float mass, double *total)
{
    static const float distances[] = { 1, 2, 4, 8, 16, ENGINE_FAR };
    enum {
        COUNT = sizeof distances / sizeof distances[0]
    };
    float lowest[COUNT];
    double sums[COUNT] = { 0 }; /* of the weights of logits from these on */
    for (int k = 0; k < COUNT; k++)
        lowest[k] = max - distances[k];
    for (int32_t at = 0; at < vocab; at += WEIGHTS) {
        int32_t count = vocab - at < WEIGHTS ? vocab - at : WEIGHTS;
        float padded[WEIGHTS];
        for (int32_t i = 0; count < WEIGHTS && i < WEIGHTS; i++)
            padded[i] = i < count ? logits[at + i] : -INFINITY;
        const float *from = count < WEIGHTS ? padded : logits + at;
        lanes sum[COUNT] = { 0 };
        for (int32_t i = 0; i < WEIGHTS; i += LANES) {
            lanes l = lanes_load(from + i);
            lanes w = lanes_exp(l - max);
            for (int k = 0; k < COUNT; k++)
                sum[k] += lanes_where(l >= lowest[k], w);
        }
        for (int k = 0; k < COUNT; k++)
            sums[k] += wide_lanes_sum(__builtin_convertvector(sum[k], wide_lanes));
    }
    *total = sums[COUNT - 1];
    for (int k = 0; k < COUNT; k++) {
        if (sums[k] > (double)mass * *total * 1.0001) /* more than rounding can take away */
            return lowest[k];
    }
    return -FLT_MAX;
}

/*
 * Meister et al. 2022: first what is nearest to the expected surprise. Nearness takes the
 * place of the logit while the prefix is looked for.
 */
void engine_keep_typical(struct engine_candidates *p, float mass)
{
    struct engine_candidate *left = p->s->left;
    double total = engine_weigh(p, 1);
    double mean = 0; /* of the distance to the largest logit */
    for (int32_t i = 0; i < p->count; i++) {
        if (left[i].weight > 0)
            mean += (double)left[i].weight / total * ((double)p->max - (double)left[i].rank);
    }
    float nearest = -INFINITY;
    for (int32_t i = 0; i < p->count; i++) {
        left[i].rank = -(float)fabs((double)p->max - (double)left[i].rank - mean);
        if (left[i].rank > nearest)
            nearest = left[i].rank;
    }
    keep_prefix(p, nearest, (double)mass * total, true);
    for (int32_t i = 0; i < p->count; i++)
        left[i].rank = p->logits[left[i].id];
    find_max(p);
}

void engine_drop_top(struct engine_candidates *p, float threshold)
{
    struct engine_candidate *left = p->s->left;
    double bound = (double)threshold * engine_weigh(p, 1);
    struct engine_candidate least = { .rank = INFINITY, .id = -1 };
    for (int32_t i = 0; i < p->count; i++) {
        if ((double)left[i].weight >= bound && left[i].rank < least.rank)
            least = left[i];
    }
    int32_t count = 0;
    for (int32_t i = 0; i < p->count; i++) {
        if (!((double)left[i].weight >= bound) || left[i].id == least.id)
            left[count++] = left[i];
    }
    p->count = count;
    find_max(p);
}

/* ---- mirostat, Basu et al. 2021 ---- */

/*
 * Version 1: how many tokens to keep so that their surprise is about mu bits, if probabilities
 * fell with the rank as in Zipf's law. Its exponent is estimated from the first ones.
 */
static double zipf_count(struct engine_candidates *p, double mu)
{
    struct engine_candidate *heap = p->s->close;
    int32_t heap_count = p->count;
    for (int32_t i = 0; i < heap_count; i++)
        heap[i] = p->s->left[i];
    heap_make(heap, heap_count);
    double product = 0;
    double square = 0;
    for (int32_t i = 1; i < MIROSTAT_HEAD && i < p->count; i++) {
        float rank = heap[0].rank;
        heap_pop(heap, &heap_count);
        double t = log((i + 1.0) / i);
        product += t * ((double)rank - (double)heap[0].rank);
        square += t * t;
    }
    double exponent = product / square;
    double e = exponent - 1;
    double log_vocab = log(p->s->vocab);
    double sum = e == 0 ? log_vocab : -expm1(-e * log_vocab) / e; /* (1 - vocab^-e) / e */
    return pow(exp2(mu) / sum, 1 / exponent);
}

void engine_keep_mirostat(struct engine_candidates *p, int32_t version, float mu)
{
    if (p->count == 1)
        return;
    if (version == 1) {
        double k = zipf_count(p, (double)mu);
        engine_keep_top_k(p, !(k >= 2) ? 1 : k < p->count ? (int32_t)k : p->count);
        return;
    }
    double log_total = log(engine_weigh(p, 1));
    double lowest = (double)p->max + log_total - (double)mu * LN2; /* surprise <= mu */
    if (lowest <= (double)p->max)
        engine_keep_at_least(p, engine_float_at_least(lowest));
    else
        engine_keep_top_k(p, 1);
}
