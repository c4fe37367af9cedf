#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "valet/event.h"
#include "valet/request.h"

/*
 * Draws a token from logits. A draw depends on its arguments alone: the random number is a
 * function of (seed, choice, position), so neither the batch nor a recomputation changes it.
 * One thread at a time: the scratch is shared by all sequences. No allocation after init.
 */
struct engine_candidate {
    float rank;   /* the logit, but inside typical_p */
    float weight; /* not normalised */
    int32_t id;
};

/* A number for a token; it counts as 0 unless its stamp is the sampler's. */
struct engine_count {
    uint32_t stamp;
    int32_t n;
};

struct engine_sampler {
    int32_t vocab;
    float *logits;                  /* [vocab] after bias, masks, penalties; masked: -inf */
    float *tops;                    /* [(vocab + 63) / 64] the largest of each 64 logits */
    double *masses;                 /* [(vocab + 63) / 64] the weight of each 64 */
    struct engine_candidate *left;  /* [vocab] what the steps have left, in the order of ids */
    struct engine_candidate *close; /* [vocab] those that must be put in order */
    struct engine_count *counts;    /* [vocab] */
    uint32_t stamp;
    int32_t *repeats; /* [ENGINE_REPEAT_MAX] */
};

/* DRY counts repeats up to this length; a longer one weighs as much as one of this length. */
#define ENGINE_REPEAT_MAX 4096

/* Gives: engine_sampler_fini. E_NOMEM. */
enum base_err engine_sampler_init(struct engine_sampler *s, int32_t vocab);
void engine_sampler_fini(struct engine_sampler *s);

/* One draw. All borrowed for the call. */
struct engine_draw {
    const struct valet_sampling *sampling;
    uint32_t choice;
    int64_t position;      /* of the token to draw: tokens generated so far */
    const int32_t *prompt; /* [prompt_count] */
    int32_t prompt_count;
    const int32_t *ids; /* [count] generated so far */
    int32_t count;
    const int32_t *masked; /* [masked_count] tokens that must not come; duplicates allowed */
    uint32_t masked_count;
    float *mirostat_mu; /* in/out; the caller starts it at 2 * mirostat_tau */
};

/*
 * The next token for logits [vocab], in the order of struct valet_sampling. Each step that
 * drops tokens works on what the one before left and keeps at least one. Probabilities inside
 * the steps before the draw are those of softmax(logit) over what is left; where a step must
 * choose between equals, the lower id stays.
 *
 * Numerics: bias and penalties in f32, results held inside the finite range; weights are e^x in
 *           f32 (lanes_exp), summed in f64 in the order of ids, or of blocks of 64. Tokens whose weight is below e^-40 of
 *           the largest at temperature 1 and at the draw's are left out where that cannot
 *           decide a step: it moves a probability by less than vocab * e^-40, 1e-12 for
 *           200,000 tokens.
 * Mirostat: cuts by softmax(logit) as the steps do that it replaces. The surprise that moves
 *           mu is the drawn token's in the distribution of the draw.
 * Cost:     O(vocab + window), where window is what the penalties and DRY look back.
 * False: a logit is not finite, or every token is masked; *id and mu are as before.
 */
bool engine_sample(struct engine_sampler *s, const float *logits, const struct engine_draw *draw,
                   int32_t *id);

/*
 * log softmax of the raw logits: of `id`, and the top_count largest (falling; on a tie the
 * lower id first) into top [top_count]. top_count <= VALET_TOP_LOGPROBS_MAX;
 * at most vocab are written. Returns how many. In f64 inside. A logit that is not finite may
 * make any of the numbers NaN.
 */
uint32_t engine_logprobs(const struct engine_sampler *s, const float *logits, int32_t id,
                         uint32_t top_count, float *logprob, struct valet_top *top);

#endif
