/*
 * Sampling without sorting the vocabulary. "The k largest" and "the fewest that hold mass p"
 * are both prefixes of the order (logit falling, id rising), and a prefix is named by its
 * last element. That element is found with a histogram over the distance to the maximum;
 * only the bin where the prefix ends is put in order, as far as needed.
 */
#include "engine/sampler.h"

#include <math.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/random.h"

enum {
    BINS = 1024,
    BINS_PER_NAT = 32 /* the last bin holds all that lies more than 32 nats below the maximum */
};

enum base_err engine_sampler_init(struct engine_sampler *s, int32_t vocab)
{
    *s = (struct engine_sampler){ .vocab = vocab };
    s->all = mem_alloc(MEM_ENGINE, (size_t)vocab * sizeof *s->all);
    s->close = mem_alloc(MEM_ENGINE, (size_t)vocab * sizeof *s->close);
    if (s->all && s->close)
        return OK;
    engine_sampler_fini(s);
    return E_NOMEM;
}

void engine_sampler_fini(struct engine_sampler *s)
{
    mem_free(s->all);
    mem_free(s->close);
    *s = (struct engine_sampler){ 0 };
}

/* Uniform in [0, 1): 53 bits mixed from the three numbers. */
static double uniform(uint64_t seed, uint32_t choice, int64_t position)
{
    uint64_t x = random_mix(seed + 0x9e3779b97f4a7c15u);
    x = random_mix(x ^ (choice + 0x632be59bd9b4e019u));
    x = random_mix(x ^ ((uint64_t)position + 0x9e3779b97f4a7c15u));
    return (double)(x >> 11) * 0x1p-53;
}

/* The largest logit, lowest id on a tie; -1 if one is not finite. */
static int32_t argmax(const float *logits, int32_t vocab)
{
    int32_t best = 0;
    float finite = 0; /* becomes NaN with the first value that is not finite */
    for (int32_t i = 0; i < vocab; i++) {
        finite += logits[i] * 0.0f;
        if (logits[i] > logits[best])
            best = i;
    }
    return finite == 0.0f ? best : -1;
}

static bool comes_before(struct engine_candidate a, struct engine_candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
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

static int bin_of(float logit, float max)
{
    float distance = (max - logit) * BINS_PER_NAT;
    return distance < BINS - 1 ? (int)distance : BINS - 1;
}

/* What a candidate adds to a prefix: 1 for top_k, its weight for top_p. */
static double share(struct engine_candidate c, float max, bool by_mass)
{
    return by_mass ? (double)expf(c.logit - max) : 1.0;
}

/*
 * The element with which the shares, taken in order and added to `before`, reach `want`; or
 * the last. A heap, not qsort: that one allocates, and only the first few are needed.
 */
static struct engine_candidate prefix_end(struct engine_candidate *heap, int32_t count, float max,
                                          double before, double want, bool by_mass)
{
    for (int32_t i = count / 2 - 1; i >= 0; i--)
        sift_down(heap, count, i);
    for (;;) {
        before += share(heap[0], max, by_mass);
        if (before >= want || count == 1)
            return heap[0];
        heap[0] = heap[--count];
        sift_down(heap, count, 0);
    }
}

/*
 * Keeps the shortest prefix of the order whose shares reach `want` (for top_k, k; for top_p,
 * a fraction of the whole mass), in the order of ids. At least one stays.
 */
static int32_t keep_prefix(struct engine_sampler *s, int32_t count, float max, double want,
                           bool by_mass)
{
    double bins[BINS] = { 0 };
    double total = 0;
    for (int32_t i = 0; i < count; i++) {
        double w = share(s->all[i], max, by_mass);
        bins[bin_of(s->all[i].logit, max)] += w;
        total += w;
    }
    if (by_mass)
        want *= total;
    double before = 0;
    int last = 0;
    while (last < BINS - 1 && before + bins[last] < want)
        before += bins[last++];

    int32_t close_count = 0;
    for (int32_t i = 0; i < count; i++) {
        if (bin_of(s->all[i].logit, max) == last)
            s->close[close_count++] = s->all[i];
    }
    if (close_count == 0)
        return count;
    struct engine_candidate end = prefix_end(s->close, close_count, max, before, want, by_mass);

    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++) {
        if (!comes_before(end, s->all[i]))
            s->all[kept++] = s->all[i];
    }
    return kept;
}

static int32_t draw(const struct engine_sampler *s, int32_t count, float max, float temperature,
                    double u)
{
    double total = 0;
    for (int32_t i = 0; i < count; i++)
        total += (double)expf((s->all[i].logit - max) / temperature);
    double left = u * total;
    int32_t id = s->all[0].id;
    for (int32_t i = 0; i < count; i++) {
        double w = (double)expf((s->all[i].logit - max) / temperature);
        if (w > 0)
            id = s->all[i].id;
        left -= w;
        if (left < 0)
            break;
    }
    return id;
}

bool engine_sample(struct engine_sampler *s, const float *logits,
                   const struct valet_sampling *sampling, uint32_t choice, int64_t position,
                   int32_t *id)
{
    int32_t best = argmax(logits, s->vocab);
    if (best < 0)
        return false;
    *id = best;
    if (sampling->temperature <= 0)
        return true;
    float max = logits[best];
    for (int32_t i = 0; i < s->vocab; i++)
        s->all[i] = (struct engine_candidate){ logits[i], i };
    int32_t count = s->vocab;
    if (sampling->top_k > 0 && sampling->top_k < count)
        count = keep_prefix(s, count, max, sampling->top_k, false);
    if (sampling->top_p < 1)
        count = keep_prefix(s, count, max, (double)sampling->top_p, true);
    *id = draw(s, count, max, sampling->temperature, uniform(sampling->seed, choice, position));
    return true;
}
