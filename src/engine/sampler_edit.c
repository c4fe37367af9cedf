/*
 * What changes single logits before anything is dropped: bias, masks, penalties for what was
 * said before. Everything is written into a copy, and only tokens that occur in the request
 * or in the text so far are touched.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/sampler_int.h"

/* Overflow must not look like a mask, nor a mask's opposite. */
static float within_range(double x)
{
    return x > (double)FLT_MAX ? FLT_MAX : x < -(double)FLT_MAX ? -FLT_MAX : (float)x;
}

static bool repetition_is_on(const struct valet_sampling *p)
{
    return p->repetition_penalty > 0 && p->repetition_penalty != 1;
}

static bool dry_is_on(const struct valet_sampling *p)
{
    return p->dry_multiplier > 0 && p->dry_base >= 1;
}

/* ---- counting without clearing ---- */

static void forget_counts(struct engine_sampler *s)
{
    if (++s->stamp != 0)
        return;
    memset(s->counts, 0, (size_t)s->vocab * sizeof *s->counts);
    s->stamp = 1;
}

static int32_t *count_of(struct engine_sampler *s, int32_t id)
{
    struct engine_count *c = &s->counts[id];
    if (c->stamp != s->stamp)
        *c = (struct engine_count){ .stamp = s->stamp };
    return &c->n;
}

static bool is_token(const struct engine_sampler *s, int32_t id)
{
    return id >= 0 && id < s->vocab;
}

/* ---- the text so far ---- */

/* The token with `back` tokens after it: 0 is the last one. */
static int32_t token_at(const struct engine_draw *d, int32_t back)
{
    return back < d->count ? d->ids[d->count - 1 - back]
                           : d->prompt[d->prompt_count - 1 - (back - d->count)];
}

static int32_t window(const struct engine_draw *d, int32_t last_n)
{
    int32_t all = d->prompt_count + d->count;
    return last_n > 0 && last_n < all ? last_n : all;
}

/* ---- penalties ---- */

static void penalise_repetition(struct engine_sampler *s, const struct engine_draw *d)
{
    float penalty = d->sampling->repetition_penalty;
    int32_t count = window(d, d->sampling->repeat_last_n);
    forget_counts(s);
    for (int32_t back = 0; back < count; back++) {
        int32_t id = token_at(d, back);
        if ((*count_of(s, id))++ > 0)
            continue;
        float l = s->logits[id];
        s->logits[id] = within_range((double)(l > 0 ? l / penalty : l * penalty));
    }
}

static void penalise_generated(struct engine_sampler *s, const struct engine_draw *d)
{
    forget_counts(s);
    for (int32_t i = 0; i < d->count; i++)
        (*count_of(s, d->ids[i]))++;
    for (int32_t i = 0; i < d->count; i++) {
        int32_t *n = count_of(s, d->ids[i]);
        if (*n == 0)
            continue; /* done at its first occurrence */
        float penalty = d->sampling->frequency_penalty * (float)*n + d->sampling->presence_penalty;
        s->logits[d->ids[i]] = within_range((double)s->logits[d->ids[i]] - (double)penalty);
        *n = 0;
    }
}

/* ---- DRY ---- */

/* How long a repeat can be that ends with the text: it contains no breaker. */
static int32_t repeat_limit(struct engine_sampler *s, const struct engine_draw *d, int32_t count)
{
    const struct valet_sampling *p = d->sampling;
    forget_counts(s);
    for (uint32_t i = 0; i < p->dry_breaker_count; i++) {
        if (is_token(s, p->dry_breakers[i]))
            *count_of(s, p->dry_breakers[i]) = 1;
    }
    int32_t limit = 0;
    while (limit < count && limit < ENGINE_REPEAT_MAX && *count_of(s, token_at(d, limit)) == 0)
        limit++;
    return limit;
}

/*
 * For each token the longest repeat that it would extend, into the counts. With the text read
 * backwards, repeats[k] is how far the text without its last k tokens agrees with the text:
 * the Z function, found in O(window) (Gusfield 1997, section 1.4). No agreement counts for
 * more than `limit`, so no more than `limit` values are looked up again.
 */
static void find_repeats(struct engine_sampler *s, const struct engine_draw *d, int32_t count,
                         int32_t limit, int32_t allowed)
{
    int32_t box = 0; /* the agreement that reaches farthest: tokens box .. box_end-1 */
    int32_t box_end = 0;
    forget_counts(s);
    for (int32_t k = 1; k < count; k++) {
        int32_t len = 0;
        if (k < box_end) {
            int32_t known = s->repeats[k - box];
            len = known < box_end - k ? known : box_end - k;
        }
        if (k + len >= box_end) {
            while (len < limit && k + len < count && token_at(d, len) == token_at(d, k + len))
                len++;
            box = k;
            box_end = k + len;
        }
        if (k < limit)
            s->repeats[k] = len;
        int32_t *longest = count_of(s, token_at(d, k - 1));
        if (len >= allowed && len > *longest)
            *longest = len;
    }
}

static void penalise_repeats(struct engine_sampler *s, const struct engine_draw *d)
{
    const struct valet_sampling *p = d->sampling;
    int32_t allowed = p->dry_allowed_length > 1 ? p->dry_allowed_length : 1;
    int32_t count = window(d, p->dry_last_n);
    int32_t limit = repeat_limit(s, d, count);
    if (limit < allowed)
        return;
    find_repeats(s, d, count, limit, allowed);
    for (uint32_t i = 0; i < p->dry_breaker_count; i++) {
        if (is_token(s, p->dry_breakers[i]))
            *count_of(s, p->dry_breakers[i]) = 0; /* it ends a repeat, it extends none */
    }
    for (int32_t k = 1; k < count; k++) {
        int32_t id = token_at(d, k - 1);
        int32_t *longest = count_of(s, id);
        if (*longest == 0)
            continue;
        double penalty = (double)p->dry_multiplier * pow((double)p->dry_base, *longest - allowed);
        s->logits[id] = within_range((double)s->logits[id] - penalty);
        *longest = 0;
    }
}

/* ---- all of them ---- */

bool engine_sampler_edits(const struct engine_draw *d)
{
    const struct valet_sampling *p = d->sampling;
    return p->bias_count > 0 || d->masked_count > 0 || repetition_is_on(p) ||
           p->frequency_penalty != 0 || p->presence_penalty != 0 || dry_is_on(p);
}

void engine_sampler_edit(struct engine_sampler *s, const float *logits, const struct engine_draw *d)
{
    const struct valet_sampling *p = d->sampling;
    memcpy(s->logits, logits, (size_t)s->vocab * sizeof *logits);
    for (uint32_t i = 0; i < p->bias_count; i++) {
        int32_t id = p->bias[i].id;
        if (is_token(s, id))
            s->logits[id] = within_range((double)(s->logits[id] + p->bias[i].bias));
    }
    if (repetition_is_on(p))
        penalise_repetition(s, d);
    if (p->frequency_penalty != 0 || p->presence_penalty != 0)
        penalise_generated(s, d);
    if (dry_is_on(p))
        penalise_repeats(s, d);
    /* last, so that nothing lifts a mask */
    for (uint32_t i = 0; i < d->masked_count; i++) {
        if (is_token(s, d->masked[i]))
            s->logits[d->masked[i]] = -INFINITY;
    }
}
