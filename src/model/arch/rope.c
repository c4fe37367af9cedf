/*
 * Rotary positions (Su et al. 2021): pair i of a head turns by a fixed step from one position
 * to the next, base^(-2i/rope_dim). Scaling lets a model reach further than it was trained:
 *
 *   factors   each step is divided by a number of its own (Llama 3.x)
 *   linear    every step is divided by `factor`
 *   YaRN      a pair that turns often within the trained positions keeps its step, one that
 *             turns less than once is divided, and there is a ramp in between; cosines and
 *             sines grow a little (Peng et al. 2023)
 */
#include <math.h>

#include "base/mem.h"
#include "model/arch/arch.h"

/* The pair, as a fraction, that makes `turns` turns in the trained positions. */
static double pair_of_turns(double turns, int32_t rope_dim, double base, double context)
{
    return rope_dim * log(context / (turns * 2 * M_PI)) / (2 * log(base));
}

/* How much of pair i is divided, 0..1. */
static double divided_share(int32_t i, int32_t rope_dim, double base,
                            const struct model_rope_scaling *scaling)
{
    if (!scaling->is_yarn)
        return 1;
    double context = (double)scaling->context;
    double first = floor(pair_of_turns((double)scaling->turns_fast, rope_dim, base, context));
    double last = ceil(pair_of_turns((double)scaling->turns_slow, rope_dim, base, context));
    first = fmax(first, 0);
    last = fmin(last, rope_dim - 1);
    return fmin(fmax((i - first) / fmax(last - first, 0.001), 0), 1);
}

enum base_err arch_rope_add(struct model *m, float base, const float *factors,
                            const struct model_rope_scaling *scaling, struct base_err_info *info)
{
    int32_t rope_dim = m->params.rope_dim;
    struct model_rope *rope = &m->ropes[m->rope_count];
    rope->magnitude = scaling ? scaling->magnitude : 1;
    rope->steps = mem_alloc(MEM_MODEL, (size_t)(rope_dim / 2) * sizeof *rope->steps);
    if (!rope->steps)
        return base_err_set(info, E_NOMEM, "out of memory for the rotations");
    m->rope_count++;
    for (int32_t i = 0; i < rope_dim / 2; i++) {
        double step = pow((double)base, -2.0 * i / rope_dim);
        if (factors)
            step /= (double)factors[i];
        if (scaling && scaling->factor != 1) {
            double share = divided_share(i, rope_dim, (double)base, scaling);
            step = step * (1 - share) + step / (double)scaling->factor * share;
        }
        rope->steps[i] = step;
    }
    return OK;
}

void arch_rope_rotations(const struct model *m, struct model_state *s,
                         const struct tensor_rows *rows)
{
    int32_t pairs = m->params.rope_dim / 2;
    for (int32_t k = 0; k < m->rope_count; k++) {
        const struct model_rope *rope = &m->ropes[k];
        for (int32_t i = 0; i < pairs; i++) {
            for (int64_t r = 0; r < rows->n_rows; r++) {
                double angle = rows->pos[r] * rope->steps[i];
                s->rot[k][(r * pairs + i) * 2] = (float)cos(angle) * rope->magnitude;
                s->rot[k][(r * pairs + i) * 2 + 1] = (float)sin(angle) * rope->magnitude;
            }
        }
    }
}
