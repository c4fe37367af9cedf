/*
 * The llama family (Touvron et al. 2023; grouped-query attention after Ainslie et al. 2023):
 *
 *   x = embed[id]
 *   each layer:  h = norm(x);  x += Wo attention(rope(Wq h), rope(Wk h), Wv h)
 *                h = norm(x);  x += Wdown (silu(Wgate h) * Wup h)
 *   logits = Whead norm(x)
 *
 *   llama   pairs that rotate are neighbours: its files have the rows of Wq and Wk permuted so.
 *           Biases of attention are optional. rope_freqs divides the steps of rotation.
 *   qwen2   pairs are halves; Wq, Wk and Wv have biases
 *   qwen3   pairs are halves; each head of q and k has its norm
 */
#include <math.h>

#include "base/mem.h"
#include "model/arch/arch.h"

static enum base_err load_rope(struct model *m, struct base_err_info *info)
{
    static const char name[] = "rope_freqs.weight";
    const struct model_params *p = &m->params;
    float *factors = NULL;
    enum base_err rc = OK;
    if (gguf_tensor_find(m->file, name))
        rc = model_load_vector(m, name, p->rope_dim / 2, &factors, info);
    for (int32_t i = 0; !rc && factors && i < p->rope_dim / 2; i++) {
        if (!(factors[i] > 0 && isfinite(factors[i])))
            rc = base_err_set(info, E_CORRUPT,
                              "tensor '%s': element %d is %g, expected a number"
                              " above 0",
                              name, i, (double)factors[i]);
    }
    if (!rc)
        rc = arch_rope_add(m, p->rope_base, factors, &p->rope_scaling, info);
    mem_free(factors);
    return rc;
}

/* A window that no sequence can fill changes nothing. */
static enum base_err refuse_window(const struct model *m, struct base_err_info *info)
{
    static const char key[] = "attention.sliding_window";
    int32_t window = 0;
    enum base_err rc = model_key_i32(m, key, 0, INT32_MAX, &window, info);
    if (rc || window == 0 || window >= m->params.context)
        return rc;
    return base_err_set(info, E_UNSUPPORTED, "'%s.%s' is %d, which is not supported", m->arch->name,
                        key, window);
}

static enum base_err load(struct model *m, struct base_err_info *info)
{
    bool is_qwen2 = m->arch == &model_arch_qwen2;
    bool is_qwen3 = m->arch == &model_arch_qwen3;
    enum base_err rc = refuse_window(m, info);
    if (!rc)
        rc = load_rope(m, info);
    for (int32_t i = 0; !rc && i < m->params.layers; i++) {
        const struct model_layer *l = &m->layers[i];
        rc = arch_load_attention(m, i, is_qwen3, info);
        if (!rc && is_qwen2 && !(l->attn_q_bias && l->attn_k_bias && l->attn_v_bias))
            rc = base_err_set(info, E_CORRUPT, "model file lacks the tensor 'blk.%d.attn_%s.bias'",
                              i,
                              !l->attn_q_bias   ? "q"
                              : !l->attn_k_bias ? "k"
                                                : "v");
        if (!rc)
            rc = arch_load_ffn(m, i, info);
    }
    return rc;
}

const struct model_arch model_arch_llama = { "llama", TENSOR_ROPE_NORM, TENSOR_GATE_SILU, load };
const struct model_arch model_arch_qwen2 = { "qwen2", TENSOR_ROPE_NEOX, TENSOR_GATE_SILU, load };
const struct model_arch model_arch_qwen3 = { "qwen3", TENSOR_ROPE_NEOX, TENSOR_GATE_SILU, load };
