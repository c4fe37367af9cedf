#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "valet/request.h"

/*
 * Draws a token from logits. A draw depends on its arguments alone: the random number is a
 * function of (seed, choice, position), so neither the batch nor a recomputation changes it.
 * Engine thread only: the scratch is shared by all sequences.
 */

struct engine_candidate {
    float logit;
    int32_t id;
};

struct engine_sampler {
    int32_t vocab;
    struct engine_candidate *all;   /* [vocab] in the order of ids */
    struct engine_candidate *close; /* [vocab] those that must be put in order */
};

/* Gives: engine_sampler_fini. E_NOMEM. */
enum base_err engine_sampler_init(struct engine_sampler *s, int32_t vocab);
void engine_sampler_fini(struct engine_sampler *s);

/*
 * The next token for logits [vocab]:
 *   temperature 0: the largest logit, the lowest id on a tie; else
 *   top_k: the k largest (lower id on a tie); top_p: of these the fewest, largest first, whose
 *   probabilities sum to at least top_p; then a draw from softmax(logit / temperature) by
 *   inverse CDF in the order of ids.
 * False: a logit is not finite.
 */
bool engine_sample(struct engine_sampler *s, const float *logits,
                   const struct valet_sampling *sampling, uint32_t choice, int64_t position,
                   int32_t *id);

#endif
