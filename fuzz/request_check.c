#include "request_check.h"

#include <math.h>

#include "base/assert.h"

static void within(float value, float min, float max)
{
    ASSERT(value >= min && value <= max); /* no NaN */
}

static void check_ids(const int32_t *ids, uint32_t count, int32_t vocab)
{
    for (uint32_t i = 0; i < count; i++)
        ASSERT(ids[i] >= 0 && ids[i] < vocab);
}

static void check_sampling(const struct valet_sampling *s, int32_t context, int32_t vocab)
{
    within(s->temperature, 0, 2);
    within(s->top_p, 0, 1);
    within(s->min_p, 0, 1);
    within(s->typical_p, 0, 1);
    within(s->xtc_probability, 0, 1);
    within(s->xtc_threshold, 0, 1);
    within(s->presence_penalty, -2, 2);
    within(s->frequency_penalty, -2, 2);
    within(s->repetition_penalty, 0, 10);
    ASSERT(s->top_p > 0 && s->repetition_penalty > 0);
    ASSERT(s->top_k >= 0 && s->repeat_last_n >= 0 && s->repeat_last_n <= context);
    ASSERT(isfinite(s->top_n_sigma) && s->top_n_sigma >= -1);

    ASSERT(isfinite(s->dry_multiplier) && s->dry_multiplier >= 0);
    ASSERT(isfinite(s->dry_base) && s->dry_base >= 1);
    ASSERT(s->dry_allowed_length >= 1 && s->dry_last_n >= 0);
    check_ids(s->dry_breakers, s->dry_breaker_count, vocab);

    ASSERT(s->mirostat >= 0 && s->mirostat <= 2);
    ASSERT(isfinite(s->mirostat_tau) && s->mirostat_tau > 0);
    ASSERT(isfinite(s->mirostat_eta) && s->mirostat_eta > 0);

    ASSERT(s->bias_count <= VALET_BIAS_MAX);
    for (uint32_t i = 0; i < s->bias_count; i++) {
        check_ids(&s->bias[i].id, 1, vocab);
        within(s->bias[i].bias, -100, 100);
    }
}

void request_check(const struct valet_request *r, int32_t context, int32_t vocab)
{
    ASSERT(r->prompt_count >= 1 && r->prompt_count < context);
    check_ids(r->prompt, (uint32_t)r->prompt_count, vocab);
    ASSERT(r->max_new >= 1 || (r->max_new == 0 && r->prompt_logprobs));
    ASSERT(r->max_new <= context - r->prompt_count);
    check_sampling(&r->sampling, context, vocab);

    ASSERT(r->stop_count <= VALET_STOPS_MAX && r->stop_id_count <= VALET_STOP_IDS_MAX);
    for (uint32_t i = 0; i < r->stop_count; i++)
        ASSERT(r->stops[i].len >= 1 && r->stops[i].len <= VALET_STOP_BYTES_MAX);
    check_ids(r->stop_ids, r->stop_id_count, vocab);
    ASSERT(r->min_tokens >= 0);
    ASSERT(r->top_logprobs >= 0 && r->top_logprobs <= VALET_TOP_LOGPROBS_MAX);
}
