#include <math.h>

#include "engine/sampler.h"

/* The `count` largest, falling, equal ones in the order of ids; their logits as logprobs. */
static void find_tops(const float *logits, int32_t vocab, uint32_t count, struct valet_top *top)
{
    uint32_t filled = 0;
    for (int32_t i = 0; i < vocab; i++) {
        float l = logits[i];
        if (filled == count && !(l > top[count - 1].logprob))
            continue;
        uint32_t at = filled < count ? filled++ : count - 1;
        for (; at > 0 && l > top[at - 1].logprob; at--)
            top[at] = top[at - 1];
        top[at] = (struct valet_top){ .id = i, .logprob = l };
    }
}

uint32_t engine_logprobs(const struct engine_sampler *s, const float *logits, int32_t id,
                         uint32_t top_count, float *logprob, struct valet_top *top)
{
    float max = logits[0];
    for (int32_t i = 1; i < s->vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    double sum = 0;
    for (int32_t i = 0; i < s->vocab; i++)
        sum += exp((double)logits[i] - (double)max);
    double norm = (double)max + log(sum);
    *logprob = (float)((double)logits[id] - norm);

    uint32_t count = top_count < (uint32_t)s->vocab ? top_count : (uint32_t)s->vocab;
    if (count > 0)
        find_tops(logits, s->vocab, count, top);
    for (uint32_t i = 0; i < count; i++)
        top[i].logprob = (float)((double)top[i].logprob - norm);
    return count;
}
