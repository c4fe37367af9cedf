#ifndef ENGINE_SAMPLER_INT_H
#define ENGINE_SAMPLER_INT_H

#include "engine/sampler.h"

/* Between the files of the sampler. */

/* Whether bias, masks, penalties or DRY would change any logit. */
bool engine_sampler_edits(const struct engine_draw *d);

/* s->logits become `logits` with those applied; what is not masked is finite. */
void engine_sampler_edit(struct engine_sampler *s, const float *logits,
                         const struct engine_draw *d);

/* What the steps have left: s->left [count], in the order of ids; count >= 1. */
struct engine_candidates {
    struct engine_sampler *s;
    const float *logits; /* [vocab] the ranks, by id */
    int32_t count;
    float max;    /* the largest rank */
    double total; /* of the weights that top_p goes by; 0: of those left */
};

/* Weights below e^-ENGINE_FAR of the largest are nothing. */
#define ENGINE_FAR 40.0f

/* Sets the weights to e^((rank - max) / temperature) in f32. Their sum. */
double engine_weigh(struct engine_candidates *p, float temperature);

/* The steps, each as struct valet_sampling has it. They do not ask whether they are on. */
void engine_keep_at_least(struct engine_candidates *p, float lowest); /* <= max */
void engine_keep_top_k(struct engine_candidates *p, int32_t k);
void engine_keep_typical(struct engine_candidates *p, float mass);
void engine_keep_top_p(struct engine_candidates *p, float mass);
void engine_drop_top(struct engine_candidates *p, float threshold); /* XTC, its chance taken */
void engine_keep_mirostat(struct engine_candidates *p, int32_t version, float mu);

/*
 * For top_p as the first step, before anything is gathered: no token it keeps has a smaller
 * logit. *total: the sum of all weights, for engine_candidates.total.
 */
float engine_top_p_lowest(const float *logits, int32_t vocab, float max, float mass, double *total);

/* The smallest f32 that is not below x. */
float engine_float_at_least(double x);

/* The k-th largest of values [count]; 1 <= k <= count <= vocab. Uses s->close. */
float engine_kth_largest(struct engine_sampler *s, const float *values, int32_t count, int32_t k);

#endif
