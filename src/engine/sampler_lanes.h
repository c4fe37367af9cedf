#ifndef ENGINE_SAMPLER_LANES_H
#define ENGINE_SAMPLER_LANES_H

/*
 * Passes over all logits, a few at a time, in vectors that every compiler makes for any processor:
 * with the vocabularies of today a call of expf for each would take a tenth of a step.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    LANES = 4
};

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef double wide_lanes __attribute__((vector_size(LANES * sizeof(double))));
typedef int32_t masks __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline lanes lanes_of(float f)
{
    lanes v;
    for (int i = 0; i < LANES; i++)
        v[i] = f;
    return v;
}

static inline lanes lanes_load(const float *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* a where the mask is set, 0 elsewhere. */
static inline lanes lanes_where(masks m, lanes a)
{
    return (lanes)((masks)a & m);
}

/* The larger; b where a is NaN. */
static inline lanes lanes_max(lanes a, lanes b)
{
    masks m = a > b;
    return (lanes)(((masks)a & m) | ((masks)b & ~m));
}

static inline double wide_lanes_sum(wide_lanes v)
{
    double sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += v[i];
    return sum;
}

/*
 * e^x for x <= 0: relative error below 6e-7 down to -11, below 4e-6 down to -80; 0 below -86.6.
 * 2^n by the exponent, 2^f with |f| <= 1/2 by a minimax fit to (2^f - 1) / f. The same bits on
 * every processor.
 */
static inline lanes lanes_exp(lanes x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: its last place is 1 */
    lanes y = x * 1.44269504f;
    masks seen = y > -125.0f;
    y = lanes_max(y, lanes_of(-125.0f));
    lanes t = y + round;
    masks n = (masks)t - (masks)lanes_of(round);
    lanes f = y - (t - round);
    lanes p = f * 1.326472708e-3f + 9.671512862e-3f;
    p = p * f + 5.550733746e-2f;
    p = p * f + 2.402224208e-1f;
    p = p * f + 6.931469776e-1f;
    p = p * f + 1.0f;
    return lanes_where(seen, (lanes)((masks)p + (n << 23)));
}

#endif
